"""What reaches a backbone behind the layers in front of it: resizing, augmentation."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_deeptools.engine._graph.calls import Call, calls_of, producer, submodel
from keras_deeptools.transfer._epoch_batches import first_rows

PIXELS = "pixels"
"""The name of the input of what `backbone` makes."""
_SMALL = 0.05
"""Factors below make another unit of pixels in 0-255."""
_NUM_ROWS = 64


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
        """What arrives of the first rows of data."""
        rows = first_rows(x, _NUM_ROWS)
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
    >>> from keras_deeptools.transfer._backbones.pixels_in_front import rescaled_twice
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
