"""The scale of a kernel that is used several times in a model."""

import math


class SharedSteps:
    """Steps towards the scale of a kernel with several uses.

    Its pooled standard deviation grows like the scale to a power between one (uses side
    by side) and their number (uses one after another), which two steps show.
    """

    def __init__(self, target: float) -> None:
        self._target = target
        self._last: dict[int, tuple[float, float]] = {}

    def __call__(self, kernel: int, std: float, uses: int) -> float:
        error = math.log(std / self._target)
        power = float(uses)
        if kernel in self._last:
            step, previous = self._last[kernel]
            if abs(step) > 1e-6:
                power = min(max((error - previous) / step, 1.0), power)
        self._last[kernel] = (-error / power, error)
        return math.exp(-error / power)
