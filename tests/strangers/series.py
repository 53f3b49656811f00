"""Sequences of numbers: forecasts, sensors, sound."""

import keras
import numpy as np
from keras import layers

from .program import Script, program


def _walks(count=36, length=12, width=3):
    rng = np.random.default_rng(0)
    return rng.normal(size=(count, length, width)).cumsum(1).astype("float32")


@program("series", "Keras example timeseries/timeseries_weather_forecasting")
def forecast_from_windows():
    series = np.sin(np.arange(90) / 5).astype("float32")[:, None]
    data = keras.utils.timeseries_dataset_from_array(
        series[:-1], series[10:], sequence_length=10, batch_size=16
    )
    inputs = keras.Input(shape=(10, 1))
    h = layers.LSTM(8)(inputs)
    model = keras.Model(inputs, layers.Dense(1)(h))
    model.compile(optimizer=keras.optimizers.Adam(1e-3), loss="mse")
    return Script(model, dict(x=data, epochs=2))


@program("series", "issue of this package: 70 rows, ragged last batch, Dense on steps")
def a_number_for_every_step():
    x = np.random.default_rng(0).normal(size=(70, 8, 4)).astype("float32")
    y = x.sum(-1, keepdims=True)
    model = keras.Sequential([layers.LSTM(6, return_sequences=True), layers.Dense(1)])
    model.compile("adam", "mse")
    return Script(model, dict(x=x, y=y, epochs=2))


# On torch, Keras 3.15 itself fails in the second step.
@program(
    "series",
    "keras-team/keras issue 20327: stateful LSTM, batches in order",
    ("tensorflow", "jax"),
)
def stateful_lstm():
    x = _walks(count=16, length=5)
    y = x[:, -1:, 0]
    model = keras.Sequential(
        [
            keras.Input(batch_shape=(4, 5, 3)),
            layers.LSTM(6, stateful=True, return_sequences=True),
            layers.LSTM(6, stateful=True),
            layers.Dense(1),
        ]
    )
    model.compile(loss="mse", optimizer="sgd")
    return Script(model, dict(x=x, y=y, batch_size=4, epochs=2, shuffle=False))


@program("series", "tensorflow issue 82316: Masking before a recurrent layer")
def masked_padding():
    x = _walks()
    x[::2, 8:] = -1.0
    model = keras.Sequential()
    model.add(layers.Input(shape=(12, 3)))
    model.add(layers.Masking(mask_value=-1.0))
    model.add(layers.GRU(8, return_sequences=True))
    model.add(layers.TimeDistributed(layers.Dense(2)))
    model.compile("adam", "huber")
    return Script(model, dict(x=x, y=x[..., :2], epochs=2, batch_size=16))


@program("series", "Keras example timeseries/timeseries_classification_from_scratch")
def convolutions_with_author_callbacks():
    x = _walks()
    y = np.random.default_rng(1).integers(0, 2, len(x))
    inputs = layers.Input((12, 3))
    h = inputs
    for _ in range(2):
        h = layers.Conv1D(8, 3, padding="same")(h)
        h = layers.BatchNormalization()(h)
        h = layers.ReLU()(h)
    h = layers.GlobalAveragePooling1D()(h)
    model = keras.Model(inputs, layers.Dense(2, activation="softmax")(h))
    model.compile("adam", "sparse_categorical_crossentropy")
    callbacks = [
        keras.callbacks.ModelCheckpoint("best.keras", save_best_only=True),
        keras.callbacks.EarlyStopping(patience=5, restore_best_weights=True),
        keras.callbacks.CSVLogger("log.csv"),
    ]
    return Script(
        model,
        dict(
            x=x, y=y, epochs=2, batch_size=9, callbacks=callbacks, validation_split=0.2
        ),
    )


@program("series", "Keras example timeseries/timeseries_anomaly_detection")
def reconstruction_autoencoder():
    x = _walks()
    model = keras.Sequential(
        [
            layers.Input(shape=(12, 3)),
            layers.Conv1D(8, 3, padding="same", strides=2, activation="relu"),
            layers.Dropout(rate=0.2),
            layers.Conv1D(4, 3, padding="same", strides=2, activation="relu"),
            layers.Conv1DTranspose(8, 3, padding="same", strides=2),
            layers.Dropout(rate=0.2),
            layers.Conv1DTranspose(3, 3, padding="same", strides=2),
        ]
    )
    model.compile(optimizer=keras.optimizers.Adam(1e-3), loss="mse")
    return Script(model, dict(x=x, y=x, epochs=2, batch_size=16))


@program(
    "series", "public notebooks: pinball loss of the author's own, three quantiles"
)
def quantiles_by_an_own_loss():
    def pinball(y_true, y_pred):
        rest = y_true - y_pred
        levels = keras.ops.convert_to_tensor([[0.1, 0.5, 0.9]], y_pred.dtype)
        return keras.ops.mean(keras.ops.maximum(levels * rest, (levels - 1) * rest))

    x = _walks()
    model = keras.models.Sequential(
        [layers.Flatten(), layers.Dense(16, "elu"), layers.Dense(3)]
    )
    model.compile(loss=pinball, optimizer=keras.optimizers.Adamax(0.01))
    return Script(
        model,
        dict(x=x, y=x[:, -1, :1], epochs=2),
        custom_objects={"pinball": pinball},
    )


@program("series", "Keras API PyDataset: a sequence of the author's own")
def windows_from_a_pydataset():
    class Windows(keras.utils.PyDataset):
        def __init__(self, series, **kwargs):
            super().__init__(**kwargs)
            self.series = series

        def __len__(self):
            return 5

        def __getitem__(self, index):
            start = np.arange(index * 6, index * 6 + 6 - (index == 4) * 2)
            windows = np.stack([self.series[s : s + 8] for s in start])
            return windows[:, :-1, None], windows[:, -1:]

    data = Windows(np.cos(np.arange(60) / 4).astype("float32"))
    model = keras.Sequential([layers.SimpleRNN(8), layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["mae"])
    return Script(model, dict(x=data, epochs=2), sample=data[0][0])


@program("series", "Keras guide working_with_rnns: a cell of the author's own")
def an_own_recurrent_cell():
    class MinimalCell(layers.Layer):
        def __init__(self, units, **kwargs):
            super().__init__(**kwargs)
            self.units = units
            self.state_size = units

        def build(self, input_shape):
            self.kernel = self.add_weight(shape=(input_shape[-1], self.units))
            self.recurrent = self.add_weight(shape=(self.units, self.units))

        def call(self, inputs, states):
            h = inputs @ self.kernel + states[0] @ self.recurrent
            h = keras.ops.tanh(h)
            return h, [h]

        def get_config(self):
            return super().get_config() | {"units": self.units}

    x = _walks()
    model = keras.Sequential([layers.RNN(MinimalCell(6)), layers.Dense(1)])
    model.compile("adam", "mae")
    return Script(
        model,
        dict(x=x, y=x[:, -1, :1], epochs=2),
        custom_objects={"MinimalCell": MinimalCell},
    )
