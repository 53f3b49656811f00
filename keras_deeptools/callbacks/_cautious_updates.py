"""Updates only where they agree with the latest gradient."""

from typing import Any

import keras
from keras import ops

from keras_deeptools.callbacks._layer_selection import LayerSelection, names_of
from keras_deeptools.callbacks._training_feature import TrainingFeature
from keras_deeptools.engine import Leaf, tensors
from keras_deeptools.engine._graph.layers import Layers
from keras_deeptools.engine._update.model_optimizers import OptimizerChoice
from keras_deeptools.engine._update.rate_multipliers import has_sequel

OWNER = "CautiousUpdates"
SMALLEST_SHARE = 1e-3
"""Least fraction of agreeing elements in the factor that scales these elements."""


@keras.saving.register_keras_serializable(package="keras_deeptools")
class CautiousUpdates(TrainingFeature):
    """Leaves out the parts of each update that would go up the latest gradient.

    Momentum carries weights on in a direction that the latest gradient no longer
    supports. The cautious version of an optimizer moves only those elements of a weight
    whose step goes down the latest gradient, and scales these steps up to make up for
    the others, so that the mean length of a step stays the same. The callback works
    with any optimizer (AdamW, Lion, Muon, those of `keras_deeptools.optimizers`) and
    changes neither the optimizer nor its files. Weight decay is not left out. With
    plain SGD nothing changes.

    Each update takes the additional time of two copies of the weights, and the memory
    of one copy.

    Args:
        layers: Names, patterns such as `"block3_*"`, layers, or a function of a layer
            that returns a bool; one or a list of them. None chooses all layers.
        optimizer: Which optimizers of the model to act on, as for `TrainingFeature`.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: When training starts: if `layers` matches nothing, or the optimizer
            is in a `Lookahead`, whose synchronization does not follow a gradient.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.callbacks import CautiousUpdates
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)])
    >>> model.compile("lion", loss="mse")
    >>> x, y = np.ones((8, 3)), np.ones((8, 4))
    >>> history = model.fit(x, y, callbacks=[CautiousUpdates()], verbose=0)

    Reference:
        Liang et al., 2024, algorithm 1. https://arxiv.org/abs/2411.16085
    """

    changes_updates = True

    def __init__(
        self, layers: Layers = None, optimizer: OptimizerChoice = None
    ) -> None:
        super().__init__(optimizer)
        LayerSelection(layers, OWNER)
        self.layers = layers

    def begin(self, leaf: Leaf) -> list[int]:
        """Finds the variables, before anything is changed."""
        if has_sequel(leaf.optimizer):
            raise ValueError(
                f"{OWNER}: the update must be the optimizer's own. Received: "
                f"{leaf.root.name!r}, which moves the weights after it, as `Lookahead` "
                "does. Use one of the two."
            )
        selection = LayerSelection(self.layers, OWNER)
        return [held.position for held in selection.of(leaf)]

    def adapt(self, state: list[int], leaf: Leaf) -> list[int]:
        """Continues with the variables that are trained now."""
        return self.begin(leaf)

    def transform_updates(
        self, state: list[int], leaf: Leaf, before: list, gradients: list
    ) -> None:
        """Takes back the elements that moved up their gradient, and scales the rest."""
        chosen = set(state)
        for position, variable, old, gradient in zip(
            leaf.positions, leaf.active, before, gradients, strict=True
        ):
            if position in chosen:
                old = ops.convert_to_tensor(old)
                change = ops.convert_to_tensor(variable) - old
                gradient = tensors.dense(gradient)
                agrees = ops.cast(change * ops.cast(gradient, old.dtype) < 0, old.dtype)
                share = ops.mean(ops.cast(agrees, "float32"))
                scale = ops.cast(1 / ops.maximum(share, SMALLEST_SHARE), old.dtype)
                variable.assign(old + change * agrees * scale)

    def traced(self, state: list[int], leaf: Leaf) -> Any:
        """Which variables are chosen; see `Feature`."""
        return state

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments, with layers as their names."""
        return super().get_config() | {"layers": names_of(self.layers)}
