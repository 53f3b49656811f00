"""Clips gradients to a percentile of the norms seen so far in training."""

import contextlib
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_deeptools._arguments import checked_count, checked_float
from keras_deeptools._text_table import text_table
from keras_deeptools.callbacks._clipping import (
    clipping_groups,
    factors_within,
    joint_norms,
)
from keras_deeptools.callbacks._layer_selection import Layers, LayerSelection, names_of
from keras_deeptools.callbacks._training_feature import TrainingFeature, beside
from keras_deeptools.engine import Leaf, tensors
from keras_deeptools.engine._update.model_optimizers import OptimizerChoice

OWNER = "PercentileClipping"
COUNTERS = ("clipped", "non_finite", "updates")


@dataclass
class NormHistory:
    """The latest norms of one optimizer's gradients, as variables of the step.

    Attributes:
        leaf: `Leaf`.
        positions: List of the positions of the chosen variables.
        norms: Variable `(window,)`, a ring buffer; unused places hold infinity.
        num_norms: Int variable, the finite norms seen so far.
        limit: Scalar variable, the limit of the latest update.
        counters: Dict of int variables.
    """

    leaf: Leaf
    positions: list[int]
    norms: Any
    num_norms: Any
    limit: Any
    counters: dict[str, Any]


def percentile_of(norms: Any, count: Any, percentile: float) -> Any:
    """The percentile of the first `count` norms in order, as numpy interpolates it.

    Args:
        norms: Float tensor `(n,)`, of which all but `count` are infinite.
        count: Int tensor in [1, n].
        percentile: Float in [0, 100].

    Returns:
        Scalar tensor.
    """
    ordered = ops.sort(norms)
    place = percentile / 100 * ops.cast(count - 1, "float32")
    low = ops.cast(ops.floor(place), "int32")
    high = ops.minimum(low + 1, count - 1)
    part = place - ops.cast(low, "float32")
    below, above = ops.take(ordered, low), ops.take(ordered, high)
    return below + part * (above - below)


@keras.saving.register_keras_serializable(package="keras_deeptools")
class PercentileClipping(TrainingFeature):
    """Limits the global gradient norm to a percentile of those seen so far (AutoClip).

    A fixed limit has to be tuned again for every model and loss. Here the limit follows
    the gradients: in each update the L2 norm over all chosen gradients is added to a
    history, and if it is over the percentile of the history, itself included, the
    gradients are scaled down to that percentile. With the default of 10, most gradients
    are scaled to nearly the same norm, and a spike is scaled like any other gradient.
    With SGD, the learning rate then decides the length of a step; adaptive optimizers
    divide the scale out again.

    The history is part of the compiled step. The paper keeps the norms of the whole
    training; here only the latest `window` norms are kept, so that memory and time are
    bounded. A norm that is not finite is neither kept nor scaled, but counted. With
    mixed precision the callback acts on the unscaled gradients, and with gradient
    accumulation on their mean, before Keras' own clipping.

    Args:
        percentile: Float in (0, 100]. Percentile of the norms that is the limit; 100
            clips nothing, as the largest norm of all is its own limit.
        window: Int > 0. Number of latest norms that are kept. Each step sorts them.
        layers: Names, patterns such as `"block3_*"`, layers, or a function of a layer
            that returns a bool; one or a list of them. The gradients of others are
            neither counted nor changed. None chooses all layers.
        optimizer: Which optimizers of the model to act on, as for `TrainingFeature`.

    Attributes:
        history: Dict of lists with one number for each epoch of the last `fit`:
            `"clipped"`, the fraction of updates that were clipped, `"limit"`, the limit
            of the last update, and `"non_finite"`, the fraction of updates whose norm
            was not finite.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If a number is out of range. When training starts: if `layers`
            matches nothing, or spans several optimizers of a MultiOptimizer.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.callbacks import PercentileClipping
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    >>> model.compile(keras.optimizers.SGD(0.1), loss="mse")
    >>> clipping = PercentileClipping(10)
    >>> x, y = np.ones((8, 3)), np.full((8, 1), 90.0)
    >>> history = model.fit(x, y, epochs=2, callbacks=[clipping], verbose=0)
    >>> clipping.history["clipped"]
    [0.0, 0.0]

    Reference:
        Seetharaman et al., 2020, section 3. https://arxiv.org/abs/2007.14469
    """

    def __init__(
        self,
        percentile: float = 10.0,
        window: int = 1000,
        layers: Layers = None,
        optimizer: OptimizerChoice = None,
    ) -> None:
        super().__init__(optimizer)
        rule = "in (0, 100]"
        self.percentile = checked_float(
            OWNER, "percentile", percentile, above=0, at_most=100, rule=rule
        )
        self.window = checked_count(OWNER, "window", window)
        LayerSelection(layers, OWNER)
        self.layers = layers
        self.history: dict[str, list[float]] = {}
        self._running: list[NormHistory] = []
        # One entry for each optimizer, with the prefix of its names as the key.
        self._counts: dict[str, dict[str, float]] = {}

    @property
    def limits(self) -> dict[str, float]:
        """The limit of the latest update, by the name of the optimizer."""
        self._read()
        return {prefix: counts["limit"] for prefix, counts in self._counts.items()}

    def table(self) -> str:
        """The limit, and the fraction of updates that were clipped."""
        self._read()
        rows = []
        for prefix, counts in self._counts.items():
            updates = max(counts["updates"], 1)
            shares = [f"{100 * counts[k] / updates:.1f}%" for k in COUNTERS[:2]]
            name = prefix.rstrip("_") or "optimizer"
            rows.append([name, f"{counts['limit']:.3g}", *shares])
        return text_table(["gradients of", "limit", "clipped", "not finite"], rows)

    def begin(self, leaf: Leaf) -> NormHistory | None:
        """Finds the variables, before anything is changed."""
        self._running = beside(leaf, self._running)
        if not self._running:
            self._counts, self.history = {}, {}
        positions = self._positions(leaf)
        return self._new(leaf, positions) if positions else None

    def adapt(self, state: NormHistory | None, leaf: Leaf) -> NormHistory | None:
        """Continues with the variables that are trained now, in the same history."""
        positions = self._positions(leaf)
        if state is None:
            return self._new(leaf, positions) if positions else None
        state.positions = positions
        return state

    def _new(self, leaf: Leaf, positions: list[int]) -> NormHistory:
        state = NormHistory(
            leaf,
            positions,
            leaf.add_state("norms", (self.window,), initial=float("inf")),
            leaf.add_state("num_norms", dtype="int32"),
            leaf.add_state("percentile_limit", initial=float("inf")),
            {name: leaf.add_state(name, dtype="int32") for name in COUNTERS},
        )
        self._running = [*self._running, state]
        return state

    def _positions(self, leaf: Leaf) -> list[int]:
        selection = LayerSelection(self.layers, OWNER)
        return list(clipping_groups(selection, leaf, "variable", joint=True)[0])

    def transform_gradients(
        self, state: NormHistory | None, leaf: Leaf, gradients: list
    ) -> list:
        """Scales the chosen gradients to the limit if they are over it."""
        if state is None:
            return gradients
        chosen = set(state.positions)
        places = [i for i, p in enumerate(leaf.positions) if p in chosen]
        if not places:
            return gradients
        picked = [gradients[i] for i in places]
        norms, _ = tensors.norms(picked)
        norm = joint_norms(norms, [0] * len(places), 1)
        limit = self._limit(state, norm)
        factors, over = factors_within(norm, limit)
        tensors.set_scalar(state.limit, limit)
        tensors.add(state.counters["updates"], 1)
        tensors.add(state.counters["clipped"], ops.cast(over[0], "int32"))
        result = list(gradients)
        factors = ops.broadcast_to(factors, (len(places),))
        for i, gradient in zip(places, tensors.scaled(picked, factors), strict=True):
            result[i] = gradient
        return result

    def _limit(self, state: NormHistory, norm: Any) -> Any:
        """The limit after the norm has been added to the history."""
        finite = ops.isfinite(norm)
        count = ops.convert_to_tensor(state.num_norms)
        place = ops.mod(count, self.window)
        is_place = ops.equal(ops.arange(self.window, dtype="int32"), place)
        old = ops.convert_to_tensor(state.norms)
        # A vector of one norm broadcasts to all places of the history.
        history = ops.where(ops.logical_and(is_place, finite), norm, old)
        count = count + ops.cast(finite[0], "int32")
        state.norms.assign(history)
        tensors.set_scalar(state.num_norms, count)
        missing = ops.cast(ops.logical_not(finite[0]), "int32")
        tensors.add(state.counters["non_finite"], missing)
        known = ops.clip(count, 1, self.window)
        return percentile_of(history, known, self.percentile)

    def traced(self, state: NormHistory | None, leaf: Leaf) -> Any:
        """Which gradients are clipped, and how; see `Feature`."""
        return () if state is None else (state.positions, self.percentile, self.window)

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Attaches the callback and forgets the counts of an earlier `fit`."""
        super().on_train_begin(logs)
        if not self._running:
            self._counts, self.history = {}, {}

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Adds the epoch to `history`."""
        before = self._counts
        self._read()
        for prefix, counts in self._counts.items():
            old = before.get(prefix, {})
            updates = max(counts["updates"] - old.get("updates", 0), 1)
            found = {k: (counts[k] - old.get(k, 0)) / updates for k in COUNTERS[:2]}
            for name, number in (found | {"limit": counts["limit"]}).items():
                self.history.setdefault(f"{prefix}{name}", []).append(number)
        super().on_epoch_end(epoch, logs)

    def finish(self, state: NormHistory | None, leaf: Leaf) -> None:
        """Keeps the counts, unless they were lost with a step that failed."""
        with contextlib.suppress(RuntimeError):
            self._read()
        self._running = [other for other in self._running if other is not state]

    def _read(self) -> None:
        found = {}
        for state in self._running:
            read = state.leaf.read
            counts = {name: float(read(v)) for name, v in state.counters.items()}
            limit = float(np.asarray(read(state.limit)))
            found[self.log_prefix(state.leaf)] = counts | {"limit": limit}
        self._counts = self._counts | found

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments, with layers as their names."""
        return super().get_config() | {"layers": names_of(self.layers)}

    def __getstate__(self) -> dict[str, Any]:
        """Leaves out what belongs to a running `fit`."""
        return super().__getstate__() | {"_running": []}
