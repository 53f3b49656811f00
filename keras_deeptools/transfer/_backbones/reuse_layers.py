"""The lower layers of one model under a new head."""

import warnings
import weakref
from collections.abc import Sequence
from typing import Any

import keras

from keras_deeptools._arguments import checked_bool, checked_count, message
from keras_deeptools.engine._graph.calls import submodel
from keras_deeptools.engine._graph.tensors import (
    layer_names,
    tensor_after,
    tensor_before_head,
)
from keras_deeptools.engine._state.adapted_state import copy_adapted_state

_OWNER = "reuse_layers"
_shared: weakref.WeakSet[keras.Model] = weakref.WeakSet()


def reuse_layers(
    model: keras.Model,
    head: keras.Layer | Sequence[keras.Layer] | None = None,
    *,
    num_layers: int | None = None,
    until: str | None = None,
    share: bool = False,
    name: str | None = None,
) -> keras.Model:
    """A new model for a related task: the lower layers of another, and a new head.

    The layers are copied with their weights and flags, so training the new model never
    changes the other one. The usual next steps are to `freeze` the copied layers,
    compile and train the head, then to unfreeze the layers and continue with a small
    learning rate.

    With `share=True` the layers are the same objects in both models. Sharing costs no
    memory, but **training the new model changes the other one**, whose own head was
    trained on what these layers gave before. Freezing the layers in one model freezes
    them in both, and a model that was compiled earlier does not notice. Share layers
    only if this is intended: for two tasks trained in turns, or for a model that is no
    longer needed.

    Args:
        model: `keras.Model`, functional or a built Sequential; a nested model counts as
            one layer. It need not be compiled.
        head: `keras.Layer`, or a list of them, for the new model; None for no head.
        num_layers: Int >= 1, how many layers to take, in the order of computation,
            inputs not counted. Give this or `until`, or neither: then all layers before
            the last one with weights are taken.
        until: Name of the last layer to take, one of the model's own.
        share: Bool. Whether the layers are shared instead of copied. If True, a warning
            is issued once for each model.
        name: Name of the new model. Default: the name of `model` with `"_reused"`.

    Returns:
        `keras.Model`, functional, not compiled, with the inputs of `model` that the
        layers need. Layers keep their names.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If the model has no graph, there is no such cut, a layer cannot be
            copied, or a name of a new layer is taken.

    Example:

    >>> import keras
    >>> from keras_deeptools.transfer import freeze, reuse_layers
    >>> hidden = [keras.layers.Dense(8, "relu", name=name) for name in ("a", "b")]
    >>> old = keras.layers.Dense(10, "softmax", name="old")
    >>> model = keras.Sequential([keras.Input((4,)), *hidden, old])
    >>> new = reuse_layers(model, keras.layers.Dense(1, "sigmoid", name="new"))
    >>> [layer.name for layer in new.layers[1:]], new.get_layer("a") is hidden[0]
    (['a', 'b', 'new'], False)
    >>> freeze(new, ["a", "b"])
    >>> len(new.trainable_variables), len(model.trainable_variables)
    (2, 6)
    """
    if not isinstance(model, keras.Model):
        raise TypeError(message(_OWNER, "model", "a `keras.Model`", model))
    checked_bool(_OWNER, "share", share)
    new_layers = _checked_head(head)
    body = submodel(model, _cut(model, num_layers, until))
    _check_names(body, new_layers)
    if share:
        _warn(model)
    else:
        body = _copy(body)
    outputs = body.outputs[0]
    for layer in new_layers:
        outputs = layer(outputs)
    structure = body.inputs[0] if len(body.inputs) == 1 else body.inputs
    return keras.Model(structure, outputs, name=name or f"{model.name}_reused")


def _cut(model: keras.Model, num_layers: Any, until: Any) -> Any:
    """The tensor where the lower layers end."""
    if num_layers is not None and until is not None:
        raise ValueError(
            f"{_OWNER}: one of `num_layers` and `until` must be None. Received: "
            f"num_layers={num_layers!r}, until={until!r}. Give one of them."
        )
    if until is not None:
        if not isinstance(until, str):
            rule = "None or the name of a layer"
            raise TypeError(message(_OWNER, "until", rule, until))
        return tensor_after(model, until, _OWNER, "until")
    if num_layers is None:
        return tensor_before_head(model, _OWNER)
    count = checked_count(_OWNER, "num_layers", num_layers)
    names = layer_names(model, _OWNER)
    if count > len(names):
        rule = f"at most {len(names)}, the number of layers of {model.name!r}"
        raise ValueError(message(_OWNER, "num_layers", rule, num_layers))
    tensor = tensor_after(model, names[count - 1], _OWNER, "num_layers")
    taken = layer_names(submodel(model, tensor), _OWNER)
    if len(taken) != count:
        raise ValueError(
            f"{_OWNER}: `num_layers` must not cut through branches. Received: "
            f"num_layers={num_layers!r}, but {names[count - 1]!r} needs "
            f"{len(taken)} layers only. Name the last layer to take in `until`."
        )
    return tensor


def _copy(body: keras.Model) -> keras.Model:
    """The same layers once more, with weights and flags."""
    try:
        copy = keras.models.clone_model(body)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise ValueError(
            f"{_OWNER}: the layers of `model` must be made anew from their config. "
            f"Received: {body.name!r}, where this fails: {error} Register them with "
            "`keras.saving.register_keras_serializable`, or give share=True."
        ) from error
    for old, new in zip(body.weights, copy.weights, strict=True):
        new.assign(keras.ops.convert_to_numpy(old))
        new.trainable = old.trainable
    copy_adapted_state(body, copy)
    return copy


def _checked_head(head: Any) -> list[keras.Layer]:
    layers = [] if head is None else head
    layers = list(layers) if isinstance(layers, list | tuple) else [layers]
    if not all(isinstance(layer, keras.Layer) for layer in layers):
        rule = "None, a Keras layer or a list of layers"
        raise TypeError(message(_OWNER, "head", rule, head))
    return layers


def _check_names(body: keras.Model, head: list[keras.Layer]) -> None:
    taken = {layer.name for layer in body.layers}
    for layer in head:
        if layer.name in taken:
            raise ValueError(
                f"{_OWNER}: `head` must have names of its own. Received: a layer named "
                f"{layer.name!r}, as one of {body.name!r}. Give it a `name`."
            )
        taken.add(layer.name)


def _warn(model: keras.Model) -> None:
    """Once for each model."""
    if model not in _shared:
        _shared.add(model)
        warnings.warn(
            f"{_OWNER}: the new model shares layers with {model.name!r}: training one "
            "changes the other, and so does freezing. Leave out share=True for a copy.",
            stacklevel=3,
        )
