"""Problems of inputs, as arrays and as what the first layers receive."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_deeptools._finding import Finding
from keras_deeptools.engine import Captured, LayerCall
from keras_deeptools.engine._data.errors import non_finite_counts

KERNELS = ("pointwise_kernel", "kernel", "depthwise_kernel")
"""Weights that a layer with numbers as inputs multiplies them by."""

BRIGHT = 64.0
"""Whole numbers from 0 to more than this, but not over 255, are pixels."""

FEW_VALUES = 10.0
"""Whole numbers within such a range may be flags or counts."""

UNEVEN_SCALES = 1000.0
"""Ratio of two features' standard deviations too large for one learning rate."""

LARGE = 100.0
"""Standard deviation of inputs that initializers are not made for."""


def findings_of_targets(y: Any) -> list[Finding]:
    """Finds NaN and infinity in targets.

    Args:
        y: Array or nested structure of arrays, or None.
    """
    named = [] if y is None else _named(y, "targets")
    found = [finding for name, array in named for finding in _of_array(name, array)]
    return [
        replace(each, kind="non-finite targets")
        for each in found
        if each.kind == "non-finite inputs"
    ]


def findings_of_arrays(x: Any) -> list[Finding]:
    """Finds what the numbers alone show: NaN, infinity, samples that are all the same.

    Args:
        x: Array or nested structure of arrays `(samples, ...)`.
    """
    return [finding for name, array in _named(x) for finding in _of_array(name, array)]


def is_finite(x: Any) -> bool:
    """Returns whether all floats of inputs are finite.

    Args:
        x: Array or nested structure of arrays.
    """
    return not any(_counts_of(array)[2] for _, array in _named(x))


def _named(x: Any, what: str = "inputs") -> list[tuple[str, np.ndarray]]:
    pairs = keras.tree.flatten_with_path(x)
    named = [
        (f"{what}[{']['.join(map(repr, path))}]" if path else what, each)
        for path, each in pairs
    ]
    return [(name, np.asarray(each)) for name, each in named if each is not None]


def _of_array(name: str, array: np.ndarray) -> Iterator[Finding]:
    nans, infinities, samples = _counts_of(array)
    if samples:
        yield Finding(
            "non-finite inputs",
            name,
            f"{nans + infinities} of {array.size} numbers are not finite ({nans} NaN), "
            f"in {samples} of {len(array)} samples: loss and weights will be NaN after "
            "one update.",
            "Fill in or drop what is missing, for instance with `numpy.nan_to_num` or "
            "the mean of the feature.",
            evidence={
                "nan": nans,
                "infinite": infinities,
                "numbers": array.size,
                "samples": samples,
                "of_samples": len(array),
            },
        )
    elif len(array) > 1 and array.dtype.kind in "biuf" and (array == array[:1]).all():
        yield Finding(
            "constant inputs",
            name,
            f"All {len(array)} samples are the same: nothing can be learned from them.",
            "Look at how the data are read and scaled.",
            evidence={"samples": len(array), "different_samples": 1},
        )


def _counts_of(array: np.ndarray) -> tuple[int, int, int]:
    """Counts NaN, infinities, and samples with one of them."""
    is_float = "float" in str(array.dtype)
    return non_finite_counts(array) if is_float else (0, 0, 0)


def received_by(call: LayerCall, tensor: Any) -> dict[str, Any] | None:
    """Returns numbers about what a layer with a kernel gets, for `Capture(received=)`.

    Args:
        call: `LayerCall`.
        tensor: Its first argument.
    """
    weighted = any(role in call.variables for role in KERNELS)
    if not weighted or not ops.is_tensor(tensor) or not len(tensor.shape):
        return None
    dtype = keras.backend.standardize_dtype(tensor.dtype)
    if "float" not in dtype and "int" not in dtype:
        return None
    values = ops.cast(tensor, "float32")
    spread = ops.std(values, axis=list(range(len(values.shape) - 1)))
    varying = ops.where(spread > 0, spread, ops.max(spread))
    return {
        "least": ops.min(values),
        "most": ops.max(values),
        "std": ops.std(values),
        "scale": ops.sqrt(ops.mean(ops.square(values))),
        "whole": ops.all(ops.equal(values, ops.round(values))),
        "spread": ops.stack([ops.min(varying), ops.max(varying)]),
    }


def findings_of_received(found: Captured, x: Any) -> list[Finding]:
    """Finds problems in what reaches the first layers, after any preprocessing.

    Args:
        found: `Captured` with `received_by`.
        x: The inputs of the pass: array or nested structure of arrays.
    """
    arrays = [array for _, array in _named(x)]
    integers = any(array.dtype.kind in "iu" for array in arrays)
    findings: list[Finding] = []
    is_first = True
    for call, numbers in zip(found.calls, found.received, strict=True):
        if numbers is None:
            continue
        kind = type(call.layer).__name__
        findings += _of_received(call.name, kind, numbers, integers, is_first)
        is_first = False
    return findings


def _of_received(
    name: str, kind: str, numbers: dict[str, Any], integers: bool, is_first: bool
) -> Iterator[Finding]:
    least, most = float(numbers["least"]), float(numbers["most"])
    low, high = (float(each) for each in numbers["spread"])
    if bool(numbers["whole"]) and least >= 0 and BRIGHT < most <= 255:
        yield Finding(
            "unscaled pixels",
            name,
            f"It receives whole numbers from {least:.0f} to {most:.0f}, as pixels are: "
            "its outputs, and the gradients of its weights, are some hundred times too "
            "large.",
            "Scale them in the model, by `keras.layers.Rescaling(1 / 255)` or as the "
            "pretrained weights want it, or in the data.",
            severity="warning",
            evidence={"least": least, "most": most},
            code="keras.layers.Rescaling(1 / 255)",
        )
    elif bool(numbers["whole"]) and integers and most - least > FEW_VALUES:
        yield Finding(
            "integers as quantities",
            name,
            f"A {kind} receives whole numbers from {least:.0f} to {most:.0f} and takes "
            "them for quantities.",
            "Look up token ids and categories in `keras.layers.Embedding`; scale what "
            "are quantities, for instance by `keras.layers.Normalization`.",
            severity="warning",
            evidence={"least": least, "most": most},
        )
    elif is_first and low > 0 and high / low > UNEVEN_SCALES:
        yield Finding(
            "uneven inputs",
            name,
            f"The standard deviations of the features that it receives go from "
            f"{low:.2g} to {high:.2g}: small ones hardly count.",
            "Standardize each feature, for instance by `keras.layers.Normalization`, "
            "adapted to the training inputs.",
            severity="warning",
            evidence={
                "least_std": low,
                "most_std": high,
                "ratio": high / low,
                "most_ratio": UNEVEN_SCALES,
            },
        )
    elif is_first and float(numbers["std"]) > LARGE:
        yield Finding(
            "large inputs",
            name,
            f"It receives inputs of standard deviation {float(numbers['std']):.3g}.",
            "Standardize them, for instance by `keras.layers.Normalization`, adapted "
            "to the training inputs.",
            severity="warning",
            evidence={"std": float(numbers["std"]), "most_std": LARGE},
        )
