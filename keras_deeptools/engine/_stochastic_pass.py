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

from keras_deeptools.engine._draws import Draws, seed_words
from keras_deeptools.engine._modules import ModuleState
from keras_deeptools.engine._sampling import sampling
from keras_deeptools.engine._split import Parts
from keras_deeptools.engine._stochastic import dropping

CHANGED_BY_USE = {
    "_called",
    "_initial_epoch",
    "_jax_state_synced",
    "predict_function",
    "stop_evaluating",
    "stop_predicting",
    "stop_training",
    "test_function",
    "train_function",
    "training",
}
"""Attributes that `fit` and the like change, and that no trace depends on."""
PROBE = 13
"""Samples in the first, small pass; hardly any weight has axes that it divides."""


@dataclass(frozen=True)
class Shape:
    """What a first look at the head told.

    Attributes:
        width: Int, elements of the largest tensor for one sample of one row.
        num_draws: Int, random draws in a pass.
        rowless: Indices of the draws for what has no axis of rows, such as weights;
            if there are any, a pass has room for one sample.
        outputs: The outputs' structure, with None for tensors.
    """

    width: int
    num_draws: int
    rowless: tuple[int, ...]
    outputs: Any


@dataclass(frozen=True)
class Tile:
    """Which rows and samples a pass covers, and which numbers it draws.

    Attributes:
        start: Int, first row of the features in the pass.
        rows: Int, number of rows.
        samples: Int, samples of each row in a group.
        positions: For each group of samples, ints that tell its draws from those of
            any other group and block.
        block: Int, rows for which numbers are drawn.
        offset: Int, first row in its block, or None for 0 and a block that may end
            before its time.
        coherent: Bool, whether all rows share their masks.
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
        self._model = weakref.ref(model)
        self._parts = Parts(model)
        self.pads_rows = sampling.PADS_ROWS
        self.is_split = self._parts.is_split
        self._shapes: dict[Any, Shape] = {}
        static = ("rows", "samples", "coherent", "block", "rowless")
        self._trunk = sampling.compiled(self._parts.trunk, self._parts.trunk_variables)
        self._head = sampling.compiled(
            self._compute, self._parts.head_variables, static
        )

    def features(self, x: Any) -> Any:
        """What the trunk makes of a batch: the head's input."""
        with _modules_kept(self._model()):
            return self._trunk(x) if self.is_split else _tensors(x)

    def shape(self, features: Any) -> Shape:
        """What the head makes of one row of the features, found without running it."""
        flat = keras.tree.flatten(features)
        key = tuple((tuple(x.shape[1:]), str(x.dtype)) for x in flat if x is not None)
        if key not in self._shapes:
            with _modules_kept(self._model()):
                self._shapes[key] = self._look(features)
        return self._shapes[key]

    def outputs(self, features: Any, seed: int, tile: Tile) -> list[np.ndarray]:
        """Samples of the outputs for the rows of a tile.

        Args:
            features: Made by `features`.
            seed: Int, the user's seed.
            tile: `Tile`.

        Returns:
            For each output an array `(rows, samples in all groups, ...)`.
        """
        shape = self.shape(features)
        words = [seed_words(seed, each, shape.num_draws) for each in tile.positions]
        offset = None if tile.offset is None else np.int32(tile.offset)
        with _modules_kept(self._model()):
            outputs = self._head(
                features,
                [sampling.seed_tensor(each) for each in words],
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

        sampling.traced(run, features)
        return Shape(widest, draws.count, draws.rowless, structure)


class _SameSeed:
    """Seeds for a pass of which only the shapes matter."""

    def __getitem__(self, index: int) -> Any:
        return sampling.seed_tensor(np.zeros((1, 2), np.uint32))[0]


_PASSES: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def stochastic_pass(model: keras.Model) -> StochasticPass:
    """The compiled pass of a model, compiled anew where the model has changed.

    Args:
        model: `keras.Model`, built.

    Returns:
        `StochasticPass`; the one of an earlier call while the model consists of the
        same layers, variables and settings. New values of variables are seen.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._stochastic_pass import stochastic_pass
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dropout(0.5)])
    >>> stochastic_pass(model) is stochastic_pass(model)
    True
    >>> found = stochastic_pass(model)
    >>> model.layers[0].rate = 0.25
    >>> stochastic_pass(model) is found
    False
    """
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
            [id(variable) for variable in layer._trainable_variables],
            [id(variable) for variable in layer._non_trainable_variables],
            len(getattr(layer, "_nodes", ())),
        )
        for layer in model._flatten_layers()
    ]


def _folded(features: Any, start: Any, rows: int, samples: int) -> Any:
    """Each of the rows once for each sample."""

    def fold(x: Any) -> Any:
        if x is None:
            return None
        x = sampling.rows_from(x, start, rows)
        rest = tuple(x.shape[1:])
        x = ops.broadcast_to(ops.expand_dims(x, 1), (rows, samples, *rest))
        return ops.reshape(x, (rows * samples, *rest))

    return keras.tree.map_structure(fold, features)


def _tensors(x: Any) -> Any:
    return keras.tree.map_structure(ops.convert_to_tensor, x)


@contextlib.contextmanager
def _modules_kept(model: Any) -> Iterator[None]:
    """Keeps what torch modules of the user's own change when they are called."""
    state = ModuleState(model)
    try:
        yield
    finally:
        state.restore()
