"""The values that an optimizer's hyperparameters had, as they were recorded."""

from collections.abc import Sequence
from typing import Any

import numpy as np


class ScheduledValues:
    """Reads the record of one optimizer of a model.

    Args:
        prefix: Str. Prefix of the names, which distinguishes optimizers.
        names: List of str, the hyperparameters.
        state: Dict with the `"recorder"` to read.
        root: The outermost optimizer.
    """

    def __init__(
        self, prefix: str, names: list[str], state: dict[str, Any], root: Any
    ) -> None:
        self.names = [f"{prefix}{name}" for name in names]
        self.state: dict[str, Any] | None = state
        self.root = root
        self._steps: list[np.ndarray] = []
        self._rows: list[np.ndarray] = []

    def read(self) -> None:
        """Reads new values from the device."""
        if self.state is None:
            return
        steps, rows = self.state["recorder"].read()
        if len(steps):
            self._steps.append(steps)
            self._rows.append(rows)

    def end(self) -> None:
        """Reads the rest of the record before it is removed."""
        self.read()
        self.state = self.root = None

    @property
    def steps(self) -> np.ndarray:
        """Int64 array `(n,)`."""
        return np.concatenate([np.zeros(0, "int64"), *self._steps])

    @property
    def history(self) -> dict[str, np.ndarray]:
        """Dict from name to a float32 array `(n,)`."""
        rows = np.concatenate([np.zeros((0, len(self.names)), "f4"), *self._rows])
        return {name: rows[:, i] for i, name in enumerate(self.names)}

    @property
    def last(self) -> dict[str, float]:
        """Dict from name to the latest value; empty before the first update."""
        if not self._rows:
            return {}
        return dict(zip(self.names, map(float, self._rows[-1][-1]), strict=True))

    def __getstate__(self) -> dict[str, Any]:
        """Leaves out what belongs to a running `fit`."""
        return self.__dict__ | {"state": None, "root": None}


def draw_values(ax: Any, recorded: Sequence[ScheduledValues]) -> None:
    """Draws values over the updates, one curve per hyperparameter.

    Args:
        ax: Matplotlib axes for the first curve; each other curve gets its own scale.
        recorded: `ScheduledValues` of each optimizer.
    """
    ax.set_xlabel("step (optimizer update)")
    curves = [
        (name, each.steps, values)
        for each in recorded
        for name, values in each.history.items()
    ]
    for i, (name, steps, values) in enumerate(curves):
        axes = ax if i == 0 else ax.twinx()
        if i > 1:
            axes.spines["right"].set_position(("axes", 1 + 0.15 * (i - 1)))
        axes.plot(steps, values, color=f"C{i}")
        axes.set_ylabel(name.replace("_", " "), color=f"C{i}")
