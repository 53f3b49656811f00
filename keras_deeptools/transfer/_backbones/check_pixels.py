"""A look at the first images, as they reach a backbone behind other layers."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_deeptools.engine._graph.calls import Call, calls_of, producer, submodel
from keras_deeptools.transfer._epoch_batches import can_be_read_again, first_rows

PIXELS = "pixels"
"""The name of the input of what `backbone` makes."""
_SMALL = 0.05
"""Factors below make another unit of pixels in 0-255."""
_NUM_LOOKED_AT = 64

_OWNER = "check_pixels"
_NUM_ROWS = 256


@dataclass(frozen=True, eq=False)
class PixelEntry:
    """A place in a model where pixels in 0-255 must arrive; found by `pixel_entries`.

    Attributes:
        name: Str, the name of the backbone there.
        front: `keras.Model` from the model's inputs to that place, or None where these
            are the same.
        position: Int, the position of the input where there is no front, else 0.
    """

    name: str
    front: keras.Model | None
    position: int = 0

    def arriving(self, x: Any) -> np.ndarray:
        """What arrives of the first samples of the data."""
        rows = first_rows(x, _NUM_LOOKED_AT)
        if self.front is None:
            return np.asarray(keras.tree.flatten(rows)[self.position])
        rows = keras.tree.map_structure(keras.ops.convert_to_tensor, rows)
        return keras.ops.convert_to_numpy(self.front(rows, training=False))

    @property
    def scaling(self) -> list[str]:
        """Names of the layers in front that change the values of pixels."""
        if self.front is None:
            return []
        kinds = (keras.layers.Rescaling, keras.layers.Normalization)
        calls = calls_of(self.front) or []
        known = [c.operation.name for c in calls if isinstance(c.operation, kinds)]
        others = [
            call.operation.name
            for call in calls
            if not isinstance(call.operation, keras.Layer)
        ]
        return known or others


def pixel_entries(model: Any) -> list[PixelEntry]:
    """The places of a model where a backbone takes pixels, also inside nested models.

    Args:
        model: `keras.Model`; one without a graph has none.
    """
    if not isinstance(model, keras.Model):
        return []
    inputs = list(getattr(model, "inputs", None) or [])
    found = [
        PixelEntry(model.name, None, position)
        for position, tensor in enumerate(inputs)
        if tensor.name == PIXELS
    ]
    if found or calls_of(model) is None:
        return found
    for name, tensor in _entering(model):
        same = [i for i, each in enumerate(inputs) if each is tensor]
        if same:
            found.append(PixelEntry(name, None, same[0]))
        else:
            found.append(PixelEntry(name, submodel(model, tensor)))
    return found


def rescaled_twice(model: Any) -> tuple[str, str] | None:
    """The names of two layers that scale pixels down one after the other, or None.

    What stands between has no weights: augmentation, resizing.

    Args:
        model: `keras.Model`.

    Example:

    >>> import keras
    >>> from keras_deeptools.transfer._backbones.check_pixels import rescaled_twice
    >>> scalings = [keras.layers.Rescaling(1 / 255, name=name) for name in ("a", "b")]
    >>> rescaled_twice(keras.Sequential([keras.Input((8, 8, 3)), *scalings]))
    ('a', 'b')
    """
    if not isinstance(model, keras.Model):
        return None
    calls = calls_of(model) or []
    for call in calls:
        if _scales_down(call) or _standardizes_pixels(call):
            for position in _before(calls, call):
                if _scales_down(calls[position]):
                    return calls[position].operation.name, call.operation.name
    return None


def _before(calls: list[Call], call: Call) -> Iterator[int]:
    """The calls that lead to one through calls without weights."""
    waiting = list(call.parents)
    seen: set[int] = set()
    while waiting:
        position = waiting.pop()
        if position in seen:
            continue
        seen.add(position)
        yield position
        if not getattr(calls[position].operation, "weights", ()):
            waiting += calls[position].parents


def _scales_down(call: Call) -> bool:
    layer = call.operation
    if not isinstance(layer, keras.layers.Rescaling):
        return False
    return bool(np.max(np.abs(layer.scale)) < _SMALL)


def _standardizes_pixels(call: Call) -> bool:
    """Whether constants of a `Normalization` are those of pixels in 0-255."""
    layer = call.operation
    if not isinstance(layer, keras.layers.Normalization) or layer.weights:
        return False
    mean = layer.input_mean
    return mean is not None and bool(np.max(np.asarray(mean)) > 2)


def _entering(model: keras.Model) -> Iterator[tuple[str, Any]]:
    """The names of backbones in a model, and the tensors that enter them."""
    waiting = list(model.outputs)
    seen: set[int] = set()
    while waiting:
        tensor = waiting.pop()
        operation, inputs = producer(tensor)
        if id(tensor) in seen:
            continue
        seen.add(id(tensor))
        waiting += inputs
        inner = operation
        while isinstance(inner, keras.layers.Wrapper):
            inner = inner.layer
        if isinstance(inner, keras.Model) and len(inputs) == 1:
            for entry in pixel_entries(inner):
                if entry.front is None:
                    yield entry.name, inputs[0]
                elif inner is operation:
                    yield entry.name, entry.front(inputs[0])


def check_pixels(x: Any, model: keras.Model | None = None) -> tuple[float, float]:
    """Raises an error if images are not in 0-255, as `backbone` expects them.

    A graph cannot raise an error on every backend, so nothing in the model checks its
    inputs. Call this function once on the data, before `fit`. It checks the first
    images only: 256 samples of an array, or one batch of anything else.

    Args:
        x: Array or tensor of images, of any shape; a `tf.data.Dataset`,
            `keras.utils.PyDataset`, `DataLoader` or another iterable of batches, alone
            or with targets: of `(x, y, ...)`, `x` is checked. A generator is refused,
            because its first batch would be lost to `fit`.
        model: `keras.Model` that `x` is for, or None. If given, the check is made on
            what arrives at the backbone inside the model, after the model's own
            resizing, augmentation and scaling; a model without a backbone accepts
            anything.

    Returns:
        Tuple of two floats, the smallest and the largest value seen.

    Raises:
        ValueError: If a value is below 0, above 255 or not finite; if floats seem to
            have been scaled, to [0, 1] for instance; if there are no images; or if
            `model` scales pixels down twice.
        TypeError: If `x` is none of these types.

    Example:

    >>> import numpy as np
    >>> from keras_deeptools.transfer import check_pixels
    >>> images = np.random.default_rng(0).integers(0, 256, (10, 32, 32, 3), "uint8")
    >>> check_pixels(images)
    (0.0, 255.0)
    >>> check_pixels(images / 255)
    Traceback (most recent call last):
    ...
    ValueError: check_pixels: `x` must be pixels in 0-255. Received: float64 values from
    0 to 1, which seem to be scaled to [0, 1]. Leave out that scaling: the backbone
    scales by itself.
    """
    if not can_be_read_again(x):
        raise TypeError(
            f"{_OWNER}: `x` must not be a generator, whose first batch would be lost. "
            f"Received: {type(x).__name__}. Check a batch: check_pixels(batch)."
        )
    if model is not None:
        return check_pixels_of(model, x)
    return _checked(_first_pixels(x))


def check_pixels_of(model: keras.Model, x: Any) -> tuple[float, float]:
    """Raises an error where what reaches the backbones of a model is not in 0-255.

    Args:
        model: `keras.Model`; one without a backbone takes anything.
        x: Inputs, as in `fit`; a generator is not looked at.

    Returns:
        Tuple of two floats, the smallest and the largest value that arrives; NaN where
        nothing was looked at.
    """
    twice = rescaled_twice(model)
    if twice is not None:
        raise ValueError(
            f"{_OWNER}: `model` must scale pixels once. Received: {model.name!r}, "
            f"where {twice[0]!r} scales down what {twice[1]!r} scales down again. "
            f"Leave {twice[0]!r} out: the backbone scales by itself."
        )
    if x is None or not can_be_read_again(x):
        return math.nan, math.nan
    ranges = []
    for entry in pixel_entries(model):
        behind = () if entry.front is None else (entry, _raw(x))
        ranges.append(_checked(entry.arriving(x), *behind))
    if not ranges:
        return math.nan, math.nan
    return min(low for low, _ in ranges), max(high for _, high in ranges)


def _raw(x: Any) -> np.ndarray:
    """The first input, as it is before the model."""
    return np.asarray(keras.tree.flatten(first_rows(x, _NUM_ROWS))[0])


def _checked(
    pixels: np.ndarray, entry: PixelEntry | None = None, raw: np.ndarray | None = None
) -> tuple[float, float]:
    """The range of pixels, or an error.

    Args:
        pixels: Array, what the backbone gets.
        entry: `PixelEntry` where that comes from layers in front of it.
        raw: Array, what these layers get.
    """
    if not pixels.size:
        raise ValueError(f"{_OWNER}: `x` must hold images. Received: none.")
    if not (np.issubdtype(pixels.dtype, np.number)):
        raise TypeError(
            f"{_OWNER}: `x` must be numbers. Received: values of type {pixels.dtype}. "
            "Decode the images first."
        )
    low, high = float(pixels.min()), float(pixels.max())
    kind = pixels.dtype if raw is None or (raw.size and raw.max() > high) else raw.dtype
    found = _problem(low, high, integers=not np.issubdtype(kind, np.floating))
    if found and entry is not None and raw is not None:
        before = f"{raw.dtype} values from {raw.min():g} to {raw.max():g} in `x`"
        scaling = [repr(name) for name in entry.scaling]
        through = f" after {', '.join(scaling)}" if scaling else ""
        raise ValueError(
            f"{_OWNER}: `x` must be pixels in 0-255 where they reach {entry.name!r}. "
            f"Received: values from {low:g} to {high:g} there{through}, of {before}, "
            f"{found}"
        )
    if found:
        raise ValueError(
            f"{_OWNER}: `x` must be pixels in 0-255. Received: {pixels.dtype} values "
            f"from {low:g} to {high:g}, {found}"
        )
    return low, high


def _problem(low: float, high: float, integers: bool) -> str:
    """What is wrong with values in this range and what to do, or nothing."""
    leave_out = "Leave out that scaling: the backbone scales by itself."
    if not np.isfinite([low, high]).all():
        return "not all of them finite. Look at how the images are read."
    if low < 0:
        scaled = "scaled to [-1, 1]" if low >= -1 and high <= 1 else "standardized"
        return f"which seem to be {scaled}. {leave_out}"
    if high > 255:
        return "of more than 8 bits. Divide them so that white is 255."
    if not integers and 0 < high <= 1:
        return f"which seem to be scaled to [0, 1]. {leave_out}"
    return ""


def _first_pixels(x: Any) -> np.ndarray:
    """The first images as an array."""
    if hasattr(x, "shape") and hasattr(x, "dtype"):
        return _array(x[:_NUM_ROWS] if len(x.shape) else x)
    if isinstance(x, tuple):
        return _first_pixels(x[0])
    try:
        batches = (x[i] for i in range(len(x))) if _is_indexed(x) else iter(x)
    except TypeError:
        raise TypeError(
            f"{_OWNER}: `x` must be images or batches of them. Received: x of type "
            f"{type(x).__name__}."
        ) from None
    first = list(itertools.islice(batches, 1))
    return _array(_unpacked(first[0])) if first else np.zeros(0)


def _is_indexed(x: Any) -> bool:
    return isinstance(x, keras.utils.PyDataset)


def _unpacked(batch: Any) -> Any:
    """`x` of a batch `(x, y, ...)`."""
    x = batch[0] if isinstance(batch, (tuple, list)) else batch
    if isinstance(x, dict):
        raise TypeError(
            f"{_OWNER}: `x` must be batches of one input. Received: a dict of "
            f"{sorted(x)}. Check the images alone."
        )
    return x


def _array(images: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(images))
