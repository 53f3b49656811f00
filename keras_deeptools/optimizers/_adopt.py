"""Adam that converges with any decay of its second moments."""

from typing import Any, ClassVar

import keras

from keras_deeptools._arguments import checked_float, checked_rate
from keras_deeptools.engine._update.elementwise_optimizer import (
    ElementwiseOptimizer,
    at_least,
    chosen,
    limited,
    moved,
    root,
)

OWNER = "ADOPT"


@keras.saving.register_keras_serializable(package="keras_deeptools")
class ADOPT(ElementwiseOptimizer):
    """Adam that divides each gradient by the second moment of the earlier ones.

    Adam's divisor contains the current gradient, which is why Adam may fail to
    converge unless `beta_2` fits the problem. ADOPT divides by the second moment of
    the earlier gradients and averages the quotients. It converges with any `beta_2`.
    The first gradient only starts that moment, so the first update changes nothing. An
    update takes as long as with Adam, and the state takes twice the memory of the
    weights.

    Args:
        learning_rate: Float, schedule, or a function without arguments.
        beta_1: Float in [0, 1). Decay of the mean of the divided gradients.
        beta_2: Float in [0, 1). Decay of the mean of the squared gradients.
        epsilon: Float > 0. The smallest divisor.
        clip_exponent: Float > 0. At the update after `t` others, divided gradients are
            limited to `t ** clip_exponent`, which keeps early steps short.
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
    >>> from keras_deeptools.optimizers import ADOPT
    >>> weight = keras.Variable(1.0)
    >>> optimizer = ADOPT(learning_rate=0.5)
    >>> optimizer.build([weight])
    >>> for _ in range(2):
    ...     optimizer.apply([keras.ops.convert_to_tensor(0.5)])
    >>> round(float(weight.numpy()), 6)
    0.95

    Reference:
        Taniguchi et al., 2024, algorithm 2. https://arxiv.org/abs/2411.02853
    """

    SLOTS: ClassVar = ("momentum", "velocity")
    NUMBERS: ClassVar = ("beta_1", "beta_2", "epsilon", "clip_exponent")

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.9999,
        epsilon: float = 1e-6,
        clip_exponent: float = 0.25,
        weight_decay: float | None = None,
        name: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, weight_decay, name, **options)
        self.beta_1 = checked_rate(OWNER, "beta_1", beta_1)
        self.beta_2 = checked_rate(OWNER, "beta_2", beta_2)
        self.epsilon = checked_float(OWNER, "epsilon", epsilon, above=0)
        self.clip_exponent = checked_float(
            OWNER, "clip_exponent", clip_exponent, above=0
        )

    def _scalars(self, step: Any) -> dict[str, Any]:
        return {
            "new_1": 1 - self.hyperparameter("beta_1"),
            # At the first update there is no other gradient to average with.
            "new_2": chosen(step == 1, 1.0, 1 - self.hyperparameter("beta_2")),
            # 0 at the first update, which leaves momentum and weights as they are.
            "limit": (step - 1) ** self.clip_exponent,
        }

    def _formula(self, gradient: Any, slots: list[Any], scalars: dict[str, Any]) -> Any:
        momentum, velocity = slots
        divided = gradient / at_least(root(velocity), self.epsilon)
        divided = limited(divided, scalars["limit"])
        momentum = moved(momentum, divided, scalars["new_1"])
        velocity = moved(velocity, gradient * gradient, scalars["new_2"])
        return momentum, [momentum, velocity]
