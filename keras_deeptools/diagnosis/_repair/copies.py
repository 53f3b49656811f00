"""Copies of models whose class Keras cannot make anew from a config."""

import copy
import types
from typing import Any

import keras
import numpy as np

COMPILED = ("optimizer", "train_function", "test_function", "predict_function")
"""Attributes of a model that belong to `compile` and `fit`, which a copy makes anew."""

WRAPPED = ("build", "quantize")
"""Methods that Keras wraps for each layer, with the layer itself in the wrapper."""

ATOMS = (type, types.FunctionType, types.BuiltinFunctionType, types.ModuleType, str)


def copied_as_it_is(model: keras.Model) -> keras.Model:
    """A copy of a built model by its attributes, with variables of its own.

    Keras copies by configs, which a subclassed model may lack, or which may make it
    from layers that the original uses too.

    Args:
        model: `keras.Model`, built. Its copy is not compiled.

    Raises:
        TypeError: If it holds something that cannot be copied.
        ValueError: If it is not built.

    Example:

    >>> import keras
    >>> from keras_deeptools.diagnosis._repair.copies import copied_as_it_is
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> twin = copied_as_it_is(model)
    >>> twin.layers[0].kernel is model.layers[0].kernel, twin.count_params()
    (False, 3)
    """
    if not model.built:
        raise ValueError(
            f"repair: the model must be built to be copied. Received: {model.name!r}, "
            "which is not. Call it once on a batch first."
        )
    memo: dict[int, Any] = {}
    for name in COMPILED:
        held = getattr(model, name, None)
        if held is not None:
            memo[id(held)] = None
    return _copied(model, memo)


def _copied(value: Any, memo: dict[int, Any]) -> Any:
    if id(value) in memo:
        return memo[id(value)]
    if value is None or isinstance(value, (*ATOMS, bool, int, float)):
        return value
    if isinstance(value, types.MethodType):
        return types.MethodType(value.__func__, _copied(value.__self__, memo))
    if isinstance(value, tuple):
        parts = [_copied(each, memo) for each in value]
        # Those with names take their parts one by one.
        return tuple(parts) if type(value) is tuple else type(value)(*parts)
    if isinstance(value, (list, dict, set)):
        return _container(value, memo)
    if _is_of_keras(value):
        new = object.__new__(type(value))
        memo[id(value)] = new
        _fill(new, value, memo)
        return new
    return copy.deepcopy(value, memo)


def _is_of_keras(value: Any) -> bool:
    """Objects whose own way to be copied goes through a file, and those they hold."""
    if isinstance(value, (keras.Layer, keras.Variable)):
        return True
    return any(
        kind.__module__.partition(".")[0] == "keras" for kind in type(value).__mro__
    )


def _container(value: Any, memo: dict[int, Any]) -> Any:
    """Lists, dicts and sets, also those by which Keras notes what is put in them."""
    kind: Any = type(value)
    new = kind.__new__(kind)
    memo[id(value)] = new
    if isinstance(value, list):
        list.extend(new, [_copied(each, memo) for each in value])
    elif isinstance(value, dict):
        for key, each in value.items():
            dict.__setitem__(new, _copied(key, memo), _copied(each, memo))
    else:
        set.update(new, [_copied(each, memo) for each in value])
    _fill(new, value, memo)
    return new


def _fill(new: Any, old: Any, memo: dict[int, Any]) -> None:
    for name, value in getattr(old, "__dict__", {}).items():
        if name in WRAPPED and isinstance(value, types.FunctionType):
            continue
        new.__dict__[name] = _copied(value, memo)


def drawn_anew(layer: Any) -> dict[str, Any]:
    """The initializers of weights that hold NaN or infinity, as changes of a layer.

    Args:
        layer: `keras.Layer`, built.
    """
    changes = {}
    for key, value in list(vars(layer).items()):
        held = getattr(layer, key.removesuffix("_initializer"), None)
        if not key.endswith("_initializer") or not isinstance(held, keras.Variable):
            continue
        if not np.isfinite(keras.ops.convert_to_numpy(held)).all():
            changes[key] = keras.initializers.serialize(value)
    return changes


def set_in_place(layer: Any, changes: dict[str, Any]) -> None:
    """Changes entries of the config of a layer that is there already.

    Args:
        layer: Layer of a copy.
        changes: Dict from the name of an entry to its value.

    Raises:
        ValueError: If an entry decides on shapes or on what is called.
    """
    for key, value in changes.items():
        if key == "activation":
            layer.activation = keras.activations.get(value)
        elif key.endswith("_initializer"):
            role = key.removesuffix("_initializer")
            variable = getattr(layer, role, None)
            setattr(layer, key, keras.initializers.get(value))
            if variable is not None:
                fresh = keras.initializers.get(value)
                variable.assign(fresh(variable.shape, dtype=variable.dtype))
        elif key.endswith("_regularizer"):
            chosen = keras.regularizers.get(value)
            setattr(layer, key, chosen)
            variable = getattr(layer, key.removesuffix("_regularizer"), None)
            if variable is not None:
                variable.regularizer = chosen
        elif key.endswith("_constraint"):
            limit = keras.constraints.get(value)
            setattr(layer, key, limit)
            variable = getattr(layer, key.removesuffix("_constraint"), None)
            if variable is not None:
                variable.constraint = limit
        elif key in ("rate", "momentum"):
            setattr(layer, key, value)
        else:
            raise ValueError(
                f"repair: `{key}` of {layer.name} cannot be changed in a copy of a "
                "model without a graph. Change it in the code of the model."
            )
