"""The result of Monte Carlo dropout prediction, and the parts of its variance."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from keras_deeptools._axes import new_axes
from keras_deeptools._text_table import NotebookText, data_frame
from keras_deeptools.uncertainty._labelled_rows import ragged
from keras_deeptools.uncertainty._output_statistics import (
    BERNOULLI,
    VALUES,
    OutputStatistics,
    entropy,
)


@dataclass(frozen=True, eq=False)
class VarianceParts(NotebookText):
    """The variance of a prediction, and where it comes from.

    Made by `MCPrediction.variance`.

    Attributes:
        epistemic: Array, variance of the predicted means: the part of the model.
        aleatoric: Array, mean of the predicted variances: the part of the data.

    Example:

    >>> import numpy as np
    >>> from keras_deeptools.uncertainty import VarianceParts
    >>> VarianceParts(epistemic=np.array([1.0]), aleatoric=np.array([3.0])).total
    array([4.])
    """

    epistemic: np.ndarray
    aleatoric: np.ndarray

    @property
    def total(self) -> np.ndarray:
        """Sum of both."""
        return self.epistemic + self.aleatoric

    def __str__(self) -> str:
        share = np.mean(self.epistemic) / np.mean(self.total)
        return (
            f"variance {np.mean(self.total):.4g} on average: {share:.0%} of the model, "
            f"{1 - share:.0%} of the data"
        )


def variance_parts(means: Any, stds: Any, mean: Any, variance: Any) -> VarianceParts:
    """Returns the parts of the variance from the outputs' means and deviations."""
    epistemic = np.square(_chosen(stds, mean, "mean"))
    if variance is None:
        return VarianceParts(epistemic, np.zeros_like(epistemic))
    aleatoric = _chosen(means, variance, "variance")
    if (aleatoric < 0).any():
        raise ValueError(
            "MCPrediction.variance: `variance` must name an output that is never "
            f"negative. Received: variance={variance!r}, as low as {aleatoric.min()}. "
            "Let the model predict the variance itself: end it with `keras.ops.exp` "
            "of the log-variance."
        )
    return VarianceParts(epistemic, aleatoric)


def _chosen(outputs: Any, which: Any, argument: str) -> np.ndarray:
    is_alone = isinstance(outputs, np.ndarray)
    if which is None and is_alone:
        return outputs
    try:
        if which is None:
            raise IndexError
        return outputs[..., which] if is_alone else outputs[which]
    except (IndexError, KeyError, TypeError) as error:
        choice = sorted(outputs) if isinstance(outputs, dict) else "an index"
        raise ValueError(
            f"MCPrediction.variance: `{argument}` must name one of the outputs "
            f"({choice}). Received: {argument}={which!r}."
        ) from error


@dataclass(frozen=True, eq=False)
class MCPrediction(NotebookText):
    """What `mc_predict` found out about every input.

    Made by `mc_predict`. All results are arrays whose first axis is that of the inputs;
    for a model with several outputs they are lists or dicts of arrays, like the model's
    own outputs. Where inputs differ in the shape of their outputs, a result is an
    object array `(inputs,)` with an array for each input. Entropies are in nats and are
    defined for outputs that are probabilities: outputs that sum to one over the last
    axis are those of classes; other outputs in [0, 1] are taken as independent
    probabilities of "yes".

    Attributes:
        num_samples: Int array `(inputs,)`, Monte Carlo samples taken of each input.
        seed: Int, with which `mc_predict` gives the same result again.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.uncertainty import mc_predict
    >>> model = keras.Sequential(
    ...     [keras.Input((4,)), keras.layers.Dropout(0.5), keras.layers.Dense(1)]
    ... )
    >>> prediction = mc_predict(model, np.ones((3, 4)), seed=1, verbose=0)
    >>> prediction.num_samples
    array([100, 100, 100])
    >>> bool(np.allclose(prediction.standard_error, prediction.std / 10))
    True
    """

    # For each output the statistics of all inputs, or a list with those of consecutive
    # inputs that have the same shape.
    _statistics: list[Any] = field(repr=False)
    _structure: Any = field(repr=False)
    num_samples: np.ndarray
    seed: int
    _samples: list[list[np.ndarray]] | None = field(repr=False, default=None)

    @property
    def mean(self) -> Any:
        """Mean of the Monte Carlo samples, float32 `(inputs, ...)`: the prediction."""
        return self._packed(lambda s: s.mean)

    @property
    def std(self) -> Any:
        """Standard deviation over the samples, float32, with ddof=1; NaN for one."""
        return self._packed(self._deviation)

    @property
    def standard_error(self) -> Any:
        """Monte Carlo standard error of `mean`."""
        return self._packed(lambda s: self._deviation(s) / self._root_count(s.mean))

    @property
    def samples(self) -> Any:
        """All samples `(num_samples, inputs, ...)`, with `return_samples=True`."""
        if self._samples is None:
            raise ValueError(
                "MCPrediction: `samples` are kept only on demand. Received: a "
                "prediction without. Call `mc_predict(..., return_samples=True)`."
            )
        return self._pack([_sample_first(each) for each in self._samples])

    @property
    def predictive_entropy(self) -> Any:
        """Entropy of the mean: the total uncertainty, of data and model."""
        return self._packed(lambda s: self._total_entropy(s))

    @property
    def expected_entropy(self) -> Any:
        """Mean entropy of the samples: the uncertainty of the data (aleatoric)."""
        return self._packed(lambda s: self._checked(s).entropy_mean)

    @property
    def expected_entropy_error(self) -> Any:
        """Monte Carlo standard error of `expected_entropy`."""

        def error(s: OutputStatistics) -> np.ndarray:
            squares = self._checked(s).entropy_squares
            variance = squares / self._degrees(squares)
            return np.sqrt(variance) / self._root_count(squares)

        return self._packed(error)

    @property
    def mutual_information(self) -> Any:
        """Predictive minus expected entropy: the uncertainty of the model.

        The plug-in estimate is too small by a factor of nearly (n - 1) / n for n
        samples, so it is multiplied by n / (n - 1). The result is NaN for one sample.
        """

        def information(s: OutputStatistics) -> np.ndarray:
            expected = self._checked(s).entropy_mean
            plug_in = np.maximum(self._total_entropy(s) - expected, 0)
            n = self._counts(plug_in)
            return plug_in * n / self._degrees(plug_in)

        return self._packed(information)

    @property
    def variation_ratio(self) -> Any:
        """Fraction of the samples that do not choose the most frequent class."""

        def ratio(s: OutputStatistics) -> np.ndarray:
            counted = self._checked(s).votes
            n = self._counts(counted)
            if s.kind == BERNOULLI:
                return 1 - np.maximum(counted, n - counted) / n
            return 1 - (counted / n).max(axis=-1)

        return self._packed(ratio)

    def variance(self, mean: Any = None, variance: Any = None) -> VarianceParts:
        """Splits the variance into that of the model and that of the data.

        By the law of total variance the first part is epistemic, the second aleatoric.

        Args:
            mean: The output that predicts the mean: its key or index; for a single
                output with several columns, the column. None if there is one output.
            variance: The output that predicts the variance of the data, > 0 (not its
                logarithm, nor a standard deviation). None if there is none; the
                aleatoric part is then zero.

        Returns:
            `VarianceParts`.

        Raises:
            ValueError: If an output does not exist, or variances are negative.
        """
        return variance_parts(self.mean, self.std, mean, variance)

    def to_dataframe(self) -> Any:
        """Returns the prediction of a single output, one line for each input.

        Returns:
            `pandas.DataFrame` with `num_samples`, `mean` and `std`, numbered where an
            output has several values; for probabilities also with `predictive_entropy`
            and `mutual_information`.

        Raises:
            ValueError: If the model has several outputs, or they differ in shape.
            ImportError: If pandas is not installed.
        """
        s = self._only("to_dataframe")
        columns: dict[str, Any] = {"num_samples": self.num_samples}
        for name, values in (("mean", self.mean), ("std", self.std)):
            flat = np.reshape(values, (len(values), -1))
            numbers = [f"_{i}" for i in range(flat.shape[1])]
            for number, column in zip(numbers, flat.T, strict=True):
                columns[name + number * (len(numbers) > 1)] = column
        if s.kind != VALUES and self.predictive_entropy.ndim == 1:
            columns["predictive_entropy"] = self.predictive_entropy
            columns["mutual_information"] = self.mutual_information
        return data_frame("MCPrediction", columns)

    def plot(self, ax: Any = None) -> Any:
        """Draws how uncertain the predictions of a single output are.

        For probabilities it draws a histogram of the predictive entropy and of the part
        of it that comes from the model; for other values it draws means with their
        standard deviations, in order of the mean.

        Args:
            ax: Matplotlib axes; default: those of a new figure.

        Returns:
            The axes.

        Raises:
            ValueError: If the model has several outputs, or they differ in shape.
            ImportError: If matplotlib is not installed.
        """
        s = self._only("plot")
        ax = new_axes("MCPrediction.plot") if ax is None else ax
        if s.kind == VALUES:
            means, deviations = np.ravel(self.mean), np.ravel(self.std)
            order = np.argsort(means)
            places = np.arange(len(order))
            low, high = means - deviations, means + deviations
            ax.fill_between(places, low[order], high[order], alpha=0.3, label="± std")
            ax.plot(places, means[order], label="mean")
            ax.set(xlabel="predictions, in order of their mean", ylabel="value")
        else:
            parts = (
                np.ravel(self.predictive_entropy),
                np.ravel(self.mutual_information),
            )
            labels = ("predictive entropy", "part of the model (mutual information)")
            ax.hist(parts, bins=30, label=labels)
            ax.set(xlabel="nats", ylabel="samples")
        ax.set_title(f"Monte Carlo dropout, {self.num_samples.max()} samples each")
        ax.legend()
        return ax

    def _only(self, method: str) -> OutputStatistics:
        """Returns the statistics of the single output."""
        if len(self._statistics) != 1 or isinstance(self._statistics[0], list):
            raise ValueError(
                f"MCPrediction.{method}: the model must have one output of one shape. "
                f"Received: {len(self._statistics)} outputs. Use `.mean` and `.std`, "
                "which have the structure of the outputs."
            )
        return self._statistics[0]

    def __str__(self) -> str:
        rows = len(self.num_samples)
        least, most = self.num_samples.min(), self.num_samples.max()
        samples = f"{most}" if least == most else f"{least} to {most}"
        lines = [f"{rows} rows, {samples} samples each, seed {self.seed}"]
        for path, each in zip(self._names(), self._statistics, strict=True):
            for s in each if isinstance(each, list) else [each]:
                lines.append(f"{path}{self._line(s)}")
        return "\n".join(lines)

    def _line(self, s: OutputStatistics) -> str:
        line = f"{s.kind}, shape {s.mean.shape[1:]}: "
        line += f"mean std {np.mean(self._deviation(s)):.3g}"
        if s.entropy_mean is not None:
            total = np.mean(self._total_entropy(s))
            line += f", predictive entropy {total:.3g} nats"
            line += f", of them {total - np.mean(s.entropy_mean):.3g} of the model"
        return line

    def _names(self) -> list[str]:
        paths = [path for path, _ in keras.tree.flatten_with_path(self._structure)]
        return ["".join(f"{part}: " for part in path) for path in paths]

    def _packed(self, function: Callable[[OutputStatistics], Any]) -> Any:
        return self._pack([_by_rows(function, each) for each in self._statistics])

    def _pack(self, arrays: list[np.ndarray]) -> Any:
        return keras.tree.pack_sequence_as(self._structure, arrays)

    def _checked(self, s: OutputStatistics) -> OutputStatistics:
        if s.kind == VALUES:
            raise ValueError(
                "MCPrediction: entropies are for outputs that are probabilities. "
                f"Received: an output of shape {s.mean.shape} with other values. End "
                'the model with "softmax" or "sigmoid", or use `std`.'
            )
        return s

    def _total_entropy(self, s: OutputStatistics) -> np.ndarray:
        return entropy(self._checked(s).mean, s.kind)

    def _counts(self, like: np.ndarray) -> np.ndarray:
        # Inputs that differ in shape are all sampled equally often.
        return self.num_samples[: len(like)].reshape(-1, *[1] * (like.ndim - 1))

    def _degrees(self, like: np.ndarray) -> np.ndarray:
        n = self._counts(like)
        return np.where(n > 1, n - 1, np.nan)

    def _root_count(self, like: np.ndarray) -> np.ndarray:
        return np.sqrt(self._counts(like))

    def _deviation(self, s: OutputStatistics) -> np.ndarray:
        return np.sqrt(s.squares / self._degrees(s.squares))


def _by_rows(function: Callable[[OutputStatistics], Any], statistics: Any) -> Any:
    """Returns an array over all inputs; of arrays where they differ in shape."""
    if not isinstance(statistics, list):
        return np.asarray(function(statistics), np.float32)
    return ragged([np.asarray(function(each), np.float32) for each in statistics])


def _sample_first(parts: list[np.ndarray]) -> np.ndarray:
    """Returns `(num_samples, inputs, ...)` from parts `(inputs, num_samples, ...)`."""
    if len({part.shape[2:] for part in parts}) == 1:
        return np.swapaxes(np.concatenate(parts), 0, 1)
    by_sample = [
        ragged([part[:, i] for part in parts]) for i in range(parts[0].shape[1])
    ]
    return np.stack(by_sample)
