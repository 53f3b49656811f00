"""The results of a gradient monitor: tables, plots, findings, and their warnings."""

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np

from keras_deeptools._finding import Finding, FindingsError
from keras_deeptools._text_table import data_frame, notebook_html
from keras_deeptools.callbacks._gradient_monitor.display import (
    figure_of,
    table_of,
    to_csv,
)
from keras_deeptools.callbacks._gradient_monitor.history import GradientHistory
from keras_deeptools.callbacks._gradient_monitor.record import GradientRecord
from keras_deeptools.callbacks._training_feature import TrainingFeature
from keras_deeptools.engine import Leaf
from keras_deeptools.engine._backends.common import on_host
from keras_deeptools.engine._data.fit_data import FitData
from keras_deeptools.engine._update.model_optimizers import OptimizerChoice
from keras_deeptools.statistics import GradientThresholds
from keras_deeptools.statistics._gradient_detector import (
    FINDER,
    PLANNED,
    GradientDetector,
    RunSettings,
)

MOST_NAMED = 8
"""Layers named in a warning; `GradientMonitor.findings` has them all."""

OF_GRADIENTS = {"dead", "exploding", "non-finite", "vanishing"}
"""Kinds of findings that describe gradients."""

CLIPS = ("clipnorm", "global_clipnorm", "clipvalue")
"""Keras' clipping arguments; if several are set, Keras applies the first."""


class GradientWarning(UserWarning):
    """Gradients vanish, explode, are zero or not finite, or updates are out of scale.

    Example:

    >>> import warnings
    >>> from keras_deeptools.callbacks import GradientWarning
    >>> warnings.filterwarnings("ignore", category=GradientWarning)
    """


class GradientProblemError(FindingsError):
    """Raised by `GradientMonitor(on_problem="raise")`.

    Args:
        message: Str.
        findings: List of `Finding`, those that were found together.

    Example:

    >>> from keras_deeptools.callbacks import GradientProblemError
    >>> GradientProblemError("dead layers", findings=[]).findings
    []
    """


def message_of(findings: list[Finding]) -> str:
    """One message about findings of one kind, with the first as the example."""
    first = findings[0]
    names = list(dict.fromkeys(finding.where for finding in findings))
    listed = ", ".join(names[:MOST_NAMED])
    if len(names) > MOST_NAMED:
        listed += f" and {len(names) - MOST_NAMED} more"
    what = f"{first.kind} gradients" if first.kind in OF_GRADIENTS else first.kind
    at = "" if first.step is None else f" at step {first.step}"
    return (
        f"GradientMonitor: {what}{at} in {listed}. "
        f"{first.where}: {first.message} {first.remedy}"
    )


def sound(
    findings: list[Finding], on_problem: str, told: set[str], callback: Any
) -> None:
    """Acts on new findings: each kind is reported once per run.

    Args:
        findings: List of `Finding`.
        on_problem: `"ignore"`, `"warn"`, `"stop"` or `"raise"`.
        told: Kinds that have been reported before; the new ones are added.
        callback: The callback whose model is to stop.
    """
    kinds = dict.fromkeys(f.kind for f in findings if f.kind not in told)
    if on_problem == "ignore" or not kinds:
        return
    told.update(kinds)
    messages = [message_of([f for f in findings if f.kind == kind]) for kind in kinds]
    if on_problem == "raise":
        raise GradientProblemError("\n".join(messages), findings)
    for message in messages:
        warnings.warn(GradientWarning(message), stacklevel=3)
    if on_problem == "stop":
        callback.model.stop_training = True


class GradientReadings(TrainingFeature):
    """Reads records from the device when they are asked for, and shows them.

    `GradientMonitor` fills the records.
    """

    _history: GradientHistory
    thresholds: GradientThresholds

    def __init__(self, optimizer: OptimizerChoice = None) -> None:
        super().__init__(optimizer)
        self._records: list[GradientRecord] = []
        self._fit_data: FitData | None = None
        # One entry for each optimizer, with its identity as the key.
        self._detectors: dict[int, GradientDetector] = {}
        self._epoch_norms: dict[int, list[np.ndarray]] = {}
        # Findings about settings, which do not depend on the gradients.
        self._of_settings: list[Finding] = []

    def _read(self, loss: float | None = None) -> None:
        if not self._records:
            return
        rows = self._history.take(self._records)
        several = self._by_optimizer()
        for key, records in several.items():
            own = rows
            if len(several) > 1:
                own = rows.among(self._history.columns_of(records))
            if key not in self._detectors:
                self._detectors[key] = GradientDetector(self.thresholds)
            leaf = records[0].leaf
            settings = run_settings(leaf, self.optimizer_name(leaf), self.params)
            self._detectors[key].update(own, loss, self._data_fault, settings)
            self._epoch_norms.setdefault(key, []).append(own.global_norms)

    def _data_fault(self) -> str:
        """Describes what is not finite in the data of the running `fit`, if known."""
        return "" if self._fit_data is None else self._fit_data.fault()

    def _by_optimizer(self) -> dict[int, list[GradientRecord]]:
        """The records of each optimizer of the model that trains independently."""
        found: dict[int, list[GradientRecord]] = {}
        for record in self._records:
            found.setdefault(id(record.leaf.root), []).append(record)
        return found

    def _found(self) -> list[Finding]:
        found = [f for each in self._detectors.values() for f in each.findings]
        return [*self._of_settings, *found]

    def _look_at_rates(self) -> None:
        """Finds learning rates that are negative, each once."""
        known = {finding.where for finding in self._of_settings}
        for record in self._records:
            where = self.optimizer_name(record.leaf)
            if where not in known:
                self._of_settings += rate_not_positive(record.leaf, where)

    @property
    def variables(self) -> list[str]:
        """Paths of the watched variables (or layers), the columns of `history`."""
        return self._history.columns

    @property
    def steps(self) -> np.ndarray:
        """Int64 array `(n,)`: the optimizer's count of updates before each update."""
        self._read()
        return self._history.steps

    @property
    def history(self) -> dict[str, np.ndarray]:
        """Dict from a statistic to a float32 array `(n, len(variables))`.

        Besides the chosen statistics it has `"nonfinite"`, the numbers of elements that
        are not finite. It has NaN where a variable has no gradient, and for the
        update-to-weight ratio of weights that are all 0.
        """
        self._read()
        return self._history.tables

    @property
    def global_norms(self) -> np.ndarray:
        """Float array `(n,)`: L2 norm over all watched variables."""
        self._read()
        return self._history.global_norms

    @property
    def skipped_updates(self) -> int:
        """Updates that loss scaling has skipped."""
        return self._history.skipped(self._records)

    @property
    def lost_updates(self) -> int:
        """Updates that were overwritten on the device before they were read."""
        return self._history.lost

    @property
    def findings(self) -> list[Finding]:
        """The problems found, each kind once for each variable or layer."""
        self._read()
        return self._found()

    @property
    def problems(self) -> list[Finding]:
        """The same as `findings`."""
        return self.findings

    def table(self) -> str:
        """The latest updates, one line for each variable, and the findings.

        Returns:
            Str. Medians over the latest 100 recorded updates.
        """
        return table_of(self)

    def _repr_html_(self) -> str:
        return notebook_html(self.table())

    def to_dataframe(self) -> Any:
        """The history as a table, one line for each update and variable.

        Returns:
            `pandas.DataFrame` with `step`, `variable` and a column for each statistic.

        Raises:
            ImportError: If pandas is not installed.
        """
        history, variables = self.history, self.variables
        columns = {
            "step": np.repeat(self.steps, len(variables)),
            "variable": variables * len(self.steps),
            **{name: values.ravel() for name, values in history.items()},
        }
        return data_frame(type(self).__name__, columns)

    def to_csv(self, path: str) -> None:
        """Writes the history as a table, one line for each update and variable.

        Args:
            path: Str. The file to write.
        """
        to_csv(self, path)

    def plot(
        self, path: str | None = None, ax: Any = None, *, biases: bool = False
    ) -> Any:
        """Draws the norms over layers and steps, and the gradient flow.

        Args:
            path: Str or None. Picture file to write.
            ax: Pair of matplotlib axes: for the heat map of log10 norms, and for the
                gradient flow (mean and largest norm of each variable). Default: those
                of a new figure.
            biases: Bool. Whether biases, and the scales and offsets of normalization
                layers, are drawn beside the kernels.

        Returns:
            The matplotlib figure.

        Raises:
            ImportError: If matplotlib is not installed.
        """
        return figure_of(self, path, ax, biases)


def run_settings(
    leaf: Leaf, where: str, params: Mapping[str, Any] | None
) -> RunSettings:
    """The settings of a run that rules about gradients need.

    Args:
        leaf: `Leaf`.
        where: Str. What the model calls the optimizer.
        params: Dict that `fit` gives its callbacks, or None.
    """
    given = {name: getattr(leaf.optimizer, name, None) for name in CLIPS}
    set_first = [(name, float(value)) for name, value in given.items() if value]
    known = params or {}
    planned = int(known.get("epochs") or 0) * int(known.get("steps") or 0)
    return RunSettings(planned or PLANNED, dict(set_first[:1]), where)


def rate_not_positive(leaf: Leaf, where: str) -> Iterator[Finding]:
    """Finds a negative learning rate, with which updates increase the loss.

    Args:
        leaf: `Leaf`, between steps.
        where: Str. What the model calls the optimizer.
    """
    rate = None
    with contextlib.suppress(AttributeError, RuntimeError, TypeError, ValueError):
        rate = float(on_host(leaf.optimizer.learning_rate))
    if rate is None or not rate < 0:
        return
    yield Finding(
        "learning rate not positive",
        where,
        f"The learning rate is {rate:g}: each update climbs the loss.",
        "Use a positive learning rate.",
        evidence={"learning_rate": rate},
        code=FINDER,
        reference="the definition of gradient descent",
    )


def nothing_trains(model: keras.Model) -> Iterator[Finding]:
    """Finds a model without trainable weights, whose `fit` changes nothing.

    Args:
        model: `keras.Model`, built or not.
    """
    if model.built and model.weights and not model.trainable_variables:
        yield Finding(
            "everything is frozen",
            model.name,
            f"None of its {len(model.weights)} variables is trainable: fit changes "
            "nothing, and there is no gradient to watch.",
            "Set trainable = True on the layers that should learn, then compile again.",
            evidence={"variables": len(model.weights), "trainable": 0},
            code="model.trainable = True",
            reference="measured",
        )
