"""The graph of a model as a list of steps, each of which runs one operation."""

import itertools
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras

from keras_deeptools.engine._graph.calls import unwrapped
from keras_deeptools.engine._keras_private.graph import (
    functional_in,
    nodes_in_order,
    output_structure,
    runs_graph_alone,
    standardized,
)
from keras_deeptools.engine._keras_private.layers import (
    mask_of,
    passes_training,
    set_mask,
)

Slot = tuple[int, int]
"""A tensor of the graph: the use of a model that it belongs to, and its own id."""
INPUTS: Slot = (0, 0)
"""What the model is called on."""


@dataclass(frozen=True)
class Step:
    """One operation of the graph, at one of its uses; None where a model begins."""

    run: Callable[[list[Any], bool], list[Any]]
    operation: Any
    inputs: list[Slot]
    outputs: list[Slot]
    arguments: Any = None


class Steps:
    """The steps of a graph in the order of computation.

    Args:
        graph: Functional `keras.Model`.
        entered: Ids of the models inside that are taken apart too.
        wrapped: Bool, whether those inside of `transfer.InferenceMode` are, too; for
            steps that only run at inference.

    Attributes:
        steps: List of `Step`.
        outputs: List of slots, those of the graph's outputs.
    """

    def __init__(self, graph: Any, entered: set[int], wrapped: bool = False) -> None:
        self.steps: list[Step] = []
        self._structure = keras.tree.map_structure(
            lambda tensor: None, output_structure(graph)
        )
        names: dict[Slot, Slot] = {}
        numbers = itertools.count(1)
        _flatten(graph, [INPUTS], self.steps, names, numbers, entered, wrapped)
        self.outputs = [names[slot] for slot in _slots(graph.outputs, 1)]

    def cut(self, stopping: Callable[[Step], bool]) -> tuple[list[Step], list[Step]]:
        """What needs nothing that a stopping step gives, and all the rest."""
        before: list[Step] = []
        after: list[Step] = []
        late: set[Slot] = set()
        for step in self.steps:
            if late.intersection(step.inputs) or stopping(step):
                after.append(step)
                late.update(step.outputs)
            else:
                before.append(step)
        return before, after

    def crossing(self, before: list[Step], after: list[Step]) -> list[Slot]:
        """The slots made before a cut that are needed after it, or are outputs."""
        made = {slot for step in before for slot in step.outputs}
        wanted = [slot for step in after for slot in step.inputs]
        return list(
            dict.fromkeys(slot for slot in [*wanted, *self.outputs] if slot in made)
        )

    def packed(self, values: dict[Slot, Any]) -> Any:
        """The outputs in the structure of the model's."""
        outputs = [values[slot] for slot in self.outputs]
        packed = keras.tree.pack_sequence_as(self._structure, outputs)
        alone = isinstance(packed, list | tuple) and len(packed) == 1
        return packed[0] if alone else packed


def graph_of(layer: Any) -> Any | None:
    """The graph that calling the layer runs, if it runs nothing else."""
    if "call" in vars(layer):
        return None
    if isinstance(layer, keras.Sequential):
        return (
            functional_in(layer) if type(layer).call is keras.Sequential.call else None
        )
    return layer if runs_graph_alone(layer) else None


def _slots(tensors: list[Any], use: int) -> list[Slot]:
    return [(use, id(tensor)) for tensor in tensors]


def _flatten(
    graph: Any,
    sources: list[Slot],
    steps: list[Step],
    names: dict[Slot, Slot],
    numbers: Iterator[int],
    entered: set[int],
    wrapped: bool,
    pack: Callable[[list[Any]], Any] = lambda values: values[0],
) -> int:
    """Adds the steps of one use of a graph; models in `entered` are taken apart.

    `names` leads from the tensors of each use to the slots that hold their values.
    """
    use = next(numbers)
    entry = _slots(graph.inputs, use)
    names.update(zip(entry, entry, strict=True))
    steps.append(Step(_entering(graph, pack), None, sources, entry))
    for node in nodes_in_order(graph):
        taken = _slots(node.input_tensors, use)
        if node.is_input or any(slot not in names for slot in taken):
            continue
        inputs = [names[slot] for slot in taken]
        outputs = _slots(node.outputs, use)
        inner_model = unwrapped(node.operation) if wrapped else node.operation
        nested = graph_of(inner_model)
        if nested is None or id(inner_model) not in entered:
            names.update(zip(outputs, outputs, strict=True))
            run = _calling(node)
            given = (node.arguments.args, node.arguments.kwargs)
            steps.append(Step(run, node.operation, inputs, outputs, given))
            continue
        inner = _flatten(
            nested,
            inputs,
            steps,
            names,
            numbers,
            entered,
            wrapped,
            _arguments(node),
        )
        ends = _slots(nested.outputs, inner)
        names.update(zip(outputs, (names[end] for end in ends), strict=True))
    return use


def _entering(graph: Any, pack: Callable[[list[Any]], Any]) -> Callable:
    weakly: Any = weakref.ref(graph)

    def run(values: list[Any], training: bool) -> list[Any]:
        masks = [mask_of(value) for value in keras.tree.flatten(values)]
        inputs = standardized(weakly(), pack(values))
        if len(masks) == len(inputs):
            for value, mask in zip(inputs, masks, strict=True):
                if mask is not None:
                    set_mask(value, mask)
        return inputs

    return run


def _arguments(node: Any) -> Callable[[list[Any]], Any]:
    """What a node passes to its model, as one structure."""

    def pack(values: list[Any]) -> Any:
        tensors = {id(t): v for t, v in zip(node.input_tensors, values, strict=True)}
        args, kwargs = node.arguments.fill_in(tensors)
        return args[0] if args else kwargs["inputs"]

    return pack


def _calling(node: Any) -> Callable[[list[Any], bool], list[Any]]:
    accepts_training = passes_training(node.operation)

    def run(values: list[Any], training: bool) -> list[Any]:
        tensors = {id(t): v for t, v in zip(node.input_tensors, values, strict=True)}
        args, kwargs = node.arguments.fill_in(tensors)
        if accepts_training:
            kwargs["training"] = training
        return keras.tree.flatten(node.operation(*args, **kwargs))

    return run


def variables_of(steps: list[Step]) -> list[Any]:
    """The variables of the layers that the steps run."""
    layers = [s.operation for s in steps if isinstance(s.operation, keras.Layer)]
    found = {id(v): v for layer in layers for v in layer.variables}
    return list(found.values())


def run_steps(
    steps: list[Step],
    values: dict[Slot, Any],
    wanted: list[Slot],
    training: bool = False,
) -> dict[Slot, Any]:
    """Runs the steps, and lets go of every value after its last use."""
    last = {slot: i for i, step in enumerate(steps) for slot in step.inputs}
    last |= dict.fromkeys(wanted, len(steps))
    for i, step in enumerate(steps):
        results = step.run([values[slot] for slot in step.inputs], training)
        values.update(zip(step.outputs, results, strict=True))
        for slot in {*step.inputs, *step.outputs}:
            if last.get(slot, i) <= i:
                values.pop(slot, None)
    return values
