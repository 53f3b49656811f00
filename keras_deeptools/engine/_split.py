"""A model in two parts: what comes before its first random layer, and the rest."""

import itertools
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
from keras.src.backend.common.masking import get_keras_mask, set_keras_mask
from keras.src.models.functional import Functional

from keras_deeptools.engine._stochastic import stochastic_layers

Slot = tuple[int, int]
"""A tensor of the graph: the use of a model that it belongs to, and its own id."""
INPUTS: Slot = (0, 0)
"""What the model is called on."""


@dataclass(frozen=True)
class Step:
    """One operation of the graph, at one of its uses; None where a model begins."""

    run: Callable[[list[Any]], list[Any]]
    operation: Any
    inputs: list[Slot]
    outputs: list[Slot]


class Parts:
    """A model as a trunk, which draws nothing, and a head.

    A functional graph is cut at the first layers that draw, also inside of nested
    models. Any other model is all head. The model itself is not kept alive.

    Args:
        model: `keras.Model`, built.

    Attributes:
        is_split: Bool, whether there is a trunk.
        trunk_variables: Variables of the trunk.
        head_variables: Variables of the head.
    """

    def __init__(self, model: keras.Model) -> None:
        graph = graph_of(model)
        self._model: Any = weakref.ref(model)
        self.is_split = graph is not None
        self.trunk_variables: list[Any] = []
        self.head_variables = model.variables
        if graph is None:
            return
        steps: list[Step] = []
        names: dict[Slot, Slot] = {}
        drawing = _drawing(model)
        _flatten(graph, [INPUTS], steps, names, itertools.count(1), drawing)
        self._structure = keras.tree.map_structure(
            lambda tensor: None, graph._outputs_struct
        )
        self._outputs = [names[slot] for slot in _slots(graph.outputs, 1)]
        self._trunk, self._head = _cut(steps, drawing)
        made = {slot for step in self._trunk for slot in step.outputs}
        wanted = [slot for step in self._head for slot in step.inputs]
        self._crossing = list(
            dict.fromkeys(slot for slot in [*wanted, *self._outputs] if slot in made)
        )
        self.trunk_variables = _variables(self._trunk)
        self.head_variables = _variables(self._head)

    def trunk(self, x: Any) -> Any:
        """Inputs of the model -> features: tensors with their masks, or `x` itself."""
        if not self.is_split:
            return x
        values = _run(self._trunk, {INPUTS: x}, self._crossing)
        return [(values[slot], get_keras_mask(values[slot])) for slot in self._crossing]

    def head(self, features: Any) -> Any:
        """Features -> outputs of the model."""
        if not self.is_split:
            return self._model()(features, training=False)
        values = {}
        for slot, (value, mask) in zip(self._crossing, features, strict=True):
            if mask is not None:
                set_keras_mask(value, mask)
            values[slot] = value
        values = _run(self._head, values, self._outputs)
        outputs = [values[slot] for slot in self._outputs]
        packed = keras.tree.pack_sequence_as(self._structure, outputs)
        alone = isinstance(packed, list | tuple) and len(packed) == 1
        return packed[0] if alone else packed


def graph_of(layer: Any) -> Functional | None:
    """The graph that calling the layer runs, if it runs nothing else."""
    if "call" in vars(layer):
        return None
    if isinstance(layer, keras.Sequential):
        return layer._functional if type(layer).call is keras.Sequential.call else None
    if isinstance(layer, Functional) and type(layer).call is Functional.call:
        return layer
    return None


def _drawing(model: keras.Model) -> set[int]:
    """Ids of the layers that draw or contain one that does."""
    stochastic = {id(layer) for layer in stochastic_layers(model)}
    return {
        id(layer)
        for layer in model._flatten_layers()
        if any(id(inner) in stochastic for inner in layer._flatten_layers())
    }


def _slots(tensors: list[Any], use: int) -> list[Slot]:
    return [(use, id(tensor)) for tensor in tensors]


def _flatten(
    graph: Functional,
    sources: list[Slot],
    steps: list[Step],
    names: dict[Slot, Slot],
    numbers: Iterator[int],
    drawing: set[int],
    pack: Callable[[list[Any]], Any] = lambda values: values[0],
) -> int:
    """Adds the steps of one use of a graph; models inside that draw are taken apart.

    `names` leads from the tensors of each use to the slots that hold their values.
    """
    use = next(numbers)
    entry = _slots(graph.inputs, use)
    names.update(zip(entry, entry, strict=True))
    steps.append(Step(_entering(graph, pack), None, sources, entry))
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        for node in graph._nodes_by_depth[depth]:
            taken = _slots(node.input_tensors, use)
            if node.is_input or any(slot not in names for slot in taken):
                continue
            inputs = [names[slot] for slot in taken]
            outputs = _slots(node.outputs, use)
            nested = graph_of(node.operation)
            if nested is None or id(node.operation) not in drawing:
                names.update(zip(outputs, outputs, strict=True))
                run = _calling(node)
                steps.append(Step(run, node.operation, inputs, outputs))
                continue
            inner = _flatten(
                nested, inputs, steps, names, numbers, drawing, _arguments(node)
            )
            ends = _slots(nested.outputs, inner)
            names.update(zip(outputs, (names[end] for end in ends), strict=True))
    return use


def _entering(graph: Functional, pack: Callable[[list[Any]], Any]) -> Callable:
    weakly: Any = weakref.ref(graph)

    def run(values: list[Any]) -> list[Any]:
        masks = [get_keras_mask(value) for value in keras.tree.flatten(values)]
        inputs = weakly()._standardize_inputs(pack(values))
        if len(masks) == len(inputs):
            for value, mask in zip(inputs, masks, strict=True):
                if mask is not None:
                    set_keras_mask(value, mask)
        return inputs

    return run


def _arguments(node: Any) -> Callable[[list[Any]], Any]:
    """What a node passes to its model, as one structure."""

    def pack(values: list[Any]) -> Any:
        tensors = {id(t): v for t, v in zip(node.input_tensors, values, strict=True)}
        args, kwargs = node.arguments.fill_in(tensors)
        return args[0] if args else kwargs["inputs"]

    return pack


def _calling(node: Any) -> Callable[[list[Any]], list[Any]]:
    accepts_training = "training" in getattr(node.operation, "_call_context_args", {})

    def run(values: list[Any]) -> list[Any]:
        tensors = {id(t): v for t, v in zip(node.input_tensors, values, strict=True)}
        args, kwargs = node.arguments.fill_in(tensors)
        if accepts_training:
            kwargs["training"] = False
        return keras.tree.flatten(node.operation(*args, **kwargs))

    return run


def _cut(steps: list[Step], drawing: set[int]) -> tuple[list[Step], list[Step]]:
    trunk: list[Step] = []
    head: list[Step] = []
    random: set[Slot] = set()
    for step in steps:
        if id(step.operation) in drawing or random.intersection(step.inputs):
            head.append(step)
            random.update(step.outputs)
        else:
            trunk.append(step)
    return trunk, head


def _variables(steps: list[Step]) -> list[Any]:
    layers = [s.operation for s in steps if isinstance(s.operation, keras.Layer)]
    found = {id(v): v for layer in layers for v in layer.variables}
    return list(found.values())


def _run(
    steps: list[Step], values: dict[Slot, Any], wanted: list[Slot]
) -> dict[Slot, Any]:
    """Runs the steps, and lets go of every value after its last use."""
    last = {slot: i for i, step in enumerate(steps) for slot in step.inputs}
    last |= dict.fromkeys(wanted, len(steps))
    for i, step in enumerate(steps):
        results = step.run([values[slot] for slot in step.inputs])
        values.update(zip(step.outputs, results, strict=True))
        for slot in {*step.inputs, *step.outputs}:
            if last.get(slot, i) <= i:
                values.pop(slot, None)
    return values
