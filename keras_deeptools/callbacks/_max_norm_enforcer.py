"""Keeps the norm of the incoming weights of every unit within a limit."""

import contextlib
import warnings
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_deeptools._arguments import (
    checked_float,
    known_elsewhere_as,
)
from keras_deeptools._text_table import text_table
from keras_deeptools.callbacks._layer_selection import (
    Held,
    Layers,
    LayerSelection,
    names_of,
)
from keras_deeptools.callbacks._training_feature import TrainingFeature, beside
from keras_deeptools.callbacks._unit_axes import FACTORS, Axis, AxisChoice
from keras_deeptools.engine import Leaf, tensors
from keras_deeptools.engine._update.leaf import moving_averages
from keras_deeptools.engine._update.model_optimizers import OptimizerChoice


@dataclass
class Ball:
    """The limited weights of one optimizer, and variables of the step.

    Attributes:
        leaf: `Leaf`.
        held: List of `Held`, the weights.
        axes: List of the axes of each weight.
        shrink: List of floats, the norm to scale each weight to, as a fraction of the
            limit.
        averages: List of the moving averages; empty if there are none.
        limit: Variable.
        activity: Variable, sum over updates of the fractions of units scaled back.
        num_updates: Int variable.
        since: List of ints, number of updates before each weight was trained.
    """

    leaf: Leaf
    held: list[Held]
    axes: list[tuple[int, ...]]
    shrink: list[float]
    averages: list[Any]
    limit: Any
    activity: Any
    num_updates: Any
    since: list[int]

    @property
    def trained(self) -> list[int]:
        """Positions in `held` of the weights that train, as far as known so far."""
        return [i for i, item in enumerate(self.held) if item.variable.trainable]


OWNER = "MaxNormEnforcer"
SMALLEST = 1e-12
UNIT_ROUNDOFF = {"float16": 2.0**-11, "bfloat16": 2.0**-8}


@keras.saving.register_keras_serializable(package="keras_deeptools")
class MaxNormEnforcer(TrainingFeature):
    """Keeps the L2 norm of each unit's incoming weights at or under a limit.

    The limit bounds the output of a unit however large the learning rate is, which
    goes well with dropout and high learning rates, for models that were built without
    constraints. After every update, inside the compiled step and before the
    optimizer's moving average, the weights of a unit whose norm is over the limit are
    scaled back to it: `w * min(1, max_norm / norm(w))`. Signs and directions stay, and
    weights within the limit are not changed by a bit. Weights that start over the limit
    are within it from the first update on. Unlike with `keras.constraints.MaxNorm`,
    weights within the limit never shrink, the axes are right for each kind of layer,
    and moving averages stay within the limit too.

    A unit is one output coordinate; `keras_deeptools.statistics.incoming_axes` lists
    the axes of each kind of layer. Biases, gains of normalization layers, other weights
    with one dimension, and the factors of a low-rank adaptation (LoRA) are left alone.
    So are weights of custom layers whose axes are not known, with a warning, unless
    `axis` gives the axes; `left_alone` names these weights. Frozen weights are not
    changed, whenever they were frozen. A unit with a weight that is not finite is left
    as it is. In half precision, the norm is scaled to one rounding below the limit.

    Args:
        max_norm: Float >= 1e-12. Largest L2 norm of a unit's incoming weights; 2 to 4
            is common. Can be set during training, and acts from the next update on.
        layers: Names, patterns such as `"block3_*"` or `"*/recurrent_kernel"`, layers,
            or a function of a layer that returns a bool; one or a list of them. A
            chosen layer brings all layers in it. None chooses all layers.
        axis: Int or tuple of ints: the axes to sum over, for all chosen weights of
            two or more dimensions except biases and normalization gains. Or a dict
            from names and patterns, as in `layers`, to axes, for weights whose axes
            are not known or should be others; None as a value leaves weights alone, and
            the first key that matches counts.
        optimizer: Which optimizers of the model to act after, as for
            `TrainingFeature`: None for those that the train step uses, or
            `"g_optimizer"`, a list, or `"all"`. The weights that they train are
            limited.

    Attributes:
        left_alone: List of the paths of the weights with two or more dimensions that
            were not limited in the last `fit`, because their axes are not known or
            they are low-rank factors.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If `max_norm` is out of range. When training starts: if `layers`
            or `axis` match nothing, or if no chosen weight has two dimensions.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.callbacks import MaxNormEnforcer
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)])
    >>> model.compile(keras.optimizers.SGD(1.0), loss="mse")
    >>> enforcer = MaxNormEnforcer(0.5)
    >>> x, y = np.ones((8, 3)), np.full((8, 4), 9.0)
    >>> history = model.fit(x, y, epochs=3, callbacks=[enforcer], verbose=0)
    >>> norms = np.linalg.norm(keras.ops.convert_to_numpy(model.weights[0]), axis=0)
    >>> bool((norms <= 0.5).all())
    True
    >>> list(enforcer.activity.values())
    [1.0]

    Reference:
        Srivastava et al., 2014, section 5.1. https://jmlr.org/papers/v15/srivastava14a
    """

    @known_elsewhere_as(max_norm="max_value max_val maxnorm")
    def __init__(
        self,
        max_norm: float = 2.0,
        layers: Layers = None,
        axis: Axis | dict[str, Axis | None] | None = None,
        optimizer: OptimizerChoice = None,
    ) -> None:
        super().__init__(optimizer)
        self._balls: list[Ball] = []
        self._table: dict[str, tuple[str, float]] = {}
        self._max_norm = _checked_norm(max_norm)
        LayerSelection(layers, OWNER)
        AxisChoice(axis, OWNER)
        self.layers = layers
        self.axis = axis
        self.left_alone: list[str] = []
        self._told: set[str] = set()

    @property
    def max_norm(self) -> float:
        """Largest L2 norm of a unit's incoming weights; settable during training."""
        return self._max_norm

    @max_norm.setter
    def max_norm(self, value: float) -> None:
        self._max_norm = _checked_norm(value)
        for ball in self._balls:
            ball.leaf.assign(ball.limit, self._max_norm)

    @property
    def activity(self) -> dict[str, float]:
        """Fraction of units scaled back per update, for each weight's path.

        It is the mean over the updates of the running `fit`, or of the last one.
        Reading it during `fit` copies one small array from the device.
        """
        self._read()
        return {path: fraction for path, (_, fraction) in self._table.items()}

    def table(self) -> str:
        """The limited weights, and how often they were scaled back."""
        self._read()
        rows = [
            [path, what, f"{100 * fraction:.1f}%"]
            for path, (what, fraction) in self._table.items()
        ]
        rows += [[path, "left alone", ""] for path in self.left_alone]
        titles = ["weights", "shape, axes", "units scaled back"]
        return text_table(titles, rows, text=(0, 1))

    def begin(self, leaf: Leaf) -> Ball | None:
        """Finds the weights and their axes before anything is changed."""
        self._balls = beside(leaf, self._balls)
        if not self._balls:
            self._table = {}
        return self._new_ball(leaf, self._chosen(leaf))

    def adapt(self, state: Ball | None, leaf: Leaf) -> Ball | None:
        """Continues counting; newly trained weights are counted from now on."""
        chosen = self._chosen(leaf)
        self._read()
        new = self._new_ball(leaf, chosen)
        if state is None:
            return new
        self._balls = [ball for ball in self._balls if ball is not state]
        if new is not None:
            places = {id(item.variable): i for i, item in enumerate(state.held)}
            updates, activity = leaf.read(state.num_updates), leaf.read(state.activity)
            known = [places.get(id(item.variable)) for item in new.held]
            leaf.assign(new.num_updates, updates)
            leaf.assign(new.activity, [0 if i is None else activity[i] for i in known])
            new.since = [int(updates) if i is None else state.since[i] for i in known]
        leaf.drop_state([state.limit, state.activity, state.num_updates])
        return new

    def _new_ball(
        self, leaf: Leaf, chosen: list[tuple[Held, tuple[int, ...]]]
    ) -> Ball | None:
        if not chosen:
            return None
        held = [item for item, _ in chosen]
        averages = moving_averages(leaf)
        ball = Ball(
            leaf,
            held,
            [axes for _, axes in chosen],
            [_hair_under_one(item.variable) for item in held],
            [averages[item.position] for item in held] if averages else [],
            leaf.add_state("max_norm", initial=self._max_norm),
            leaf.add_state("max_norm_activity", (len(held),)),
            leaf.add_state("max_norm_updates", dtype="int32"),
            [0] * len(held),
        )
        self._balls = [*self._balls, ball]
        return ball

    def project_weights(self, state: Ball | None, leaf: Leaf) -> None:
        """Scales back weights over the limit, whether or not they had a gradient."""
        if state is None:
            return
        tensors.add(state.num_updates, 1)
        live = state.trained
        if not live:
            return
        limit = tensors.scalar(state.limit)
        axes, shrink = [state.axes[i] for i in live], [state.shrink[i] for i in live]
        variables = [state.held[i].variable for i in live]
        scaled = tensors.limit_norms(variables, axes, limit, shrink)
        if state.averages:
            # An average of weights within the limit stays within it, if it starts so.
            averages = [state.averages[i] for i in live]
            tensors.limit_norms(averages, axes, limit, shrink)
        if len(live) < len(state.held):
            zeros = ops.zeros((len(state.held),), "float32")
            scaled = ops.scatter_update(zeros, [[i] for i in live], scaled)
        tensors.add(state.activity, scaled)

    def traced(self, state: Ball | None, leaf: Leaf) -> Any:
        """Which weights are limited, along which axes; see `Feature`."""
        if state is None:
            return ()
        positions = [item.position for item in state.held]
        return (positions, state.axes, state.shrink, len(state.averages))

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Attaches the callback and forgets the counts of an earlier `fit`."""
        super().on_train_begin(logs)
        if not self._balls:
            self._table = {}

    def finish(self, state: Ball | None, leaf: Leaf) -> None:
        """Keeps the counts, unless they were lost with a step that failed."""
        with contextlib.suppress(RuntimeError):
            self._read()
        self._balls = [ball for ball in self._balls if ball is not state]

    def _read(self) -> None:
        for ball in self._balls:
            updates = int(ball.leaf.read(ball.num_updates)) - np.array(ball.since)
            activity = ball.leaf.read(ball.activity)
            fractions = (activity / np.maximum(updates, 1)).tolist()
            for item, axes, part in zip(ball.held, ball.axes, fractions, strict=True):
                what = f"{tuple(item.variable.shape)}, {axes}"
                self._table[item.variable.path] = (what, part)

    def _chosen(self, leaf: Leaf) -> list[tuple[Held, tuple[int, ...]]]:
        selection = LayerSelection(self.layers, OWNER)
        axes = AxisChoice(self.axis, OWNER)
        everywhere = selection.everywhere(leaf)
        known = axes.of(everywhere, leaf)
        limited = {id(held.variable) for held, _ in known}
        factors = [
            held.variable.path
            for held in everywhere
            if held.role.startswith(FACTORS) and id(held.variable) not in limited
        ]
        if not known and not axes.unknown and not factors:
            raise ValueError(
                f"{OWNER}: `layers` must choose weights of two or more dimensions. "
                f"Received: layers={self.layers!r}, which have only biases, gains and "
                "the like. Choose layers with kernels or embeddings."
            )
        self.left_alone = [*axes.unknown, *factors]
        if axes.unknown.keys() - self._told:
            self._told |= axes.unknown.keys()
            warnings.warn(axes.warning(), stacklevel=2)
        return axes.of(selection.of(leaf), leaf)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments, with layers as their names."""
        return super().get_config() | {"layers": names_of(self.layers)}

    def __getstate__(self) -> dict[str, Any]:
        """Leaves out what belongs to a running `fit`."""
        return super().__getstate__() | {"_balls": []}


def _checked_norm(value: float) -> float:
    return checked_float(
        OWNER,
        "max_norm",
        value,
        at_least=SMALLEST,
        is_finite=False,
        remedy="Values from 2 to 4 are common.",
    )


def _hair_under_one(variable: Any) -> float:
    """The norm to scale to, as a fraction of the limit, low enough for rounding."""
    dtype = keras.backend.standardize_dtype(variable.dtype)
    return 1.0 - 1e-6 - UNIT_ROUNDOFF.get(dtype, 0.0)
