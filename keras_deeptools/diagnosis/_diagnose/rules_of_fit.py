"""Data that `fit` refuses, losses that it gets no good from, and too little of it."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_deeptools._finding import Finding
from keras_deeptools.diagnosis._audit.loss_rules import CATEGORICAL
from keras_deeptools.diagnosis._audit.subject import listing
from keras_deeptools.diagnosis._diagnose.facts import (
    Facts,
    accumulated_batches,
    learning,
    planned_batches,
)
from keras_deeptools.engine._data.step_errors import takes_text

SPARSE = "sparsecategoricalcrossentropy"
OF_PAIRS = CATEGORICAL - {SPARSE}
"""Losses that compare probabilities with one-hot targets."""

MOST_SMOOTHING = 0.5
DEFINITION = "the definition of the loss"


def text_as_data(facts: Facts) -> Iterator[Finding]:
    """Strings where numbers are expected."""
    for name, example in facts.text.items():
        if name == "inputs" and takes_text(facts.model):
            continue
        yield Finding(
            f"text as {name}",
            name,
            f"The {name} hold text such as {example[:30]!r}, where the model takes "
            "numbers.",
            "Number the classes."
            if name == "targets"
            else "Turn text into numbers first, for instance by TextVectorization.",
            evidence={"example": example[:30]},
            code="classes, y = np.unique(y, return_inverse=True)"
            if name == "targets"
            else "keras.layers.TextVectorization()",
            confidence=0.97,
            reference="measured",
        )


def other_form_of_labels(facts: Facts) -> Iterator[Finding]:
    """One-hot labels for a sparse loss, and numbers of classes for another."""
    for each in facts.outputs:
        end, targets = each.end, each.targets
        units = end.units or 0
        if targets is None or units < 2:
            continue
        if end.loss in OF_PAIRS and targets.shape in ((), (1,)):
            yield Finding(
                "class numbers for a one-hot loss",
                end.name,
                f"{end.loss_name} compares {units} probabilities with a row of {units} "
                "numbers for each sample, and each target is one number.",
                "Use sparse_categorical_crossentropy, or make the labels one-hot.",
                evidence={"units": units, "target": list(targets.shape)},
                code='model.compile("adam", loss="sparse_categorical_crossentropy")',
                confidence=0.95,
                reference=DEFINITION,
            )
        in_rows = targets.shape[-1:] == (units,) and targets.most <= 1
        if end.loss == SPARSE and in_rows and targets.least >= 0:
            yield Finding(
                "one-hot labels for a sparse loss",
                end.name,
                f"{end.loss_name} takes the number of the class of each sample, and "
                f"the targets are rows of {units} numbers.",
                "Use categorical_crossentropy, or the numbers of the classes.",
                evidence={"units": units, "target": list(targets.shape)},
                code='model.compile("adam", loss="categorical_crossentropy")',
                confidence=0.95,
                reference=DEFINITION,
            )


def weights_of_samples(facts: Facts) -> Iterator[Finding]:
    """Weights of classes or samples that take samples out, or turn them around."""
    by_class = facts.settings.class_weight
    if isinstance(by_class, dict) and by_class:
        values = {key: float(value) for key, value in by_class.items()}
        out = [key for key, value in values.items() if value <= 0]
        if out:
            yield _of_weights("class_weight", values.values(), len(out), len(values))
    given = None if facts.rows is None else facts.rows.sample_weight
    if given is None:
        return
    arrays = [np.asarray(v) for v in keras.tree.flatten(given) if v is not None]
    known = [each for each in arrays if each.dtype.kind in "biuf" and each.size]
    for each in known:
        without = int((each <= 0).sum())
        # Zeros leave out padding and missing labels.
        if (each < 0).any() or without > 0.95 * each.size:
            yield _of_weights("sample_weight", each.reshape(-1), without, each.size)


def _of_weights(name: str, values: Any, without: int, count: int) -> Finding:
    least = float(min(values))
    what = "are zero: nothing is learned from their samples"
    if least < 0:
        what = "are not positive: negative ones raise the loss of their samples"
    return Finding(
        "weights that leave samples out",
        name,
        f"{without} of {count} weights in `{name}` {what}.",
        "Use positive weights; the rarer the class, the larger.",
        evidence={"without": without, "weights": count, "least": least},
        code="class_weight = dict(enumerate(len(y) / np.bincount(y)))",
        confidence=0.93,
        reference="Keras' documentation of fit",
    )


def refused(facts: Facts) -> Iterator[Finding]:
    """Data that `fit` refuses, or that the train step fails on."""
    for name in ("data", "short trainings"):
        reason = facts.failures.get(name)
        if reason is not None:
            yield Finding(
                "fit fails",
                "the data" if name == "data" else "the first update",
                reason,
                "Give the data and the last layer the same shape and type that the "
                "loss expects.",
                evidence={},
                confidence=0.85,
                reference="measured",
            )
            return


def wrong_direction(facts: Facts) -> Iterator[Finding]:
    """Losses of the user's that are smaller for wrong predictions, or ignore them."""
    for each in facts.outputs:
        values = each.loss_values
        if not values:
            continue
        right, constant, far = values["right"], values["constant"], values["far"]
        size = max(map(abs, values.values()))
        if right > constant and right > far + 1e-6 * size:
            yield Finding(
                "loss of the wrong sign",
                each.end.name,
                f"{each.end.loss_name} is {right:.3g} for predictions that are right "
                f"and {far:.3g} for such that are far off: training drives them apart.",
                "Change the sign of what the loss returns.",
                evidence=values,
                code="loss = lambda y, predicted: -score(y, predicted)",
                confidence=0.9,
                reference="measured",
            )
        elif abs(right - constant) <= 1e-6 * size and abs(right - far) <= 1e-6 * size:
            yield Finding(
                "loss that ignores the predictions",
                each.end.name,
                f"{each.end.loss_name} is {right:.3g} for predictions that are right, "
                "for a constant and for such that are far off: it has no gradient.",
                "Compute the loss from the predictions, by functions with a slope.",
                evidence=values,
                confidence=0.9,
                reference="measured",
            )


def several_labels(facts: Facts) -> Iterator[Finding]:
    """Softmax over classes of which a sample can have several."""
    for each in facts.outputs:
        end, targets = each.end, each.targets
        if targets is None or facts.rows is None or targets.kind != "multi-hot":
            continue
        if end.loss != "categoricalcrossentropy" or len(facts.outputs) > 1:
            continue
        [y] = [np.asarray(v) for v in keras.tree.flatten(facts.rows.y)][:1]
        several = float((y.sum(axis=-1) > 1).mean())
        if several > 0:
            yield Finding(
                "softmax for several labels",
                end.name,
                f"{several:.0%} of the samples have more than one label, and the "
                "probabilities of a softmax add up to 1: a second label can only be "
                "had for less of the first.",
                "Use sigmoid, which predicts each label for itself, and "
                "binary_crossentropy.",
                evidence={"with_several": several},
                code='model.compile("adam", loss="binary_crossentropy")',
                confidence=0.9,
                reference="Goodfellow et al., 2016, Deep Learning, section 6.2.2.2",
            )


def settings_of_losses(facts: Facts) -> Iterator[Finding]:
    """Label smoothing that leaves nothing, and percentages of zero."""
    for each in facts.outputs:
        end, targets = each.end, each.targets
        smoothing = end.label_smoothing
        if smoothing >= MOST_SMOOTHING:
            yield Finding(
                "label smoothing too strong",
                end.name,
                f"With label_smoothing={smoothing:g} the targets are {smoothing:.0%} "
                "the same for all samples.",
                "Use 0.1.",
                evidence={"label_smoothing": smoothing, "usual": 0.1},
                code="keras.losses.CategoricalCrossentropy(label_smoothing=0.1)",
                confidence=0.9,
                reference="Szegedy et al., 2016, section 7. "
                "https://arxiv.org/abs/1512.00567",
            )
        if targets is None or facts.rows is None:
            continue
        if end.loss != "meanabsolutepercentageerror":
            continue
        arrays = [np.asarray(v) for v in keras.tree.flatten(facts.rows.y)]
        small = np.abs(arrays[facts.outputs.index(each)]) < 1e-3 * abs(targets.std)
        share = float(small.mean())
        if share > 0:
            yield Finding(
                "percentage error of zeros",
                end.name,
                f"{share:.1%} of the targets are zero, or nearly: an error is divided "
                "by them, so that they outweigh all others by far.",
                "Use mae, or the logarithm of the targets.",
                evidence={"zeros": share},
                code='model.compile("adam", loss="mae")',
                confidence=0.9 if share > 0.01 else 0.6,
                severity="problem" if share > 0.01 else "warning",
                reference="the definition of the loss",
            )


def lagging_averages(facts: Facts) -> Iterator[Finding]:
    """BatchNormalization whose averages have no time to follow."""
    planned = planned_batches(facts, unknown=0)
    slow = [
        (layer.name, float(layer.momentum))
        for layer, _ in facts.subject.layers
        if isinstance(layer, keras.layers.BatchNormalization)
        and layer.trainable
        and 0 < planned * (1 - layer.momentum) < 2
    ]
    if slow:
        momentum = max(value for _, value in slow)
        yield Finding(
            "BatchNormalization that lags",
            listing(name for name, _ in slow),
            f"With a momentum of {momentum:g} its averages are {momentum**planned:.0%} "
            f"what they began with after the {planned} updates that are planned: "
            "validation and inference differ from training.",
            "Lower the momentum, or train for longer.",
            severity="warning",
            evidence={"momentum": momentum, "updates": planned},
            code="keras.layers.BatchNormalization(momentum=0.9)",
            confidence=0.6,
            reference="Ioffe & Szegedy, 2015, algorithm 2",
        )


def too_few_updates(facts: Facts) -> Iterator[Finding]:
    """So few updates that no model could learn in them."""
    batches = planned_batches(facts, unknown=0)
    together = accumulated_batches(facts)
    planned = batches // together
    if 0 < batches and planned < 50 and learning(facts) != "learns":
        yield Finding(
            "too few updates",
            "epochs" if together == 1 else "gradient_accumulation_steps",
            f"{planned} updates are planned"
            + ("." if together == 1 else f": one for each {together} batches."),
            "Train for more epochs, or with smaller batches"
            + ("." if together == 1 else ", or accumulate fewer of them."),
            severity="warning" if planned else "problem",
            evidence={"updates": planned, "batches": batches},
            confidence=0.7 if planned else 0.95,
            reference="Smith, 2018, section 3. https://arxiv.org/abs/1803.09820",
        )


RULES = (
    text_as_data,
    other_form_of_labels,
    weights_of_samples,
    refused,
    wrong_direction,
    several_labels,
    settings_of_losses,
    lagging_averages,
    too_few_updates,
)
"""The rules of this file."""
