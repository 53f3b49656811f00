"""Adam that divides by its second moments only once they are reliable."""

from typing import Any, ClassVar

import keras

from keras_deeptools._arguments import checked_float, checked_rate
from keras_deeptools.engine._update.elementwise_optimizer import (
    ElementwiseOptimizer,
    chosen,
    exponential_less_one,
    logarithm,
    moved,
    root,
    smaller,
    weight_seen,
)

OWNER = "RectifiedAdam"


@keras.saving.register_keras_serializable(package="keras_deeptools")
class RectifiedAdam(ElementwiseOptimizer):
    """Adam whose first steps need no warmup of the learning rate.

    Adam's first steps divide by second moments that are computed from a handful of
    gradients, so the lengths of these steps vary widely; a warmup of the learning rate
    is a remedy for that. RAdam scales each step by how reliable the second moment is,
    and does not divide at all while it is unreliable (the first five steps with the
    default `beta_2`). Later it is Adam. An update takes as long as with Adam, and the
    state takes twice the memory of the weights.

    Args:
        learning_rate: Float, schedule, or a function without arguments.
        beta_1: Float in [0, 1). Decay of the mean of the gradients.
        beta_2: Float in [0.7, 1). Decay of the mean of their squares.
        epsilon: Float > 0. Added to the root of that mean before it is corrected, as in
            the authors' code.
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
    >>> from keras_deeptools.optimizers import RectifiedAdam
    >>> weight = keras.Variable(1.0)
    >>> optimizer = RectifiedAdam(learning_rate=0.5)
    >>> optimizer.build([weight])
    >>> optimizer.apply([keras.ops.convert_to_tensor(0.5)])
    >>> round(float(weight.numpy()), 6)
    0.75

    Reference:
        Liu et al., 2020, algorithm 2. https://arxiv.org/abs/1908.03265
    """

    SLOTS: ClassVar = ("momentum", "velocity")
    NUMBERS: ClassVar = ("beta_1", "beta_2", "epsilon")

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float | None = None,
        name: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, weight_decay, name, **options)
        self.beta_1 = checked_rate(OWNER, "beta_1", beta_1)
        self.beta_2 = checked_float(OWNER, "beta_2", beta_2, at_least=0.7, below=1)
        self.epsilon = checked_float(OWNER, "epsilon", epsilon, above=0)

    def _scalars(self, step: Any) -> dict[str, Any]:
        beta_1, beta_2 = self.hyperparameter("beta_1"), self.hyperparameter("beta_2")
        correction_1 = weight_seen(beta_1, step)
        correction_2 = weight_seen(beta_2, step)
        longest, length = 2 / (1 - beta_2) - 1, averaged_length(beta_2, step)
        trusted = length >= 5
        # Smaller lengths are not used; 5 keeps the root below from being of a
        # negative number.
        length = chosen(trusted, length, 5.0)
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
            "adaptive": chosen(trusted, adaptive, 0.0),
            "plain": chosen(trusted, 0.0, 1 / correction_1),
        }

    def _formula(self, gradient: Any, slots: list[Any], scalars: dict[str, Any]) -> Any:
        momentum, velocity = slots
        momentum = moved(momentum, gradient, scalars["new_1"])
        velocity = moved(velocity, gradient * gradient, scalars["new_2"])
        divided = momentum * scalars["adaptive"] / (root(velocity) + self.epsilon)
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
    rate = -logarithm(decay)
    # Beyond 80 the quotient is 0 in any precision.
    x = smaller(rate * step, 80.0)
    series = x / 2 - x**2 / 12 + x**4 / 720 - x**6 / 30240 + x**8 / 1209600
    grown = exponential_less_one(x)
    lost = chosen(x < 0.5, series, (grown - x) / grown)
    return 2 / (1 - decay) - 1 - 2 / rate + 2 / rate * lost
