"""Mean and second moment of an activation whose inputs are normal, by quadrature."""

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import message

Activation = str | Callable[..., Any] | None

LIMIT = 12.0
"""Beyond this limit a standard normal density is under 1e-31."""
PANELS, NODES = 192, 16
"""Panels are 1/8 wide, so that the kinks of common activations fall on their edges."""


def gain_of(owner: str, activation: Activation, centered: bool) -> float:
    """`1 / sqrt(E[f(z) ** 2])` or, centered, `1 / sqrt(Var[f(z)])`, for z ~ N(0, 1).

    Args:
        owner: Str. Who is named in errors.
        activation: Str, function of a tensor, element by element, or None.
        centered: Bool. Whether to divide by the standard deviation.

    Raises:
        ValueError: If `activation` is unknown, zero or constant, not finite, or does
            not work element by element.
    """
    mean, square = moments(activation, owner=owner)
    spread = square - mean**2 if centered else square
    if spread <= 1e-12:
        rule = "a function that is not constant" if centered else "one that is not zero"
        raise ValueError(message(owner, "activation", rule, activation))
    return float(spread**-0.5)


def moments(
    activation: Activation, variance: float = 1.0, owner: str = "gain"
) -> tuple[float, float]:
    """Returns mean and second moment of `activation` for a normal with mean 0.

    Args:
        activation: As for `gain_of`.
        variance: Float > 0. Variance of the normal.
        owner: Str. Who is named in errors.

    Returns:
        Tuple of two floats.
    """
    function = _resolved(owner, activation)
    points, weights = _standard_normal()
    scaled = (points * np.sqrt(variance)).astype("float32")
    values = _elementwise(owner, function, scaled, activation)
    return float(weights @ values), float(weights @ values**2)


def _resolved(owner: str, activation: Activation) -> Callable[..., Any]:
    """Returns the function that Keras knows by that name, or the callable itself."""
    if activation is not None and not isinstance(activation, str):
        if not callable(activation):
            rule = "a name, a function or None"
            raise ValueError(message(owner, "activation", rule, activation))
        return activation
    try:
        return keras.activations.get(activation)
    except ValueError as error:
        remedy = "Names are those of `keras.activations`."
        rule = "one that Keras knows"
        text = message(owner, "activation", rule, activation, remedy)
        raise ValueError(text) from error


@functools.cache
def _standard_normal() -> tuple[np.ndarray, np.ndarray]:
    """Returns nodes and weights of a composite Gauss-Legendre rule for E f(z)."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    edges = np.linspace(-LIMIT, LIMIT, PANELS + 1)
    half = np.diff(edges)[:, None] / 2
    points = (edges[:-1, None] + half * (1 + nodes)).ravel()
    weights = (half * weights).ravel() * np.exp(-(points**2) / 2) / np.sqrt(2 * np.pi)
    return points, weights / weights.sum()


def _elementwise(
    owner: str,
    function: Callable[..., Any],
    points: np.ndarray,
    activation: Activation,
) -> np.ndarray:
    """Returns values of `function`, which must work element by element."""

    def values(z: np.ndarray) -> np.ndarray:
        result = function(keras.ops.convert_to_tensor(z))
        return np.asarray(keras.ops.convert_to_numpy(result), "float64")

    whole = values(points)
    if whole.shape == points.shape and not np.isfinite(whole).all():
        raise ValueError(message(owner, "activation", "finite", activation))
    same = whole.shape == points.shape and np.allclose(
        whole[::5], values(points[::5]), rtol=1e-4, atol=1e-6
    )
    if not same:
        rule = "a function that works element by element and without randomness"
        raise ValueError(message(owner, "activation", rule, activation))
    return whole
