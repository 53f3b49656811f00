"""Clips the gradient of each unit to a fraction of the norm of its weights."""

import contextlib
import warnings
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_deeptools._arguments import checked_float
from keras_deeptools._text_table import text_table
from keras_deeptools.callbacks._layer_selection import (
    Held,
    Layers,
    LayerSelection,
    names_of,
    output_variables,
)
from keras_deeptools.callbacks._training_feature import TrainingFeature, beside
from keras_deeptools.callbacks._unit_axes import Axis, AxisChoice, describes_axis
from keras_deeptools.engine import Leaf, tensors
from keras_deeptools.engine._update.model_optimizers import OptimizerChoice

OWNER = "AdaptiveGradientClipping"


@dataclass
class Units:
    """The clipped variables of one optimizer, and how often they were clipped.

    Attributes:
        leaf: `Leaf`.
        axes: Dict from the position of a variable to the axes that a norm sums over.
        factor: Scalar variable, the clipping factor.
        activity: Variable `(len(axes),)`, sums of the fractions of units clipped.
        num_updates: Int variable.
    """

    leaf: Leaf
    axes: dict[int, tuple[int, ...]]
    factor: Any
    activity: Any
    num_updates: Any


@describes_axis
@keras.saving.register_keras_serializable(package="keras_deeptools")
class AdaptiveGradientClipping(TrainingFeature):
    """Limits the gradient of each unit to a fraction of the norm of its weights (AGC).

    A fixed limit has to be tuned again for every learning rate, batch size and depth.
    Here the limit of a unit, a neuron or a filter, is `clipping_factor` times the L2
    norm of its incoming weights: where the norm of its gradient is larger, the gradient
    is scaled down to the limit. This lets networks without BatchNormalization train
    with large batches and large learning rates.

    The norms are those of a unit's incoming weights, with the axes that are right for
    each kind of layer (see `statistics.incoming_axes`); a bias, a gain or any other
    vector is one unit, as in the paper's code. `timm.utils.adaptive_clip_grad` uses
    the same formula and defaults. A gradient within its limit is not changed by a bit,
    and a unit whose gradient is not finite is left as it is. With mixed precision the
    callback acts on the unscaled gradients, and with gradient accumulation on their
    mean. It acts before Keras' own clipping; several callbacks act in the order of the
    list.

    Each step reads the weights and the gradients one more time.

    Args:
        clipping_factor: Float > 0. Largest norm of a unit's gradient, as a fraction of
            the norm of its weights; the paper uses 0.01 to 0.16, smaller for larger
            batches. Can be set during training, and acts from the next update on.
        epsilon: Float > 0. Smaller norms of weights are replaced by it, so that biases
            that are zero at the beginning can be trained.
        layers: Names, patterns such as `"block3_*"`, layers, or a function of a layer
            that returns a bool; one or a list of them. None chooses all layers except
            embeddings and the output layers of the model, as the paper recommends;
            `"*"` chooses those too.
    {{axis_to_type_error}}
        ValueError: If a number is out of range. When training starts: if `layers` or
            `axis` match nothing.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.callbacks import AdaptiveGradientClipping
    >>> hidden = keras.layers.Dense(4, "relu", name="hidden")
    >>> model = keras.Sequential([keras.Input((3,)), hidden, keras.layers.Dense(1)])
    >>> model.compile(keras.optimizers.SGD(0.1), loss="mse")
    >>> clipping = AdaptiveGradientClipping(0.01)
    >>> x, y = np.ones((8, 3)), np.full((8, 1), 90.0)
    >>> history = model.fit(x, y, epochs=2, callbacks=[clipping], verbose=0)
    >>> [path.rpartition("/")[2] for path in clipping.activity]
    ['kernel', 'bias']

    Reference:
        Brock et al., 2021, section 4.1. https://arxiv.org/abs/2102.06171
    """

    def __init__(
        self,
        clipping_factor: float = 0.01,
        epsilon: float = 1e-3,
        layers: Layers = None,
        axis: Axis | dict[str, Axis | None] | None = None,
        optimizer: OptimizerChoice = None,
    ) -> None:
        super().__init__(optimizer)
        self._running: list[Units] = []
        self._activity: dict[str, float] = {}
        self._factor = _checked_factor(clipping_factor)
        self.epsilon = checked_float(OWNER, "epsilon", epsilon, above=0)
        LayerSelection(layers, OWNER)
        AxisChoice(axis, OWNER)
        self.layers = layers
        self.axis = axis
        self.left_alone: list[str] = []

    @property
    def clipping_factor(self) -> float:
        """Largest norm of a gradient as a fraction of that of the weights; settable."""
        return self._factor

    @clipping_factor.setter
    def clipping_factor(self, value: float) -> None:
        self._factor = _checked_factor(value)
        for units in self._running:
            units.leaf.assign(units.factor, self._factor)

    @property
    def activity(self) -> dict[str, float]:
        """Fraction of units clipped per update, for each variable's path.

        It is the mean over the updates of the running `fit`, or of the last one.
        """
        self._read()
        return dict(self._activity)

    def table(self) -> str:
        """The clipped variables, and what fraction of their units was clipped."""
        rows = [[path, f"{100 * part:.1f}%"] for path, part in self.activity.items()]
        rows += [[path, "left alone"] for path in self.left_alone]
        return text_table(["variable", "units clipped"], rows)

    def begin(self, leaf: Leaf) -> Units:
        """Finds the variables and their axes, before anything is changed."""
        self._running = beside(leaf, self._running)
        if not self._running:
            self._activity = {}
        return self._new(leaf)

    def adapt(self, state: Units, leaf: Leaf) -> Units:
        """Continues with the variables that are trained now, counted from now on."""
        axes = self._axes(leaf)
        if axes == state.axes:
            return state
        self._read()
        new = self._new(leaf)
        leaf.drop_state([state.factor, state.activity, state.num_updates])
        self._running = [units for units in self._running if units is not state]
        return new

    def _new(self, leaf: Leaf) -> Units:
        axes = self._axes(leaf)
        units = Units(
            leaf,
            axes,
            leaf.add_state("clipping_factor", initial=self._factor),
            leaf.add_state("clipped_units", (len(axes),)),
            leaf.add_state("clipping_updates", dtype="int32"),
        )
        self._running = [*self._running, units]
        return units

    def _axes(self, leaf: Leaf) -> dict[int, tuple[int, ...]]:
        held = LayerSelection(self.layers, OWNER).of(leaf)
        if self.layers is None and leaf.model is not None:
            last = output_variables(leaf.model)
            held = [
                one
                for one in held
                if id(one.variable) not in last and not _is_embedding(one)
            ]
        choice = AxisChoice(self.axis, OWNER)
        found = choice.of(held, leaf) + choice.vectors(held, leaf)
        if choice.unknown.keys() - set(self.left_alone):
            warnings.warn(choice.warning(), stacklevel=2)
        self.left_alone = list(choice.unknown)
        return {one.position: axes for one, axes in sorted(found, key=_position)}

    def transform_gradients(self, state: Units, leaf: Leaf, gradients: list) -> list:
        """Scales down the gradients of units that are over their limits."""
        tensors.add(state.num_updates, 1)
        order = {position: i for i, position in enumerate(state.axes)}
        places = [i for i, p in enumerate(leaf.positions) if p in order]
        if not places:
            return gradients
        positions = [leaf.positions[i] for i in places]
        axes = [state.axes[p] for p in positions]
        picked = [tensors.dense(gradients[i]) for i in places]
        weights = [ops.convert_to_tensor(leaf.active[i]) for i in places]
        factor = ops.convert_to_tensor(state.factor)
        of_gradients = tensors.slice_norms(picked, axes)
        of_weights = tensors.slice_norms(weights, axes)
        result, parts = list(gradients), []
        for i, gradient, norm, weight in zip(
            places, picked, of_gradients, of_weights, strict=True
        ):
            limit = ops.cast(factor, norm.dtype) * ops.maximum(weight, self.epsilon)
            over = ops.logical_and(norm > limit, ops.isfinite(norm))
            safe = ops.where(over, norm, ops.ones_like(norm))
            scale = ops.where(over, limit / safe, ops.ones_like(norm))
            result[i] = gradient * ops.cast(scale, gradient.dtype)
            parts.append(ops.mean(ops.cast(over, "float32")))
        clipped = ops.stack(parts)
        if len(places) < len(order):
            zeros = ops.zeros((len(order),), "float32")
            index = [[order[p]] for p in positions]
            clipped = ops.scatter_update(zeros, index, clipped)
        tensors.add(state.activity, clipped)
        return result

    def traced(self, state: Units, leaf: Leaf) -> Any:
        """Which gradients are clipped, along which axes; see `Feature`."""
        return (state.axes, self.epsilon)

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Attaches the callback and forgets the counts of an earlier `fit`."""
        super().on_train_begin(logs)
        if not self._running:
            self._activity = {}

    def finish(self, state: Units, leaf: Leaf) -> None:
        """Keeps the counts, unless they were lost with a step that failed."""
        with contextlib.suppress(RuntimeError):
            self._read()
        self._running = [units for units in self._running if units is not state]

    def _read(self) -> None:
        for units in self._running:
            updates = max(int(units.leaf.read(units.num_updates)), 1)
            parts = np.asarray(units.leaf.read(units.activity)) / updates
            paths = [units.leaf.paths[position] for position in units.axes]
            self._activity |= dict(zip(paths, parts.tolist(), strict=True))

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments, with layers as their names."""
        return super().get_config() | {"layers": names_of(self.layers)}

    def __getstate__(self) -> dict[str, Any]:
        """Leaves out what belongs to a running `fit`."""
        return super().__getstate__() | {"_running": []}


def _checked_factor(value: float) -> float:
    remedy = "The paper uses 0.01 to 0.16."
    return checked_float(OWNER, "clipping_factor", value, above=0, remedy=remedy)


def _is_embedding(held: Held) -> bool:
    return isinstance(held.layer, keras.layers.Embedding)


def _position(found: tuple[Held, tuple[int, ...]]) -> int:
    return found[0].position
