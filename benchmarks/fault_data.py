"""Real and made data sets for the fault suite, split by a seed."""

import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
from sklearn import datasets

ROWS = 3000
"""Of MNIST and Fashion-MNIST so many are trained on."""


def _digits() -> tuple[np.ndarray, np.ndarray]:
    x, y = datasets.load_digits(return_X_y=True)
    return (x / 16).astype("float32"), y


def _images(name: str) -> tuple[np.ndarray, np.ndarray]:
    home = os.environ.get("KERAS_HOME", "~/.keras")
    cached = Path(home).expanduser() / "datasets" / f"{name}.npz"
    if cached.exists():
        with np.load(cached) as arrays:
            x, y = arrays["x_train"], arrays["y_train"]
    else:
        (x, y), _ = getattr(keras.datasets, name).load_data()
    return (x[:ROWS] / 255).astype("float32"), y[:ROWS]


def _standardized(load: Any) -> tuple[np.ndarray, np.ndarray]:
    x, y = load(return_X_y=True)
    return ((x - x.mean(0)) / x.std(0)).astype("float32"), y


def _diabetes() -> tuple[np.ndarray, np.ndarray]:
    x, y = _standardized(datasets.load_diabetes)
    return x, ((y - y.mean()) / y.std()).astype("float32")


def _circles() -> tuple[np.ndarray, np.ndarray]:
    x, y = datasets.make_circles(1500, noise=0.1, factor=0.5, random_state=0)
    return (x * 1.4).astype("float32"), y


def _waves() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(1500, 4))
    y = np.sin(2 * x[:, 0]) + x[:, 1] * x[:, 2] + 0.1 * generator.normal(size=1500)
    return x.astype("float32"), ((y - y.mean()) / y.std()).astype("float32")


def _words() -> tuple[np.ndarray, np.ndarray]:
    """Sequences of ids; the class is which of ten words occurs."""
    generator = np.random.default_rng(0)
    x = generator.integers(20, 200, size=(2000, 16))
    y = generator.integers(0, 10, size=2000)
    x[np.arange(2000), generator.integers(0, 16, 2000)] = y + 1
    return x.astype("int32"), y


def _moons() -> tuple[np.ndarray, np.ndarray]:
    x, y = datasets.make_moons(1500, noise=0.15, random_state=0)
    return (x * 1.5).astype("float32"), y


def _friedman() -> tuple[np.ndarray, np.ndarray]:
    return _standardized_targets(datasets.make_friedman1(1500, random_state=0))


def _standardized_targets(arrays: tuple[Any, Any]) -> tuple[np.ndarray, np.ndarray]:
    x, y = arrays
    x, y = (x - x.mean(0)) / x.std(0), (y - y.mean()) / y.std()
    return x.astype("float32"), y.astype("float32")


def _series() -> tuple[np.ndarray, np.ndarray]:
    """Pieces of noisy oscillations; the target is the value that follows."""
    generator = np.random.default_rng(0)
    start = generator.uniform(0, 2 * np.pi, size=(1500, 1))
    pace = generator.uniform(0.2, 0.6, size=(1500, 1))
    values = np.sin(start + pace * np.arange(21))
    x = values[:, :20] + 0.05 * generator.normal(size=(1500, 20))
    return x[..., None].astype("float32"), values[:, 20].astype("float32")


DATA: dict[str, tuple[Callable[[], Any], str]] = {
    "digits": (_digits, "classes"),
    "mnist": (lambda: _images("mnist"), "classes"),
    "fashion": (lambda: _images("fashion_mnist"), "classes"),
    "wine": (lambda: _standardized(datasets.load_wine), "classes"),
    "cancer": (lambda: _standardized(datasets.load_breast_cancer), "binary"),
    "circles": (_circles, "binary"),
    "diabetes": (_diabetes, "quantities"),
    "waves": (_waves, "quantities"),
    "words": (_words, "classes"),
    "iris": (lambda: _standardized(datasets.load_iris), "classes"),
    "moons": (_moons, "binary"),
    "friedman": (_friedman, "quantities"),
    "series": (_series, "quantities"),
    "pictures": (lambda: (_digits()[0], _digits()[0]), "images"),
}


@lru_cache(maxsize=32)
def split(name: str, seed: int) -> tuple[np.ndarray, ...]:
    """Training inputs and targets, validation inputs and targets (a fifth)."""
    x, y = DATA[name][0]()
    order = np.random.default_rng(seed).permutation(len(x))
    x, y = x[order], y[order]
    most = len(x) // 5
    return x[most:], y[most:], x[:most], y[:most]
