"""What a diagnosis measured, as plain values for JSON, and drawn, panel by panel."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import keras
import numpy as np

from keras_deeptools._axes import new_panels
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

OWNER = "Diagnosis.plot"
MOST_NAMES = 12
"""Layers that an axis names; of more, every n-th."""

MOST_LETTERS = 16
MOST_OUTPUTS = 4
"""Outputs, and inputs, that are drawn."""

MOST_BARS = 40
WIDE = 20.0
"""Ratio of the largest to the least loss from which on the axis is logarithmic."""

RATES = ("0.1 x learning rate", AS_COMPILED, "10 x learning rate")

OF_LAYERS = {
    "Scale of outputs": {"std": "standard deviation"},
    "Scale of gradients": {"gradient_std": "root mean square"},
    "Fractions of outputs and units": {
        "zero": "zeros",
        "dead": "dead units",
        "saturated": "saturated",
    },
}

Panel = Callable[[Any], None]


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

    >>> from keras_deeptools.diagnosis._diagnose.plots import Measurements
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


def panels_of(measured: Measurements) -> Iterator[tuple[str, str, Panel]]:
    """What there is to draw: the topic, what a chart shows, and what draws it.

    Args:
        measured: `Measurements`.
    """
    rates = {name: measured.losses[name] for name in RATES if name in measured.losses}
    others = {
        name: measured.losses[name]
        for name in (AS_COMPILED, ONE_BATCH, SHUFFLED)
        if name in measured.losses
    }
    constant = measured.constant_loss
    if rates:
        draw = partial(
            _losses_chart, title="Learning rates", runs=rates, constant=constant
        )
        yield "Short trainings", "The loss by update at three learning rates.", draw
    if len(others) > 1:
        draw = partial(_losses_chart, title="One batch", runs=others, constant=constant)
        about = "The loss by update on all batches and on one alone."
        yield "Short trainings", about, draw
    for name, numbers in list(measured.labels.items())[:MOST_OUTPUTS]:
        about = f"How often each target of {name} occurs."
        yield "Data", about, partial(_labels_chart, name=name, numbers=numbers)
    for name, numbers in list(measured.inputs.items())[:MOST_OUTPUTS]:
        about = f"Mean and standard deviation of each feature of {name}."
        yield "Data", about, partial(_scales_chart, name=name, numbers=numbers)
    layers = measured.layers
    for title, shown in OF_LAYERS.items():
        if any(
            known.get(key) is not None for known in layers.values() for key in shown
        ):
            draw = partial(_layers_chart, layers=layers, shown=shown, title=title)
            yield "Layers", f"{title}, layer by layer, before training.", draw


def plot_diagnosis(measured: Measurements, path: str | None) -> Any:
    """Draws all panels, saves the figure where asked, and returns it.

    Args:
        measured: `Measurements`.
        path: Str or None.

    Raises:
        ValueError: If nothing was measured.
    """
    panels = list(panels_of(measured))
    if not panels:
        raise ValueError(f"{OWNER}: nothing was measured that could be drawn.")
    columns = min(len(panels), 2)
    rows = -(-len(panels) // columns)
    axes = np.ravel(new_panels(OWNER, rows, columns, (6 * columns, 3.8 * rows)))
    for (_, _, draw), ax in zip(panels, axes, strict=False):
        draw(ax)
    for ax in axes[len(panels) :]:
        ax.remove()
    figure = axes[0].figure
    if path is not None:
        figure.savefig(path)
    return figure


def _losses_chart(
    ax: Any, title: str, runs: dict[str, Any], constant: float | None
) -> None:
    """Losses of short trainings; where one is no number, a cross ends the line."""
    finite = [loss for run in runs.values() for loss in run if math.isfinite(loss)]
    if finite and min(finite) > 0 and max(finite) / min(finite) > WIDE:
        ax.set_yscale("log")
    others = iter(("C1", "C2", "C3"))
    for name, run in runs.items():
        known = np.array(run)[: _first_broken(run)]
        plain = name == AS_COMPILED
        look = {"color": "C0" if plain else next(others), "lw": 2 if plain else 1.4}
        ax.plot(known, label=name, **look)
        if 0 < len(known) < len(run):
            ax.plot(len(known) - 1, known[-1], "x", **look)
    if constant is not None:
        ax.axhline(constant, color="gray", ls=":", label="best constant")
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.set(title=title, xlabel="update", ylabel="batch loss")
    ax.legend(fontsize=8)


def _first_broken(run: Sequence[float]) -> int:
    broken = [index for index, loss in enumerate(run) if not math.isfinite(loss)]
    return broken[0] if broken else len(run)


def _labels_chart(ax: Any, name: str, numbers: Any) -> None:
    values, counts = np.array(numbers["values"]), np.array(numbers["counts"])
    width = 0.8 * float(np.diff(values).min()) if len(values) > 1 else 0.8
    if len(values) > MOST_BARS:
        ax.fill_between(values, counts, step="mid", alpha=0.6)
    else:
        ax.bar(values, counts, width)
    ax.set(title=f"Targets of {_short(name)}", xlabel="value", ylabel="samples")


def _scales_chart(ax: Any, name: str, numbers: Any) -> None:
    """Both on one logarithmic axis, so that uneven and large features are seen."""
    for key, label in (("std", "standard deviation"), ("mean", "|mean|")):
        values = np.abs(np.array(numbers[key], "float64"))
        known = np.flatnonzero(values > 0)
        ax.plot(known, values[known], "o" if key == "std" else "_", label=label)
    ax.axhline(1.0, color="gray", ls=":", label="usual scale")
    ax.set_yscale("log")
    ax.set(title=f"Scale of {_short(name)}", xlabel="feature", ylabel="value")
    ax.legend(fontsize=8)


def _layers_chart(ax: Any, layers: Any, shown: dict[str, str], title: str) -> None:
    names, positions = list(layers), np.arange(len(layers))
    scales = len(shown) == 1
    for key, label in shown.items():
        values = [layers[name].get(key) for name in names]
        known = [i for i, v in enumerate(values) if v is not None and math.isfinite(v)]
        if scales:
            known = [i for i in known if values[i] > 0]
        if known:
            ax.plot(known, [values[i] for i in known], "o-", ms=4, label=label)
    if scales:
        ax.set_yscale("log")
    else:
        ax.set_ylim(-0.03, 1.03)
        ax.legend(fontsize=8)
    thin = -(-len(names) // MOST_NAMES)
    ticks = [_short(name) for name in names[::thin]]
    ax.set_xticks(positions[::thin], ticks, rotation=30, ha="right", fontsize=8)
    ax.set_xlim(-0.5, len(names) - 0.5)
    [unit] = shown.values() if scales else ["fraction"]
    ax.set(title=title, ylabel=unit)


def _short(name: str) -> str:
    return name if len(name) <= MOST_LETTERS else "..." + name[3 - MOST_LETTERS :]
