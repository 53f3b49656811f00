"""Copies of models of any class, in which some layers have other settings."""

import copy
import types
from typing import Any

import keras
import numpy as np

from keras_deeptools.engine._keras_private.layers import flat_layers
from keras_deeptools.engine._state.adapted_state import copy_adapted_state
from keras_deeptools.engine._update.step_reads import has_own_train_step

DIRECTIONS = ("forward_", "backward_")
"""What `Bidirectional` puts before the name of the layer that it wraps."""

Changes = dict[str, dict[str, Any]]

COMPILED = ("optimizer", "train_function", "test_function", "predict_function")
"""Attributes of a model from `compile` and `fit`, which a copy makes for itself."""

WRAPPED = ("build", "quantize")
"""Methods that Keras wraps for each layer, with the layer itself in the wrapper."""

ATOMS = (type, types.FunctionType, types.BuiltinFunctionType, types.ModuleType, str)


def is_wrappable(model: keras.Model) -> bool:
    """Whether a functional model around this one trains as it does itself."""
    return not has_own_train_step(model)


def is_of_keras(model: keras.Model) -> bool:
    """Whether the class of a model is one that Keras copies layer by layer."""
    is_graph = isinstance(model, keras.Sequential) or getattr(model, "inputs", None)
    return bool(is_graph) and type(model).__module__.partition(".")[0] == "keras"


def changed_copy(
    model: keras.Model, changes: Changes, input_shape: tuple[int, ...] | None
) -> keras.Model:
    """A copy that is not compiled, with the weights of what is not changed.

    Args:
        model: `keras.Model`, built.
        changes: Dict from the name of a layer to entries of its config.
        input_shape: Shape of a sample, where it is another than the model's; or None.

    Raises:
        ValueError: If there is no such layer, or it cannot be changed.
    """
    names = {layer.name for layer in flat_layers(model)}
    missing = sorted(set(changes) - names)
    if missing:
        raise ValueError(f"repair: no layer is called {', '.join(missing)}.")
    for layer in flat_layers(model):
        # A training that diverged has left nothing to go on from.
        lost = drawn_anew(layer)
        if lost:
            changes = {**changes, layer.name: {**lost, **changes.get(layer.name, {})}}
    if is_of_keras(model):
        return _cloned(model, changes, input_shape)
    copy = copied_as_it_is(model)
    by_name = {layer.name: layer for layer in flat_layers(copy)}
    for name, entries in changes.items():
        set_in_place(by_name[name], entries)
    return copy


def _cloned(
    model: keras.Model, changes: Changes, input_shape: tuple[int, ...] | None
) -> keras.Model:
    tensors = None
    if input_shape is not None:
        tensors = keras.Input(input_shape, dtype=model.inputs[0].dtype)
    copy = keras.models.clone_model(
        model,
        input_tensors=tensors,
        clone_function=lambda layer: _made_with(layer, changes),
        recursive=True,
    )
    copy_adapted_state(model, copy)
    _copy_weights(model, copy, changes)
    return copy


def _made_with(layer: Any, changes: Changes) -> Any:
    """A layer from its config, with what is changed in it and in those inside."""
    entries = dict(changes.get(layer.name, {}))
    kind = entries.pop("class_name", None)
    config = {**_patched(layer.get_config(), changes), **entries}
    made = type(layer) if kind is None else getattr(keras.layers, kind)
    return made.from_config(config)


def _patched(config: Any, changes: Changes) -> Any:
    """Entries of layers that a config holds, as wrappers do."""
    if isinstance(config, list):
        return [_patched(each, changes) for each in config]
    if not isinstance(config, dict):
        return config
    patched = {key: _patched(value, changes) for key, value in config.items()}
    inner = patched.get("config")
    if isinstance(inner, dict) and "name" in inner:
        for prefix in ("", *DIRECTIONS):
            found = changes.get(f"{prefix}{inner['name']}")
            if found:
                patched["config"] = {**inner, **found}
    return patched


def _copy_weights(model: keras.Model, copy: keras.Model, changes: Changes) -> None:
    """Copies which layers are frozen, and weights that are not initialized again."""
    by_name = {layer.name: layer for layer in flat_layers(copy)}
    for layer in flat_layers(model):
        other = by_name.get(layer.name)
        if other is None or other is copy or isinstance(layer, keras.Model):
            continue
        other.trainable = layer.trainable
        entries = changes.get(layer.name, {})
        drawn = {
            key.removesuffix("_initializer")
            for key in entries
            if key.endswith("_initializer")
        }
        if [v.shape for v in layer.variables] != [v.shape for v in other.variables]:
            continue
        for old, new in zip(layer.variables, other.variables, strict=True):
            if old.name not in drawn:
                new.assign(keras.ops.convert_to_numpy(old))


def with_ends(
    copy: keras.Model,
    model: keras.Model,
    x: Any,
    front: dict[int, tuple[Any, ...]],
    back: tuple[Any, ...],
) -> keras.Model:
    """A functional model with layers before and after a copy.

    Args:
        copy: `keras.Model`, the copy.
        model: `keras.Model` that it is a copy of, which takes the same inputs.
        x: Arrays that it is trained on, for the shapes of a model without a graph.
        front: Dict from the position of an input to layers or operations.
        back: Tuple of layers after the only output.
    """
    inputs, prepared = _through_front(model, x, front)
    outputs = copy(prepared)
    for layer in back:
        outputs = layer(outputs)
    return keras.Model(inputs, outputs, name=model.name)


def preprocessing(
    model: keras.Model, x: Any, front: dict[int, tuple[Any, ...]]
) -> keras.Model:
    """The layers before a model, as a model of their own.

    Args:
        model: `keras.Model` that cannot be part of another one.
        x: Arrays that it is trained on.
        front: Dict from the position of an input to layers or operations.
    """
    inputs, prepared = _through_front(model, x, front)
    return keras.Model(inputs, prepared)


def _through_front(
    model: keras.Model, x: Any, front: dict[int, tuple[Any, ...]]
) -> tuple[Any, Any]:
    known = x
    if getattr(model, "inputs", None):
        known = getattr(model, "input", model.inputs[0])
    inputs = keras.tree.map_structure(
        lambda each: keras.Input(
            each.shape[1:],
            dtype=keras.backend.standardize_dtype(each.dtype),
            name=getattr(each, "name", None) if known is not x else None,
        ),
        known,
    )
    flat = keras.tree.flatten(inputs)
    for position, layers in front.items():
        for layer in layers:
            flat[position] = layer(flat[position])
    return inputs, keras.tree.pack_sequence_as(inputs, flat)


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
    >>> from keras_deeptools.diagnosis._repair.changed_copy import copied_as_it_is
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
        role, _, kind = key.rpartition("_")
        variable = getattr(layer, role, None) if role else None
        if key == "activation":
            layer.activation = keras.activations.get(value)
        elif kind == "initializer":
            setattr(layer, key, keras.initializers.get(value))
            if variable is not None:
                fresh = keras.initializers.get(value)
                variable.assign(fresh(variable.shape, dtype=variable.dtype))
        elif kind in ("regularizer", "constraint"):
            chosen = getattr(keras, f"{kind}s").get(value)
            setattr(layer, key, chosen)
            if variable is not None:
                setattr(variable, kind, chosen)
        elif key in ("rate", "momentum"):
            setattr(layer, key, value)
        else:
            raise ValueError(
                f"repair: `{key}` of {layer.name} cannot be changed in a copy of a "
                "model without a graph. Change it in the code of the model."
            )
