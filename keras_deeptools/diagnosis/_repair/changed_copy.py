"""Copies of models in which some layers are made with other settings."""

from typing import Any

import keras

from keras_deeptools.diagnosis._repair.copies import (
    copied_as_it_is,
    drawn_anew,
    set_in_place,
)
from keras_deeptools.engine._keras_private.layers import flat_layers
from keras_deeptools.engine._state.adapted_state import copy_adapted_state
from keras_deeptools.engine._update.step_reads import has_own_train_step

DIRECTIONS = ("forward_", "backward_")
"""What `Bidirectional` puts before the name of the layer that it wraps."""

Changes = dict[str, dict[str, Any]]


def is_wrappable(model: keras.Model) -> bool:
    """Whether a functional model around this one trains as it does itself."""
    return not has_own_train_step(model)


def is_of_keras(model: keras.Model) -> bool:
    """Whether the class of a model is one that Keras makes anew, layer by layer."""
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
    """Weights of layers that are not drawn anew, and what is frozen."""
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
