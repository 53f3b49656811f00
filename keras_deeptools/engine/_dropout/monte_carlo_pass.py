"""Compiled passes through a model with dropout on and everything else in inference."""

import contextlib
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Number
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_deeptools.engine._backends.active import programs, training
from keras_deeptools.engine._dropout.mask_sampling import Draws, seed_words
from keras_deeptools.engine._dropout.stochastic_layers import (
    dropping,
    stochastic_layers,
)
from keras_deeptools.engine._graph.execution import (
    INPUTS,
    Steps,
    graph_of,
    run_steps,
    variables_of,
)
from keras_deeptools.engine._keras_private.graph import num_nodes
from keras_deeptools.engine._keras_private.layers import (
    NOTED_BY_CALLS,
    flat_layers,
    held_states,
    held_weights,
    mask_of,
    set_mask,
)
from keras_deeptools.engine._keras_private.registry import check_seams
from keras_deeptools.engine._keras_private.training import INITIAL_EPOCH, SYNCED
from keras_deeptools.engine._state.snapshot import ModuleState


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
        drawing = _drawing(model)
        self._steps = Steps(graph, drawing)
        self._trunk, self._head = self._steps.cut(
            lambda step: id(step.operation) in drawing
        )
        self._crossing = self._steps.crossing(self._trunk, self._head)
        self.trunk_variables = variables_of(self._trunk)
        self.head_variables = variables_of(self._head)

    def trunk(self, x: Any) -> Any:
        """Inputs of the model -> features: tensors with their masks, or `x` itself."""
        if not self.is_split:
            return x
        values = run_steps(self._trunk, {INPUTS: x}, self._crossing)
        return [(values[slot], mask_of(values[slot])) for slot in self._crossing]

    def head(self, features: Any) -> Any:
        """Features -> outputs of the model."""
        if not self.is_split:
            return self._model()(features, training=False)
        values = {}
        for slot, (value, mask) in zip(self._crossing, features, strict=True):
            if mask is not None:
                set_mask(value, mask)
            values[slot] = value
        values = run_steps(self._head, values, self._steps.outputs)
        return self._steps.packed(values)


def _drawing(model: keras.Model) -> set[int]:
    """Ids of the layers that draw or contain one that does."""
    stochastic = {id(layer) for layer in stochastic_layers(model)}
    return {
        id(layer)
        for layer in flat_layers(model)
        if any(id(inner) in stochastic for inner in flat_layers(layer))
    }


PROBE = 13
"""Samples in the first, small pass; hardly any weight has axes that it divides."""


@dataclass(frozen=True)
class Shape:
    """The properties of the head, found by a first trace.

    Attributes:
        width: Int, elements of the largest tensor for one sample of one input.
        num_draws: Int, random draws in a pass.
        rowless: Indices of the draws that have no axis of inputs, such as those for
            weights; if there are any, a pass can only hold one sample.
        outputs: The outputs' structure, with None for tensors.
    """

    width: int
    num_draws: int
    rowless: tuple[int, ...]
    outputs: Any


@dataclass(frozen=True)
class Tile:
    """Which inputs and samples a pass covers, and which numbers it draws.

    Attributes:
        start: Int, index of the first input of the pass in the features.
        rows: Int, number of inputs.
        samples: Int, samples of each input in a group.
        positions: For each group of samples, ints that distinguish its draws from those
            of any other group and block.
        block: Int, number of inputs for which numbers are drawn.
        offset: Int, position of the first input in its block, or None for 0 and a block
            that may be cut short.
        coherent: Bool, whether all inputs share their masks.
    """

    start: int
    rows: int
    samples: int
    positions: tuple[tuple[int, ...], ...]
    block: int
    offset: int | None
    coherent: bool


class StochasticPass:
    """The compiled trunk and head of a model.

    Made by `stochastic_pass`. No variable of the model changes in a pass.

    Attributes:
        is_split: Bool, whether there is a trunk that runs once for all samples.
        pads_rows: Bool, whether to pad batches to few shapes, as each is compiled.
    """

    def __init__(self, model: keras.Model) -> None:
        self._model: Any = weakref.ref(model)
        self._parts = Parts(model)
        self.pads_rows = programs.PADS_ROWS
        self.is_split = self._parts.is_split
        self._shapes: dict[Any, Shape] = {}
        static = ("rows", "samples", "coherent", "block", "rowless")
        self._trunk = programs.compiled_reading(
            self._parts.trunk, self._parts.trunk_variables
        )
        self._head = programs.compiled_reading(
            self._compute, self._parts.head_variables, static
        )

    @contextlib.contextmanager
    def modules_kept(self) -> Iterator[None]:
        """Restores the state that custom torch modules change when they are called."""
        state = ModuleState(self._model())
        try:
            yield
        finally:
            state.restore()

    def features(self, x: Any) -> Any:
        """The outputs of the trunk for a batch, which are the inputs of the head."""
        return self._trunk(x) if self.is_split else _tensors(x)

    def shape(self, features: Any) -> Shape:
        """The properties of the head for these features, found without running it."""
        flat = keras.tree.flatten(features)
        key = tuple((tuple(x.shape[1:]), str(x.dtype)) for x in flat if x is not None)
        if key not in self._shapes:
            self._shapes[key] = self._look(features)
        return self._shapes[key]

    def outputs(self, features: Any, seed: int, tile: Tile) -> list[np.ndarray]:
        """Samples of the outputs for the inputs of a tile.

        Args:
            features: Made by `features`.
            seed: Int, the user's seed.
            tile: `Tile`.

        Returns:
            For each output an array `(inputs, samples in all groups, ...)`.
        """
        shape = self.shape(features)
        words = [seed_words(seed, each, shape.num_draws) for each in tile.positions]
        offset = None if tile.offset is None else np.int32(tile.offset)
        outputs = self._head(
            features,
            [programs.seed_tensor(each) for each in words],
            np.int32(tile.start),
            offset,
            rows=tile.rows,
            samples=tile.samples,
            coherent=tile.coherent,
            block=tile.block,
            rowless=shape.rowless,
        )
        return [ops.convert_to_numpy(output) for output in outputs]

    def _compute(
        self,
        features: Any,
        seeds: Any,
        start: Any,
        offset: Any,
        *,
        rows: int,
        samples: int,
        coherent: bool,
        block: int,
        rowless: tuple[int, ...],
    ) -> list[Any]:
        draws = Draws(seeds, rows, samples, coherent, block, offset, rowless)
        samples *= len(seeds)
        with dropping(self._model(), draws):
            outputs = self._parts.head(_folded(features, start, rows, samples))
        found = []
        for output in keras.tree.flatten(outputs):
            if not output.shape or output.shape[0] != rows * samples:
                raise ValueError(
                    "mc_predict: every output of the model must have a row for each "
                    f"row of its input. Received: an output of shape {output.shape} "
                    f"for {rows * samples} rows. Leave such outputs out."
                )
            found.append(ops.reshape(output, (rows, samples, *output.shape[1:])))
        return found

    def _look(self, features: Any) -> Shape:
        widest = 1
        draws = Draws([_SameSeed()], 1, PROBE, False, 1)
        structure = None

        def observe(outputs: Any) -> None:
            nonlocal widest
            for x in keras.tree.flatten(outputs):
                sizes = [size for size in getattr(x, "shape", ()) if size]
                widest = max(widest, int(np.prod(sizes)) // PROBE)

        def run(features: Any) -> Any:
            nonlocal structure
            folded = _folded(features, np.int32(0), 1, PROBE)
            observe(folded)
            with dropping(self._model(), draws, observe):
                outputs = self._parts.head(folded)
            structure = keras.tree.map_structure(lambda x: None, outputs)
            return keras.tree.flatten(outputs)

        programs.traced(run, features)
        return Shape(widest, draws.count, draws.rowless, structure)


class _SameSeed:
    """Seeds for a pass of which only the shapes matter."""

    def __getitem__(self, index: int) -> Any:
        return programs.seed_tensor(np.zeros((1, 2), np.uint32))[0]


def _folded(features: Any, start: Any, rows: int, samples: int) -> Any:
    """Repeats each of the inputs once for each sample."""

    def fold(x: Any) -> Any:
        if x is None:
            return None
        x = programs.rows_from(x, start, rows)
        rest = tuple(x.shape[1:])
        x = ops.broadcast_to(ops.expand_dims(x, 1), (rows, samples, *rest))
        return ops.reshape(x, (rows * samples, *rest))

    return keras.tree.map_structure(fold, features)


def _tensors(x: Any) -> Any:
    return keras.tree.map_structure(ops.convert_to_tensor, x)


CHANGED_BY_USE = {
    *NOTED_BY_CALLS,
    INITIAL_EPOCH,
    SYNCED,
    "predict_function",
    "stop_evaluating",
    "stop_predicting",
    "stop_training",
    "test_function",
    "train_function",
    "training",
}
"""Attributes that `fit` and the like change, and that no trace depends on."""

_PASSES: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def stochastic_pass(model: keras.Model) -> StochasticPass:
    """The compiled pass of a model, compiled again if the model has changed.

    Args:
        model: `keras.Model`, built.

    Returns:
        `StochasticPass`; the one of an earlier call while the model consists of the
        same layers, variables and settings. New values of variables are seen.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._dropout.monte_carlo_pass import stochastic_pass
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dropout(0.5)])
    >>> stochastic_pass(model) is stochastic_pass(model)
    True
    >>> found = stochastic_pass(model)
    >>> model.layers[0].rate = 0.25
    >>> stochastic_pass(model) is found
    False
    """
    check_seams("mc_predict", "layers", "graph", "random")
    training.synchronize(model)
    fingerprint = _fingerprint(model)
    found = _PASSES.get(model)
    if found is None or found[0] != fingerprint:
        found = _PASSES[model] = (fingerprint, StochasticPass(model))
    return found[1]


def _fingerprint(model: keras.Model) -> list[Any]:
    """All that a trace of the model may depend on, of every layer."""
    plain = (str, bool, Number, tuple, type(None))
    return [
        (
            id(layer),
            {
                name: value if isinstance(value, plain) else id(value)
                for name, value in vars(layer).items()
                if name not in CHANGED_BY_USE
                and (isinstance(value, plain) or callable(value))
            },
            [id(variable) for variable in held_weights(layer)],
            [id(variable) for variable in held_states(layer)],
            num_nodes(layer),
        )
        for layer in flat_layers(model)
    ]
