"""Adam that divides by its second moments only once they are reliable."""

from typing import Any, ClassVar

import keras

from keras_deeptools._arguments import checked_float
from keras_deeptools.engine._update import elementwise_ops as ops
from keras_deeptools.optimizers._adam_variant import AdamVariant, described

OWNER = "RectifiedAdam"


@described
@keras.saving.register_keras_serializable(package="keras_deeptools")
class RectifiedAdam(AdamVariant):
    """Adam whose first steps need no warmup of the learning rate.

    Adam's first steps divide by second moments that are computed from a handful of
    gradients, so the lengths of these steps vary widely; a warmup of the learning rate
    is a remedy for that. RAdam scales each step by how reliable the second moment is,
    and does not divide at all while it is unreliable (the first five steps with the
    default `beta_2`). Later it is Adam. An update takes as long as with Adam, and the
    state takes twice the memory of the weights.

    Args:
        {{learning_rate}}
        beta_1: Float in [0, 1). Decay of the mean of the gradients.
        beta_2: Float in [0.7, 1). Decay of the mean of their squares.
        epsilon: Float > 0. Added to the root of that mean before it is corrected, as in
            the authors' code.
    {{decay_and_options}}

    Example:

    >>> import keras
    >>> from keras_deeptools.optimizers import RectifiedAdam
    >>> weight = keras.Variable(1.0)
    >>> optimizer = RectifiedAdam(learning_rate=0.5)
    >>> optimizer.apply([keras.ops.convert_to_tensor(0.5)], [weight])
    >>> round(float(weight.numpy()), 6)
    0.75

    Reference:
        Liu et al., 2020, algorithm 2. https://arxiv.org/abs/1908.03265
    """

    SLOTS: ClassVar = ("momentum", "velocity")

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        **options: Any,
    ) -> None:
        beta_2 = checked_float(OWNER, "beta_2", beta_2, at_least=0.7, below=1)
        super().__init__(learning_rate, beta_1, beta_2, epsilon, **options)

    def _scalars(self, step: Any) -> dict[str, Any]:
        beta_1, beta_2 = self.hyperparameter("beta_1"), self.hyperparameter("beta_2")
        correction_1 = ops.weight_seen(beta_1, step)
        correction_2 = ops.weight_seen(beta_2, step)
        longest, length = 2 / (1 - beta_2) - 1, averaged_length(beta_2, step)
        trusted = length >= 5
        # Smaller lengths are not used; 5 keeps the root below from being of a
        # negative number.
        length = ops.chosen(trusted, length, 5.0)
        rectification = (
            (length - 4)
            * (length - 2)
            * longest
            / ((longest - 4) * (longest - 2) * length)
        )
        adaptive = (rectification * correction_2) ** 0.5 / correction_1
        return {
            "new_1": 1 - beta_1,
            "new_2": 1 - beta_2,
            "adaptive": ops.chosen(trusted, adaptive, 0.0),
            "plain": ops.chosen(trusted, 0.0, 1 / correction_1),
        }

    def _formula(self, gradient: Any, slots: list[Any], scalars: dict[str, Any]) -> Any:
        momentum, velocity = slots
        momentum = ops.moved(momentum, gradient, scalars["new_1"])
        velocity = ops.moved(velocity, gradient * gradient, scalars["new_2"])
        divided = momentum * scalars["adaptive"] / (ops.root(velocity) + self.epsilon)
        return divided + momentum * scalars["plain"], [momentum, velocity]


def averaged_length(decay: Any, step: Any) -> Any:
    """The number of values whose simple average is equivalent to a moving one.

    This is the length of section 4. The paper writes it as a difference of two numbers
    that nearly cancel; the form used here is exact to float32.

    Args:
        decay: Scalar in (0, 1).
        step: Scalar >= 1.

    Example:

    >>> from keras_deeptools.optimizers._rectified_adam import averaged_length
    >>> round(averaged_length(0.999, 6.0), 3)
    5.994
    """
    rate = -ops.logarithm(decay)
    # Beyond 80 the quotient is 0 in any precision.
    x = ops.smaller(rate * step, 80.0)
    series = x / 2 - x**2 / 12 + x**4 / 720 - x**6 / 30240 + x**8 / 1209600
    grown = ops.exponential_less_one(x)
    lost = ops.chosen(x < 0.5, series, (grown - x) / grown)
    return 2 / (1 - decay) - 1 - 2 / rate + 2 / rate * lost
