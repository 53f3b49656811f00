"""What functional models and symbolic tensors hold privately."""

from collections.abc import Iterator
from typing import Any

import keras

from keras_deeptools.engine._keras_private.seam import Seam, private, samples


def is_functional(layer: Any) -> bool:
    """Whether a layer is a functional model.

    Their class is not public; models of other kinds have no graph.
    """
    return isinstance(layer, private("models.functional", "Functional"))


def runs_graph_alone(model: Any) -> bool:
    """Whether calling a functional model runs its graph, and no code of the user's."""
    functional = private("models.functional", "Functional")
    return is_functional(model) and type(model).call is functional.call


def functional_in(sequential: Any) -> Any:
    """The functional model that a built Sequential runs; None where there is none."""
    return getattr(sequential, "_functional", None)


def has_graph(model: Any) -> bool:
    """Whether an object is a functional model, by what it holds."""
    return hasattr(model, "_nodes_by_depth")


def nodes_in_order(graph: Any) -> Iterator[Any]:
    """The nodes of a functional model, each a call of a layer, as they are computed."""
    by_depth = graph._nodes_by_depth
    for depth in sorted(by_depth, reverse=True):
        yield from by_depth[depth]


def num_nodes(layer: Any) -> int:
    """How many calls the graph of a model has; 0 for other layers."""
    return len(getattr(layer, "_nodes", ()))


def history_of(tensor: Any) -> tuple[Any, int, int] | None:
    """The operation that made a symbolic tensor, its node and the output's place.

    None for a tensor that does not know.
    """
    return getattr(tensor, "_keras_history", None)


def node_of(operation: Any, index: int) -> Any:
    """The node of one of the calls of an operation."""
    return operation._inbound_nodes[index]


def input_structure(model: Any) -> Any:
    """The inputs of a functional model as it was given them; None without a graph.

    The public `inputs` is a flat list.
    """
    return getattr(model, "_inputs_struct", None)


def output_structure(graph: Any) -> Any:
    """The outputs of a functional model as it was given them."""
    return graph._outputs_struct


def standardized(graph: Any, inputs: Any) -> list[Any]:
    """Inputs as a flat list of tensors of the ranks and types that a graph takes."""
    return graph._standardize_inputs(inputs)


def left_by_calls(layer: Any) -> list[list[Any]]:
    """The lists of a layer that grow when it is called on symbolic tensors."""
    names = ("_inbound_nodes", "_outbound_nodes", "_losses")
    held = [getattr(layer, name, None) for name in names]
    return [each for each in held if isinstance(each, list)]


def _node() -> Any:
    return next(iter(nodes_in_order(samples.graph)))


SEAMS = (
    Seam(
        "functional.Functional",
        "telling models with a graph from others",
        "no model can be taken apart",
        lambda: runs_graph_alone(samples.graph),
    ),
    Seam(
        "Sequential._functional",
        "reading the graph of a Sequential",
        "a Sequential cannot be taken apart",
        lambda: hasattr(keras.Sequential(name="seam_check"), "_functional"),
    ),
    Seam(
        "Function._nodes_by_depth, Node.arguments",
        "walking through the calls of a model in order",
        "no model can be taken apart",
        lambda: (
            hasattr(_node(), "arguments")
            and hasattr(_node(), "input_tensors")
            and _node().is_input
        ),
    ),
    Seam(
        "Function._nodes",
        "noticing that a model's graph has changed",
        "Monte Carlo dropout uses a stale compiled pass after a change",
        lambda: num_nodes(samples.graph) > 0,
    ),
    Seam(
        "KerasTensor._keras_history",
        "finding the layer that made an output",
        "final activations and submodels are not found",
        lambda: len(history_of(samples.graph.inputs[0])) == 3,  # type: ignore[arg-type]
    ),
    Seam(
        "Operation._inbound_nodes, Operation._outbound_nodes, Layer._losses",
        "following a tensor back, and taking away what that leaves behind",
        "the last operations of a model are not found",
        lambda: (
            len(left_by_calls(samples.graph.layers[0])) == 3
            and node_of(samples.graph.layers[0], 0) is not None
        ),
    ),
    Seam(
        "Functional._inputs_struct, Functional._outputs_struct",
        "keeping the form of inputs and outputs in submodels",
        "models of several inputs or outputs cannot be cut",
        lambda: (
            input_structure(samples.graph) is not None
            and output_structure(samples.graph) is not None
        ),
    ),
    Seam(
        "Functional._standardize_inputs",
        "passing data to a part of a model as the whole would",
        "partial passes refuse inputs that the model takes",
        lambda: callable(samples.graph._standardize_inputs),
    ),
)
