"""Whether a batch is one that a model can take, said before anything is done."""

from typing import Any

import keras
import numpy as np


def check_batch(owner: str, model: Any, x: Any, y: Any = None) -> int:
    """Raises a named error for a model or a batch that a pass cannot use.

    Integers are legal where the model declares an integer input, and where an embedding
    looks them up (token ids). Elsewhere they are most likely pictures that nobody has
    scaled, and refused.

    Args:
        owner: Str, name of the caller for errors.
        model: What should be a built `keras.Model`.
        x: Inputs: array or nested structure of arrays.
        y: Targets in the same way, or None for none.

    Returns:
        Int, the number of rows.

    Raises:
        TypeError: If `model` is no Keras model, or the data no arrays of numbers.
        ValueError: If the model is not built, or the data are empty, of the wrong
            shape, not finite, or integers where numbers are wanted.
    """
    if not isinstance(model, keras.Model):
        raise TypeError(
            f"{owner}: `model` must be a keras.Model. Received: model={model!r}."
        )
    if not model.built or not model.variables:
        raise ValueError(
            f"{owner}: `model` must be built and have weights. Received: a model "
            f"{model.name!r} without. Give it an `Input`, or call it once on a batch."
        )
    arrays = _in_order(owner, model, x)
    rows = {_checked(owner, "x", each) for each in arrays}
    if y is not None:
        rows |= {_checked(owner, "y", each) for each in keras.tree.flatten(y)}
    if len(rows) != 1:
        raise ValueError(
            f"{owner}: all of `x` and `y` must have the same number of rows. "
            f"Received: rows={sorted(rows)}."
        )
    declared = _declared_inputs(model)
    if not declared:
        if any(_is_integer(each) for each in arrays) and not _embeds(model):
            raise _integers(owner)
        return rows.pop()
    if len(arrays) != len(declared):
        raise ValueError(
            f"{owner}: `x` must have an array for each input of the model. Received: "
            f"{len(arrays)} for {len(declared)} inputs."
        )
    for array, tensor in zip(arrays, declared, strict=True):
        if not _fits(array.shape, tensor.shape):
            raise ValueError(
                f"{owner}: `x` must have the shape of the model's input "
                f"{tensor.name!r}, {tuple(tensor.shape)}. Received: "
                f"shape={array.shape}."
            )
        if _is_integer(array) and "int" not in tensor.dtype:
            consumers = [n.operation for n in _consumers(model, tensor)]
            if not consumers or not all(_embeds(each) for each in consumers):
                raise _integers(owner)
    return rows.pop()


def _declared_inputs(model: Any) -> list[Any]:
    return list(getattr(model, "inputs", None) or [])


def _in_order(owner: str, model: Any, x: Any) -> list[Any]:
    names = [tensor.name for tensor in _declared_inputs(model)]
    by_name = isinstance(x, dict) and not isinstance(
        getattr(model, "_inputs_struct", None), dict
    )
    if by_name and names and set(names) <= set(x):
        x = [x[name] for name in names]
    arrays = [each for each in keras.tree.flatten(x) if each is not None]
    if not arrays:
        raise ValueError(f"{owner}: `x` must be a batch of data. Received: x={x!r}.")
    return [_array(owner, "x", each) for each in arrays]


def _array(owner: str, name: str, value: Any) -> np.ndarray:
    try:
        found = np.asarray(
            keras.ops.convert_to_numpy(value) if keras.ops.is_tensor(value) else value
        )
    except (TypeError, ValueError):
        found = np.array(None)
    if found.dtype.kind not in "biuf" and "float" not in str(found.dtype):
        raise TypeError(
            f"{owner}: `{name}` must be an array of numbers, or a nested structure of "
            f"them. Received: {type(value).__name__}. Take one batch of your data."
        )
    return found


def _checked(owner: str, name: str, value: Any) -> int:
    array = _array(owner, name, value)
    if not array.ndim or not array.size:
        raise ValueError(
            f"{owner}: `{name}` must have rows of data. Received: shape={array.shape}."
        )
    if not _is_integer(array) and not np.isfinite(array).all():
        raise ValueError(
            f"{owner}: `{name}` must be finite. Received: NaN or infinity in it."
        )
    return array.shape[0]


def _is_integer(array: np.ndarray) -> bool:
    return array.dtype.kind in "biu"


def _fits(shape: tuple[int, ...], declared: tuple[int | None, ...]) -> bool:
    if len(shape) == len(declared) + 1 and shape[-1] == 1:
        shape = shape[:-1]
    elif len(shape) == len(declared) - 1 and declared[-1] == 1:
        shape = (*shape, 1)
    return len(shape) == len(declared) and all(
        want in (None, have) for have, want in zip(shape, declared, strict=True)
    )


def _consumers(model: Any, tensor: Any) -> list[Any]:
    graph = getattr(model, "_functional", None) or model
    by_depth = getattr(graph, "_nodes_by_depth", {})
    nodes = [node for level in by_depth.values() for node in level]
    return [n for n in nodes if any(tensor is each for each in n.input_tensors)]


def _embeds(layer: Any) -> bool:
    """Whether token ids are what the layer, or one inside it, takes."""
    inner = layer._flatten_layers() if isinstance(layer, keras.Layer) else []
    return any(isinstance(each, keras.layers.Embedding) for each in inner)


def _integers(owner: str) -> ValueError:
    return ValueError(
        f"{owner}: `x` must be floats, scaled as in training, unless it is token ids "
        "for an embedding or the model's input is declared as integers. Received: "
        'integers. Scale them, for instance `x.astype("float32") / 255`.'
    )
