"""The silent traps of Keras, looked for in a given model."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from keras_deeptools._finding import Finding, lines_of_finding
from keras_deeptools._text_table import NotebookText
from keras_deeptools.diagnosis._audit import (
    depth_rules,
    layer_rules,
    loss_rules,
    optimizer_rules,
    weight_rules,
)
from keras_deeptools.diagnosis._audit.subject import (
    OutputEnd,
    Subject,
    listing,
    output_ends,
    subject_of,
)
from keras_deeptools.engine import Capture
from keras_deeptools.engine._building.first_call import has_call
from keras_deeptools.engine._data.checks import checked_batch
from keras_deeptools.statistics._input_findings import (
    findings_of_arrays,
    findings_of_received,
    is_finite,
    received_by,
)

SOURCE = "the numbers of these inputs"
OF_LABELS = "the numbers of these targets"


def data_findings(model: keras.Model, x: Any) -> list[Finding]:
    """Finds faults of the inputs; builds a model that is not built.

    Args:
        model: `keras.Model`.
        x: Data as `fit` takes them.
    """
    batch = checked_batch("audit", model, x, finite=False)
    found = findings_of_arrays(batch.x)
    if is_finite(batch.x):
        for network in batch.networks:
            captured = Capture(network, received=received_by)(batch.x)
            before = "" if network is model else f"{network.name}/"
            received = findings_of_received(captured, batch.x)
            found += [replace(each, where=before + each.where) for each in received]
    found = [replace(each, reference=SOURCE) for each in found]
    targets = [] if batch.y is None else keras.tree.flatten(batch.y)
    ends = output_ends(model)
    if len(targets) == len(ends) == 1:
        found += _of_labels(ends[0], np.asarray(targets[0]))
    return found


def _of_labels(end: OutputEnd, labels: np.ndarray) -> list[Finding]:
    """Labels that the loss cannot mean."""
    count = end.shape[-1] if end.shape else end.units
    if labels.dtype.kind not in "iuf" or end.ignored_class is not None:
        return []
    low, high = labels.min(), labels.max()
    if end.loss == "sparsecategoricalcrossentropy" and count:
        if labels.ndim > 1 and labels.shape[-1] == count > 1:
            return []
        rule, limit = f"classes from 0 to {count - 1}", count - 1
        fits = low >= 0 and high < count
        remedy = "Number the classes from 0, or give the output a unit for each."
    elif end.loss == "binarycrossentropy":
        rule, limit = "values from 0 to 1", 1
        fits = low >= 0 and high <= limit
        remedy = "Give 1 for yes and 0 for no."
    else:
        return []
    if fits:
        return []
    return [
        Finding(
            "labels out of range",
            end.name,
            f"{end.loss_name} takes {rule}, and the labels go from {low:g} to "
            f"{high:g}: some backends train on them without a word.",
            remedy,
            evidence={"least": low, "most": high, "limits": [0, limit]},
            reference=OF_LABELS,
        )
    ]


Rule = Callable[[Subject], Iterator[Finding]]
RULES: tuple[Rule, ...] = (
    *weight_rules.WEIGHT_RULES,
    *layer_rules.RULES,
    *weight_rules.RULES,
    *depth_rules.RULES,
    *loss_rules.RULES,
    *optimizer_rules.RULES,
    *layer_rules.EMBEDDING_RULES,
)
"""Every rule, in the order of the report."""


@dataclass(frozen=True)
class Audit(NotebookText):
    """The findings of an audit; made by `audit`.

    Attributes:
        model: Str. Name of the model.
        findings: Tuple of `Finding`.
        not_seen: Tuple of str. What could not be checked, and why.

    Example:

    >>> from keras_deeptools.diagnosis import Audit, Finding
    >>> frozen = Finding("frozen", "base", "No weight trains.", "Unfreeze.")
    >>> print(Audit("classifier", (frozen,), ("The model is not compiled.",)))
    Audit of classifier: 1 finding.
    - frozen (problem): base
        seen    No weight trains.
        remedy  Unfreeze.
    Not looked at:
      The model is not compiled.
    """

    model: str
    findings: tuple[Finding, ...]
    not_seen: tuple[str, ...] = ()

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of traps that were found, each once."""
        return tuple(dict.fromkeys(finding.kind for finding in self.findings))

    def __str__(self) -> str:
        """A report of several lines."""
        number = len(self.findings)
        found = f"{number} finding{'s' * (number != 1)}" if number else "nothing found"
        lines = [f"Audit of {self.model}: {found}."]
        for finding in self.findings:
            lines += lines_of_finding("-", finding)
        if self.not_seen:
            lines += ["Not looked at:", *(f"  {text}" for text in self.not_seen)]
        return "\n".join(lines)


def audit(model: keras.Model, x: Any = None) -> Audit:
    """Finds what is silently wrong in a model: settings that do nothing, or do harm.

    The audit reads the layers, their weights, the graph, the loss and the optimizers;
    it runs nothing and changes nothing. With data it also checks these, and what the
    first layers receive of them, in one pass that leaves the weights as they are. A
    finding describes what was seen, what follows from it and what to change; the report
    also lists what could not be checked. Call `audit` on the model that you are about
    to train, after `compile`.

    The audit finds: dropout with training=True that inference overrides; layers that
    share a random stream; kernels that are equal; fans that are not the layer's; a
    dropout rate of 1; dropout before BatchNormalization; BatchNormalization whose
    statistics drift although it was called with training=False; biases before it; with
    SELU plain dropout, other initializers and unscaled skips; constraints and
    regularizers set too late; frozen models; initial weights with which signals or
    gradients vanish or explode over many layers; non-finite weights; labels in `x` that
    the loss does not take; losses and last activations that do not fit; clipping,
    momentum, weight decay, schedules and averages that do not do what was set; learning
    rates and clipping that make updates vanish, or that overwrite the weights;
    optimizers that square the gradients of an embedding vector one by one if a batch
    uses it several times.

    Args:
        model: `keras.Model`, functional, Sequential or subclassed, with others nested;
            built or not, compiled or not, with a `call` or only a `train_step`.
        x: Inputs as `fit` takes them, or a dataset with targets, of which some batches
            are taken (of a generator one, which is then lost to it); None to check no
            data. A model that is not built is built from them, with the weights that
            `fit` would begin with.

    Returns:
        `Audit` with `.findings`; print it.

    Raises:
        TypeError: If `model` is no `keras.Model`, or Keras does not accept `x`.
        ValueError: If the model does not take `x`.

    Example:

    >>> import keras
    >>> from keras_deeptools.diagnosis import audit
    >>> inputs = keras.Input((4,))
    >>> x = keras.layers.Dense(8, "relu")(inputs)
    >>> x = keras.layers.Dropout(0.5, name="mc")(x, training=True)
    >>> model = keras.Model(inputs, keras.layers.Dense(1)(x))
    >>> audit(model).kinds
    ('disabled MC dropout',)
    """
    if not isinstance(model, keras.Model):
        raise TypeError(
            f"audit: `model` must be a keras.Model. Received: model={model!r}."
        )
    of_data = [] if x is None else data_findings(model, x)
    subject = subject_of(model)
    found = [*of_data, *(finding for rule in RULES for finding in rule(subject))]
    return Audit(model.name, tuple(found), tuple(_not_seen(subject)))


def _not_seen(subject: Subject) -> Iterator[str]:
    """What the rules could not look at."""
    model = subject.model
    unbuilt = [
        layer.name
        for layer, _ in subject.layers
        if not layer.built and not isinstance(layer, keras.Model)
    ]
    if not model.weights:
        yield (
            "The model is not built, so it has no weights yet: build it, call it once, "
            "or pass `x` to `audit`."
        )
    elif unbuilt:
        yield f"{listing(unbuilt)}: not built, so without weights."
    if not has_call(model):
        yield (
            "The model has no `call`: how its networks work together in `train_step` "
            "cannot be seen."
        )
    elif not subject.outputs:
        yield (
            "The model has no graph (it is subclassed, or not built): how its layers "
            "follow one another cannot be seen, except inside of functional parts."
        )
    opaque = [
        call.operation.name
        for call in subject.calls
        if isinstance(call.operation, keras.Model)
    ]
    if opaque:
        yield (
            f"{', '.join(dict.fromkeys(opaque))}: a subclassed model, whose calls "
            "cannot be seen."
        )
    optimizers = subject.optimizers
    if not optimizers:
        yield "The model is not compiled: it has no loss and no optimizer."
    idle = [name for name, optimizer in optimizers if not optimizer.built]
    if idle == ["optimizer"]:
        yield "The optimizer is not built: its variables cannot be seen."
    elif idle:
        yield f"{listing(idle)}: not built, so that its variables cannot be seen."
    if len(idle) < len(optimizers):
        yield (
            "Whether settings of the optimizer were changed after a first fit, which "
            "compiled backends ignore, cannot be seen."
        )
