"""Models whose layers stand in one row, to be computed link by link."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras

from keras_deeptools.engine._graph.calls import graph_of_model
from keras_deeptools.engine._keras_private.graph import nodes_in_order
from keras_deeptools.engine._keras_private.layers import takes_training


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
    >>> from keras_deeptools.engine._graph.chain import chain_of
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
        owner: Str, who is named in errors.

    Returns:
        List of `Link`, in the order of computation, inputs left out.

    Raises:
        ValueError: If the model has no graph, or one that branches.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._graph.chain import chain_of
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
