"""Sharpness-aware minimization: the gradient at nearby weights with a higher loss."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_deeptools._arguments import (
    checked_bool,
    checked_count,
    checked_float,
    known_elsewhere_as,
)
from keras_deeptools.callbacks._training_feature import TrainingFeature
from keras_deeptools.engine import Leaf, tensors
from keras_deeptools.engine._backends.captured_update import (
    check_one_replica,
    with_second_gradient,
)
from keras_deeptools.engine._update.leaf import leaf_optimizers
from keras_deeptools.engine._update.model_optimizers import OptimizerChoice

OWNER = "SharpnessAwareMinimization"
STEADYING = 0.01
"""Added to the size of a weight, so that weights near zero move too."""


class Neighbourhood:
    """State of one optimizer: whether the second gradient is taken.

    Attributes:
        active: Bool. Whether a second gradient is taken.
    """

    def __init__(self) -> None:
        self.active = True


@keras.saving.register_keras_serializable(package="keras_deeptools")
class SharpnessAwareMinimization(TrainingFeature):
    """Trains towards weights whose whole neighbourhood has a low loss (SAM).

    In each step the weights are moved by `radius` up their gradient, the gradient is
    computed there with the same data, and the optimizer uses it to update the original
    weights. All of this happens in the compiled step. It is a callback and not an
    optimizer because a Keras optimizer is given gradients and cannot ask for others; it
    works with every optimizer, and changes neither the optimizer nor its files.

    The model's own `train_step` is run twice, with the same random numbers (dropout
    masks, augmentation in layers). Losses, metrics and BatchNorm's statistics are those
    of the first run; other callbacks of this package see, clip and schedule the second
    gradient and the update. With gradient accumulation, each batch is perturbed by its
    own gradient. With mixed precision, a gradient that is not finite does not move the
    weights, and its update is skipped as usual.

    With `adaptive=True` the neighbourhood of each weight of a kernel is as large as the
    weight, so that it does not depend on the scale of layers (ASAM). The best radius is
    then about ten times as large.

    A step takes twice the time, and with `interval=k` about `1 + 1 / k` times; the
    memory is one copy of the weights and of the gradients.

    Args:
        radius: Float > 0. The L2 norm of the move over all weights together, `rho` in
            the paper.
        interval: Int > 0. The second gradient is used in every so many updates; the
            other updates are plain.
        adaptive: Bool. Whether weights are moved in relation to their sizes. Biases and
            other vectors are moved as without it.
        optimizer: None or the optimizer of `compile`; no other can be chosen.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If a number is out of range. When training starts: if the model is
            not known or trains by several optimizers or on several replicas of
            `tf.distribute`, or, in the first step, by several updates.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.callbacks import SharpnessAwareMinimization
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)])
    >>> model.compile("sgd", loss="mse")
    >>> sam = SharpnessAwareMinimization(radius=0.05, interval=2)
    >>> x, y = np.ones((8, 3)), np.ones((8, 4))
    >>> history = model.fit(x, y, callbacks=[sam], verbose=0)

    Reference:
        Foret et al., 2021, algorithm 1. https://arxiv.org/abs/2010.01412
        Kwon et al., 2021, for `adaptive`. https://arxiv.org/abs/2102.11600
    """

    @known_elsewhere_as(radius="rho")
    def __init__(
        self,
        radius: float = 0.05,
        interval: int = 1,
        adaptive: bool = False,
        optimizer: OptimizerChoice = None,
    ) -> None:
        super().__init__(optimizer)
        self.radius = checked_float(OWNER, "radius", radius, above=0)
        self.interval = checked_count(OWNER, "interval", interval)
        self.adaptive = checked_bool(OWNER, "adaptive", adaptive)

    def begin(self, leaf: Leaf) -> Neighbourhood:
        """Checks that the model's step makes its update with this optimizer."""
        if leaf.model is None or leaf.root is not leaf.model.optimizer:
            raise ValueError(
                f"{OWNER}: the optimizer must be that of the model's `compile`, since "
                "the model's step is run twice. Received: "
                f"{leaf.root.name!r}. Attach to the compiled model."
            )
        check_one_replica(OWNER, leaf.optimizer)
        return Neighbourhood()

    def adapt(self, state: Neighbourhood, leaf: Leaf) -> Neighbourhood:
        """Continues with the weights that are trained now."""
        return state

    def train_step(
        self, state: Neighbourhood, leaf: Leaf, train_step: Callable
    ) -> Callable | None:
        """The model's step, run twice; wrapped once if the optimizer has parts."""
        if leaf.optimizer is not leaf_optimizers(leaf.root)[0]:
            return None
        twice = with_second_gradient(
            train_step, leaf.model, leaf, self._elsewhere, self.interval
        )
        return lambda *args, **kwargs: (twice if state.active else train_step)(
            *args, **kwargs
        )

    def _elsewhere(self, gradients: list[Any], weights: list[Any]) -> list[Any]:
        return perturbed(gradients, weights, self.radius, self.adaptive)

    def finish(self, state: Neighbourhood, leaf: Leaf) -> None:
        """Lets the model's step run unchanged from now on."""
        state.active = False


def perturbed(
    gradients: list[Any], weights: list[Any], radius: Any, adaptive: bool = False
) -> list[Any]:
    """The weights moved up their gradient by a distance; unchanged without a gradient.

    Args:
        gradients: List of tensors or None, at any scale.
        weights: List of tensors.
        radius: Scalar > 0, the L2 norm of all that is added.
        adaptive: Bool. Whether each weight of a kernel is moved, and measured, in
            relation to its size. Vectors, such as biases, are moved as they are.
    """
    sizes: list[Any] = [None] * len(weights)
    if adaptive:
        sizes = [_size(w) if len(w.shape) > 1 else None for w in weights]
        gradients = [
            g if g is None or size is None else _dense(g) * size
            for g, size in zip(gradients, sizes, strict=True)
        ]
    there = [gradient for gradient in gradients if gradient is not None]
    norms, _ = tensors.norms(there)
    largest = ops.max(norms)
    known = ops.logical_and(ops.isfinite(largest), largest > 0)
    largest = ops.where(known, largest, ops.ones_like(largest))
    total = largest * ops.sqrt(ops.sum(ops.square(norms / largest)))
    scale = ops.where(known, radius / total, ops.zeros_like(total))
    return [
        weight
        if gradient is None
        else weight
        + ops.cast(
            _dense(gradient) * (scale if size is None else scale * size), weight.dtype
        )
        for gradient, weight, size in zip(gradients, weights, sizes, strict=True)
    ]


def _size(weight: Any) -> Any:
    return ops.abs(ops.cast(weight, "float32")) + STEADYING


def _dense(gradient: Any) -> Any:
    return ops.cast(tensors.dense(gradient), "float32")
