"""Values of a schedule on the host, computed for many steps at once."""

from collections.abc import Callable

import numpy as np

from keras_deeptools.schedules._base import Schedule

BLOCK = 256


class Lookahead:
    """Looks a schedule's values up where the host knows the step.

    Args:
        schedule: `Schedule`, or any function of an int, which is called at every step.
    """

    def __init__(self, schedule: Callable) -> None:
        self._schedule = schedule
        self._start = 0
        self._values: list[float] = []

    def __call__(self, position: int) -> float:
        """The value at `position`."""
        if not isinstance(self._schedule, Schedule):
            return self._schedule(position)
        index = position - self._start
        if not 0 <= index < len(self._values):
            self._start, index = position, 0
            steps = np.arange(position, position + BLOCK)
            self._values = self._schedule.values(steps).tolist()
        return self._values[index]
