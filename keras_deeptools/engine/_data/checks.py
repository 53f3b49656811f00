"""One batch of any data that `fit` takes, and whether a model can take it."""

import contextlib
import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_deeptools.engine._backends.active import training
from keras_deeptools.engine._building.first_call import (
    has_call,
    is_built,
    reason_of,
    try_on,
)
from keras_deeptools.engine._building.first_step import build_in_first_step
from keras_deeptools.engine._data.fit_batches import random_generators
from keras_deeptools.engine._data.samples import (
    concatenated,
    num_rows,
    numpy_batches,
    row_shapes,
)
from keras_deeptools.engine._keras_private.data import adapter_of
from keras_deeptools.engine._keras_private.graph import input_structure
from keras_deeptools.engine._keras_private.layers import build_shapes, flat_layers
from keras_deeptools.engine._state.random_state import RandomState

MOST_ROWS = 4096
"""Of longer arrays, samples at even distances are taken: statistics need no more."""

ENOUGH_ROWS = 256
"""Batches of a dataset are joined until there are so many samples."""


@dataclass(frozen=True, eq=False)
class CheckedBatch:
    """A batch that a model can take; made by `checked_batch`.

    Attributes:
        x: Inputs, as the model takes them.
        y: Targets, or None.
        rows: Int, the number of samples.
        networks: List of `keras.Model` that take `x`, all of them built: the model
            itself, or, of a model that has a `train_step` and no `call`, those of its
            networks that do.
        others: List of names of networks of such a model that do not take `x`.
    """

    x: Any
    y: Any
    rows: int
    networks: list[Any]
    others: list[str]


def checked_batch(
    owner: str, model: Any, x: Any, y: Any = None, finite: bool = True
) -> CheckedBatch:
    """Takes a batch from data; a model that is not built is built for it.

    Random states stay as they are. The initial weights are those that a first `fit`
    would begin with.

    Args:
        owner: Str, name of the caller for errors.
        model: What should be a `keras.Model`.
        x: Data as `fit` takes them: arrays, tensors, data frames, lists or dicts of
            them; or a `tf.data.Dataset`, `PyDataset`, torch `DataLoader` or generator,
            which loses the one batch that is taken from it.
        y: Targets, where `x` is arrays; a dataset's own are taken from it.
        finite: Bool. Whether NaN and infinity are refused.

    Returns:
        `CheckedBatch`.

    Raises:
        TypeError: If `model` is no Keras model, or the data are none that Keras takes.
        ValueError: If the data are empty, not finite, or of a shape that the model does
            not take, or if the model has no weights.
    """
    if not isinstance(model, keras.Model):
        raise TypeError(
            f"{owner}: `model` must be a keras.Model. Received: model={model!r}."
        )
    if is_built(model) and not model.variables:
        raise _without_weights(owner, model)
    batch, x, y = _read(owner, x, y)
    rows = {
        _checked(owner, name, each, finite)
        for name, values in (("x", x), ("y", y))
        for each in keras.tree.flatten(values)
        if each is not None
    }
    if len(rows) != 1:
        received = f"{' and '.join(map(str, sorted(rows)))} samples."
        raise _of_different_lengths(owner, received)
    x, y = _rows_of_one_step(model, x, y)
    if has_call(model):
        networks: list[Any] = [model]
        others: list[str] = []
        _check_fit(owner, model, x)
    else:
        networks, others = _networks_for(owner, model, x, batch)
    if not model.variables:
        raise _without_weights(owner, model)
    return CheckedBatch(x, y, num_rows(x), networks, others)


def _read(owner: str, x: Any, y: Any) -> tuple[Any, Any, Any]:
    """One batch as `fit` gets it, its inputs and targets, as numpy arrays."""
    if x is None or (keras.tree.is_nested(x) and not keras.tree.flatten(x)):
        raise ValueError(
            f"{owner}: `x` must be data. Received: x={x!r}. Give an array or a dataset."
        )
    random = RandomState(*random_generators(x))
    try:
        if isinstance(x, types.GeneratorType):
            # Keras reads ahead.
            x = _first_of(x)
        adapter = adapter_of(x, 2**31, y)
        with contextlib.closing(numpy_batches(adapter)) as batches:
            batch = _joined(batches, type(adapter).__name__)
    except Exception as error:
        if "same number of samples" in str(error):
            raise _of_different_lengths(owner, reason_of(error)) from error
        raise TypeError(
            f"{owner}: `x` must be an array of numbers, a nested structure of them, or "
            f"other data that `fit` takes. Received: {_described(x)}, of which Keras "
            f"says: {reason_of(error)} Convert it with `numpy.array`, to numbers."
        ) from error
    finally:
        random.restore()
    if batch is None:
        raise ValueError(
            f"{owner}: `x` must hold at least one sample. Received: {_described(x)}."
        )
    inputs, targets, _ = keras.utils.unpack_x_y_sample_weight(batch)
    length = len(keras.tree.flatten(inputs)[0])
    if length > MOST_ROWS:
        step = -(-length // MOST_ROWS)
        inputs, targets = keras.tree.map_structure(
            lambda each: None if each is None else each[::step], (inputs, targets)
        )
    return batch, inputs, targets


def _first_of(source: Iterator[Any]) -> Iterator[Any]:
    batch = next(source, None)
    return (each for each in [batch] if each is not None)


def _rows_of_one_step(model: Any, x: Any, y: Any) -> tuple[Any, Any]:
    """As many samples as the model takes, if its `Input` has a fixed batch size."""
    sizes = {tensor.shape[0] for tensor in _declared_inputs(model)} - {None}
    if not sizes or num_rows(x) < min(sizes):
        return x, y
    return keras.tree.map_structure(
        lambda each: None if each is None else each[: min(sizes)], (x, y)
    )


def _joined(batches: Iterator[Any], kind: str) -> Any:
    """As many batches as are needed, in one; None where there is none."""
    found = [next(batches, None)]
    if found[0] is None or kind in ("ArrayDataAdapter", "GeneratorDataAdapter"):
        return found[0]
    while sum(num_rows(each) for each in found) < ENOUGH_ROWS:
        more = next(batches, None)
        if more is None or row_shapes(more) != row_shapes(found[0]):
            break
        found.append(more)
    return keras.tree.map_structure(concatenated, *found)


def _checked(owner: str, name: str, array: Any, finite: bool) -> int:
    """The number of samples of one array."""
    if not array.ndim or not array.size:
        raise ValueError(
            f"{owner}: `{name}` must hold at least one sample, along the first axis. "
            f"Received: shape={array.shape}."
        )
    if finite and _is_float(array) and not np.isfinite(array).all():
        raise ValueError(
            f"{owner}: `{name}` must be finite. Received: NaN or infinity in it. "
            "`np.isfinite` finds these numbers, `np.nan_to_num` replaces them."
        )
    return array.shape[0]


def _is_float(array: Any) -> bool:
    return "float" in str(array.dtype)


def _check_fit(owner: str, model: Any, x: Any) -> None:
    """Raises unless a model takes the inputs; builds it where it is not built."""
    declared = _declared_inputs(model)
    if declared:
        _check_shapes(owner, model, declared, x)
    built_for = _built_for(model)
    try:
        if declared and is_built(model):
            return
        try_on(model, x)
    except Exception as error:
        raise ValueError(
            f"{owner}: `x` must be what the model takes. Received: {_described(x)}, of "
            f"which {model.name!r}{built_for} says: {reason_of(error)} Give "
            "the data that you would give `fit`."
        ) from error


def _check_shapes(owner: str, model: Any, declared: list[Any], x: Any) -> None:
    named = input_structure(model)
    if isinstance(named, dict) and isinstance(x, dict) and not set(named) <= set(x):
        raise ValueError(
            f"{owner}: `x` must have the keys of the model's inputs, "
            f"{', '.join(map(repr, named))}. Received: the keys "
            f"{', '.join(map(repr, x))}. Name the data as the inputs are named."
        )
    arrays = _in_order(model, declared, x)
    if len(arrays) != len(declared):
        raise ValueError(
            f"{owner}: `x` must have an array for each input of the model. Received: "
            f"{len(arrays)} for {len(declared)} inputs, "
            f"{', '.join(repr(tensor.name) for tensor in declared)}. Give a list, or a "
            "dict from these names."
        )
    for array, tensor in zip(arrays, declared, strict=True):
        if array is not None and not _fits(array.shape, tensor.shape):
            raise ValueError(
                f"{owner}: `x` must have the shape of the model's input "
                f"{tensor.name!r}, {tuple(tensor.shape)}. Received: "
                f"shape={array.shape}. Reshape the data, or declare another `Input`."
            )


def _networks_for(
    owner: str, model: Any, x: Any, batch: Any
) -> tuple[list[Any], list[str]]:
    """The networks of a model without a `call` that take inputs, and other names."""
    if not is_built(model) and getattr(model, "optimizer", None) is not None:
        # Its own step knows what each network gets; where it fails, the networks that
        # are built are looked at all the same.
        if training.BUILDS_IN_STEP:
            with contextlib.suppress(Exception):
                build_in_first_step(model, training.as_tensors(batch))
    inner = [
        each
        for each in flat_layers(model, include_self=False, recursive=False)
        if isinstance(each, keras.Model) and has_call(each)
    ]
    if len(inner) == 1 and not is_built(inner[0]):
        _check_fit(owner, inner[0], x)
    taking = [each for each in inner if is_built(each) and _takes(each, x)]
    if not taking:
        listed = ", ".join(repr(each.name) for each in inner) or "none"
        raise ValueError(
            f"{owner}: `model` must have a `call`, or a network that is built and "
            f"takes `x`. Received: {model.name!r} with the networks: {listed}; x: "
            f"{_described(x)}. Pass one of its networks, with what it is given in "
            "training; call it on that once where it is not built."
        )
    return taking, [each.name for each in inner if each not in taking]


def _takes(model: Any, x: Any) -> bool:
    try:
        _check_fit("", model, x)
    except ValueError:
        return False
    return True


def _declared_inputs(model: Any) -> list[Any]:
    return list(getattr(model, "inputs", None) or [])


def _in_order(model: Any, declared: list[Any], x: Any) -> list[Any]:
    names = [tensor.name for tensor in declared]
    if isinstance(x, dict) and names and set(names) <= set(x):
        return [x[name] for name in names]
    return keras.tree.flatten(x)


def _fits(shape: tuple[int, ...], declared: tuple[int | None, ...]) -> bool:
    if len(shape) == len(declared) + 1 and shape[-1] == 1:
        shape = shape[:-1]
    elif len(shape) == len(declared) - 1 and declared[-1] == 1:
        shape = (*shape, 1)
    return len(shape) == len(declared) and all(
        want in (None, have) for have, want in zip(shape[1:], declared[1:], strict=True)
    )


def _described(x: Any) -> str:
    """Types and shapes of inputs, with their names."""
    if isinstance(x, list | tuple) and x:
        first = keras.tree.flatten(x)[0]
        if isinstance(first, bool | int | float | str):
            return f"a {type(x).__name__} of Python {type(first).__name__}"
    if not keras.tree.is_nested(x):
        shape = getattr(x, "shape", None)
        kind = f"{type(x).__name__}"
        return kind if shape is None else f"shape={tuple(shape)}"
    items = list(x.items()) if isinstance(x, dict) else list(enumerate(x))
    return ", ".join(f"{name!r}: {_described(each)}" for name, each in items[:8])


def _built_for(model: Any) -> str:
    shapes = build_shapes(model)
    if not shapes:
        return ""
    return f", built for shape {next(iter(shapes.values()))},"


def _without_weights(owner: str, model: Any) -> ValueError:
    return ValueError(
        f"{owner}: `model` must have weights. Received: {model.name!r}, which has "
        "none. Give it a layer with weights."
    )


def _of_different_lengths(owner: str, received: str) -> ValueError:
    return ValueError(
        f"{owner}: all of `x` and `y` must have the same number of samples. "
        f"Received: {received} Cut them to one length."
    )
