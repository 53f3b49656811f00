"""The result of a race between learning rates."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from keras_deeptools._axes import new_axes
from keras_deeptools._text_table import data_frame, text_table
from keras_deeptools.callbacks._learning_rate_finder.race import Heat
from keras_deeptools.callbacks._learning_rate_finder.range_test import RangeTest

COLUMNS = ("rung", "learning_rate", "num_updates", "loss")


class LearningRateRace(RangeTest):
    """A range test, and the short trainings that followed it, with several peaks.

    Made by `find_learning_rate(..., method="race")`. `float(result)` is the peak that
    is suggested for the schedule.

    Attributes:
        schedule: Str, the schedule of the short trainings.
        heats: Tuple of the short trainings, in their order. Each has `rung`,
            `learning_rate` (its peak), `num_updates` and `loss`.
        num_updates: Int, the updates of the range test and of the short trainings.
        suggestion: Float, the peak that is suggested; NaN if no training was finite.
        interval: Two floats, the candidates next to the one that won.

    The other attributes are those of the range test, see `RangeTest`.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools import find_learning_rate
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    >>> model.compile(keras.optimizers.SGD(), loss="mse")
    >>> x = np.random.default_rng(0).normal(size=(256, 4))
    >>> found = find_learning_rate(
    ...     model, x, x[:, :1], method="race", schedule="one_cycle", verbose=0
    ... )
    >>> 1e-3 < float(found) < 1.0, found.num_updates <= 200
    (True, True)
    >>> found.heats[0].rung
    0
    """

    def __init__(
        self,
        range_test: RangeTest,
        heats: Sequence[Heat],
        suggestion: float,
        held_out: int,
        data: Iterator[Any] | None = None,
    ) -> None:
        vars(self).update(vars(range_test))
        self.range_test = range_test
        self.heats = tuple(heats)
        self.data = data
        self.suggestion = suggestion
        self.interval = self._neighbours()
        self.num_updates = len(range_test.losses)
        self.num_updates += sum(heat.num_updates for heat in heats)
        self._held_out = held_out
        self.notes = self._race_notes()

    def _neighbours(self) -> tuple[float, float]:
        rates = np.array(sorted({heat.learning_rate for heat in self.heats}))
        if math.isnan(self.suggestion):
            return (math.nan, math.nan)
        below, above = rates[rates < self.suggestion], rates[rates > self.suggestion]
        return (
            float(below[-1]) if len(below) else self.suggestion,
            float(above[0]) if len(above) else self.suggestion,
        )

    def _race_notes(self) -> tuple[str, ...]:
        notes = list(self.range_test.notes)
        if math.isnan(self.suggestion):
            notes.insert(0, "No short training ended with a finite loss.")
        if not self._held_out:
            notes.append(
                "The losses are those of the last batches that were trained on, as "
                "there were too few batches to hold some out."
            )
        return tuple(notes)

    def __repr__(self) -> str:
        """Returns a summary of a few lines, with the table."""
        low, high = self.interval
        cells = [
            [
                str(heat.rung),
                f"{heat.learning_rate:.2g}",
                str(heat.num_updates),
                f"{heat.loss:.4g}",
            ]
            for heat in self.heats
        ]
        table = text_table(["rung", "learning rate", "updates", "loss"], cells, ())
        lines = [
            f"LearningRateRace: suggestion {self.suggestion:.2g} for {self.schedule} "
            f"(between {low:.2g} and {high:.2g})",
            f"{self.num_updates} updates, {len(self.range_test.losses)} of them in the "
            "range test",
            *table.splitlines(),
            *self.notes,
        ]
        return "\n    ".join(lines)

    def to_dataframe(self) -> Any:
        """A `pandas.DataFrame` of the short trainings, a line for each of `heats`."""
        columns = {
            name: [getattr(heat, name) for heat in self.heats] for name in COLUMNS
        }
        return data_frame("LearningRateRace", columns)

    def plot(self, ax: Any = None) -> Any:
        """Draws losses over the learning rate, on `ax` or axes of a new figure."""
        if ax is None:
            ax = new_axes("LearningRateRace.plot")
        for rung in sorted({heat.rung for heat in self.heats}):
            found = [heat for heat in self.heats if heat.rung == rung]
            shown = [heat for heat in found if math.isfinite(heat.loss)]
            ax.plot(
                [heat.learning_rate for heat in shown],
                [heat.loss for heat in shown],
                "o-",
                label=f"{found[0].num_updates} updates",
            )
        if not math.isnan(self.suggestion):
            label = f"suggestion {self.suggestion:.2g}"
            ax.axvline(self.suggestion, color="tab:green", label=label)
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xlabel("peak of the learning rate")
        ax.set_ylabel("loss at the end" if self._held_out else "training loss")
        ax.set_title(f"Short trainings, {self.schedule}")
        ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False)
        return ax
