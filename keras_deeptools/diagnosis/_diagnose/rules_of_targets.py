"""Faults between targets, the last activation and the loss."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from keras_deeptools._finding import Finding
from keras_deeptools.diagnosis._audit import loss_rules
from keras_deeptools.diagnosis._audit.loss_rules import BINARY, CATEGORICAL, REGRESSIONS
from keras_deeptools.diagnosis._audit.subject import OutputEnd
from keras_deeptools.diagnosis._diagnose.facts import (
    Facts,
    OutputFacts,
    TargetFacts,
    learns_from_labels,
)

REACH = {
    "sigmoid": (0.0, 1.0),
    "hardsigmoid": (0.0, 1.0),
    "softmax": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "softsign": (-1.0, 1.0),
    "relu": (0.0, np.inf),
    "relu6": (0.0, 6.0),
    "softplus": (0.0, np.inf),
    "exponential": (0.0, np.inf),
}
"""The values that an activation can give."""

HINGES = {"hinge", "squaredhinge"}
MOST_OUTSIDE = 0.02
LARGE_TARGETS = 10.0
SMALL_TARGETS = 1e-3


def of_settings(facts: Facts) -> Iterator[Finding]:
    """What is wrong whatever the targets are."""
    for each in _of_settings(facts):
        certain = 0.92 if each.severity == "problem" else 0.6
        yield replace(each, confidence=certain)


def _of_settings(facts: Facts) -> Iterator[Finding]:
    ends = [each.end for each in facts.outputs]
    for rule in (
        loss_rules.logits_twice,
        loss_rules.missing_activation,
        loss_rules.one_class,
        loss_rules.other_kind_of_probabilities,
        loss_rules.values_out_of_reach,
    ):
        yield from rule(ends)
    layers = [layer for layer, _ in facts.subject.layers]
    yield from loss_rules.softmax_of_one(ends, layers)


def labels_out_of_range(facts: Facts) -> Iterator[Finding]:
    """Labels that the loss has no meaning for."""
    for _, end, targets in _known(facts):
        loss = end.loss
        units = end.units or 0
        if loss in BINARY and (targets.least < 0 or targets.most > 1):
            rule, remedy = "values from 0 to 1", "Give 1 for yes and 0 for no."
            if targets.num_classes > 2:
                remedy = (
                    f"For {targets.num_classes} classes end with "
                    f"Dense({targets.num_classes}, 'softmax') and "
                    "sparse_categorical_crossentropy."
                )
            limits = [0, 1]
        elif loss == "sparsecategoricalcrossentropy" and units > 1:
            if targets.least >= 0 and targets.most < units:
                continue
            if end.ignored_class in (targets.least, targets.most):
                continue
            rule, limits = f"classes from 0 to {units - 1}", [0, units - 1]
            remedy = "Number the classes from 0, and give the output a unit for each."
        elif loss in HINGES and targets.kind == "binary" and targets.least == 0:
            continue
        else:
            continue
        yield Finding(
            "labels out of range",
            end.name,
            f"{end.loss_name} takes {rule}, and the labels go from "
            f"{targets.least:g} to {targets.most:g}.",
            remedy,
            evidence={"least": targets.least, "most": targets.most, "limits": limits},
            confidence=0.98,
            reference="the definition of the loss",
        )


def quantities_for_classes(facts: Facts) -> Iterator[Finding]:
    """A loss over classes for targets that are quantities."""
    for _, end, targets in _known(facts):
        loss = end.loss
        wide = targets.least < -0.01 or targets.most > 1.01
        if loss == "sparsecategoricalcrossentropy" and targets.is_whole:
            # Numbers of classes, most of which occur once.
            continue
        if loss in CATEGORICAL | BINARY and targets.kind == "quantities" and wide:
            yield Finding(
                "classification loss for quantities",
                end.name,
                f"The targets are quantities, from {targets.least:.3g} to "
                f"{targets.most:.3g}, and {end.loss_name} compares classes.",
                "For quantities end with a linear layer and use mse or huber.",
                evidence={"least": targets.least, "most": targets.most},
                code='model.compile("adam", loss="mse")',
                confidence=0.95,
                reference="the definition of the loss",
            )


def classes_as_quantities(facts: Facts) -> Iterator[Finding]:
    """A loss for quantities where the targets are classes."""
    for _, end, targets in _known(facts):
        if end.loss not in REGRESSIONS or not targets.is_classes:
            continue
        softmax = end.activation in ("softmax", "sigmoid")
        measured = any("acc" in name for name in facts.metric_names)
        numbers = targets.kind == "classes" and targets.num_classes > 2
        if numbers and not measured and not (end.units or 1) > 1:
            # Grades and counts are quantities.
            continue
        if not (numbers or measured or softmax):
            continue
        shape_fits = (end.units or 1) > 1 and targets.shape in ((), (1,))
        confidence = 0.9 if numbers or shape_fits else 0.5
        loss = (
            "sparse_categorical_crossentropy"
            if numbers or shape_fits
            else (
                "categorical_crossentropy"
                if targets.kind == "one-hot"
                else "binary_crossentropy"
            )
        )
        yield Finding(
            "regression loss for classes",
            end.name,
            f"The targets are {max(targets.num_classes, 2)} classes, and "
            f"{end.loss_name} takes their numbers for quantities"
            + (
                ": it pulls all units to the number of the class."
                if shape_fits
                else ": its gradients vanish where the prediction is wrong and sure."
                if softmax
                else "."
            ),
            f"Use {loss}, with "
            + ("sigmoid." if loss.startswith("binary") else "softmax."),
            severity="problem" if confidence > 0.8 else "warning",
            evidence={"classes": targets.num_classes},
            code=f'model.compile("adam", loss="{loss}", metrics=["accuracy"])',
            confidence=confidence,
            reference="Goodfellow et al., 2016, Deep Learning, section 6.2.2.2",
        )


def out_of_reach(facts: Facts) -> Iterator[Finding]:
    """Targets that the last activation cannot give."""
    for _, end, targets in _known(facts):
        low, high = REACH.get(end.activation or "", (-np.inf, np.inf))
        if end.loss in CATEGORICAL or end.loss in BINARY or end.from_logits:
            continue
        slack = 0.02 * max(high - low, 0.0) if np.isfinite(high - low) else 0.0
        if targets.least >= low - slack and targets.most <= high + slack:
            continue
        yield Finding(
            "targets out of reach",
            end.name,
            f"The output ends with {end.activation}, whose values lie from {low:g} to "
            f"{high:g}, and the targets go from {targets.least:.3g} to "
            f"{targets.most:.3g}.",
            "Leave out the activation, or scale the targets into its range.",
            evidence={
                "least": targets.least,
                "most": targets.most,
                "limits": [low, high],
            },
            code="keras.layers.Dense(1)",
            confidence=0.95,
            reference="the definition of the activation",
        )


def unscaled_targets(facts: Facts) -> Iterator[Finding]:
    """Quantities far from what the outputs begin with."""
    for each, end, targets in _known(facts):
        if end.loss not in REGRESSIONS or targets.is_classes:
            continue
        scale = max(abs(targets.mean), targets.std)
        out = each.predicted
        begins = 1.0 if out is None else float(np.sqrt(np.square(out).mean())) + 1e-3
        if scale > LARGE_TARGETS and scale > 3 * begins and scale > 0:
            yield Finding(
                "unscaled targets",
                end.name,
                f"The targets have mean {targets.mean:.3g} and standard deviation "
                f"{targets.std:.3g}, the outputs begin at {begins:.2g}: the first "
                "gradients are that much too large, and an optimizer with steps of "
                "the size of the learning rate takes long to get there.",
                "Standardize the targets, and scale the predictions back.",
                evidence={"mean": targets.mean, "std": targets.std, "outputs": begins},
                code="y = (y - y.mean()) / y.std()",
                confidence=min(0.9, 0.5 + 0.2 * np.log10(scale / LARGE_TARGETS)),
                reference="LeCun et al., 1998, Efficient BackProp, section 4.5",
            )
        elif 0 < scale < SMALL_TARGETS and begins > 100 * scale:
            yield Finding(
                "unscaled targets",
                end.name,
                f"The targets have mean {targets.mean:.3g} and standard deviation "
                f"{targets.std:.3g}, the outputs begin at {begins:.2g}, and an "
                "optimizer with steps of the size of the learning rate cannot settle "
                "between them.",
                "Standardize the targets, and scale the predictions back.",
                severity="warning",
                evidence={"mean": targets.mean, "std": targets.std, "outputs": begins},
                code="y = (y - y.mean()) / y.std()",
                confidence=0.6,
                reference="LeCun et al., 1998, Efficient BackProp, section 4.5",
            )
        if targets.reach > 1000:
            yield Finding(
                "outliers in the targets",
                end.name,
                f"The farthest target lies {targets.reach:.0f} times as far from the "
                "median as is usual.",
                "Look at it; use huber, or the logarithm of the targets.",
                severity="warning",
                evidence={"farthest_over_usual": targets.reach},
                code='loss="huber"',
                confidence=0.4,
                reference="Huber, 1964",
            )


def unequal_shapes(facts: Facts) -> Iterator[Finding]:
    """Outputs that are compared with targets of another shape."""
    for each, end, targets in _known(facts):
        out = each.predicted
        if out is None or out.ndim < 1:
            continue
        have, want = tuple(out.shape[1:]), tuple(targets.shape)
        if end.loss == "sparsecategoricalcrossentropy":
            if have[:-1] in (want, _plain(want)) or have == want:
                continue
        elif _plain(have) == _plain(want):
            continue
        if end.loss in CATEGORICAL and want in ((), (1,)) and len(have) == 1:
            continue
        known = BINARY | CATEGORICAL | REGRESSIONS | HINGES
        if end.loss in known:
            yield Finding(
                "outputs of another shape than the targets",
                end.name,
                f"An output has the shape {have}, a target {want}: "
                + (
                    "the loss compares each number of one with all of the other's."
                    if end.loss in REGRESSIONS
                    else f"{end.loss_name} cannot compare them."
                ),
                "Give the last layers the shape of the targets: Flatten or a global "
                "pooling behind images, return_sequences=False for the last recurrent "
                "layer.",
                evidence={"output": list(have), "target": list(want)},
                code="keras.layers.Flatten()" if len(have) > len(want) else "",
                confidence=0.9,
                reference="the definition of the loss",
            )


def _plain(shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape[:-1] if shape and shape[-1] == 1 else shape


def imbalanced(facts: Facts) -> Iterator[Finding]:
    """One class that nearly all samples belong to."""
    for _, end, targets in _known(facts):
        counts = targets.counts
        if not targets.is_classes or counts.sum() < 50:
            continue
        share = float(counts.max() / counts.sum())
        if share > 0.9 and not facts.has_weights_for_samples:
            yield Finding(
                "imbalanced classes",
                end.name,
                f"{share:.0%} of the samples belong to one class: a model that always "
                "says so has that accuracy.",
                "Look at balanced metrics (AUC, F1); weight the classes "
                "(`class_weight`) or sample them evenly.",
                severity="problem" if share > 0.97 else "warning",
                evidence={"largest_share": share, "classes": targets.num_classes},
                code="class_weight = dict(enumerate(len(y) / np.bincount(y)))",
                confidence=0.6,
                reference="He & Garcia, 2009, Learning from imbalanced data",
            )
        if targets.num_classes == 1:
            yield Finding(
                "one class",
                end.name,
                "All samples have the same label.",
                "Look at how the labels are read.",
                evidence={"classes": 1},
                confidence=0.95,
            )


def accuracy_of_quantities(facts: Facts) -> Iterator[Finding]:
    """Accuracy as a metric of quantities."""
    for _, end, targets in _known(facts):
        quantities = targets.kind == "quantities"
        if quantities and end.loss in REGRESSIONS:
            if any(name in ("accuracy", "acc") for name in facts.metric_names):
                yield Finding(
                    "accuracy of quantities",
                    end.name,
                    "Accuracy counts predictions that equal the target exactly, which "
                    "quantities hardly ever do.",
                    "Use mae or R2Score.",
                    severity="warning",
                    code='metrics=["mae", keras.metrics.R2Score()]',
                    confidence=0.7,
                    reference="the definition of accuracy",
                )


def without_information(facts: Facts) -> Iterator[Finding]:
    """Labels that simple models cannot predict at all."""
    for each in facts.outputs:
        end, simple = each.end, each.probe
        if not simple:
            continue
        gain = simple["score"] - simple["chance"]
        share = gain / max(1 - simple["chance"], 1e-6)
        if learns_from_labels(facts):
            continue
        if gain < 3 * simple["error"] and share < 0.1:
            if facts.trial is not None and facts.trial.shuffled is not None:
                simple = {
                    **simple,
                    "loss": facts.trial.plain.end,
                    "loss_with_shuffled_labels": facts.trial.shuffled.end,
                }
            yield Finding(
                "labels without information",
                end.name,
                "A linear model and the nearest neighbours predict held-out samples no "
                f"better than a constant ({simple['score']:.2f} against "
                f"{simple['chance']:.2f}).",
                "Look at whether inputs and labels still belong together, for "
                "instance after sorting or shuffling one of them; and at whether the "
                "inputs can tell the labels at all.",
                evidence=simple,
                confidence=0.8,
                reference="measured",
            )


def _known(facts: Facts) -> list[tuple[OutputFacts, OutputEnd, TargetFacts]]:
    """The outputs that there are targets for."""
    return [
        (each, each.end, each.targets)
        for each in facts.outputs
        if each.targets is not None
    ]


RULES = (
    of_settings,
    labels_out_of_range,
    quantities_for_classes,
    classes_as_quantities,
    out_of_reach,
    unscaled_targets,
    unequal_shapes,
    imbalanced,
    accuracy_of_quantities,
    without_information,
)
"""The rules of this file."""
