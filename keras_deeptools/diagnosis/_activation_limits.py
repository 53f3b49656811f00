"""The values that an activation function approaches far from zero."""

from collections.abc import Callable

import keras
import numpy as np

POINTS = np.linspace(-30.0, 30.0, 121, dtype="float32")
NEAR_RANGE = 0.0125
"""For tanh and sigmoid: where the slope is a twentieth of what it is at zero."""

NEAR_LIMIT = 0.05
"""For elu and selu: the same."""

ROUNDING = 1e-6
"""Values of a constant differ by less, relatively: vectors and their rest by a bit."""


def saturation_bands(activation: Callable) -> list[tuple[float, float]]:
    """Intervals of outputs in which an activation function is saturated.

    Args:
        activation: Function of a tensor, element by element.

    Returns:
        List of up to two tuples of lower and upper end, one of them infinite; empty
        for functions without limits, and for those whose only limit is zero.
    """
    # Two equal columns: a softmax over them is constant, and has no limits here.
    grid = keras.ops.convert_to_tensor(np.stack([POINTS, POINTS], axis=1))
    found = np.asarray(keras.ops.convert_to_numpy(activation(grid)), "float64")
    if found.shape != (len(POINTS), 2) or not np.isfinite(found).all():
        return []
    values = found[:, 0]
    spread = values.max() - values.min()
    if spread <= ROUNDING * abs(values).max():
        return []
    flat = {
        side: abs(values[end] - values[near]) < 1e-4 * spread
        for side, end, near in (("low", 0, 10), ("high", -1, -11))
    }
    bands = []
    for side, limit in (("low", values[0]), ("high", values[-1])):
        bounded = all(flat.values())
        within = NEAR_RANGE * spread if bounded else NEAR_LIMIT * abs(limit)
        at_zero = abs(limit) < 1e-6 * spread
        if not flat[side] or within == 0 or (at_zero and _is_zero_there(values, side)):
            continue
        below = limit <= values.mean()
        bands.append((-np.inf, limit + within) if below else (limit - within, np.inf))
    return bands


def _is_zero_there(values: np.ndarray, side: str) -> bool:
    """Whether the function is off, not saturated: zero already near the origin."""
    middle = len(values) // 2
    near = values[middle - 8] if side == "low" else values[middle + 8]
    return near == 0.0
