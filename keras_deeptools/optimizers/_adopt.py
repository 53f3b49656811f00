"""Adam that converges with any decay of its second moments."""

from typing import Any, ClassVar

import keras

from keras_deeptools._arguments import checked_float
from keras_deeptools.engine._update import elementwise_ops as ops
from keras_deeptools.optimizers._adam_variant import AdamVariant, described

OWNER = "ADOPT"


@described
@keras.saving.register_keras_serializable(package="keras_deeptools")
class ADOPT(AdamVariant):
    """Adam that divides each gradient by the second moment of the earlier ones.

    Adam's divisor contains the current gradient, which is why Adam may fail to
    converge unless `beta_2` fits the problem. ADOPT divides by the second moment of
    the earlier gradients and averages the quotients. It converges with any `beta_2`.
    The first gradient only starts that moment, so the first update changes nothing. An
    update takes as long as with Adam, and the state takes twice the memory of the
    weights.

    Args:
        {{learning_rate}}
        beta_1: Float in [0, 1). Decay of the mean of the divided gradients.
        beta_2: Float in [0, 1). Decay of the mean of the squared gradients.
        epsilon: Float > 0. The smallest divisor.
        clip_exponent: Float > 0. At the update after `t` others, divided gradients are
            limited to `t ** clip_exponent`, which keeps early steps short.
    {{decay_and_options}}

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
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, **options)
        self.clip_exponent = checked_float(
            OWNER, "clip_exponent", clip_exponent, above=0
        )

    def _scalars(self, step: Any) -> dict[str, Any]:
        return {
            "new_1": 1 - self.hyperparameter("beta_1"),
            # At the first update there is no other gradient to average with.
            "new_2": ops.chosen(step == 1, 1.0, 1 - self.hyperparameter("beta_2")),
            # 0 at the first update, which leaves momentum and weights as they are.
            "limit": (step - 1) ** self.clip_exponent,
        }

    def _formula(self, gradient: Any, slots: list[Any], scalars: dict[str, Any]) -> Any:
        momentum, velocity = slots
        divided = gradient / ops.at_least(ops.root(velocity), self.epsilon)
        divided = ops.limited(divided, scalars["limit"])
        momentum = ops.moved(momentum, divided, scalars["new_1"])
        velocity = ops.moved(velocity, gradient * gradient, scalars["new_2"])
        return momentum, [momentum, velocity]
