"""Tables: regression, classes out of balance, columns of several kinds."""

import keras
import numpy as np
from keras import layers

from .program import Script, program


def _table(count=48, columns=6):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(count, columns))
    return x, (x[:, 0] + 0.1 * rng.normal(size=count) > 0).astype(int)


@program("tabular", "the most common Keras code: two Dense, no Input, strings")
def two_dense_layers():
    x, y = _table()
    model = keras.Sequential([layers.Dense(8, activation="relu"), layers.Dense(1)])
    model.compile(optimizer="adam", loss="mse")
    return Script(model, dict(x=x, y=y, epochs=2))


@program("tabular", "Keras example structured_data/imbalanced_classification")
def class_weights_and_metrics():
    x, y = _table()
    model = keras.Sequential(
        [
            keras.Input(shape=x.shape[1:]),
            layers.Dense(16, activation="relu"),
            layers.Dropout(0.3),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.Adam(1e-2),
        loss="binary_crossentropy",
        metrics=[keras.metrics.Precision(name="precision"), keras.metrics.AUC()],
    )
    return Script(
        model,
        dict(
            x=x.astype("float32"),
            y=y[:, None],
            batch_size=16,
            epochs=2,
            class_weight={0: 0.3, 1: 2.0},
            validation_data=(x[:10], y[:10, None]),
        ),
    )


@program("tabular", "Keras example structured_data/structured_data_classification")
def columns_as_a_dict_of_inputs():
    rng = np.random.default_rng(0)
    x = {
        "age": rng.integers(20, 80, (40, 1)).astype("float32"),
        "rate": rng.normal(size=(40, 1)).astype("float32"),
        "kind": rng.integers(0, 5, (40, 1)),
    }
    y = rng.integers(0, 2, (40, 1))
    age = keras.Input((1,), name="age")
    rate = keras.Input((1,), name="rate")
    kind = keras.Input((1,), name="kind", dtype="int64")
    normalize = layers.Normalization()
    normalize.adapt(x["age"])
    one_hot = layers.CategoryEncoding(num_tokens=5, output_mode="one_hot")
    h = layers.concatenate([normalize(age), rate, one_hot(kind)])
    h = layers.Dropout(0.5)(layers.Dense(16, activation="relu")(h))
    output = layers.Dense(1, activation="sigmoid")(h)
    model = keras.Model({"age": age, "rate": rate, "kind": kind}, output)
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    return Script(model, dict(x=x, y=y, epochs=2, batch_size=16))


@program("tabular", "Keras example structured_data/wide_deep_cross_networks")
def wide_and_deep():
    x, y = _table()
    inputs = keras.Input((6,))
    deep = layers.Dense(16, "relu", kernel_regularizer=keras.regularizers.L2(1e-3))(
        inputs
    )
    deep = layers.BatchNormalization()(deep)
    deep = layers.Dense(8, "relu")(deep)
    merged = layers.concatenate([inputs, deep])
    model = keras.Model(inputs, layers.Dense(1, activation="sigmoid")(merged))
    model.compile(keras.optimizers.Ftrl(0.05), "binary_crossentropy")
    return Script(model, dict(x=x, y=y, epochs=2))


@program(
    "tabular", "Keras example structured_data/collaborative_filtering_for_movielens"
)
def recommender_with_embeddings():
    class Recommender(keras.Model):
        def __init__(self, users, items, width, **kwargs):
            super().__init__(**kwargs)
            regularizer = keras.regularizers.l2(1e-6)
            self.user = layers.Embedding(
                users, width, embeddings_regularizer=regularizer
            )
            self.user_bias = layers.Embedding(users, 1)
            self.item = layers.Embedding(items, width)
            self.item_bias = layers.Embedding(items, 1)

        def call(self, inputs):
            user, item = inputs[:, 0], inputs[:, 1]
            dot = keras.ops.sum(self.user(user) * self.item(item), -1, keepdims=True)
            return keras.ops.sigmoid(dot + self.user_bias(user) + self.item_bias(item))

    rng = np.random.default_rng(0)
    x = rng.integers(0, 9, (60, 2))
    y = rng.random(60).astype("float32")
    model = Recommender(9, 9, 4)
    model.compile(loss="binary_crossentropy", optimizer=keras.optimizers.Adam(1e-3))
    return Script(
        model,
        dict(x=x, y=y, batch_size=16, epochs=2),
        custom_objects={"Recommender": Recommender},
    )


@program("tabular", "scikit-learn users: DataFrame-like columns, sample weights, Huber")
def weighted_regression():
    x, y = _table()
    weights = np.linspace(0.5, 1.5, len(x))
    model = keras.Sequential()
    model.add(layers.Dense(12, activation="selu", kernel_initializer="lecun_normal"))
    model.add(layers.AlphaDropout(0.1))
    model.add(layers.Dense(1, bias_initializer=keras.initializers.Constant(0.5)))
    model.compile(loss=keras.losses.Huber(), optimizer="rmsprop")
    return Script(model, dict(x=x, y=y * 1.0, sample_weight=weights, epochs=2))


@program(
    "tabular", "Keras guide functional_api: several inputs, several outputs, lists"
)
def lists_of_inputs_and_outputs():
    rng = np.random.default_rng(0)
    title = keras.Input(shape=(None,), name="title")
    tags = keras.Input(shape=(4,), name="tags")
    h = layers.LSTM(6)(layers.Embedding(20, 6)(title))
    h = layers.concatenate([h, tags])
    priority = layers.Dense(1, name="priority")(h)
    department = layers.Dense(3, name="department")(h)
    model = keras.Model(inputs=[title, tags], outputs=[priority, department])
    model.compile(
        optimizer=keras.optimizers.RMSprop(1e-3),
        loss=[
            keras.losses.BinaryCrossentropy(from_logits=True),
            keras.losses.CategoricalCrossentropy(from_logits=True),
        ],
        loss_weights=[1.0, 0.2],
    )
    x = [rng.integers(0, 20, (24, 7)), rng.integers(0, 2, (24, 4)).astype("float32")]
    y = [rng.integers(0, 2, (24, 1)), np.eye(3)[rng.integers(0, 3, 24)]]
    return Script(model, dict(x=x, y=y, epochs=2, batch_size=8))


@program("tabular", "Keras API gradient_accumulation_steps, ema, clipnorm in one")
def every_option_of_the_optimizer():
    x, y = _table()
    model = keras.Sequential(
        [keras.Input((6,)), layers.Dense(8, "relu"), layers.Dense(1)]
    )
    optimizer = keras.optimizers.AdamW(
        1e-3, weight_decay=0.01, clipnorm=1.0, gradient_accumulation_steps=2
    )
    model.compile(optimizer, "mse")
    return Script(model, dict(x=x, y=y, epochs=3, batch_size=10))


@program("tabular", "Keras API steps_per_execution", ("tensorflow", "jax"))
def several_steps_per_execution():
    x, y = _table()
    model = keras.Sequential([layers.Dense(8, "tanh"), layers.Dense(1, "sigmoid")])
    model.compile("adam", "binary_crossentropy", steps_per_execution=3)
    return Script(model, dict(x=x, y=y, epochs=2, batch_size=8))


@program("tabular", "debugging in public: run_eagerly, prints in call")
def run_eagerly():
    x, y = _table()
    model = keras.Sequential([layers.Dense(8, "relu"), layers.Dense(2, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    return Script(model, dict(x=x, y=y, epochs=1, batch_size=16))


@program("tabular", "torch users: DataLoader into fit", ("torch",))
def torch_data_loader():
    import torch

    x, y = _table()
    rows = torch.utils.data.TensorDataset(torch.tensor(x).float(), torch.tensor(y))
    data = torch.utils.data.DataLoader(rows, batch_size=10, shuffle=True)
    model = keras.Sequential([layers.Dense(8, "relu"), layers.Dense(2)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss)
    return Script(model, dict(x=data, epochs=2), sample=x.astype("float32"))


@program(
    "tabular", "callbacks that set the rate: LearningRateScheduler, ReduceLROnPlateau"
)
def rate_set_by_author_callbacks():
    x, y = _table()
    model = keras.Sequential([layers.Dense(8, "relu"), layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "mse")
    callbacks = [keras.callbacks.ReduceLROnPlateau(monitor="loss", patience=1)]
    return Script(model, dict(x=x, y=y, epochs=3, callbacks=callbacks))


@program(
    "tabular",
    "Keras API schedules in the optimizer: ExponentialDecay",
    refused={"LearningRateFinder": "`apply` must be False"},
)
def schedule_in_the_optimizer():
    x, y = _table()
    schedule = keras.optimizers.schedules.ExponentialDecay(0.01, 100, 0.96)
    model = keras.Sequential([layers.Dense(8, "relu"), layers.Dense(1)])
    model.compile(keras.optimizers.Adam(schedule), "mse")
    return Script(model, dict(x=x, y=y, epochs=2))


@program("tabular", "Keras example keras_recipes/mixture_of_experts, custom layers")
def gated_experts():
    class Experts(layers.Layer):
        def __init__(self, count, units, **kwargs):
            super().__init__(**kwargs)
            self.count, self.units = count, units
            self.parts = [layers.Dense(units, activation="relu") for _ in range(count)]
            self.gate = layers.Dense(count, activation="softmax")

        def build(self, input_shape):
            for part in [*self.parts, self.gate]:
                part.build(input_shape)

        def call(self, x):
            gates = self.gate(x)
            parts = [p(x) * gates[:, i, None] for i, p in enumerate(self.parts)]
            self.add_loss(0.01 * keras.ops.mean(keras.ops.square(gates)))
            return sum(parts)

        def get_config(self):
            return super().get_config() | {"count": self.count, "units": self.units}

    x, y = _table()
    model = keras.Sequential([Experts(3, 8), layers.Dense(2, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    return Script(model, dict(x=x, y=y, epochs=2), custom_objects={"Experts": Experts})


@program("tabular", "Keras recipe: constraints and spectral normalization")
def constrained_layers():
    x, y = _table()
    model = keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(8, "relu", kernel_constraint=keras.constraints.MaxNorm(3)),
            layers.Dropout(0.2),
            layers.SpectralNormalization(layers.Dense(8, "relu")),
            layers.Dense(1, kernel_constraint="unit_norm"),
        ]
    )
    model.compile("sgd", "mse")
    return Script(model, dict(x=x, y=y, epochs=2))
