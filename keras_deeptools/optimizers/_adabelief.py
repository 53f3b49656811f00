"""Adam with longer steps where the gradients are as expected."""

from typing import Any, ClassVar

import keras

from keras_deeptools._arguments import checked_float, checked_rate
from keras_deeptools.engine._update.elementwise_optimizer import (
    ElementwiseOptimizer,
    moved,
    root,
    weight_seen,
)

OWNER = "AdaBelief"


@keras.saving.register_keras_serializable(package="keras_deeptools")
class AdaBelief(ElementwiseOptimizer):
    """Adam that divides by the deviation of the gradients from their mean.

    Adam divides by the root of the mean square of the gradients; AdaBelief divides by
    the root of the mean squared distance of the gradients from their moving average.
    Where the gradients agree with that average, the step is longer than Adam's; where
    they scatter, it is as short. An update takes as long as with Adam, and the state
    takes twice the memory of the weights.

    The choice of `epsilon` matters here, because deviations may be tiny: the default
    allows long steps where the gradients agree; with 1e-8 the steps are closer to
    Adam's.

    Args:
        learning_rate: Float, schedule, or a function without arguments.
        beta_1: Float in [0, 1). Decay of the mean of the gradients.
        beta_2: Float in [0, 1). Decay of the mean of the squared distances from it.
        epsilon: Float > 0. Added to that mean in every update, and to its root.
        weight_decay: Float or None. Decoupled weight decay, multiplied by the learning
            rate, as in AdamW.
        name: Str or None.
        **options: Keras' own arguments of every optimizer: `clipnorm`, `clipvalue`,
            `global_clipnorm`, `use_ema`, `ema_momentum`, `ema_overwrite_frequency`,
            `loss_scale_factor`, `gradient_accumulation_steps`.

    Raises:
        TypeError: If an argument that must be a number is not one.
        ValueError: If a number is out of range.

    Example:

    >>> import keras
    >>> from keras_deeptools.optimizers import AdaBelief
    >>> weight = keras.Variable(1.0)
    >>> optimizer = AdaBelief(learning_rate=0.09)
    >>> optimizer.build([weight])
    >>> optimizer.apply([keras.ops.convert_to_tensor(0.5)])
    >>> round(float(weight.numpy()), 5)
    0.9

    Reference:
        Zhuang et al., 2020, algorithm 2. https://arxiv.org/abs/2010.07468
    """

    SLOTS: ClassVar = ("momentum", "deviation")
    NUMBERS: ClassVar = ("beta_1", "beta_2", "epsilon")

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-16,
        weight_decay: float | None = None,
        name: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, weight_decay, name, **options)
        self.beta_1 = checked_rate(OWNER, "beta_1", beta_1)
        self.beta_2 = checked_rate(OWNER, "beta_2", beta_2)
        self.epsilon = checked_float(OWNER, "epsilon", epsilon, above=0)

    def _scalars(self, step: Any) -> dict[str, Any]:
        beta_1, beta_2 = self.hyperparameter("beta_1"), self.hyperparameter("beta_2")
        return {
            "new_1": 1 - beta_1,
            "new_2": 1 - beta_2,
            "scale_1": 1 / weight_seen(beta_1, step),
            "scale_2": weight_seen(beta_2, step) ** -0.5,
        }

    def _formula(self, gradient: Any, slots: list[Any], scalars: dict[str, Any]) -> Any:
        momentum, deviation = slots
        momentum = moved(momentum, gradient, scalars["new_1"])
        distance = gradient - momentum
        deviation = moved(deviation, distance * distance, scalars["new_2"])
        deviation = deviation + self.epsilon
        divisor = root(deviation) * scalars["scale_2"] + self.epsilon
        return momentum * scalars["scale_1"] / divisor, [momentum, deviation]
