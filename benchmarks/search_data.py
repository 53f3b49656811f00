"""Data sets of the search benchmark, split anew by each seed."""

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, load_wine

LOADERS: dict[str, Callable] = {
    "digits": load_digits,
    "fashion": lambda **_: None,
    "breast cancer": load_breast_cancer,
    "wine": load_wine,
}
# Rows to train and to validate on, rows of a batch, epochs of a whole fit.
SIZES = {
    "digits": (800, 400, 32, 10),
    "fashion": (1000, 500, 32, 10),
    "breast cancer": (240, 160, 16, 20),
    "wine": (72, 53, 8, 20),
}


def split(name: str, path: str | None, seed: int) -> dict[str, np.ndarray]:
    """Rows to train, validate and test on, standardized by the first."""
    num_train, num_val, *_ = SIZES[name]
    generator = np.random.default_rng(seed)
    if name == "fashion":
        with np.load(path) as file:
            rows = generator.permutation(len(file["x_train"]))[: num_train + num_val]
            held = generator.permutation(len(file["x_test"]))[:2000]
            x = np.concatenate([file["x_train"][rows], file["x_test"][held]])
            y = np.concatenate([file["y_train"][rows], file["y_test"][held]])
    else:
        x, y = LOADERS[name](return_X_y=True)
        order = generator.permutation(len(x))
        x, y = x[order], y[order]
    x = x.reshape(len(x), -1).astype("float64")
    train = x[:num_train]
    images = name in ("digits", "fashion")
    scale = train.std() if images else train.std(axis=0) + 1e-9
    x = ((x - train.mean(axis=0)) / scale).astype("float32")
    ends = [num_train, num_train + num_val]
    parts = zip(
        ("train", "val", "test"), np.split(x, ends), np.split(y, ends), strict=True
    )
    data = {}
    for part, inputs, targets in parts:
        data |= {f"x_{part}": inputs, f"y_{part}": targets.astype("int64")}
    return data


def search_on(
    tuner: Any, data: dict[str, np.ndarray], size: int, epochs: int, callback: Any
) -> None:
    """Lets a tuner search on the rows to train and to validate on.

    Args:
        tuner: `keras_tuner.Tuner`.
        data: Dict of arrays, from `split`.
        size: Int, rows of a batch.
        epochs: Int, of a whole fit.
        callback: `keras.callbacks.Callback` of every trial.
    """
    tuner.search(
        data["x_train"],
        data["y_train"],
        batch_size=size,
        epochs=epochs,
        validation_data=(data["x_val"], data["y_val"]),
        validation_batch_size=1024,
        callbacks=[callback],
        verbose=0,
    )
