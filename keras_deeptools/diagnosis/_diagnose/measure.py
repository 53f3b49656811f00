"""Measures, once, all that the rules of `diagnose` read."""

import contextlib
import math
import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_deeptools.diagnosis._audit.loss_rules import REGRESSIONS
from keras_deeptools.diagnosis._audit.subject import output_ends, subject_of
from keras_deeptools.diagnosis._diagnose.baselines import (
    constant_loss,
    probe,
    values_of,
)
from keras_deeptools.diagnosis._diagnose.facts import (
    Facts,
    FitSettings,
    InputFacts,
    OutputFacts,
    TargetFacts,
    finite_numbers,
)
from keras_deeptools.diagnosis._diagnose.trial import run_trial
from keras_deeptools.diagnosis._signal_propagation.measurement import (
    measure_network,
)
from keras_deeptools.engine._backends.common import on_host
from keras_deeptools.engine._building.first_call import reason_of
from keras_deeptools.engine._data.checks import checked_batch
from keras_deeptools.engine._data.fit_batches import Batches
from keras_deeptools.engine._data.samples import RowsInOrder, rows_in_order
from keras_deeptools.engine._data.step_errors import misfit_of, text_in
from keras_deeptools.engine._graph.layers import layers_of
from keras_deeptools.engine._keras_private.training import compile_config, loss_given
from keras_deeptools.engine._state.random_state import RandomState

OWNER = "diagnose"
ROWS_OF_A_PASS = 64
LARGE_SAMPLE = 10_000
"""Numbers in a sample from which on signals are measured on fewer samples."""

ROWS_OF_LARGE_SAMPLES = 16
QUANTITATIVE = REGRESSIONS | {"poisson"}
"""Losses whose targets are quantities even where they are whole numbers."""
MOST_CLASSES = 1000
"""Whole numbers with more different values are counts or quantities."""


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
        predicted: list[Any] = []
        if batch is not None and len(batch.networks) == 1:
            measured = attempt(
                "signals", lambda: _signals(batch.networks[0], batch.x, batch.y)
            )
            if measured is not None:
                found["layers"] = tuple(measured.layers)
                found["loss"] = measured.loss
                found["received"] = measured.received
                found["order"] = measured.order
                if batch.networks[0] is model:
                    predicted = [each.astype("float64") for each in measured.outputs]
        if passes and (not predicted or _may_add_losses(model)):
            with contextlib.suppress(Exception):
                predicted = _predicted(model, rows.x)
        found["outputs"] = (
            attempt("outputs", lambda: _outputs(model, rows, targets, predicted)) or []
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
        return measure_network(network, x, y, None, brief=True)
    except Exception:
        return measure_network(network, x, None, None, brief=True)


def _outputs(
    model: keras.Model,
    rows: RowsInOrder,
    targets: list[np.ndarray],
    predicted: list[Any],
) -> list[OutputFacts]:
    ends = output_ends(model)
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


def _may_add_losses(model: keras.Model) -> bool:
    """Whether a call may leave penalties in `model.losses`."""
    return any(
        getattr(layer, "activity_regularizer", None) is not None
        or not type(layer).__module__.startswith("keras.")
        for layer, _ in layers_of(model)
    )


def _predicted(model: keras.Model, x: Any) -> list[Any]:
    """Outputs for some samples, by a call as a user makes it."""
    some = keras.tree.map_structure(
        lambda v: None if v is None else v[:ROWS_OF_A_PASS], x
    )
    state = RandomState()
    try:
        out = model(some, training=False)
    finally:
        state.restore()
    return [np.asarray(on_host(each), "float64") for each in keras.tree.flatten(out)]


def input_facts(x: Any) -> list[InputFacts]:
    """Measures each of the inputs that holds numbers.

    Args:
        x: Array or nested structure of arrays `(samples, ...)`.

    Example:

    >>> import numpy as np
    >>> from keras_deeptools.diagnosis._diagnose.measure import input_facts
    >>> [facts] = input_facts(np.array([[1.0, 0.5], [3.0, 0.5]]))
    >>> facts.feature_stds.tolist()
    [1.0, 0.0]
    """
    found = []
    for path, each in keras.tree.flatten_with_path(x):
        array = np.asarray(each) if each is not None else np.zeros(0)
        if array.dtype.kind in "biuf" and array.size:
            found.append(_of_array("/".join(map(str, path)), array))
    return found


def _of_array(name: str, array: np.ndarray) -> InputFacts:
    values = array.astype("float64")
    values = np.where(np.isfinite(values), values, 0.0)
    features = values.reshape(-1, values.shape[-1] if values.ndim > 1 else 1)
    flat = np.ascontiguousarray(array.reshape(len(array), -1))
    different = len({row.tobytes() for row in flat})
    return InputFacts(
        name,
        array.ndim - 1,
        bool((values == np.round(values)).all()),
        float(values.min()),
        float(values.max()),
        float(values.mean()),
        float(values.std()),
        features.mean(axis=0),
        features.std(axis=0),
        1 - different / len(array),
        _reach(features) if values.ndim == 2 else np.zeros(0),
    )


def _reach(features: np.ndarray) -> np.ndarray:
    """The largest distance from the median over the median one, by feature."""
    distances = np.abs(features - np.median(features, axis=0))
    usual = np.median(distances, axis=0)
    return np.where(usual > 0, distances.max(axis=0) / np.maximum(usual, 1e-300), 0.0)


def target_facts(y: Any) -> TargetFacts | None:
    """Measures targets; None for what holds no numbers.

    Args:
        y: Array `(samples, ...)`.

    Example:

    >>> import numpy as np
    >>> from keras_deeptools.diagnosis._diagnose.measure import target_facts
    >>> target_facts(np.array([0, 2, 1, 2])).kind, target_facts(np.eye(3)).kind
    ('classes', 'one-hot')
    """
    values, known = finite_numbers(y)
    if not known.size:
        return None
    shape = values.shape[1:]
    flat = values.reshape(len(values), -1)
    kind, labels = _kind(flat, known, len(y))
    classes, counts = np.zeros(0), np.zeros(0, int)
    if labels is not None:
        classes, labels, counts = np.unique(
            labels, return_inverse=True, return_counts=True
        )
        if kind == "one-hot":
            counts = np.bincount(flat.argmax(axis=1), minlength=flat.shape[1])
    usual = np.median(np.abs(known - np.median(known)))
    reach = float(np.abs(known - np.median(known)).max() / usual) if usual > 0 else 0.0
    return TargetFacts(
        kind,
        shape,
        float(known.min()),
        float(known.max()),
        float(known.mean()),
        float(known.std()),
        counts,
        classes,
        labels,
        reach,
        bool((known == np.round(known)).all()),
    )


def _kind(
    flat: np.ndarray, known: np.ndarray, samples: int
) -> tuple[str, np.ndarray | None]:
    width = flat.shape[1]
    if (known != np.round(known)).any():
        return "quantities", None
    values = np.unique(known)
    flags = values.min() >= 0 and values.max() <= 1
    if width > 1 and flags and len(values) == 2:
        if (flat.sum(axis=1) == 1).all():
            return "one-hot", flat.argmax(axis=1)
        return "multi-hot", None
    if width > 1:
        return ("tokens" if values.min() >= 0 else "quantities"), None
    if len(values) == 2:
        return "binary", flat[:, 0]
    consecutive = values.max() - values.min() < 2 * len(values) + 1
    repeated = len(values) <= max(3, samples / 3)
    if len(values) <= MOST_CLASSES and consecutive and repeated and values.min() >= -1:
        return "classes", flat[:, 0]
    return "quantities", None
