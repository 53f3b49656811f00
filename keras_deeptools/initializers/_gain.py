"""By how much weights must make up for an activation."""

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_deeptools.initializers._arguments import checked_bool, message

Activation = str | Callable[..., Any] | None

LIMIT = 12.0
"""Beyond it a standard normal density is under 1e-31."""
PANELS, NODES = 192, 16
"""Panels are 1/8 wide, so that the kinks of common activations fall on their edges."""


def gain(activation: Activation, *, centered: bool = False) -> float:
    """The factor for weights that keeps the variance of pre-activations.

    When pre-activations z are N(0, 1) and the weights of the next layer have variance
    `gain ** 2 / fan_in`, its pre-activations have second moment 1 again:
    `gain = 1 / sqrt(E[f(z) ** 2])`. For ReLU this is He's sqrt(2). The expectations are
    integrals, evaluated by quadrature for any element-wise function.

    Unlike the constants of `torch.nn.init.calculate_gain` it follows one rule for every
    activation; there, tanh has 5/3 (here 1.5925) and SELU 3/4 (here 1).

    Args:
        activation: Str, a name that Keras knows; a function of a tensor or a layer,
            that works element by element and without randomness; or None, linear.
        centered: Bool. Take the standard deviation of f(z) in place of its second
            moment: `1 / sqrt(Var[f(z)])`. That is what keeps variance where something
            takes the mean out, such as weight standardization or BatchNormalization.

    Returns:
        Float > 0.

    Raises:
        ValueError: If `activation` is unknown, constant zero (with `centered=True`,
            constant), not finite, or does not work element by element.

    Example:

    >>> from keras_deeptools.initializers import gain
    >>> round(gain("relu"), 4), round(gain("relu", centered=True), 4)
    (1.4142, 1.7129)
    >>> round(gain(lambda z: z**3), 4)
    0.2582

    Reference:
        He et al., 2015, section 2.2. https://arxiv.org/abs/1502.01852. Centered: Brock
        et al., 2021, section 4. https://arxiv.org/abs/2101.08692
    """
    checked_bool("gain", "centered", centered)
    mean, square = moments(activation)
    spread = square - mean**2 if centered else square
    if spread <= 1e-12:
        rule = "a function that is not constant" if centered else "one that is not zero"
        raise ValueError(message("gain", "activation", rule, activation))
    return float(spread**-0.5)


def moments(activation: Activation, variance: float = 1.0) -> tuple[float, float]:
    """Mean and second moment of `activation` of a normal with mean 0.

    Args:
        activation: As for `gain`.
        variance: Float > 0. Variance of the normal.

    Returns:
        Tuple of two floats.
    """
    function = resolved(activation)
    points, weights = _standard_normal()
    scaled = (points * np.sqrt(variance)).astype("float32")
    values = _elementwise(function, scaled, activation)
    return float(weights @ values), float(weights @ values**2)


def resolved(activation: Activation) -> Callable[..., Any]:
    """The function that Keras knows by that name, or the callable itself."""
    if activation is not None and not isinstance(activation, str):
        if not callable(activation):
            rule = "a name, a function or None"
            raise ValueError(message("gain", "activation", rule, activation))
        return activation
    try:
        return keras.activations.get(activation)
    except ValueError as error:
        remedy = "Names are those of `keras.activations`."
        rule = "one that Keras knows"
        text = message("gain", "activation", rule, activation, remedy)
        raise ValueError(text) from error


@functools.cache
def _standard_normal() -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of a composite Gauss-Legendre rule for E f(z)."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    edges = np.linspace(-LIMIT, LIMIT, PANELS + 1)
    half = np.diff(edges)[:, None] / 2
    points = (edges[:-1, None] + half * (1 + nodes)).ravel()
    weights = (half * weights).ravel() * np.exp(-(points**2) / 2) / np.sqrt(2 * np.pi)
    return points, weights / weights.sum()


def _elementwise(
    function: Callable[..., Any], points: np.ndarray, activation: Activation
) -> np.ndarray:
    """Values of `function` at `points`, which it must take one by one."""

    def values(z: np.ndarray) -> np.ndarray:
        result = function(keras.ops.convert_to_tensor(z))
        return np.asarray(keras.ops.convert_to_numpy(result), "float64")

    whole = values(points)
    if whole.shape == points.shape and not np.isfinite(whole).all():
        raise ValueError(message("gain", "activation", "finite", activation))
    same = whole.shape == points.shape and np.allclose(
        whole[::5], values(points[::5]), rtol=1e-4, atol=1e-6
    )
    if not same:
        rule = "a function that works element by element and without randomness"
        raise ValueError(message("gain", "activation", rule, activation))
    return whole
