"""Traps between the last activation and the loss."""

from collections.abc import Iterator

import keras

from keras_deeptools._finding import Finding
from keras_deeptools.diagnosis._audit.subject import (
    LINEAR,
    LINEAR_END,
    OutputEnd,
    Subject,
    activation_name,
    activation_units,
    output_ends,
)

BINARY = {"binarycrossentropy", "binaryfocalcrossentropy"}
CATEGORICAL = {
    "categoricalcrossentropy",
    "categoricalfocalcrossentropy",
    "sparsecategoricalcrossentropy",
}
OF_PROBABILITIES = BINARY | CATEGORICAL
"""Losses that take `from_logits`, in small letters without underscores."""
OVERLAPS = {"dice", "kldivergence", "tversky"}
"""Losses of probabilities that have no `from_logits`."""
REGRESSIONS = {
    "huber",
    "logcosh",
    "meanabsoluteerror",
    "meansquarederror",
}
UNBOUNDED = {
    LINEAR_END,
    "celu",
    "elu",
    "exponential",
    "gelu",
    "hardswish",
    "hardsilu",
    "hardtanh",
    "leakyrelu",
    "logsoftmax",
    "logsigmoid",
    "mish",
    "prelu",
    "relu",
    "relu6",
    "selu",
    "silu",
    "softplus",
    "softsign",
    "swish",
    "tanh",
}
"""Activations whose values leave [0, 1]."""
NEGATIVE = UNBOUNDED - {"exponential", "relu", "relu6", "softplus"}
"""Activations that also have negative values."""
BOUNDS = {"relu": "over 0", "softplus": "over 0", "tanh": "between -1 and 1"}
"""Where the values lie of activations that are no good for logits."""
CLASSES = {
    "binarycrossentropy": "BinaryCrossentropy",
    "binaryfocalcrossentropy": "BinaryFocalCrossentropy",
    "categoricalcrossentropy": "CategoricalCrossentropy",
    "categoricalfocalcrossentropy": "CategoricalFocalCrossentropy",
    "sparsecategoricalcrossentropy": "SparseCategoricalCrossentropy",
}
"""Names in `keras.losses` of the losses that take `from_logits`."""
DOCUMENTED = "Keras' documentation of `from_logits`"
DEFINITION = "the definition of the loss"


def logits_twice(ends: list[OutputEnd]) -> Iterator[Finding]:
    """Probabilities for a loss that applies softmax or sigmoid itself."""
    for end in ends:
        if end.loss not in OF_PROBABILITIES or not end.from_logits:
            continue
        if end.activation in ("softmax", "sigmoid", "hardsigmoid"):
            yield Finding(
                f"{end.activation} with from_logits=True",
                end.name,
                f"The output ends with {end.activation} and {end.loss_name} applies it "
                "once more: gradients are small and the loss cannot come near zero.",
                "Leave out the activation, or from_logits=True.",
                reference=DOCUMENTED,
            )


def missing_activation(ends: list[OutputEnd]) -> Iterator[Finding]:
    """Logits for a loss that expects probabilities."""
    for end in ends:
        takes_logits = end.loss in OF_PROBABILITIES
        if end.from_logits or not (takes_logits or end.loss in OVERLAPS):
            continue
        if end.activation in UNBOUNDED:
            plain = end.activation == LINEAR_END
            how = "is linear" if plain else f"ends with {end.activation}"
            remedy = "Give the output its activation, sigmoid or softmax."
            if takes_logits:
                remedy = "Give the loss from_logits=True, or the output its activation."
            yield Finding(
                "logits with from_logits=False" if takes_logits else "no probabilities",
                end.name,
                f"The output {how} and {end.loss_name} takes it for probabilities: "
                "what is under 0 or over 1 is clipped and gets no gradient.",
                remedy,
                code=_with_logits(end) if takes_logits else "",
                reference=DOCUMENTED if takes_logits else DEFINITION,
            )


def one_class(ends: list[OutputEnd]) -> Iterator[Finding]:
    """A loss over classes for a single unit."""
    for end in ends:
        if end.loss in CATEGORICAL and _width(end) == 1 and end.activation != "softmax":
            yield Finding(
                "categorical crossentropy over one unit",
                end.name,
                f"{end.loss_name} compares the units of an output, and this one has "
                "one: its share is 1 whatever the weights, and nothing is learnt.",
                "Use sigmoid with binary crossentropy, or one unit for each class.",
                evidence={"units": 1, "least_units": 2},
                reference=DEFINITION,
            )


def other_kind_of_probabilities(ends: list[OutputEnd]) -> Iterator[Finding]:
    """Sigmoids where one class is meant, or softmax where each unit is judged alone."""
    for end in ends:
        width = _width(end)
        sigmoid = end.activation in ("sigmoid", "hardsigmoid")
        alone = end.loss in CATEGORICAL and not end.from_logits and width != 1
        if alone and sigmoid:
            yield Finding(
                "sigmoid with categorical crossentropy",
                end.name,
                f"{end.loss_name} divides the units by their sum: sigmoids that are "
                "all large and all small cost the same, and none is a probability.",
                "Use softmax for classes that exclude each other, or binary "
                "crossentropy for labels that do not.",
                severity="warning",
                reference="measured: the loss is equal for outputs times any factor",
            )
        if end.loss in BINARY and end.activation == "softmax" and (width or 0) > 2:
            yield Finding(
                "softmax with binary crossentropy",
                end.name,
                f"{end.loss_name} judges each unit by itself, but softmax makes them "
                "add up to 1: several labels at once cannot be reached.",
                "Use sigmoid for labels that may hold together, or categorical "
                "crossentropy for classes that exclude each other.",
                severity="warning",
                evidence={"units": width},
                reference=DEFINITION,
            )


def values_out_of_reach(ends: list[OutputEnd]) -> Iterator[Finding]:
    """Activations that cannot give the outputs that the loss needs."""
    for end in ends:
        if end.loss in REGRESSIONS and end.activation == "relu":
            yield Finding(
                "ReLU before a regression loss",
                end.name,
                f"The output ends with ReLU: {end.loss_name} cannot reach targets "
                "under 0, and where the output is 0 there is no gradient to leave it, "
                "for all inputs if the unit begins there.",
                "Leave out the activation; for targets that are never negative use "
                "softplus.",
                severity="warning",
                reference="the definition of ReLU",
            )
        if (
            end.loss in OF_PROBABILITIES
            and end.from_logits
            and end.activation in BOUNDS
        ):
            yield Finding(
                f"{end.activation} with from_logits=True",
                end.name,
                f"The output ends with {end.activation}, so that logits lie "
                f"{BOUNDS[end.activation]}: {end.loss_name} makes probabilities of "
                "them that cannot come near 0 and 1 both.",
                "Leave out the activation.",
                severity="warning",
                reference=DOCUMENTED,
            )
        if end.loss == "poisson" and end.activation in NEGATIVE:
            yield Finding(
                "negative rates with a Poisson loss",
                end.name,
                f"{end.loss_name} takes the logarithm of the output, which can be "
                "negative: the loss becomes NaN.",
                'End with activation="softplus" or "exponential".',
                code='activation="softplus"',
                reference=DEFINITION,
            )
        if end.loss in ("hinge", "squaredhinge") and end.activation in (
            "relu",
            "sigmoid",
            "softmax",
        ):
            yield Finding(
                f"{end.activation} with a hinge loss",
                end.name,
                f"{end.loss_name} asks for outputs under -1 for one class, and "
                f"{end.activation} gives none under 0.",
                "Leave out the activation, or end with tanh.",
                reference=DEFINITION,
            )


def softmax_of_one(
    ends: list[OutputEnd], layers: list[keras.Layer]
) -> Iterator[Finding]:
    """Softmax over a single unit, at the end or on the way."""
    softmaxes = [end for end in ends if end.activation == "softmax"]
    found = [end.name for end in softmaxes if end.units == 1]
    for layer in layers:
        convolves = hasattr(layer, "kernel_size")
        if not (isinstance(layer, LINEAR) or convolves) or layer.name in found:
            continue
        if activation_name(layer) == "softmax" and activation_units(layer, None) == 1:
            found.append(layer.name)
    for name in dict.fromkeys(found):
        yield Finding(
            "softmax over one unit",
            name,
            "Softmax of one number is 1 whatever the weights: nothing is learnt.",
            "Use sigmoid, or one unit for each class; for weights over positions, "
            "softmax along their axis: `Softmax(axis=1)`.",
            evidence={"units": 1, "least_units": 2},
            code='activation="sigmoid"',
            reference="the definition of softmax",
        )


def _with_logits(end: OutputEnd) -> str:
    """The loss that takes logits, as Python."""
    return f"keras.losses.{CLASSES[str(end.loss)]}(from_logits=True)"


def _width(end: OutputEnd) -> int | None:
    """Number of units along the last axis."""
    return end.shape[-1] if end.shape else end.units


def outputs(subject: Subject) -> Iterator[Finding]:
    """All that is wrong between the ends of the model and its losses."""
    ends = output_ends(subject.model)
    for rule in (
        logits_twice,
        missing_activation,
        one_class,
        other_kind_of_probabilities,
        values_out_of_reach,
    ):
        yield from rule(ends)
    yield from softmax_of_one(ends, [layer for layer, _ in subject.layers])


RULES = (outputs,)
"""The rules of this file, which read the ends of the model once."""
