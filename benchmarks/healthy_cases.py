"""The healthy models that `alarms.py` looks at."""

from typing import Any

import keras
from healthy_models import (
    LOSS,
    Case,
    Subclassed,
    amounts,
    conv,
    conv_autoencoder,
    dilated,
    images,
    mlp,
    mobile_net,
    normalized,
    pictures,
    residual_net,
    row,
    rows_of_two,
    series,
    table,
    targets_of_two,
    tied_towers,
    transformer,
    two_inputs,
    two_outputs,
    u_net,
    vision_transformer,
    wide_and_deep,
    words,
    zero_branches,
)
from keras import layers

HE = {"kernel_initializer": "he_normal"}
SELU: dict[str, Any] = {"activation": "selu", "kernel_initializer": "lecun_normal"}
TOKENS, STEPS, IMAGE = (20,), (20, 4), (16, 16, 3)


def momentum() -> Any:
    """Gradient descent with momentum."""
    return keras.optimizers.SGD(0.05, momentum=0.9)


def embedding() -> Any:
    """A table of 100 ids."""
    return layers.Embedding(100, 16)


def recurrent(name: str, units: int = 24, **settings: Any) -> Any:
    """A function that makes a recurrent layer."""
    return lambda: getattr(layers, name)(units, **settings)


def both_ways(**settings: Any) -> Any:
    """A function that makes an LSTM in both directions."""
    return lambda: layers.Bidirectional(layers.LSTM(16, **settings))


GAP, GAP1 = layers.GlobalAveragePooling2D, layers.GlobalAveragePooling1D
POOL, FLAT = layers.MaxPooling2D, layers.Flatten
LEAKY = {"activation": layers.LeakyReLU(0.2), "strides": 2}
SEQUENCES = {"return_sequences": True}

HEALTHY = [
    Case("mlp", table, mlp(32, 32)),
    Case("mlp he sgd", table, mlp(64, 64, 64, 64, **HE), optimizer=momentum),
    Case("mlp tanh", table, mlp(32, 32, 32, activation="tanh"), optimizer=momentum),
    Case(
        "mlp tanh, long",
        table,
        mlp(32, 32, 32, activation="tanh"),
        optimizer=momentum,
        epochs=12,
    ),
    Case("one sigmoid layer", table, mlp(32, activation="sigmoid"), optimizer=momentum),
    Case("deep relu", table, mlp(*[64] * 10, **HE)),
    Case("deep selu", table, mlp(*[64] * 12, **SELU)),
    Case("batch norm", table, row((12,), *normalized(32) * 6)),
    Case(
        "dropout",
        table,
        row(
            (12,), *[lambda: layers.Dense(64, "relu"), lambda: layers.Dropout(0.5)] * 2
        ),
    ),
    Case("funnel", table, mlp(256, 64, 16)),
    Case("gelu", table, mlp(64, 64, 64, activation="gelu")),
    Case(
        "layer norm",
        table,
        row(
            (12,),
            *[lambda: layers.Dense(32, "silu"), layers.LayerNormalization] * 4,
        ),
    ),
    Case("logistic regression", table, mlp(), optimizer=momentum),
    Case("wide and deep", table, wide_and_deep),
    Case("tied towers", table, tied_towers),
    Case("subclassed", table, Subclassed),
    Case("residual branches of zero", table, zero_branches),
    Case(
        "output of zero",
        table,
        row((12,), *[lambda: layers.Dense(32, "relu")] * 2, kernel_initializer="zeros"),
    ),
    Case("frozen trunk", table, mlp(64, 64), frozen=True),
    Case("two inputs", rows_of_two, two_inputs),
    Case("two outputs", targets_of_two, two_outputs, loss=[LOSS, "mse"]),
    Case("small regression", amounts, mlp(8, 8, end=1), loss="mse"),
    Case("autoencoder", lambda: (table()[0],) * 2, mlp(32, 6, 32, end=12), loss="mse"),
    Case("cnn", images, row(IMAGE, conv(16), POOL, conv(32), POOL, FLAT)),
    Case(
        "cnn with a dense layer",
        images,
        row(IMAGE, conv(8), POOL, FLAT, lambda: layers.Dense(64, "relu")),
        optimizer=momentum,
    ),
    Case(
        "cnn averages",
        images,
        row(IMAGE, conv(16), lambda: layers.AveragePooling2D(2), conv(32), GAP),
    ),
    Case(
        "vgg",
        images,
        row(
            IMAGE,
            *[conv(8), conv(8), POOL, conv(16), conv(16), POOL, conv(32), conv(32)],
            GAP,
        ),
    ),
    Case(
        "elu cnn",
        images,
        row(IMAGE, *[conv(16, activation="elu", strides=2)] * 3, FLAT),
    ),
    Case("residual net", images, residual_net),
    Case("residual net, gamma 0", images, lambda: residual_net("zeros")),
    Case("depthwise", images, mobile_net),
    Case(
        "separable",
        images,
        row(
            IMAGE,
            *[lambda: layers.SeparableConv2D(24, 3, activation="relu"), POOL] * 2,
            GAP,
        ),
    ),
    Case("vision transformer", images, vision_transformer),
    Case(
        "discriminator",
        lambda: (images()[0], images()[1] % 2),
        row(
            IMAGE,
            conv(16, **LEAKY),
            conv(32, **LEAKY),
            FLAT,
            units=1,
            activation="sigmoid",
        ),
        loss="binary_crossentropy",
        optimizer=lambda: keras.optimizers.Adam(2e-4, beta_1=0.5),
    ),
    Case("u-net", pictures, u_net, loss="mse"),
    Case("convolutional autoencoder", pictures, conv_autoencoder, loss="mse"),
    Case("gru", series, row(STEPS, recurrent("GRU"))),
    Case("lstm", series, row(STEPS, recurrent("LSTM"))),
    Case(
        "stacked lstm",
        series,
        row(
            STEPS,
            recurrent("LSTM", **SEQUENCES),
            recurrent("LSTM", **SEQUENCES),
            recurrent("LSTM"),
        ),
    ),
    Case("simple rnn", series, row(STEPS, recurrent("SimpleRNN"))),
    Case(
        "lstm, long",
        words,
        row(TOKENS, embedding, recurrent("LSTM")),
        epochs=15,
        optimizer=lambda: keras.optimizers.Adam(1e-2),
    ),
    Case("bilstm", words, row(TOKENS, embedding, both_ways())),
    Case(
        "two bilstms",
        words,
        row(
            TOKENS,
            embedding,
            both_ways(**SEQUENCES),
            both_ways(),
            lambda: layers.Dense(32, "relu"),
        ),
    ),
    Case(
        "gru of words",
        words,
        row(TOKENS, embedding, recurrent("GRU"), lambda: layers.Dense(16, "relu")),
    ),
    Case("mean of words", words, row(TOKENS, embedding, GAP1)),
    Case(
        "mean of words, hidden",
        words,
        row(TOKENS, embedding, GAP1, lambda: layers.Dense(16, "relu")),
    ),
    Case(
        "text cnn",
        words,
        row(
            TOKENS,
            embedding,
            lambda: layers.Conv1D(32, 3, activation="relu"),
            layers.GlobalMaxPooling1D,
            lambda: layers.Dense(32, "relu"),
        ),
    ),
    Case("dilated", series, dilated),
    Case("pre-norm transformer", words, transformer),
    Case("post-norm transformer", words, lambda: transformer(2, pre_norm=False)),
]
