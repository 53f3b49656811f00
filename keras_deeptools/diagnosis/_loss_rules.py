"""Traps between the last activation and the loss."""

from collections.abc import Iterator
from typing import Any

import keras

from keras_deeptools.diagnosis._audit_report import AuditFinding
from keras_deeptools.diagnosis._audit_subject import Subject, activation_of

CROSS_ENTROPIES = {
    "binarycrossentropy",
    "binaryfocalcrossentropy",
    "categoricalcrossentropy",
    "categoricalfocalcrossentropy",
    "sparsecategoricalcrossentropy",
}
"""Losses that take `from_logits`, in small letters without underscores."""
PASSING = ("Dropout", "Flatten", "Identity", "Reshape", "Squeeze")
"""Class names of what can stand between an activation and the output."""
DOCUMENTED = "Keras' documentation of `from_logits`"


def logits_twice(subject: Subject) -> Iterator[AuditFinding]:
    """Probabilities for a loss that applies softmax or sigmoid itself."""
    for output, activation, name, from_logits in _outputs(subject):
        if from_logits and activation in ("softmax", "sigmoid"):
            yield AuditFinding(
                f"{activation} with from_logits=True",
                output,
                f"The output ends with {activation} and {name} applies it once more: "
                "gradients are small and the loss cannot come near zero.",
                "Leave out the activation, or from_logits=True.",
                DOCUMENTED,
            )


def missing_activation(subject: Subject) -> Iterator[AuditFinding]:
    """Logits for a loss that expects probabilities."""
    for output, activation, name, from_logits in _outputs(subject):
        if not from_logits and activation in (None, "relu", "tanh", "selu", "elu"):
            ends = f"ends with {activation}" if activation else "is linear"
            yield AuditFinding(
                "logits with from_logits=False",
                output,
                f"The output {ends} and {name} takes it for probabilities: what is "
                "under 0 or over 1 is clipped and gets no gradient.",
                "Give the loss from_logits=True, or the output its activation.",
                DOCUMENTED,
            )


def softmax_of_one(subject: Subject) -> Iterator[AuditFinding]:
    """Softmax over a single unit."""
    for output, activation, shape in _last_activations(subject):
        if activation == "softmax" and shape and shape[-1] == 1:
            yield AuditFinding(
                "softmax over one unit",
                output,
                "Softmax of one number is 1 whatever the weights: nothing is learnt.",
                "Use sigmoid, or one unit for each class.",
                "the definition of softmax",
            )


def _outputs(subject: Subject) -> Iterator[tuple[str, str | None, str, bool]]:
    """Output, last activation, cross-entropy and its `from_logits`, for each output."""
    ends = list(_last_activations(subject))
    losses = _losses(subject.model, len(ends))
    for (output, activation, _), loss in zip(ends, losses, strict=False):
        name = _name_of(loss)
        if name.replace("_", "").lower() in CROSS_ENTROPIES:
            has_config = hasattr(loss, "get_config")
            config = loss.get_config() if has_config else {}
            yield output, activation, name, bool(config.get("from_logits", False))


def _losses(model: keras.Model, num_outputs: int) -> list[Any]:
    """The compiled loss of each output, as far as they are told apart by order."""
    loss = getattr(model, "loss", None)
    if isinstance(loss, dict):
        names = list(getattr(model, "output_names", ()))
        return [loss.get(name) for name in names]
    if isinstance(loss, list | tuple):
        return list(loss)
    return [loss] * num_outputs


def _name_of(loss: Any) -> str:
    if isinstance(loss, str):
        return loss
    return getattr(loss, "__name__", type(loss).__name__)


def _last_activations(
    subject: Subject,
) -> Iterator[tuple[str, str | None, tuple[int | None, ...]]]:
    """Name, last activation and shape for each output of a model with a graph."""
    for position in subject.outputs:
        call = subject.calls[position]
        shape = call.shape
        while type(call.operation).__name__ in PASSING and len(call.parents) == 1:
            call = subject.calls[call.parents[0]]
        activation = activation_of(call.operation)
        if activation is None and not _is_plain(call.operation):
            continue
        yield call.operation.name, activation, shape


def _is_plain(operation: Any) -> bool:
    """Whether it is known that a layer without activation ends in a linear map."""
    kinds = (keras.layers.Dense, keras.layers.EinsumDense)
    return isinstance(operation, kinds) or hasattr(operation, "kernel_size")


RULES = (logits_twice, missing_activation, softmax_of_one)
"""The rules of this file."""
