"""Healthy programs of other kinds, for the part that is looked at once."""

import keras
import numpy as np
from fault_programs import TANH, Program


def others() -> list[Program]:
    """Architectures, data and settings that the tuning part does not have."""
    gelu, elu = {"activation": "gelu"}, {"activation": "elu"}
    momentum = {"momentum": 0.9}
    logits = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return [
        Program(
            "digits residual", "digits", "residual", widths=(32,) * 4, settings=gelu
        ),
        Program(
            "digits separable",
            "digits",
            "separable",
            widths=(24, 48),
            rate=1e-2,
            epochs=25,
        ),
        Program("digits branches", "digits", "branches", settings=elu),
        Program(
            "digits logits", "digits", "dense", last={"activation": None}, loss=logits
        ),
        Program(
            "digits nadam swish",
            "digits",
            "dense",
            settings={"activation": "swish"},
            optimizer="Nadam",
        ),
        Program(
            "digits one-hot",
            "digits",
            "dense",
            change=one_hot,
            loss="categorical_crossentropy",
        ),
        Program(
            "digits bidirectional", "digits", "bidirectional", widths=(24,), rate=3e-3
        ),
        Program("digits narrow batches", "digits", "dense", batch_size=8, rate=5e-4),
        Program(
            "digits big batches",
            "digits",
            "dense",
            batch_size=256,
            rate=5e-3,
            epochs=15,
        ),
        Program(
            "mnist batch norm",
            "mnist",
            "dense",
            widths=(128, 128),
            extra={"batch_norm": True},
            epochs=5,
        ),
        Program("fashion residual", "fashion", "residual", widths=(64,) * 3),
        Program(
            "fashion dropout", "fashion", "dense", widths=(256,), extra={"dropout": 0.3}
        ),
        Program(
            "iris mlp",
            "iris",
            "dense",
            widths=(16,),
            epochs=60,
            batch_size=8,
            rate=3e-3,
        ),
        Program(
            "moons tanh",
            "moons",
            "dense",
            widths=(16, 16),
            settings=TANH,
            epochs=30,
            rate=5e-3,
        ),
        Program(
            "moons momentum",
            "moons",
            "branches",
            widths=(32, 32),
            epochs=30,
            optimizer="SGD",
            rate=0.05,
            options=momentum,
        ),
        Program(
            "cancer two units",
            "cancer",
            "dense",
            widths=(32,),
            epochs=20,
            last={"units": 2, "activation": "softmax"},
            loss="sparse_categorical_crossentropy",
        ),
        Program("friedman elu", "friedman", "dense", settings=elu, epochs=30),
        Program(
            "friedman huber",
            "friedman",
            "residual",
            widths=(32,) * 2,
            loss="huber",
            epochs=30,
        ),
        Program(
            "friedman wide",
            "friedman",
            "dense",
            widths=(256,),
            epochs=30,
            optimizer="AdamW",
        ),
        Program(
            "series lstm",
            "series",
            "recurrent",
            widths=(32,),
            rate=5e-3,
            extra={"cell": "LSTM"},
            epochs=10,
        ),
        Program(
            "series gru", "series", "recurrent", widths=(24,), rate=5e-3, epochs=10
        ),
        Program("words bag", "words", "bag", widths=(64,), rate=5e-3, epochs=25),
        Program(
            "words bidirectional",
            "words",
            "bidirectional",
            widths=(24,),
            rate=5e-3,
            epochs=15,
        ),
        Program(
            "autoencoder tanh",
            "pictures",
            "dense",
            widths=(48, 24, 48),
            settings=TANH,
            epochs=20,
            rate=3e-3,
            loss="mae",
        ),
    ]


def one_hot(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels as rows of ten numbers."""
    return x, np.eye(10, dtype="float32")[y]
