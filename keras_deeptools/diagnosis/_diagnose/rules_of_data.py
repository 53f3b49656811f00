"""Faults of the inputs and of how they are fed."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from keras_deeptools._finding import Finding
from keras_deeptools.diagnosis._diagnose.facts import Facts
from keras_deeptools.statistics._input_findings import (
    findings_of_arrays,
    findings_of_targets,
)

NORMALIZERS = (
    keras.layers.BatchNormalization,
    keras.layers.LayerNormalization,
    keras.layers.Normalization,
)
LARGE_SCALE = 10.0
"""Root mean square of what a first layer receives; initializers are made for 1."""

FAR = 1000.0
"""Distance of a value from the median over the usual one."""

UNEVEN = 30.0
"""Ratio of the scales of two features."""

ORDERED = 0.5
"""Of the neighbours that would differ by chance, the part that may be equal."""


def non_finite(facts: Facts) -> Iterator[Finding]:
    """NaN and infinity."""
    if facts.rows is not None:
        found = [
            *findings_of_arrays(facts.rows.x),
            *findings_of_targets(facts.rows.y),
        ]
        yield from (replace(each, confidence=0.99) for each in found)


def unscaled(facts: Facts) -> Iterator[Finding]:
    """Inputs far from the scale that initial weights are made for."""
    received = _first_received(facts)
    if not facts.inputs or _is_normalized(facts) or received is None:
        return
    name, numbers = received
    low, high = (float(each) for each in numbers["spread"])
    scale = float(numbers["scale"])
    pixels = numbers["whole"] and numbers["least"] >= 0 and 64 < numbers["most"] <= 255
    evidence = {"scale": scale, "usual_scale": 1.0, "least_std": low, "most_std": high}
    if scale > LARGE_SCALE:
        what = "whole numbers as pixels are" if pixels else "inputs"
        remedy, code = STANDARDIZE
        if pixels:
            remedy = "Scale them in the model or in the data."
            code = "keras.layers.Rescaling(1 / 255)"
        yield Finding(
            "unscaled inputs",
            name,
            f"It receives {what} from {numbers['least']:.3g} to {numbers['most']:.3g} "
            f"(root mean square {scale:.3g}), where initial weights are made for 1: "
            "its outputs, and the gradients of its weights, are that many times too "
            "large.",
            remedy,
            evidence=evidence,
            code=code,
            confidence=min(0.95, 0.55 + 0.2 * math.log10(scale / LARGE_SCALE)),
            reference="LeCun et al., 1998, Efficient BackProp, section 4.3",
        )
    elif low > 0 and high / low > UNEVEN and high > 3:
        yield Finding(
            "uneven inputs",
            name,
            f"The standard deviations of the features that it receives go from "
            f"{low:.2g} to {high:.2g}: small ones hardly count.",
            *STANDARDIZE[:1],
            evidence=evidence,
            code=STANDARDIZE[1],
            severity="warning",
            confidence=0.5,
            reference="LeCun et al., 1998, Efficient BackProp, section 4.3",
        )
    elif scale < 1 / (3 * LARGE_SCALE) and (facts.inputs[0].rank < 3 or scale < 1e-2):
        twice = facts.inputs[0].rank == 3 and facts.inputs[0].most <= 1
        yield Finding(
            "unscaled inputs",
            name,
            f"It receives inputs of root mean square {scale:.2g}, where initial "
            "weights are made for 1: signals and gradients are that much too small."
            + (" They are scaled to 1 already before the model." if twice else ""),
            "Scale them once: in the model or in the data."
            if twice
            else STANDARDIZE[0],
            evidence=evidence,
            code="" if twice else STANDARDIZE[1],
            severity="warning",
            confidence=0.5,
            reference="LeCun et al., 1998, Efficient BackProp, section 4.3",
        )


def _first_received(facts: Facts) -> tuple[str, dict[str, Any]] | None:
    """What the first layer with a kernel receives; a recurrent one gets the inputs."""
    for call in facts.subject.calls:
        layer = call.operation
        if isinstance(layer, keras.layers.RNN) and len(facts.inputs) == 1:
            [each] = facts.inputs
            stds = each.feature_stds[each.feature_stds > 0]
            return layer.name, {
                "least": each.least,
                "most": each.most,
                "whole": each.is_integer,
                "scale": math.hypot(each.mean, each.std),
                "spread": [stds.min(initial=np.inf), stds.max(initial=0.0)],
            }
        if hasattr(layer, "kernel") or isinstance(layer, keras.layers.Rescaling):
            break
    return facts.received[0] if facts.received else None


STANDARDIZE = (
    "Standardize each feature, for instance by `keras.layers.Normalization`, adapted "
    "to the training inputs.",
    "normalization = keras.layers.Normalization(); normalization.adapt(x)",
)


def _is_normalized(facts: Facts) -> bool:
    """Whether a normalization, or a table of ids, stands before all kernels."""
    for call in facts.subject.calls:
        if isinstance(call.operation, (*NORMALIZERS, keras.layers.Embedding)):
            return True
        if hasattr(call.operation, "kernel"):
            return False
    return False


def constant_features(facts: Facts) -> Iterator[Finding]:
    """Features that are the same in all samples."""
    for each in facts.inputs:
        constant = int((each.feature_stds == 0).sum())
        if each.rank == 1 and constant > len(each.feature_stds) / 2 and each.std > 0:
            yield Finding(
                "constant features",
                each.name or "inputs",
                f"{constant} of {len(each.feature_stds)} features are the same in all "
                "samples.",
                "Leave them out.",
                severity="note",
                evidence={"constant": constant, "features": len(each.feature_stds)},
            )


def outliers(facts: Facts) -> Iterator[Finding]:
    """Columns whose scale is that of a few samples alone."""
    for each in facts.inputs:
        far = int((each.reach > FAR).sum())
        if each.rank == 1 and far and not _is_normalized(facts):
            yield Finding(
                "outliers in the inputs",
                each.name or "inputs",
                f"In {far} of {len(each.reach)} features the farthest value lies "
                f"{each.reach.max():.3g} times as far from the median as is usual: "
                "scaled by it, all other samples look alike.",
                "Look at these samples; clip them, take logarithms, or scale by "
                "quantiles.",
                severity="warning",
                evidence={"features": far, "farthest_over_usual": each.reach.max()},
                code="x = np.clip(x, *np.quantile(x, [0.001, 0.999], axis=0))",
                # One column may be meant to be like that.
                confidence=0.7 if 2 * far > len(each.reach) else 0.45,
                reference="Huber, 1964",
            )


def few_or_repeated(facts: Facts) -> Iterator[Finding]:
    """Data sets of few samples, or of the same ones again and again."""
    count = None if facts.rows is None else facts.rows.num_samples
    if count is not None and count < 100:
        yield Finding(
            "few samples",
            "inputs",
            f"There are {count} samples.",
            "Use transfer learning, augmentation, or a smaller model with "
            "regularization.",
            severity="note",
            evidence={"samples": count},
        )
    repeated = [each for each in facts.inputs if each.duplicates > 0.2]
    if repeated and len(repeated) == len(facts.inputs):
        share = min(each.duplicates for each in repeated)
        yield Finding(
            "duplicate samples",
            "inputs",
            f"{share:.0%} of the samples occurred before.",
            "Drop them, above all across training and validation data.",
            severity="note",
            evidence={"duplicates": share},
        )


def sorted_samples(facts: Facts) -> Iterator[Finding]:
    """Samples that come class after class, and are not shuffled."""
    rows, only = facts.rows, facts.only
    if rows is None or only is None or only.targets is None:
        return
    if rows.are_arrays and facts.settings.shuffle is not False:
        return
    if not only.targets.is_classes or rows.ordered is None:
        return
    ordered = np.asarray(keras.tree.flatten(rows.ordered)[0])
    ordered = ordered.reshape(len(ordered), -1)
    labels = ordered.argmax(axis=1) if ordered.shape[1] > 1 else ordered[:, 0]
    shares = np.unique(labels, return_counts=True)[1] / len(labels)
    same, chance = float((labels[1:] == labels[:-1]).mean()), float((shares**2).sum())
    size = rows.batch_size or facts.settings.batch_size or 32
    one_class = len(shares) == 1 and len(labels) >= 2 * size
    if one_class or (chance < 1 and (same - chance) / (1 - chance) > ORDERED):
        how = "Pass `shuffle=True`" if rows.are_arrays else "Shuffle the data set"
        yield Finding(
            "sorted samples",
            "y",
            f"The samples come sorted by class ({same:.0%} have the class of the one "
            f"before, {chance:.0%} would by chance), and are not shuffled: each batch "
            "teaches one class and unteaches the others.",
            f"{how}, with a buffer as large as the data where that is possible.",
            evidence={"same_as_before": same, "by_chance": chance},
            code="dataset = dataset.unbatch().shuffle(10_000).batch(32)"
            if not rows.are_arrays
            else "model.fit(x, y, shuffle=True)",
            confidence=0.95,
            reference="Bottou, 2012, Stochastic gradient descent tricks, section 4.1",
        )


def other_validation(facts: Facts) -> Iterator[Finding]:
    """Validation data on another scale, with other classes, or of the same samples."""
    known = facts.validation
    if known is None or facts.rows is None:
        return
    pairs = zip(_arrays(facts.rows.x), _arrays(known.x), strict=False)
    for train, valid in pairs:
        first, second = (
            np.where(np.isfinite(each), each, np.nan).astype("float64")
            for each in (train, valid)
        )
        if first.shape[1:] != second.shape[1:]:
            continue
        means = np.nanmean(first), np.nanmean(second)
        stds = np.nanstd(first) + 1e-12, np.nanstd(second) + 1e-12
        ratio, apart = stds[1] / stds[0], abs(means[1] - means[0]) / stds[0]
        if not 1 / 4 < ratio < 4 or apart > 3:
            yield Finding(
                "validation data on another scale",
                "validation_data",
                f"Its inputs have mean {means[1]:.3g} and standard deviation "
                f"{stds[1]:.3g}, those of the training data {means[0]:.3g} "
                f"and {stds[0]:.3g}: validation tells nothing.",
                "Scale both in the same way, best inside the model.",
                evidence={"ratio_of_stds": ratio, "means_apart": apart},
                confidence=0.95,
            )
        same = {row.tobytes() for row in train.reshape(len(train), -1)}
        copies = sum(row.tobytes() in same for row in valid.reshape(len(valid), -1))
        share = copies / len(valid)
        if (
            share > 0.1
            and facts.inputs
            and max(i.duplicates for i in facts.inputs) < 0.1
        ):
            yield Finding(
                "validation samples in the training data",
                "validation_data",
                f"{share:.0%} of the validation samples that were looked at are "
                "training samples too: validation is too good.",
                "Split before copying or augmenting.",
                severity="warning",
                evidence={"copies": share},
                confidence=0.8,
            )
    only = facts.only
    if only is not None and only.targets is not None and only.targets.is_classes:
        labels = (
            np.asarray(keras.tree.flatten(known.ordered)[0])
            if (known.ordered is not None)
            else None
        )
        if labels is not None and only.targets.kind in ("classes", "binary"):
            new = np.setdiff1d(
                np.unique(labels),
                np.unique(np.asarray(keras.tree.flatten(facts.rows.ordered)[0])),
            )
            if len(new):
                yield Finding(
                    "classes that are not trained",
                    "validation_data",
                    f"Its labels hold {_listed(new)}, which the training labels do "
                    "not.",
                    "Split the samples at random, or by class (stratified).",
                    evidence={"classes": new[:10]},
                    confidence=0.9,
                )


def _arrays(x: object) -> list[np.ndarray]:
    arrays = [np.asarray(v) for v in keras.tree.flatten(x) if v is not None]
    return [each for each in arrays if each.dtype.kind in "biuf"]


def _listed(values: np.ndarray) -> str:
    return ", ".join(f"{value:g}" for value in values[:5])


def channels_in_front(facts: Facts) -> Iterator[Finding]:
    """Images with the channels before height and width, for convolutions over them."""
    first = next(
        (c.operation for c in facts.subject.calls if hasattr(c.operation, "kernel")),
        None,
    )
    if not isinstance(first, keras.layers.Conv2D) or facts.rows is None:
        return
    [array] = _arrays(facts.rows.x)[:1] or [np.zeros(1)]
    last = first.data_format == "channels_last"
    if array.ndim != 4 or not last:
        return
    channels, _, width = array.shape[1:]
    if channels in (1, 3) and width > 4:
        yield Finding(
            "channels in front",
            "inputs",
            f"Samples have the shape {array.shape[1:]}, and {first.name} takes the "
            f"last axis, of {width}, for channels: it slides over columns.",
            "Move the axis, or give the layers data_format='channels_first'.",
            evidence={"first": channels, "last": width},
            code="x = np.moveaxis(x, 1, -1)",
            confidence=0.8,
            reference="Keras' documentation of data_format",
        )


RULES = (
    channels_in_front,
    non_finite,
    unscaled,
    constant_features,
    outliers,
    few_or_repeated,
    sorted_samples,
    other_validation,
)
"""The rules of this file."""
