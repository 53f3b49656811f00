"""The numbers that a diagnosis draws, as plain values that JSON can hold."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from keras_deeptools.diagnosis._diagnose.facts import Facts
from keras_deeptools.diagnosis._diagnose.trial import ShortRun, Trial

AS_COMPILED = "as compiled"
ONE_BATCH = "one batch"
SHUFFLED = "shuffled labels"
MOST_FEATURES = 256
"""Features of an input that are kept; of more, every n-th."""

BINS = 30
LAYER_NUMBERS = ("mean", "std", "zero", "dead", "saturated", "gradient_std")

Numbers = dict[str, list[float | None]]


@dataclass(frozen=True)
class Measurements:
    """What `diagnose` measured, as far as it could.

    Args:
        losses: Dict from a short training to its losses before each update: `"as
            compiled"`, `"0.1 x learning rate"` and other factors, `"one batch"`, on a
            few samples alone, and `"shuffled labels"`, where that was tried.
        constant_loss: Float, the loss of the best constant prediction, or None.
        labels: Dict from an output to `"values"` and `"counts"`: of the classes, or of
            the bins' centers where the targets are quantities.
        inputs: Dict from an input to `"mean"` and `"std"` of each of its features.
        layers: Dict from a layer to its outputs' `"mean"`, `"std"`, fractions `"zero"`,
            `"dead"` and `"saturated"`, and to `"gradient_std"`, before training; None
            for what is not known.

    Example:

    >>> from keras_deeptools.diagnosis._diagnose.measurements import Measurements
    >>> Measurements(losses={"as compiled": [2.3, 1.9]}).losses["as compiled"][-1]
    1.9
    """

    losses: Mapping[str, list[float]] = field(default_factory=dict)
    constant_loss: float | None = None
    labels: Mapping[str, Numbers] = field(default_factory=dict)
    inputs: Mapping[str, Numbers] = field(default_factory=dict)
    layers: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)


def measurements_of(facts: Facts) -> Measurements:
    """The numbers to draw among all that was measured.

    Args:
        facts: `Facts`.
    """
    return Measurements(
        {} if facts.trial is None else _losses(facts.trial),
        _known(facts.baseline),
        _labels(facts),
        _inputs(facts),
        {
            layer.name: {name: _known(getattr(layer, name)) for name in LAYER_NUMBERS}
            for layer in facts.layers
        },
    )


def _losses(trial: Trial) -> dict[str, list[float]]:
    runs: dict[str, ShortRun | None] = {AS_COMPILED: trial.plain}
    for factor, run in sorted(trial.by_factor.items()):
        runs[f"{factor:g} x learning rate"] = run
    runs[ONE_BATCH] = trial.one_batch
    runs[SHUFFLED] = trial.shuffled
    return {
        name: [float(loss) for loss in run.losses]
        for name, run in runs.items()
        if run is not None
    }


def _labels(facts: Facts) -> dict[str, Numbers]:
    found: dict[str, Numbers] = {}
    for index, each in enumerate(facts.outputs):
        targets = each.targets
        if targets is None:
            continue
        if targets.is_classes:
            values, counts = targets.classes, targets.counts
            if len(values) != len(counts):
                values = np.arange(len(counts))
        elif targets.kind == "quantities" and facts.rows is not None:
            counts, edges = np.histogram(_numbers(facts.rows.y, index), BINS)
            values = (edges[1:] + edges[:-1]) / 2
        else:
            continue
        found[each.end.name] = {
            "values": [float(value) for value in values],
            "counts": [int(count) for count in counts],
        }
    return found


def _numbers(y: Any, index: int) -> np.ndarray:
    flat = np.asarray(keras.tree.flatten(y)[index], "float64").ravel()
    return flat[np.isfinite(flat)]


def _inputs(facts: Facts) -> dict[str, Numbers]:
    found = {}
    for each in facts.inputs:
        thin = -(-len(each.feature_stds) // MOST_FEATURES)
        found[each.name or "inputs"] = {
            "mean": [_known(value) for value in each.feature_means[::thin]],
            "std": [_known(value) for value in each.feature_stds[::thin]],
        }
    return found


def _known(value: Any) -> float | None:
    return None if math.isnan(value) else float(value)
