"""Tensors of a model's graph at which it can be cut."""

import hashlib
import json
import re
from typing import Any

import keras
import numpy as np

from keras_deeptools.engine._graph.calls import graph_of_model
from keras_deeptools.engine._graph.execution import Slot, Step
from keras_deeptools.engine._keras_private.graph import nodes_in_order


def tensor_before_head(model: keras.Model, owner: str) -> Any:
    """What the last layer with weights is fed.

    Args:
        model: `keras.Model`, functional or a built Sequential. Nested models count as
            one layer.
        owner: Str, who is named in errors.

    Returns:
        `keras.KerasTensor` of the model's graph.

    Raises:
        ValueError: If the model has no graph or no weights, or the last layer with
            weights is fed several tensors.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._graph.tensors import tensor_before_head
    >>> model = keras.Sequential(
    ...     [keras.Input((2,)), keras.layers.Dense(3), keras.layers.Dense(1)]
    ... )
    >>> tensor_before_head(model, "test").shape
    (None, 3)
    """
    nodes = [n for n in _nodes(model, owner) if getattr(n.operation, "weights", ())]
    if not nodes:
        raise ValueError(
            f"{owner}: `model` must have layers with weights. Received: "
            f"{model.name!r}, which has none."
        )
    sources = nodes[-1].arguments.keras_tensors
    if len(sources) != 1:
        raise ValueError(
            f"{owner}: the last layer with weights must have one input where `until` "
            f"is not given. Received: {nodes[-1].operation.name!r}, which has "
            f"{len(sources)}. Name the last layer to take in `until`."
        )
    return sources[0]


def tensor_after(model: keras.Model, name: str, owner: str, argument: str) -> Any:
    """What a layer of the model gives.

    Args:
        model: `keras.Model`, functional or a built Sequential.
        name: Str, name of a layer of the model itself.
        owner: Str, who is named in errors.
        argument: Str, the argument that is named in errors.

    Returns:
        `keras.KerasTensor` of the model's graph.

    Raises:
        ValueError: If there is no such layer, or it is called several times or gives
            several tensors.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._graph.tensors import tensor_after
    >>> hidden = keras.layers.Dense(3, name="hidden")
    >>> model = keras.Sequential([keras.Input((2,)), hidden, keras.layers.Dense(1)])
    >>> tensor_after(model, "hidden", "test", "until").shape
    (None, 3)
    """
    nodes = _nodes(model, owner)
    found = [n.outputs for n in nodes if n.operation.name == name]
    if len(found) == 1 and len(found[0]) == 1:
        return found[0][0]
    rule = "a layer of the model itself that is called once and gives one tensor"
    names = list(dict.fromkeys(node.operation.name for node in nodes))
    raise ValueError(
        f"{owner}: `{argument}` must be the name of {rule}. Received: "
        f"{argument}={name!r}. Available: {', '.join(names)}. For a layer of a nested "
        "model give that model: its layers are shared."
    )


def layer_names(model: keras.Model, owner: str) -> list[str]:
    """The names of a model's layers and operations, in the order of computation.

    Each once; inputs are left out, nested models count as one.

    Args:
        model: `keras.Model`, functional or a built Sequential.
        owner: Str, who is named in errors.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._graph.tensors import layer_names
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="a")])
    >>> layer_names(model, "test")
    ['a']
    """
    return list(
        dict.fromkeys(
            node.operation.name
            for node in _nodes(model, owner)
            if not isinstance(node.operation, keras.layers.InputLayer)
        )
    )


def _nodes(model: Any, owner: str) -> list[Any]:
    """The calls in a model's own graph, in the order of computation."""
    graph = graph_of_model(model)
    if graph is None:
        raise ValueError(
            f"{owner}: `model` must be functional, or a built Sequential. Received: "
            f"{model.name!r}, without a graph. Build it with `keras.Input`."
        )
    return list(nodes_in_order(graph))


def step_config(steps: list[Step]) -> str:
    """Operations, their configurations and arguments, and what reads what.

    Names are left out where they only tell layers apart. Code of a user's own layers
    is known by the name of its class.

    Args:
        steps: List of `Step`, such as `FeatureCut(model).steps`.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._frozen_features.cut import FeatureCut
    >>> from keras_deeptools.engine._graph.tensors import step_config
    >>> def config(rate):
    ...     layers = [keras.layers.Rescaling(rate), keras.layers.Dense(1)]
    ...     model = keras.Sequential([keras.Input((2,)), *layers])
    ...     return step_config(FeatureCut(model).steps)
    >>> config(0.5) == config(0.5), config(0.5) == config(0.1)
    (True, False)
    """
    numbers: dict[Slot, int] = {}
    lines = []
    for step in steps:
        read = [numbers.setdefault(slot, len(numbers)) for slot in step.inputs]
        made = [numbers.setdefault(slot, len(numbers)) for slot in step.outputs]
        given = _argument_text(step.arguments)
        lines.append([_described(step.operation), given, read, made])
    return json.dumps(lines, sort_keys=True, default=_plain)


def _argument_text(arguments: Any) -> str:
    """What an operation is called with, tensors of the graph as `tensor`."""
    return str(keras.tree.map_structure(_plain, arguments))


def _described(operation: Any) -> Any:
    if operation is None:
        return "input"
    name = f"{type(operation).__module__}.{type(operation).__qualname__}"
    try:
        return [name, _nameless(keras.saving.serialize_keras_object(operation))]
    except (NotImplementedError, TypeError, ValueError):
        return name


def _nameless(config: Any) -> Any:
    if isinstance(config, dict):
        skipped = ("name", "build_config", "shared_object_id")
        return {k: _nameless(v) for k, v in config.items() if k not in skipped}
    if isinstance(config, list | tuple):
        return [_nameless(each) for each in config]
    return config


def _plain(value: Any) -> str:
    if isinstance(value, keras.KerasTensor):
        return "tensor"
    if isinstance(value, np.ndarray) or keras.ops.is_tensor(value):
        array = np.ascontiguousarray(keras.ops.convert_to_numpy(value))
        digest = hashlib.blake2b(array.tobytes(), digest_size=16).hexdigest()
        return f"{array.dtype} {array.shape} {digest}"
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))
