"""Places to cut the graph of a model: at tensors, and between links of a chain."""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_deeptools.engine._graph.calls import graph_of_model
from keras_deeptools.engine._graph.execution import Slot, Step
from keras_deeptools.engine._keras_private.graph import nodes_in_order
from keras_deeptools.engine._keras_private.layers import takes_training


def tensor_before_head(model: keras.Model, owner: str) -> Any:
    """The input of the last layer with weights.

    Args:
        model: `keras.Model`, functional or a built Sequential. Nested models count as
            one layer.
        owner: Str, name of the caller for errors.

    Returns:
        `keras.KerasTensor` of the model's graph.

    Raises:
        ValueError: If the model has no graph or no weights, or the last layer with
            weights has several inputs.

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
    """The output of a layer of the model.

    Args:
        model: `keras.Model`, functional or a built Sequential.
        name: Str, name of a layer of the model itself.
        owner: Str, name of the caller for errors.
        argument: Str, the argument that is named in errors.

    Returns:
        `keras.KerasTensor` of the model's graph.

    Raises:
        ValueError: If there is no such layer, or it is called several times or has
            several outputs.

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
        owner: Str, name of the caller for errors.

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


@dataclass(frozen=True, eq=False)
class Link:
    """One layer or operation in a chain; made by `chain_of`.

    Calling it computes its output in inference, with other weights on request. Nothing
    about the layer or its model changes by that: updates of state and losses are
    dropped.

    Attributes:
        operation: `keras.Layer` or `keras.Operation`.
        shape: Tuple, the static shape of its output.
        node: The call in Keras' graph, with all arguments.
        tensor: `keras.KerasTensor`, the one among the arguments that it is fed by.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.engine._graph.tensors import chain_of
    >>> model = keras.Sequential(
    ...     [keras.Input((2,)), keras.layers.Dense(1, kernel_initializer="ones")]
    ... )
    >>> link = chain_of(model)[0]
    >>> x = np.ones((1, 2), "float32")
    >>> keras.ops.convert_to_numpy(link(x)).tolist()
    [[2.0]]
    >>> other = [np.ones((2, 1)), np.ones(1)]
    >>> keras.ops.convert_to_numpy(link(x, other)).tolist()
    [[3.0]]
    """

    operation: Any
    shape: tuple[int | None, ...]
    node: Any
    tensor: Any

    @property
    def variables(self) -> list[Any]:
        """The variables of the layer; none for an operation."""
        return list(getattr(self.operation, "variables", ()))

    def __call__(self, inputs: Any, weights: Sequence[Any] | None = None) -> Any:
        """The output for some inputs.

        Args:
            inputs: Tensor, what the link before it gives.
            weights: Tensors in the place of `variables`; None: these themselves.
        """
        mapping = None if weights is None else zip(self.variables, weights, strict=True)
        with keras.StatelessScope(state_mapping=mapping):
            inputs = keras.ops.convert_to_tensor(inputs)
            arguments, options = self.node.arguments.fill_in({id(self.tensor): inputs})
            if takes_training(self.operation):
                options = {**options, "training": False}
            return self.operation(*arguments, **options)


def chain_of(model: keras.Model, owner: str = "chain_of") -> list[Link]:
    """The links of a model in which each layer is fed by the one before.

    Nested models are entered.

    Args:
        model: `keras.Model`, functional or a built Sequential, of one input and one
            output.
        owner: Str, name of the caller for errors.

    Returns:
        List of `Link`, in the order of computation, inputs left out.

    Raises:
        ValueError: If the model has no graph, or one that branches.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._graph.tensors import chain_of
    >>> inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    >>> model = keras.Sequential([keras.Input((4,)), inner, keras.layers.ReLU()])
    >>> [(type(link.operation).__name__, link.shape) for link in chain_of(model)]
    [('Dense', (None, 3)), ('ReLU', (None, 3))]
    """
    graph = graph_of_model(model)
    if graph is None:
        raise ValueError(
            f"{owner}: `model` must be a Sequential that is built, or functional. "
            f"Received: model={model.name!r} without a graph. Build it: "
            "`model.build(input_shape)`; of a subclassed model, give a part that is "
            "functional."
        )
    links: list[Link] = []
    _append(graph, links, owner)
    return links


def _append(graph: Any, links: list[Link], owner: str) -> None:
    for ends, word in ((graph.inputs, "input"), (graph.outputs, "output")):
        if len(ends) != 1:
            found = f"{graph.name!r} has {len(ends)} {word}s"
            raise ValueError(_not_a_chain(owner, found))
    tensor = graph.inputs[0]
    for node in nodes_in_order(graph):
        if node.is_input:
            continue
        sources = node.arguments.keras_tensors
        if len(node.outputs) != 1 or any(each is not tensor for each in sources):
            found = f"{node.operation.name!r} is not fed by the layer before alone"
            raise ValueError(_not_a_chain(owner, found))
        inner = graph_of_model(node.operation)
        if inner is not None:
            _append(inner, links, owner)
        else:
            shape = tuple(node.outputs[0].shape)
            links.append(Link(node.operation, shape, node, tensor))
        tensor = node.outputs[0]


def _not_a_chain(owner: str, found: str) -> str:
    return (
        f"{owner}: `model` must be a chain, each layer fed by the one before alone. "
        f"Received: a graph in which {found}. Give a part of it that does not branch."
    )
