"""What the rules of `diagnose` read, and whether the model learns in its trial."""

import math
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from keras_deeptools.diagnosis._audit.subject import OutputEnd, Subject
from keras_deeptools.diagnosis._diagnose.trial import ShortRun, Trial
from keras_deeptools.diagnosis._signal_propagation.measurement import LayerSignal
from keras_deeptools.engine._data.samples import RowsInOrder

PLANNED = 1000
"""Number of planned updates that is assumed if none is given."""

LEAST_GAIN = 0.05
"""Part of the loss by which a model must beat the best constant prediction."""


@dataclass(frozen=True)
class FitSettings:
    """The arguments of `fit` that matter for a diagnosis."""

    batch_size: int | None = None
    epochs: int | None = None
    shuffle: bool = True
    class_weight: Any = None


@dataclass(frozen=True, eq=False)
class InputFacts:
    """Numbers about one input of a model.

    Attributes:
        name: Str, empty for the only one.
        rank: Int, axes without the one of samples.
        is_integer: Bool, whether all values are whole numbers.
        least: Float.
        most: Float.
        mean: Float.
        std: Float.
        feature_means: Float array, by feature of the last axis.
        feature_stds: Float array, likewise.
        duplicates: Float in [0, 1], samples that occurred before.
        reach: Float array, by feature, the largest distance from the median over the
            usual one; zero where half of the values are equal.
    """

    name: str
    rank: int
    is_integer: bool
    least: float
    most: float
    mean: float
    std: float
    feature_means: np.ndarray
    feature_stds: np.ndarray
    duplicates: float
    reach: np.ndarray = field(default_factory=lambda: np.zeros(0))


@dataclass(frozen=True, eq=False)
class TargetFacts:
    """Numbers about the targets of one output.

    Attributes:
        kind: `"classes"`, whole numbers; `"binary"`, two values; `"one-hot"`;
            `"multi-hot"`, several of 0 and 1; `"quantities"`; or `"unknown"`.
        shape: Tuple of ints, without the axis of samples.
        least: Float.
        most: Float.
        mean: Float.
        std: Float.
        counts: Array of ints, samples of each class, for the kinds of classes.
        classes: Array of the values, for `"classes"` and `"binary"`.
        labels: Int array `(samples,)`, the class of each sample; None for others.
        reach: Float, the largest distance from the median over the usual one.
        is_whole: Bool, whether all are whole numbers.
    """

    kind: str
    shape: tuple[int, ...]
    least: float
    most: float
    mean: float
    std: float
    counts: np.ndarray
    classes: np.ndarray
    labels: np.ndarray | None
    reach: float
    is_whole: bool = False

    @property
    def is_classes(self) -> bool:
        """Whether each sample belongs to one class."""
        return self.kind in ("classes", "binary", "one-hot")

    @property
    def num_classes(self) -> int:
        """How many classes occur."""
        return int((self.counts > 0).sum())


@dataclass(frozen=True, eq=False)
class OutputFacts:
    """One output, its loss and its targets.

    Attributes:
        end: `OutputEnd`.
        targets: `TargetFacts`, or None where there are none.
        predicted: Float array, outputs for some samples before training; or None.
        constant_loss: Float, the loss of the best constant prediction; NaN if unknown.
        probe: Dict of how simple models do; empty if unknown.
        loss_values: Dict of what a loss of the user's is for right and wrong
            predictions; empty for others.
    """

    end: OutputEnd
    targets: TargetFacts | None
    predicted: np.ndarray | None
    constant_loss: float
    probe: dict[str, float]
    loss_values: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Facts:
    """What was measured.

    Attributes:
        subject: `Subject`, the model by its layers and calls.
        settings: `FitSettings`.
        rows: `RowsInOrder`, or None if the data cannot be read.
        inputs: List of `InputFacts`.
        outputs: List of `OutputFacts`.
        layers: Tuple of `LayerSignal` before training.
        loss: Float, of the samples before training, without penalties.
        penalty: Float, the penalties that layers add to the loss.
        trial: `Trial` or None.
        validation: `RowsInOrder` or None.
        has_weights_for_samples: Bool, whether samples or classes are weighted.
        failures: Dict from what could not be measured to why.
        received: List of tuples of a layer with a kernel and what it receives.
        order: List of layers in the order of their calls in one pass; empty if unknown.
        metric_names: List of str, the metrics of `compile`.
        text: Dict from "inputs" and "targets" to a string that occurs in them.
    """

    subject: Subject
    settings: FitSettings
    rows: RowsInOrder | None = None
    inputs: list[InputFacts] = field(default_factory=list)
    outputs: list[OutputFacts] = field(default_factory=list)
    layers: tuple[LayerSignal, ...] = ()
    loss: float = math.nan
    penalty: float = 0.0
    trial: Trial | None = None
    validation: RowsInOrder | None = None
    has_weights_for_samples: bool = False
    failures: dict[str, str] = field(default_factory=dict)
    received: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    order: list[Any] = field(default_factory=list)
    metric_names: list[str] = field(default_factory=list)
    text: dict[str, str] = field(default_factory=dict)

    @property
    def model(self) -> keras.Model:
        """The model."""
        return self.subject.model

    @property
    def hidden(self) -> list[LayerSignal]:
        """Layers with weights, but for the last."""
        return [each for each in self.layers if each.weighted][:-1]

    @property
    def baseline(self) -> float:
        """The loss of the best constant predictions, with penalties; NaN if unknown."""
        known = [each.constant_loss for each in self.outputs]
        if not known or len(known) > 1:
            return math.nan
        return known[0] + self.penalty

    @property
    def only(self) -> OutputFacts | None:
        """The output of a model that has one."""
        return self.outputs[0] if len(self.outputs) == 1 else None


def learning(facts: Facts) -> str:
    """The course of a training with the model as it is compiled.

    Returns:
        `"learns"`: better than the best constant prediction; `"falls"`: the loss falls,
        but is not there yet; `"stuck"`; `"diverges"`; `"unknown"` without a trial.
    """
    return "unknown" if facts.trial is None else progress_of(facts.trial.plain, facts)


def generalizes(facts: Facts) -> bool:
    """Whether the loss falls under that of a constant on batches not seen before."""
    if facts.trial is None:
        return False
    run = facts.trial.plain.on_fresh_batches
    return len(run.losses) >= 8 and progress_of(run, facts) == "learns"


def learns_from_labels(facts: Facts) -> bool:
    """Whether new batches are predicted better than with others' labels.

    Where labels mean nothing, batches that were not seen before have the same loss with
    them and with others' labels, but for chance.
    """
    trial = facts.trial
    if trial is None or not trial.plain.is_finite:
        return False
    if trial.shuffled is None:
        return generalizes(facts)
    plain, shuffled = trial.plain, trial.shuffled
    fresh = min(plain.num_fresh, len(shuffled.losses))
    gains = (shuffled.losses[:fresh] - plain.losses[:fresh])[fresh // 2 :]
    if len(gains) < 4:
        return False
    return bool(gains.mean() > 5 * gains.std(ddof=1) / math.sqrt(len(gains)))


def progress_of(run: ShortRun, facts: Facts) -> str:
    """The same for one short training."""
    if not run.is_finite:
        return "diverges"
    start, end, base = run.start, run.end, facts.baseline
    gain = LEAST_GAIN * abs(start if math.isnan(base) else base)
    falls = end < start - max(2 * run.noise / math.sqrt(2), 0.02 * abs(start))
    if end > start + max(3 * run.noise, 0.2 * abs(start)):
        if math.isnan(base) or end > base + gain:
            return "diverges"
    if math.isnan(base):
        return "learns" if falls and end < start - gain else "stuck"
    # The end is a median of a quarter of the batches, each of which scatters.
    scatter = 2 * run.noise / math.sqrt(max(len(run.losses) // 4, 1))
    if end < base - max(gain, scatter) and (falls or start < base):
        return "learns"
    return "falls" if falls else "stuck"


def planned_batches(facts: Facts, unknown: int = PLANNED) -> int:
    """How many batches `fit` is to train on."""
    rows, epochs = facts.rows, facts.settings.epochs
    if epochs is None or rows is None or rows.num_samples is None:
        return unknown
    size = rows.batch_size or facts.settings.batch_size or 32
    return epochs * -(-rows.num_samples // size)


def accumulated_batches(facts: Facts) -> int:
    """Over how many batches gradients are accumulated for one update."""
    given = [
        getattr(optimizer, "gradient_accumulation_steps", None) or 1
        for _, optimizer in facts.subject.optimizers
    ]
    return max(given, default=1)


def finite_numbers(value: Any) -> tuple[np.ndarray, np.ndarray]:
    """An array in float64, and its finite elements; none if it does not hold numbers.

    Args:
        value: Array, or what numpy makes one of.
    """
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        return array, np.zeros(0)
    array = array.astype("float64")
    return array, array[np.isfinite(array)]
