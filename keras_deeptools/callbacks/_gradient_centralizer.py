"""Gradients whose mean over a unit's incoming weights is zero."""

import warnings
from typing import Any

import keras
from keras import ops

from keras_deeptools.callbacks._layer_selection import (
    Held,
    LayerSelection,
    names_of,
)
from keras_deeptools.callbacks._training_feature import TrainingFeature
from keras_deeptools.callbacks._unit_axes import Axis, AxisChoice, describes_axis
from keras_deeptools.engine import Leaf, tensors
from keras_deeptools.engine._graph.layers import Layers
from keras_deeptools.engine._update.model_optimizers import OptimizerChoice

OWNER = "GradientCentralizer"


@describes_axis
@keras.saving.register_keras_serializable(package="keras_deeptools")
class GradientCentralizer(TrainingFeature):
    """Subtracts from the gradient of each unit its mean over the incoming weights.

    The weights of a unit then keep the sum that they have at the beginning, which
    regularizes the network and smooths the loss. The callback acts before the optimizer
    and Keras' own clipping, on kernels of dense, convolutional, recurrent and attention
    layers with the axes that are right for each; biases, gains of normalization layers
    and embeddings are left alone. With adaptive optimizers the sum is not kept exactly,
    since they divide each element by its own number.

    Each update takes the time of one pass over the gradients, and no memory.

    Args:
        layers: Names, patterns such as `"block3_*"`, layers, or a function of a layer
            that returns a bool; one or a list of them. None chooses all layers.
    {{axis_to_type_error}}
        ValueError: When training starts: if `layers` or `axis` match nothing.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.callbacks import GradientCentralizer
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)])
    >>> model.compile(keras.optimizers.SGD(0.1), loss="mse")
    >>> before = model.layers[0].kernel.numpy().sum(axis=0)
    >>> x, y = np.eye(3), np.ones((3, 4))
    >>> history = model.fit(x, y, callbacks=[GradientCentralizer()], verbose=0)
    >>> after = model.layers[0].kernel.numpy().sum(axis=0)
    >>> bool(np.allclose(before, after, atol=1e-6))
    True

    Reference:
        Yong et al., 2020, section 3. https://arxiv.org/abs/2004.01461
    """

    def __init__(
        self,
        layers: Layers = None,
        axis: Axis | dict[str, Axis | None] | None = None,
        optimizer: OptimizerChoice = None,
    ) -> None:
        super().__init__(optimizer)
        LayerSelection(layers, OWNER)
        AxisChoice(axis, OWNER)
        self.layers = layers
        self.axis = axis
        self.left_alone: list[str] = []

    def begin(self, leaf: Leaf) -> dict[int, tuple[int, ...]]:
        """Finds the weights and their axes, before anything is changed."""
        axes = AxisChoice(self.axis, OWNER)
        held = LayerSelection(self.layers, OWNER).of(leaf)
        found = axes.of([one for one in held if not _is_embedding(one)], leaf)
        if axes.unknown.keys() - set(self.left_alone):
            warnings.warn(axes.warning(), stacklevel=2)
        self.left_alone = list(axes.unknown)
        return {one.position: each for one, each in found}

    def adapt(
        self, state: dict[int, tuple[int, ...]], leaf: Leaf
    ) -> dict[int, tuple[int, ...]]:
        """Continues with the weights that are trained now."""
        return self.begin(leaf)

    def transform_gradients(
        self, state: dict[int, tuple[int, ...]], leaf: Leaf, gradients: list
    ) -> list:
        """Subtracts the means over the incoming weights."""
        changed = []
        for position, gradient in zip(leaf.positions, gradients, strict=True):
            if position in state:
                gradient = tensors.dense(gradient)
                means = ops.mean(gradient, axis=state[position], keepdims=True)
                gradient = gradient - means
            changed.append(gradient)
        return changed

    def traced(self, state: dict[int, tuple[int, ...]], leaf: Leaf) -> Any:
        """Which gradients are centralized, along which axes; see `Feature`."""
        return state

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments, with layers as their names."""
        return super().get_config() | {"layers": names_of(self.layers)}


def _is_embedding(held: Held) -> bool:
    return isinstance(held.layer, keras.layers.Embedding)
