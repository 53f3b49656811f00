"""The learning rates and losses of a range test, and their records while it runs."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from keras_deeptools._axes import new_axes
from keras_deeptools._text_table import NotebookText, data_frame
from keras_deeptools.statistics import suggest_learning_rate

MAX_SKIPPED = 100
"""Number of consecutive batches without an update after which the test ends."""

NOT_FINITE = "Ended by a loss that is not finite."

PEAK_OVER_LOWEST = 0.3
"""The peak of a schedule that falls, over the learning rate of the lowest loss; see
benchmarks/learning_rate_regret.py."""


class RangeTest(NotebookText):
    """The losses of a learning-rate range test, and what they suggest.

    Made by `find_learning_rate`. `float(result)` is the suggestion, so the result can
    be passed wherever a learning rate is expected, for instance to `OneCycleScheduler`.

    Attributes:
        learning_rates: Float64 array `(steps,)`, the learning rate of each update.
        losses: Float64 array `(steps,)`, the loss of each update's batches, before the
            update.
        suggestion: Float, the consensus of the rules, or, for a schedule that falls,
            0.3 times `lowest`; NaN when the loss never clearly falls.
        lowest: Float, the learning rate of the lowest loss, or NaN.
        schedule: Str, the schedule whose peak is suggested.
        interval: Two floats, between which the steepest descent lies in nine cases out
            of ten.
        suggestions: Dict from `"valley"`, `"steepest"`, `"slide"`, `"minimum"` to
            float; see `keras_deeptools.statistics.suggest_learning_rate`.
        notes: Tuple of str, notes that help to judge the suggestion.
        batches_drawn: Int, number of batches that were read from the data.
        data: For a Python generator, an iterator over all its batches: those that were
            drawn again, then the rest. Pass it to `fit` in the generator's place. None
            for data that can be read again.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools import find_learning_rate
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    >>> model.compile(keras.optimizers.SGD(), loss="mse")
    >>> x = np.random.default_rng(0).normal(size=(256, 4))
    >>> result = find_learning_rate(model, x, x[:, :1], verbose=0)
    >>> 1e-4 < float(result) < 1.0
    True
    >>> sorted(result.suggestions)
    ['minimum', 'slide', 'steepest', 'valley']
    """

    def __init__(
        self,
        learning_rates: np.ndarray,
        losses: np.ndarray,
        ending: str = "",
        batches_drawn: int = 0,
        data: Iterator[Any] | None = None,
        data_fault: str = "",
        remark: str = "",
        schedule: str = "constant",
        falls: bool = False,
    ) -> None:
        self.learning_rates = np.asarray(learning_rates, dtype="float64")
        self.losses = np.asarray(losses, dtype="float64")
        self.batches_drawn = batches_drawn
        self.data = data
        found = suggest_learning_rate(self.learning_rates, self.losses)
        self.interval = found.interval
        self.suggestions = dict(found.rules)
        self.lowest = 10 * self.suggestions["minimum"]
        self.schedule = schedule
        self.suggestion = found.suggestion
        if falls:
            self.suggestion = PEAK_OVER_LOWEST * self.lowest
        self._positions = found.positions
        self._curve = found.curve
        self.notes = tuple(
            note
            for note in (
                data_fault,
                self._note_on_curve(data_fault, found.falling_at_end),
                ending,
                remark,
                self._note_on_generator(),
            )
            if note
        )

    def __float__(self) -> float:
        """Returns the suggestion."""
        if math.isnan(self.suggestion):
            raise ValueError(
                "RangeTest: `suggestion` must be a number to be used as a learning "
                "rate. Received: suggestion=nan, because the loss never clearly fell. "
                f"{self.notes[0]}"
            )
        return self.suggestion

    def __repr__(self) -> str:
        """Returns a summary of a few lines."""
        low, high = self.interval
        rules = ", ".join(
            f"{name} {rate:.2g}" for name, rate in self.suggestions.items()
        )
        about = f"(between {low:.2g} and {high:.2g})"
        if not low <= self.suggestion <= high and self.schedule != "constant":
            about = f"for {self.schedule} (steepest between {low:.2g} and {high:.2g})"
        steps = len(self.losses)
        span = f"{self.learning_rates[0]:.2g} to {self.learning_rates[-1]:.2g}"
        lines = [
            f"RangeTest: suggestion {self.suggestion:.2g} {about}",
            rules,
            f"{steps} steps, rates {span}",
            *self.notes,
        ]
        return "\n    ".join(lines)

    def __getstate__(self) -> dict[str, Any]:
        """Leaves out an open generator."""
        return self.__dict__ | {"data": None}

    def to_dataframe(self) -> Any:
        """The learning rate and the loss of each step.

        Returns:
            `pandas.DataFrame` with `learning_rate` and `loss`.

        Raises:
            ImportError: If pandas is not installed.
        """
        columns = {"learning_rate": self.learning_rates, "loss": self.losses}
        return data_frame("RangeTest", columns)

    def plot(self, ax: Any = None) -> Any:
        """Draws the losses, the curve fitted to them and the suggestions.

        They are drawn on the matplotlib axes `ax`, or on those of a new figure. Returns
        the axes.
        """
        if ax is None:
            ax = new_axes("RangeTest.plot")
        finite = self._positions
        ax.plot(
            self.learning_rates,
            self.losses,
            ".",
            color="0.7",
            label="batch loss",
        )
        ax.plot(self.learning_rates[finite], self._curve, label="smoothed")
        if not math.isnan(self.suggestion):
            self._mark(ax)
        if len(finite):
            self._limit(ax)
        ax.set_xscale("log")
        ax.set_xlabel("learning rate")
        ax.set_ylabel("loss")
        ax.set_title("Learning-rate range test")
        # The legend is placed beside the curve; inside it would cover the descent.
        ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False)
        return ax

    def _mark(self, ax: Any) -> None:
        rates = self.learning_rates[self._positions]
        for name, rate in self.suggestions.items():
            height = np.interp(np.log(rate), np.log(rates), self._curve)
            ax.plot([rate], [height], "o", label=f"{name} {rate:.2g}")
        ax.axvspan(*self.interval, alpha=0.15, color="tab:green")
        label = f"suggestion {self.suggestion:.2g}"
        ax.axvline(self.suggestion, color="tab:green", label=label)

    def _limit(self, ax: Any) -> None:
        """Limits the axes so that the descent is shown, not the divergence."""
        low = min(self._curve.min(), np.quantile(self.losses[self._positions], 0.02))
        start = max(self._curve[0], np.median(self.losses[self._positions][:5]))
        rise = max(start - low, 1e-3 * abs(start), 1e-12)
        ax.set_ylim(low - 0.15 * rise, start + 0.5 * rise)

    def _note_on_curve(self, data_fault: str, falling_at_end: bool) -> str:
        if math.isnan(self.suggestion):
            if data_fault:
                return ""
            if len(self.losses) and not math.isfinite(self.losses[0]):
                return (
                    "The loss of the first batch was not finite, before any update: "
                    "look for log(0), sqrt(0) or a division by 0 in the model and its "
                    "loss."
                )
            return (
                "The loss never clearly fell: widen the range of rates, raise "
                "`num_steps` or `batch_size`, or see whether the model can learn."
            )
        if falling_at_end:
            return "The loss still fell at the largest rate: raise `max_learning_rate`."
        if self.interval[0] <= self.learning_rates[min(5, len(self.losses) - 1)]:
            return "The descent begins at the smallest rate: lower `min_learning_rate`."
        return ""

    def _note_on_generator(self) -> str:
        if self.data is None:
            return ""
        return (
            f"The generator was read: {self.batches_drawn} batches were drawn. "
            "Pass `result.data` to `fit` to train on all of it."
        )


class Progress:
    """The losses so far, and whether they have diverged.

    There is one loss for each batch or, if an update takes several batches, their mean
    for each update. `positions` has the number of updates made before each loss.

    Args:
        stop_factor: Float > 1 or None.
        smoothing: Float in [0, 1).
    """

    def __init__(self, stop_factor: float | None, smoothing: float) -> None:
        self.losses: list[float] = []
        self.positions: list[int] = []
        self._num_updates = 0
        self.ending = ""
        self.smoothed = math.nan
        self._stop_factor = stop_factor
        self._smoothing = smoothing
        self._average = self._weight = 0.0
        self._lowest = math.inf
        self._pending: list[float] = []

    def add(self, loss: float, num_updates: int) -> None:
        """Takes the loss of a batch and the number of updates made after it."""
        self._pending.append(loss)
        broken = not math.isfinite(loss) and self._stop_factor is not None
        if num_updates > self._num_updates or broken:
            self.positions.append(self._num_updates)
            self._num_updates = num_updates
            self._complete(sum(self._pending) / len(self._pending))
            self._pending.clear()
        elif len(self._pending) >= MAX_SKIPPED and self._stop_factor is not None:
            self.ending = (
                f"Ended because {MAX_SKIPPED} batches in a row brought no update: "
                "their gradients are not finite, or `train_step` uses an optimizer "
                "that is no Keras optimizer of the model."
            )

    def _complete(self, loss: float) -> None:
        self.losses.append(loss)
        if math.isfinite(loss):
            self._average = self._smoothing * self._average
            self._average += (1 - self._smoothing) * loss
            self._weight = self._smoothing * self._weight + (1 - self._smoothing)
            self.smoothed = self._average / self._weight
            self._lowest = min(self._lowest, self.smoothed)
        if self._stop_factor is None:
            return
        allowed = self._lowest + (self._stop_factor - 1) * abs(self._lowest)
        if not math.isfinite(loss):
            self.ending = NOT_FINITE
        elif self.smoothed > allowed:
            self.ending = f"Ended by a loss over {self._stop_factor:g} x its minimum."


class LossLog:
    """Identifies the loss among the logs, and follows its progress.

    The loss is the log that the user names, else `"loss"`, else the only log, or the
    only one with "loss" in its name. If several logs may be the loss, all of them are
    followed, and the one that falls is taken in the end.

    Args:
        owner: Str. Name of the caller, for errors.
        loss_name: Str or None. The name that the user gave.
        stop_factor: Float > 1 or None.
        smoothing: Float in [0, 1).
    """

    def __init__(
        self,
        owner: str,
        loss_name: str | None,
        stop_factor: float | None,
        smoothing: float,
    ) -> None:
        self._owner = owner
        self._loss_name = loss_name
        self._options = (stop_factor, smoothing)
        self._followed: dict[str, Progress] = {}

    def add(self, logs: dict[str, float], num_updates: int) -> None:
        """Takes the logs of a batch and the number of updates made after it."""
        if not self._followed:
            names = self._candidates(logs)
            self._followed = {name: Progress(*self._options) for name in names}
        for name, progress in self._followed.items():
            if not progress.ending:
                progress.add(logs.get(name, math.nan), num_updates)

    @property
    def num_losses(self) -> int:
        """Number of losses that are complete."""
        return max((len(p.losses) for p in self._followed.values()), default=0)

    @property
    def shown(self) -> float:
        """The current smoothed loss, for display."""
        return next(iter(self._followed.values())).smoothed

    @property
    def is_over(self) -> bool:
        """Whether the loss has diverged, or all logs that may be the loss have."""
        endings = [progress.ending for progress in self._followed.values()]
        return bool(endings) and (all(endings) or NOT_FINITE in endings)

    def chosen(
        self, rates_at: Callable[[np.ndarray], np.ndarray]
    ) -> tuple[str, Progress]:
        """The name of the loss and its progress.

        Args:
            rates_at: Function from numbers of updates to learning rates.

        Raises:
            ValueError: If several logs may be the loss, and not exactly one falls.
        """
        if len(self._followed) == 1:
            return next(iter(self._followed.items()))
        falling = [
            name
            for name, progress in self._followed.items()
            if not math.isnan(
                suggest_learning_rate(
                    rates_at(np.array(progress.positions)), np.array(progress.losses)
                ).suggestion
            )
        ]
        if len(falling) == 1:
            return falling[0], self._followed[falling[0]]
        what = "several of them fall" if falling else "none of them clearly falls"
        raise ValueError(
            f"{self._owner}: `loss_name` must say which of the logs of `train_step` "
            f"is the loss, since {what}. Received: loss_name=None with the logs "
            f"{sorted(self._followed)}. Pass for instance "
            f"`loss_name={sorted(falling or self._followed)[0]!r}`."
        )

    def _candidates(self, logs: dict[str, float]) -> list[str]:
        if self._loss_name is not None:
            if self._loss_name not in logs:
                raise ValueError(
                    f"{self._owner}: `loss_name` must be one of the logs that "
                    f"`train_step` returns, {sorted(logs)}. Received: "
                    f"loss_name={self._loss_name!r}."
                )
            return [self._loss_name]
        if not logs:
            raise ValueError(
                f"{self._owner}: `train_step` must return logs with the loss. "
                "Received: an empty dict. Return it: `return {'loss': loss}`."
            )
        # Keras' own tracker is 0 for a `train_step` that keeps another tracker.
        if "loss" in logs and (logs["loss"] != 0 or len(logs) == 1):
            return ["loss"]
        named = [name for name in logs if "loss" in name.lower() and name != "loss"]
        total = [name for name in named if "total" in name.lower()]
        for names in (total, named):
            if len(names) == 1:
                return names
        if "loss" in logs and not named:
            return ["loss"]
        return named or list(logs)
