"""Clips gradients in three ways, with limits that can change during training."""

import contextlib
import math
from typing import Any

import keras

from keras_deeptools._arguments import known_elsewhere_as
from keras_deeptools._text_table import text_table
from keras_deeptools.callbacks._clipping import (
    OWNER,
    Clipping,
    checked_limit,
    clipping_groups,
    require_one,
)
from keras_deeptools.callbacks._layer_selection import Layers, LayerSelection, names_of
from keras_deeptools.callbacks._training_feature import TrainingFeature, beside
from keras_deeptools.engine import Leaf
from keras_deeptools.engine._update.model_optimizers import OptimizerChoice

KINDS = ("value", "norm", "global_norm")


def _limit(kind: str, meaning: str) -> property:
    def read(clipper: "GradientClipper") -> float | None:
        return clipper._limits[kind]

    def write(clipper: "GradientClipper", limit: float | None) -> None:
        clipper._set(kind, limit)

    return property(read, write, doc=meaning)


@keras.saving.register_keras_serializable(package="keras_deeptools")
class GradientClipper(TrainingFeature):
    """Limits gradients by element, by layer and altogether, before each update.

    Keras' own `clipnorm`, `global_clipnorm` and `clipvalue` allow one kind of clipping
    at a time, with a limit that is a constant of the compiled step. The limits of this
    callback can be combined, count how often they acted, and can be changed in the
    middle of training (`clipper.global_norm = 0.5`). Clipping acts on the gradients
    that the update uses: the unscaled gradients with mixed precision, and the mean of
    the accumulated gradients with gradient accumulation. Keras' own clipping and weight
    decay follow.

    The order is fixed: first `value`, then `norm`, then `global_norm`, each applied to
    the result of the one before. A gradient within its limit is not changed by a bit.
    Where the gradient of an embedding is changed, the gradients of all uses of a row of
    the embedding are added up first. With `per="layer"` the norm is that of all
    variables of one layer together (kernel and bias; an LSTM's cell; each projection of
    an attention layer); Keras' `clipnorm` takes each variable alone, as does
    `per="variable"`.

    Where a norm is not finite, nothing is scaled, so a NaN in one layer does not reach
    the others through a global norm (`torch.nn.utils.clip_grad_norm_` spreads it); the
    gradients stay as they are, and such updates are counted as `"non_finite"`.
    `value` brings infinities to the limit and leaves NaN.

    Args:
        norm: Float > 0 or None. Largest L2 norm of each layer's gradient.
        global_norm: Float > 0 or None. Largest L2 norm of all chosen gradients
            together.
        value: Float > 0 or None. Largest magnitude of each element. All three limits
            can be set during training, and act from the next update on. None switches a
            limit off. A limit that is None when training starts is not compiled into
            the step and cannot be switched on until the next `fit`: start with
            `float("inf")` instead.
        per: `"layer"` or `"variable"`. Whether `norm` is the norm of a layer or of a
            variable.
        layers: Names, patterns such as `"block3_*"` or `"*/recurrent_kernel"`, layers,
            or a function of a layer that returns a bool; one or a list of them. A
            chosen layer brings all layers in it. The gradients of others are neither
            counted nor changed. None chooses all layers.
        optimizer: Which optimizers of the model to act on, as for `TrainingFeature`:
            None for those that the train step uses, or `"g_optimizer"`, a list, or
            `"all"`. Each is clipped and counted separately; where there are several,
            `history` and `fractions` have names such as `"g_optimizer_norm"`.

    Attributes:
        history: Dict from `"value"`, `"norm"`, `"global_norm"` and, with a norm,
            `"non_finite"` to a list with one number per epoch of the last `fit`: the
            fraction of updates in which this limit acted (`"norm"`: on any layer).

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If a limit is out of range. When training starts: if all limits
            are None, `layers` matches nothing, or `global_norm` spans several
            optimizers of a MultiOptimizer.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.callbacks import GradientClipper
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    >>> model.compile(keras.optimizers.SGD(0.1), loss="mse")
    >>> clipper = GradientClipper(value=10.0, global_norm=1.0)
    >>> x, y = np.ones((8, 3)), np.full((8, 1), 90.0)
    >>> history = model.fit(x, y, epochs=2, callbacks=[clipper], verbose=0)
    >>> clipper.history
    {'value': [1.0, 1.0], 'global_norm': [1.0, 1.0], 'non_finite': [0.0, 0.0]}

    Reference:
        Pascanu et al., 2013, section 3.2. https://arxiv.org/abs/1211.5063
    """

    @known_elsewhere_as(
        norm="clipnorm",
        global_norm="max_norm global_clipnorm gradient_clip_val",
        value="clipvalue clip_value",
    )
    def __init__(
        self,
        norm: float | None = None,
        global_norm: float | None = None,
        value: float | None = None,
        per: str = "layer",
        layers: Layers = None,
        optimizer: OptimizerChoice = None,
    ) -> None:
        super().__init__(optimizer)
        limits = {"value": value, "norm": norm, "global_norm": global_norm}
        self._limits = {kind: checked_limit(kind, x) for kind, x in limits.items()}
        require_one(self._limits)
        if per not in ("layer", "variable"):
            raise ValueError(
                f'{OWNER}: `per` must be "layer" or "variable". Received: per={per!r}.'
            )
        LayerSelection(layers, OWNER)
        self.per = per
        self.layers = layers
        self.history: dict[str, list[float]] = {}
        self._running: list[Clipping] = []
        # One entry for each optimizer, with the prefix of its names as the key.
        self._counts: dict[str, dict[str, int]] = {}
        self._by_layer: dict[str, float] = {}

    value = _limit("value", "Largest magnitude of each element; settable.")
    norm = _limit("norm", "Largest L2 norm of each layer's gradient; settable.")
    global_norm = _limit("global_norm", "Largest L2 norm of all together; settable.")

    def _set(self, kind: str, limit: float | None) -> None:
        limit = checked_limit(kind, limit)
        for running in self._running:
            if limit is not None and kind not in running.limits:
                raise ValueError(
                    f"{OWNER}: `{kind}` must be on when training starts to be set "
                    f"during training. Received: {kind}={limit!r}, which was None. "
                    f'Construct with {kind}=float("inf").'
                )
        self._limits[kind] = limit
        for running in self._running:
            if kind in running.limits:
                number = math.inf if limit is None else limit
                running.leaf.assign(running.limits[kind], number)

    @property
    def num_updates(self) -> int:
        """Number of updates of the running `fit`, or of the last one.

        With several optimizers, it is the number of the one that made most updates.
        """
        self._read()
        return max((c.get("updates", 0) for c in self._counts.values()), default=0)

    @property
    def fractions(self) -> dict[str, float]:
        """The same numbers as in `history`, over all updates since training started."""
        self._read()
        found: dict[str, float] = {}
        for prefix, counts in self._counts.items():
            found |= _fractions(prefix, counts, {})
        return found

    @property
    def activity(self) -> dict[str, float]:
        """Fraction of updates in which `norm` acted on each layer (or variable)."""
        self._read()
        return dict(self._by_layer)

    def table(self) -> str:
        """How often each kind of clipping acted, and on which layers `norm` did."""
        found = self.fractions | {f"norm of {k}": v for k, v in self.activity.items()}
        titles = ["clipping", f"acted in, of {self.num_updates} updates"]
        return text_table(titles, [[k, f"{100 * v:.1f}%"] for k, v in found.items()])

    def begin(self, leaf: Leaf) -> Clipping | None:
        """Finds the variables and creates the limits and the counters."""
        require_one(self._limits)
        self._running = beside(leaf, self._running)
        if not self._running:
            self._counts, self._by_layer, self.history = {}, {}, {}
        groups, names = self._groups(leaf)
        if not groups:
            return None
        on = {kind: x for kind, x in self._limits.items() if x is not None}
        state = Clipping.begin(leaf, groups, names, on)
        self._running.append(state)
        return state

    def adapt(self, state: Clipping | None, leaf: Leaf) -> Clipping | None:
        """Continues counting; newly trained variables are counted from now on."""
        groups, names = self._groups(leaf)
        if state is None and not groups:
            return None
        self._read()
        if state is not None:
            new = state.regrouped(groups, names)
        else:
            on = {kind: x for kind, x in self._limits.items() if x is not None}
            new = Clipping.begin(leaf, groups, names, on)
        others = [other for other in self._running if other is not state]
        self._running = [*others, new]
        return new

    def _groups(self, leaf: Leaf) -> tuple[dict[int, int], list[str]]:
        joint = self._limits["global_norm"] is not None
        return clipping_groups(
            LayerSelection(self.layers, OWNER), leaf, self.per, joint
        )

    def transform_gradients(
        self, state: Clipping | None, leaf: Leaf, gradients: list
    ) -> list:
        """Clips the gradients of the chosen variables."""
        return gradients if state is None else state.clipped(gradients)

    def traced(self, state: Clipping | None, leaf: Leaf) -> Any:
        """Which gradients are limited together, and how; see `Feature`."""
        if state is None:
            return ()
        return (state.groups, len(state.names), list(state.limits))

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Attaches the callback and forgets the counts of an earlier `fit`."""
        super().on_train_begin(logs)
        if not self._running:
            self._counts, self._by_layer, self.history = {}, {}, {}

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Adds the epoch's fractions to `history`."""
        before = self._counts
        self._read()
        for prefix, counts in self._counts.items():
            acted = _fractions(prefix, counts, before.get(prefix, {}))
            for name, fraction in acted.items():
                self.history.setdefault(name, []).append(fraction)
        super().on_epoch_end(epoch, logs)

    def finish(self, state: Clipping | None, leaf: Leaf) -> None:
        """Keeps the counts, unless they were lost with a step that failed."""
        with contextlib.suppress(RuntimeError):
            self._read()
        self._running = [other for other in self._running if other is not state]

    def _read(self) -> None:
        found: dict[str, dict[str, int]] = {}
        for running in self._running:
            new, by_layer = running.read()
            self._by_layer.update(by_layer)
            prefix = self.log_prefix(running.leaf)
            counts = found.setdefault(prefix, {})
            counts |= {kind: max(n, counts.get(kind, 0)) for kind, n in new.items()}
        # The counts of optimizers that have ended stay beside those that still run.
        self._counts = self._counts | found

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments, with layers as their names."""
        return super().get_config() | {"layers": names_of(self.layers)}

    def __getstate__(self) -> dict[str, Any]:
        """Leaves out what belongs to a running `fit`."""
        return super().__getstate__() | {"_running": []}


def _fractions(
    prefix: str, counts: dict[str, int], before: dict[str, int]
) -> dict[str, float]:
    """The fraction of updates since `before` in which each kind acted, by name."""
    updates = max(counts.get("updates", 0) - before.get("updates", 0), 1)
    return {
        f"{prefix}{kind}": (counts[kind] - before.get(kind, 0)) / updates
        for kind in (*KINDS, "non_finite")
        if kind in counts
    }
