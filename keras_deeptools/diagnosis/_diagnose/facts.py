"""All that the rules of `diagnose` read, measured once."""

import contextlib
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from keras_deeptools.diagnosis._audit_subject import Subject, subject_of
from keras_deeptools.diagnosis._diagnose.baselines import (
    constant_loss,
    probe,
    values_of,
)
from keras_deeptools.diagnosis._diagnose.input_facts import InputFacts, input_facts
from keras_deeptools.diagnosis._diagnose.target_facts import TargetFacts, target_facts
from keras_deeptools.diagnosis._diagnose.trial import Trial, run_trial
from keras_deeptools.diagnosis._layer_signal import LayerSignal
from keras_deeptools.diagnosis._loss_rules import REGRESSIONS
from keras_deeptools.diagnosis._output_ends import OutputEnd, output_ends
from keras_deeptools.diagnosis._signal_measurement import measure_network
from keras_deeptools.engine._backends.common import on_host
from keras_deeptools.engine._building.first_call import reason_of
from keras_deeptools.engine._data.checks import checked_batch
from keras_deeptools.engine._data.fit_batches import Batches
from keras_deeptools.engine._data.rows_in_order import RowsInOrder, rows_in_order
from keras_deeptools.engine._data.step_errors import misfit_of, text_in
from keras_deeptools.engine._keras_private.training import compile_config, loss_given
from keras_deeptools.engine._state.random_state import RandomState

OWNER = "diagnose"
ROWS_OF_A_PASS = 64
LARGE_SAMPLE = 10_000
"""Numbers in a sample from which on signals are measured on fewer samples."""

ROWS_OF_LARGE_SAMPLES = 48
QUANTITATIVE = REGRESSIONS | {"poisson"}
"""Losses whose targets are quantities even where they are whole numbers."""


@dataclass(frozen=True)
class FitSettings:
    """The arguments of `fit` that matter for a diagnosis."""

    batch_size: int | None = None
    epochs: int | None = None
    shuffle: bool = True
    class_weight: Any = None


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
        rows: `RowsInOrder`, or None where the data cannot be read.
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


def measure(
    model: keras.Model,
    x: Any,
    y: Any,
    settings: FitSettings,
    *,
    sample_weight: Any = None,
    validation_data: Any = None,
    trial_steps: int = 40,
    seconds: float = 10.0,
    passes: bool = True,
    progress: Callable[[str], None] = lambda text: None,
) -> Facts:
    """Measures a model and its data; both are left as they are.

    What cannot be measured is left out, with the reason in `failures`.
    """
    failures: dict[str, str] = {}
    found: dict[str, Any] = {}

    def attempt(name: str, function: Callable[[], Any]) -> Any:
        progress(name)
        try:
            with warnings.catch_warnings():
                # What Keras warns of is a finding.
                warnings.simplefilter("ignore")
                return function()
        except Exception as error:
            failures[name] = _reason(error, model, x, y)
            return None

    found["text"] = {
        name: text
        for name, data in (("inputs", x), ("targets", y))
        for text in [text_in(data)]
        if text is not None
    }
    rows = attempt("data", lambda: rows_in_order(x, y, sample_weight))
    if rows is not None:
        found["inputs"] = attempt("inputs", lambda: input_facts(rows.x)) or []
        batch = None
        if passes:
            batch = attempt(
                "first pass",
                lambda: checked_batch(
                    OWNER, model, *_first_rows(rows.x, rows.y), False
                ),
            )
        targets = _leaves(rows.y)
        if batch is not None and len(batch.networks) == 1:
            measured = attempt(
                "signals", lambda: _signals(batch.networks[0], batch.x, batch.y)
            )
            if measured is not None:
                found["layers"] = tuple(measured.layers)
                found["loss"] = measured.loss
                found["received"] = measured.received
        found["outputs"] = (
            attempt("outputs", lambda: _outputs(model, rows, targets, passes)) or []
        )
        if validation_data is not None:
            given = _pair(validation_data)
            found["validation"] = attempt("validation", lambda: rows_in_order(*given))
    found["subject"] = subject_of(model)
    found["metric_names"] = attempt("metrics", lambda: _metric_names(model)) or []
    with contextlib.suppress(Exception):
        found["penalty"] = float(sum(float(on_host(each)) for each in model.losses))
    if rows is not None and trial_steps and getattr(model, "optimizer", None):
        found["trial"] = attempt(
            "short trainings",
            lambda: run_trial(
                model,
                Batches(
                    model,
                    x,
                    y,
                    sample_weight,
                    settings.batch_size if rows.are_arrays else None,
                    settings.shuffle,
                    settings.class_weight,
                    OWNER,
                ),
                trial_steps,
                seconds,
            ),
        )
    weighted = sample_weight is not None or settings.class_weight is not None
    if rows is not None and rows.sample_weight is not None:
        weighted = True
    return Facts(
        settings=settings,
        rows=rows,
        has_weights_for_samples=weighted,
        failures=failures,
        **{name: value for name, value in found.items() if value is not None},
    )


def _first_rows(x: Any, y: Any) -> tuple[Any, Any]:
    """Inputs and targets; of large samples, such as photographs, the first ones."""
    arrays = [v for v in keras.tree.flatten(x) if v is not None]
    if not any(int(np.prod(np.shape(v)[1:])) > LARGE_SAMPLE for v in arrays):
        return x, y
    return keras.tree.map_structure(
        lambda v: None if v is None else v[:ROWS_OF_LARGE_SAMPLES], (x, y)
    )


def _reason(error: Exception, model: keras.Model, x: Any, y: Any) -> str:
    """Why something cannot be measured, by the data where these explain it."""
    with contextlib.suppress(Exception):
        if y is not None:
            arrays = keras.tree.map_structure(np.asarray, (x, y))
            misfit = misfit_of(model, arrays)
            if misfit:
                return misfit
    return f"{type(error).__name__}: {reason_of(error)}"


def _metric_names(model: keras.Model) -> list[str]:
    given = compile_config(model) if model.compiled else {}
    metrics = [given.get(name) for name in ("metrics", "weighted_metrics")]
    return [
        each if isinstance(each, str) else str(getattr(each, "name", each))
        for each in keras.tree.flatten(metrics)
        if each is not None
    ]


def _leaves(y: Any) -> list[np.ndarray]:
    return [] if y is None else [np.asarray(v) for v in keras.tree.flatten(y)]


def _pair(data: Any) -> tuple[Any, ...]:
    return tuple(data)[:2] if isinstance(data, (tuple, list)) else (data,)


def _signals(network: Any, x: Any, y: Any) -> Any:
    """Forward alone where the targets do not fit the loss."""
    try:
        return measure_network(network, x, y, None, 0)
    except Exception:
        return measure_network(network, x, None, None, 0)


def _outputs(
    model: keras.Model, rows: RowsInOrder, targets: list[np.ndarray], passes: bool
) -> list[OutputFacts]:
    ends = output_ends(model)
    predicted: list[Any] = []
    with contextlib.suppress(Exception):
        predicted = _predicted(model, rows.x) if passes else []
    if len(predicted) != len(ends):
        predicted = [None] * len(ends)
    if len(targets) != len(ends):
        return [OutputFacts(end, None, None, math.nan, {}) for end in ends]
    losses = loss_given(model)
    flat = keras.tree.flatten(losses) if losses is not None else []
    outputs = []
    for index, (end, y, out) in enumerate(zip(ends, targets, predicted, strict=True)):
        loss = flat[index if len(flat) == len(ends) else 0] if flat else None
        facts = target_facts(y)
        constant = math.nan
        if loss is not None and end.loss is not None and facts is not None:
            constant = constant_loss(loss, end, y)
        simple: dict[str, float] = {}
        if facts is not None and index == 0:
            with contextlib.suppress(Exception):
                simple = probe(rows.x, facts, y, end.loss in QUANTITATIVE)
        asked: dict[str, float] = {}
        quantities = facts is not None and facts.kind == "quantities"
        if loss is not None and end.loss is None and quantities and out is not None:
            with contextlib.suppress(Exception):
                asked = values_of(loss, y, out.shape)
        outputs.append(OutputFacts(end, facts, out, constant, simple, asked))
    return outputs


def _predicted(model: keras.Model, x: Any) -> list[Any]:
    some = keras.tree.map_structure(
        lambda v: None if v is None else v[:ROWS_OF_A_PASS], x
    )
    state = RandomState()
    try:
        out = model(some, training=False)
    finally:
        state.restore()
    return [np.asarray(on_host(each), "float64") for each in keras.tree.flatten(out)]
