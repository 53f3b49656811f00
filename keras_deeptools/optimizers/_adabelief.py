"""Adam with longer steps where the gradients are as expected."""

from typing import Any, ClassVar

import keras

from keras_deeptools.engine._update import elementwise_ops as ops
from keras_deeptools.optimizers._adam_variant import AdamVariant, described

OWNER = "AdaBelief"


@described
@keras.saving.register_keras_serializable(package="keras_deeptools")
class AdaBelief(AdamVariant):
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
        {{learning_rate}}
        beta_1: Float in [0, 1). Decay of the mean of the gradients.
        beta_2: Float in [0, 1). Decay of the mean of the squared distances from it.
        epsilon: Float > 0. Added to that mean in every update, and to its root.
    {{decay_and_options}}

    Example:

    >>> import keras
    >>> from keras_deeptools.optimizers import AdaBelief
    >>> weight = keras.Variable(1.0)
    >>> optimizer = AdaBelief(learning_rate=0.09)
    >>> optimizer.apply([keras.ops.convert_to_tensor(0.5)], [weight])
    >>> round(float(weight.numpy()), 5)
    0.9

    Reference:
        Zhuang et al., 2020, algorithm 2. https://arxiv.org/abs/2010.07468
    """

    SLOTS: ClassVar = ("momentum", "deviation")

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-16,
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, **options)

    def _scalars(self, step: Any) -> dict[str, Any]:
        beta_1, beta_2 = self.hyperparameter("beta_1"), self.hyperparameter("beta_2")
        return {
            "new_1": 1 - beta_1,
            "new_2": 1 - beta_2,
            "scale_1": 1 / ops.weight_seen(beta_1, step),
            "scale_2": ops.weight_seen(beta_2, step) ** -0.5,
        }

    def _formula(self, gradient: Any, slots: list[Any], scalars: dict[str, Any]) -> Any:
        momentum, deviation = slots
        momentum = ops.moved(momentum, gradient, scalars["new_1"])
        distance = gradient - momentum
        deviation = ops.moved(deviation, distance * distance, scalars["new_2"])
        deviation = deviation + self.epsilon
        divisor = ops.root(deviation) * scalars["scale_2"] + self.epsilon
        return momentum * scalars["scale_1"] / divisor, [momentum, deviation]
