"""A search for the batch size that trains fastest, or fits into memory."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import (
    checked_count,
    checked_float,
    checked_option,
    checked_rate,
    checked_verbose,
    known_elsewhere_as,
)
from keras_deeptools._axes import new_axes
from keras_deeptools._text_table import NotebookText, data_frame, text_table
from keras_deeptools.callbacks._find_batch_size.trials import Trials
from keras_deeptools.callbacks._learning_rate_finder.arguments import (
    check_model,
    check_trainable,
)
from keras_deeptools.engine import preserved
from keras_deeptools.engine._data.fit_batches import Batches
from keras_deeptools.engine._data.step_errors import explained_step

OWNER = "find_batch_size"
MOST_SAMPLES = 8192


class BatchSizeSearch(NotebookText):
    """How fast a model trains with each batch size, and what is suggested.

    Made by `find_batch_size`. `int(result)` is the suggestion.

    Attributes:
        batch_sizes: Int array `(sizes,)`, the batch sizes that were tried, in
            increasing order.
        samples_per_second: Float array `(sizes,)`, the speed of training; NaN for a
            batch size that did not fit into memory.
        suggestion: Int, the batch size to train with; with `goal="speed"` the smallest
            one that is nearly as fast as the fastest, with `goal="memory"` the largest
            one that has trained.
        largest: Int, the largest batch size that has trained.
        failed: Int or None, the smallest batch size that did not fit into memory.
        notes: Tuple of str, why the search ended.
        data: For a Python generator, an iterator over all its batches: those that were
            read again, then the rest. None for data that can be read again.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.callbacks import find_batch_size
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", loss="mse")
    >>> x = np.random.default_rng(0).normal(size=(32, 4))
    >>> result = find_batch_size(model, x, x[:, :1], seconds=0.01)
    >>> result.largest in result.batch_sizes
    True
    """

    def __init__(
        self,
        speeds: dict[int, float],
        goal: str,
        tolerance: float,
        notes: tuple[str, ...] = (),
        data: Iterator[Any] | None = None,
    ) -> None:
        self.batch_sizes = np.array(sorted(speeds))
        self.samples_per_second = np.array([speeds[size] for size in sorted(speeds)])
        trained = np.isfinite(self.samples_per_second)
        self.largest = int(self.batch_sizes[trained].max())
        failed = self.batch_sizes[~trained]
        self.failed = int(failed.min()) if len(failed) else None
        self.suggestion = self.largest
        if goal == "speed":
            enough = (1 - tolerance) * np.nanmax(self.samples_per_second)
            fast = trained & (np.nan_to_num(self.samples_per_second) >= enough)
            self.suggestion = int(self.batch_sizes[fast].min())
        self.notes = notes
        self.data = data

    def __int__(self) -> int:
        """Returns the suggestion."""
        return self.suggestion

    def __getstate__(self) -> dict[str, Any]:
        """Leaves out an open generator."""
        return self.__dict__ | {"data": None}

    def table(self) -> str:
        """Returns the speed and the time of an update for each batch size, as text."""
        lines = []
        pairs = zip(self.batch_sizes, self.samples_per_second, strict=True)
        for size, speed in pairs:
            numbers = ["out of memory", ""]
            if np.isfinite(speed):
                numbers = [f"{speed:.3g}", f"{1e3 * size / speed:.3g}"]
            marked = "suggested" if size == self.suggestion else ""
            lines.append([str(size), *numbers, marked])
        return text_table(
            ["batch size", "samples / s", "ms / batch", ""], lines, text=(-1,)
        )

    def __repr__(self) -> str:
        """Returns the suggestion, the table and the notes."""
        head = f"BatchSizeSearch: batch size {self.suggestion}"
        return "\n".join([head, self.table(), *self.notes])

    def to_dataframe(self) -> Any:
        """The speed of each batch size.

        Returns:
            `pandas.DataFrame` with `batch_size` and `samples_per_second`.

        Raises:
            ImportError: If pandas is not installed.
        """
        columns = {
            "batch_size": self.batch_sizes,
            "samples_per_second": self.samples_per_second,
        }
        return data_frame("BatchSizeSearch", columns)

    def plot(self, ax: Any = None) -> Any:
        """Draws the speed over the batch size, and marks the suggestion.

        It is drawn on the matplotlib axes `ax`, or on those of a new figure. Returns
        the axes.
        """
        if ax is None:
            ax = new_axes("BatchSizeSearch.plot")
        ax.plot(self.batch_sizes, self.samples_per_second, "o-", label="training")
        label = f"suggestion {self.suggestion}"
        ax.axvline(self.suggestion, color="tab:green", label=label)
        if self.failed is not None:
            label = f"{self.failed}: out of memory"
            ax.axvline(self.failed, color="tab:red", linestyle="--", label=label)
        ax.set_xscale("log", base=2)
        ax.set_ylim(bottom=0)
        ax.set_xlabel("batch size")
        ax.set_ylabel("samples per second")
        ax.legend()
        return ax


@known_elsewhere_as(
    min_batch_size="init_val",
    max_batch_size="max_val",
    min_steps="steps_per_trial",
    goal="mode",
)
def find_batch_size(
    model: keras.Model,
    x: Any,
    y: Any = None,
    *,
    sample_weight: Any = None,
    goal: str = "speed",
    min_batch_size: int = 8,
    max_batch_size: int | None = None,
    tolerance: float = 0.1,
    seconds: float = 0.5,
    min_steps: int = 3,
    class_weight: dict[int, float] | None = None,
    verbose: str | int = 0,
) -> BatchSizeSearch:
    """Trains with growing batch sizes, and finds the fastest or the largest.

    The batch size is doubled until larger batches bring no more samples per second
    (`goal="speed"`), or until the memory does not suffice (`goal="memory"`, which then
    narrows the limit down to an eighth). Each size is tried in a `fit` of its own, so
    what is measured is what `fit` will do, with its mixed precision, gradient
    accumulation, distribution and everything that is attached. Only sizes that have
    trained are suggested.

    Afterwards the model, its optimizer, its metrics and the random states are bit for
    bit what they were, also after an exception or Ctrl-C. It is a function and no
    callback because Keras fixes the batch size before the callbacks of `fit` begin.

    A larger batch gives fewer updates in an epoch: adapt the learning rate to it with
    `find_learning_rate`, and see `GradientNoiseScale` for the size above which larger
    batches bring nothing.

    Args:
        model: `keras.Model`, compiled. Weights and optimizer may have been trained.
        x: Arrays (also lists and dicts of them), or a `tf.data.Dataset`, PyDataset,
            torch `DataLoader` or Python generator, whose batches are joined and cut
            again.
        y: Targets, when `x` is arrays.
        sample_weight: Sample weights, when `x` is arrays.
        goal: `"speed"` or `"memory"`.
        min_batch_size: Int > 0, the first batch size.
        max_batch_size: Int >= `min_batch_size` or None, the largest batch size. None:
            8192. It is never more than the number of samples.
        tolerance: Float in [0, 1). With `goal="speed"`, the smallest batch size is
            suggested whose speed is at least `1 - tolerance` of the best.
        seconds: Float > 0, how long each batch size is timed. Compiling is not
            included.
        min_steps: Int > 0, the least number of timed steps for each batch size.
        class_weight: Dict from class to weight or None, as for `fit`.
        verbose: `"auto"`, 0 (silent) or 1 (a line for each batch size).

    Returns:
        `BatchSizeSearch`.

    Raises:
        TypeError: If `model` is no Keras model, or an argument is of the wrong type.
        ValueError: If the model is not compiled or has nothing to train, the data are
            empty, do not fit the model or cannot be cut into batches of another size,
            or an argument is out of range.
        MemoryError: If the smallest batch size does not fit into memory.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.callbacks import find_batch_size
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", loss="mse")
    >>> x = np.random.default_rng(0).normal(size=(64, 4))
    >>> found = find_batch_size(model, x, x[:, :1], seconds=0.01)
    >>> history = model.fit(x, x[:, :1], batch_size=int(found), verbose=0)
    """
    checked_option(OWNER, "goal", goal, ("speed", "memory"))
    first = checked_count(OWNER, "min_batch_size", min_batch_size)
    most = MOST_SAMPLES if max_batch_size is None else max_batch_size
    checked_count(OWNER, "max_batch_size", most, first)
    checked_rate(OWNER, "tolerance", tolerance)
    checked_float(OWNER, "seconds", seconds, above=0)
    checked_count(OWNER, "min_steps", min_steps)
    checked_verbose(OWNER, verbose, (0, 1))
    check_model(OWNER, model)
    given = (x, y, sample_weight)
    with explained_step(
        OWNER, model, lambda: keras.utils.pack_x_y_sample_weight(*given)
    ):
        batches = Batches(model, *given, None, False, class_weight, OWNER)
    trials = Trials(model, batches, seconds, min_steps, verbose != 0)
    with (
        preserved(model, *batches.generators, build=trials.build),
        batches.once() as samples,
    ):
        check_trainable(OWNER, model)
        trials.double(samples, first, most, until_full=goal == "memory")
    notes, data = tuple(trials.notes), batches.replay()
    return BatchSizeSearch(trials.speeds, goal, tolerance, notes, data)
