"""`train_step`s and loops of the author's own, on each backend."""

import keras
import numpy as np
from keras import layers, ops

from .program import Script, program


def _rows(count=32):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(count, 5)).astype("float32")
    return x, (x.sum(1) > 0).astype("int32")


@program(
    "own steps",
    "Keras guide custom_train_step_in_tensorflow: x, y = data",
    ("tensorflow",),
)
def train_step_that_unpacks_two():
    import tensorflow as tf

    class CustomModel(keras.Model):
        def train_step(self, data):
            x, y = data
            with tf.GradientTape() as tape:
                y_pred = self(x, training=True)
                loss = self.compute_loss(y=y, y_pred=y_pred)
            gradients = tape.gradient(loss, self.trainable_variables)
            self.optimizer.apply(gradients, self.trainable_variables)
            for metric in self.metrics:
                if metric.name == "loss":
                    metric.update_state(loss)
                else:
                    metric.update_state(y, y_pred)
            return {m.name: m.result() for m in self.metrics}

    x, y = _rows()
    inputs = keras.Input(shape=(5,))
    model = CustomModel(inputs, layers.Dense(1)(layers.Dropout(0.2)(inputs)))
    model.compile(optimizer="adam", loss="mse", metrics=["mae"])
    return Script(
        model, dict(x=x, y=y, epochs=2), custom_objects={"CustomModel": CustomModel}
    )


@program("own steps", "Keras guide custom_train_step_in_torch: x, y = data", ("torch",))
def train_step_that_unpacks_two_in_torch():
    import torch

    class CustomModel(keras.Model):
        def train_step(self, data):
            x, y = data
            self.zero_grad()
            y_pred = self(x, training=True)
            loss = self.compute_loss(y=y, y_pred=y_pred)
            loss.backward()
            weights = [v for v in self.trainable_weights]
            with torch.no_grad():
                self.optimizer.apply([v.value.grad for v in weights], weights)
            for metric in self.metrics:
                if metric.name == "loss":
                    metric.update_state(loss)
                else:
                    metric.update_state(y, y_pred)
            return {m.name: m.result() for m in self.metrics}

    x, y = _rows()
    inputs = keras.Input(shape=(5,))
    model = CustomModel(inputs, layers.Dense(1)(inputs))
    model.compile(optimizer="adam", loss="mse", metrics=["mae"])
    return Script(
        model, dict(x=x, y=y, epochs=2), custom_objects={"CustomModel": CustomModel}
    )


@program("own steps", "Keras guide custom_train_step_in_jax: stateless", ("jax",))
def stateless_train_step():
    import jax

    class CustomModel(keras.Model):
        def compute_loss_and_updates(self, trainable, non_trainable, x, y):
            y_pred, non_trainable = self.stateless_call(
                trainable, non_trainable, x, training=True
            )
            return self.compute_loss(x, y, y_pred), (y_pred, non_trainable)

        def train_step(self, state, data):
            trainable, non_trainable, optimizer, metrics = state
            x, y = data
            grad = jax.value_and_grad(self.compute_loss_and_updates, has_aux=True)
            (loss, (y_pred, non_trainable)), grads = grad(
                trainable, non_trainable, x, y
            )
            trainable, optimizer = self.optimizer.stateless_apply(
                optimizer, grads, trainable
            )
            new, logs = [], {}
            for metric in self.metrics:
                mine = metrics[len(new) : len(new) + len(metric.variables)]
                if metric.name == "loss":
                    mine = metric.stateless_update_state(mine, loss)
                else:
                    mine = metric.stateless_update_state(mine, y, y_pred)
                logs[metric.name] = metric.stateless_result(mine)
                new += mine
            return logs, (trainable, non_trainable, optimizer, new)

    x, y = _rows()
    inputs = keras.Input(shape=(5,))
    model = CustomModel(inputs, layers.Dense(1)(inputs))
    model.compile(optimizer="adam", loss="mse", metrics=["mae"])
    return Script(
        model, dict(x=x, y=y, epochs=2), custom_objects={"CustomModel": CustomModel}
    )


@program(
    "own steps",
    "Keras recipe trainer_pattern: a trainer around a network",
    ("tensorflow",),
)
def trainer_around_a_network():
    import tensorflow as tf

    class MyTrainer(keras.Model):
        def __init__(self, model):
            super().__init__()
            self.model = model
            self.loss_tracker = keras.metrics.Mean(name="loss")
            self.accuracy = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
            self.loss_fn = keras.losses.SparseCategoricalCrossentropy()

        def train_step(self, data):
            x, y = data
            with tf.GradientTape() as tape:
                predictions = self.model(x, training=True)
                loss = self.loss_fn(y, predictions)
            weights = self.model.trainable_variables
            self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights))
            self.loss_tracker.update_state(loss)
            self.accuracy.update_state(y, predictions)
            return {m.name: m.result() for m in self.metrics}

        @property
        def metrics(self):
            return [self.loss_tracker, self.accuracy]

    x, y = _rows()
    network = keras.Sequential(
        [layers.Dense(8, "relu"), layers.Dropout(0.3), layers.Dense(2, "softmax")]
    )
    model = MyTrainer(network)
    model.compile(optimizer="sgd")
    return Script(model, dict(x=x, y=y, epochs=2, batch_size=8), network=network)


@program("own steps", "public issues: tf.function on train_step", ("tensorflow",))
def decorated_train_step():
    import tensorflow as tf

    class Decorated(keras.Model):
        def __init__(self):
            super().__init__()
            self.hidden = layers.Dense(8, activation="relu")
            self.out = layers.Dense(1)

        def call(self, x):
            return self.out(self.hidden(x))

        @tf.function
        def train_step(self, data):
            x, y = data
            y = tf.cast(y[:, None], tf.float32)
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(tf.square(self(x, training=True) - y))
            grads = tape.gradient(loss, self.trainable_variables)
            self.optimizer.apply_gradients(zip(grads, self.trainable_variables))
            return {"loss": loss}

    x, y = _rows()
    model = Decorated()
    model(x[:1])
    model.compile(optimizer=keras.optimizers.SGD(0.05))
    model.optimizer.build(model.trainable_variables)
    # Its author's `__init__` takes nothing, so Keras cannot make it again.
    return Script(model, dict(x=x, y=y, epochs=2), loads=False)


@program(
    "own loops",
    "Keras guide writing_a_custom_training_loop_in_tensorflow",
    ("tensorflow",),
)
def loop_in_tensorflow():
    import tensorflow as tf

    x, y = _rows()
    inputs = keras.Input(shape=(5,))
    h = layers.Dense(8, activation="relu")(inputs)
    model = keras.Model(inputs, layers.Dense(2)(h))
    optimizer = keras.optimizers.Adam(learning_rate=1e-3)
    loss_fn = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss_fn)

    def loop():
        @tf.function
        def train_step(xs, ys):
            with tf.GradientTape() as tape:
                loss = loss_fn(ys, model(xs, training=True))
            grads = tape.gradient(loss, model.trainable_weights)
            optimizer.apply(grads, model.trainable_weights)
            return loss

        for _ in range(2):
            for start in range(0, 32, 8):
                train_step(x[start : start + 8], y[start : start + 8])

    return Script(model, loop=loop, fit=dict(x=x, y=y))


@program("own loops", "Keras guide writing_a_custom_training_loop_in_torch", ("torch",))
def loop_in_torch():
    import torch

    x, y = _rows()
    model = keras.Sequential(
        [keras.Input(shape=(5,)), layers.Dense(8, activation="relu"), layers.Dense(2)]
    )
    optimizer = keras.optimizers.Adam(learning_rate=1e-3)
    loss_fn = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss_fn)

    def loop():
        for start in [*range(0, 32, 8)] * 2:
            logits = model(torch.tensor(x[start : start + 8]), training=True)
            loss = loss_fn(torch.tensor(y[start : start + 8]), logits)
            model.zero_grad()
            loss.backward()
            weights = list(model.trainable_weights)
            with torch.no_grad():
                optimizer.apply([v.value.grad for v in weights], weights)

    return Script(model, loop=loop, fit=dict(x=x, y=y))


@program("own loops", "Keras guide writing_a_custom_training_loop_in_jax", ("jax",))
def loop_in_jax():
    import jax

    x, y = _rows()
    inputs = keras.Input(shape=(5,))
    model = keras.Model(inputs, layers.Dense(2)(layers.Dense(8, "relu")(inputs)))
    optimizer = keras.optimizers.Adam(learning_rate=1e-3)
    loss_fn = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss_fn)
    optimizer.build(model.trainable_variables)

    def compute_loss(trainable, non_trainable, xs, ys):
        logits, non_trainable = model.stateless_call(trainable, non_trainable, xs)
        return loss_fn(ys, logits), non_trainable

    def loop():
        grad = jax.value_and_grad(compute_loss, has_aux=True)

        @jax.jit
        def train_step(state, xs, ys):
            trainable, non_trainable, slots = state
            (loss, non_trainable), grads = grad(trainable, non_trainable, xs, ys)
            trainable, slots = optimizer.stateless_apply(slots, grads, trainable)
            return loss, (trainable, non_trainable, slots)

        state = (
            [v.value for v in model.trainable_variables],
            [v.value for v in model.non_trainable_variables],
            [v.value for v in optimizer.variables],
        )
        for start in [*range(0, 32, 8)] * 2:
            _, state = train_step(state, x[start : start + 8], y[start : start + 8])
        trainable, non_trainable, slots = state
        for variable, value in zip(model.trainable_variables, trainable, strict=True):
            variable.assign(value)
        for variable, value in zip(optimizer.variables, slots, strict=True):
            variable.assign(value)

    return Script(model, loop=loop, fit=dict(x=x, y=y))


@program("own loops", "public notebooks: train_on_batch in a loop, model not built")
def loop_of_train_on_batch():
    x, y = _rows()
    model = keras.Sequential([layers.Dense(8, "relu"), layers.Dense(2, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])

    def loop():
        for start in [*range(0, 32, 8)] * 2:
            model.train_on_batch(x[start : start + 8], y[start : start + 8])

    return Script(model, loop=loop, fit=dict(x=x, y=y))


@program("own loops", "public notebooks: fit once per epoch, in a loop")
def fit_in_a_loop():
    x, y = _rows()
    model = keras.Sequential([layers.Dense(8, "relu"), layers.Dense(1)])
    model.compile("adam", "mse")
    return Script(model, dict(x=x, y=y, epochs=1, batch_size=8))


@program(
    "own steps",
    "Keras example rl/actor_critic_cartpole: two heads",
    ("tensorflow",),
    refused={"find_learning_rate": "must be compiled with a loss"},
)
def actor_and_critic():
    import tensorflow as tf

    inputs = layers.Input(shape=(5,))
    common = layers.Dense(16, activation="relu")(inputs)
    action = layers.Dense(2, activation="softmax")(common)
    critic = layers.Dense(1)(common)
    model = keras.Model(inputs=inputs, outputs=[action, critic])
    optimizer = keras.optimizers.Adam(learning_rate=0.01)
    model.compile(optimizer)
    x, y = _rows()
    model.optimizer.build(model.trainable_variables)

    def loop():
        for start in range(0, 32, 8):
            with tf.GradientTape() as tape:
                odds, value = model(x[start : start + 8])
                chosen = tf.gather(odds, y[start : start + 8], batch_dims=1)
                gain = 1.0 - value[:, 0]
                loss = tf.reduce_sum(-tf.math.log(chosen) * tf.stop_gradient(gain))
                loss += tf.reduce_sum(gain**2)
            grads = tape.gradient(loss, model.trainable_variables)
            optimizer.apply_gradients(zip(grads, model.trainable_variables))

    return Script(model, loop=loop, fit=dict(x=x))


@program("own steps", "Keras guide: test_step and compute_metrics overridden")
def compute_loss_and_metrics_overridden():
    class Robust(keras.Model):
        def __init__(self):
            super().__init__()
            self.body = keras.Sequential([layers.Dense(8, "relu"), layers.Dense(1)])

        def call(self, x, training=None):
            return self.body(x, training=training)

        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, **kw):
            error = ops.abs(ops.cast(y, "float32") - y_pred[:, 0])
            return ops.mean(ops.minimum(error, 1.0))

        def compute_metrics(self, x, y, y_pred, sample_weight=None):
            return super().compute_metrics(x, y, y_pred, sample_weight)

    x, y = _rows()
    model = Robust()
    model.compile("adam", metrics=["mae"])
    return Script(model, dict(x=x, y=y, epochs=2), loads=False)
