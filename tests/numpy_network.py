"""A network of two layers with its backward pass by hand: a reference in numpy."""

import keras
import numpy as np


def data(count: int = 24, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Inputs `(count, 5)` and targets `(count, 2)`."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(count, 5)).astype("float32")
    y = random.normal(size=(count, 2)).astype("float32")
    return x, y


def network(optimizer: keras.Optimizer, **compile_options: object) -> keras.Model:
    """The Keras model that the functions here are the reference of."""
    model = keras.Sequential(
        [
            keras.Input((5,)),
            keras.layers.Dense(12, "relu", name="first"),
            keras.layers.Dense(2, name="last"),
        ]
    )
    model.compile(optimizer, "mean_squared_error", **compile_options)
    return model


def weights_of(model: keras.Model) -> list[np.ndarray]:
    """Copies in double precision."""
    return [
        np.array(keras.ops.convert_to_numpy(v.value), "float64")
        for v in model.trainable_variables
    ]


def gradients(
    weights: list[np.ndarray], x: np.ndarray, y: np.ndarray
) -> list[np.ndarray]:
    """Gradients of the mean squared error."""
    kernel, bias, last_kernel, last_bias = weights
    inner = x.astype("float64") @ kernel + bias
    hidden = np.maximum(inner, 0)
    error = 2 * (hidden @ last_kernel + last_bias - y) / y.size
    back = (error @ last_kernel.T) * (inner > 0)
    return [x.T @ back, back.sum(axis=0), hidden.T @ error, error.sum(axis=0)]


def descent(
    weights: list[np.ndarray],
    batches: list[list[tuple[np.ndarray, np.ndarray]]],
    rate: float,
) -> tuple[list[list[np.ndarray]], list[list[np.ndarray]]]:
    """Gradients of each update of SGD, and the weights before it.

    Args:
        weights: Where to begin.
        batches: For each update the batches over which its gradients are averaged.
        rate: Learning rate.
    """
    seen, before = [], []
    for group in batches:
        each = [gradients(weights, x, y) for x, y in group]
        mean = [np.mean(parts, axis=0) for parts in zip(*each, strict=True)]
        seen.append(mean)
        before.append(weights)
        weights = [w - rate * g for w, g in zip(weights, mean, strict=True)]
    return seen, before


def table(function: object, rows: list[list[np.ndarray]]) -> np.ndarray:
    """`function` of every array, `(updates, variables)`."""
    return np.array([[function(array) for array in row] for row in rows])
