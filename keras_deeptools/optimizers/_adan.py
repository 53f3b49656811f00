"""Adam with Nesterov momentum, computed from differences of gradients."""

from typing import Any, ClassVar

import keras

from keras_deeptools._arguments import checked_rate
from keras_deeptools.engine._update import elementwise_ops as ops
from keras_deeptools.optimizers._adam_variant import AdamVariant, described

OWNER = "Adan"


@described
@keras.saving.register_keras_serializable(package="keras_deeptools")
class Adan(AdamVariant):
    """Adaptive Nesterov momentum: averages gradients and their differences.

    Nesterov momentum looks ahead along the path; Adan does so without a second
    gradient, from the change of the gradient since the last update. It trains with
    learning rates that are 5 to 10 times Adam's, and with large batches. An update
    takes little longer than with Adam, and the state takes four times the memory of
    the weights.

    Args:
        {{learning_rate}}
        beta_1: Float in [0, 1). Decay of the mean of the gradients.
        beta_2: Float in [0, 1). Decay of the mean of their differences, and the weight
            of these in the update.
        beta_3: Float in [0, 1). Decay of the mean of the squares. All three betas are
            defined as in the authors' code; the paper writes 1 minus these values.
        epsilon: Float > 0. Added to the divisor.
        weight_decay: Float or None. Decoupled weight decay, multiplied by the learning
            rate, as in AdamW (the authors' `no_prox=True`; their value of 0.02 belongs
            to their large learning rates).
    {{options}}

    Example:

    >>> import keras
    >>> from keras_deeptools.optimizers import Adan
    >>> weight = keras.Variable(1.0)
    >>> optimizer = Adan(learning_rate=0.25)
    >>> optimizer.apply([keras.ops.convert_to_tensor(0.5)], [weight])
    >>> round(float(weight.numpy()), 6)
    0.75

    Reference:
        Xie et al., 2022, algorithm 1. https://arxiv.org/abs/2208.06677
    """

    SLOTS: ClassVar = ("momentum", "difference", "velocity", "previous_gradient")
    NUMBERS: ClassVar = ("beta_1", "beta_2", "beta_3", "epsilon")

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.98,
        beta_2: float = 0.92,
        beta_3: float = 0.99,
        epsilon: float = 1e-8,
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, **options)
        self.beta_3 = checked_rate(OWNER, "beta_3", beta_3)

    def _scalars(self, step: Any) -> dict[str, Any]:
        beta_1, beta_2, beta_3 = map(self.hyperparameter, self.NUMBERS[:3])
        return {
            "new_1": 1 - beta_1,
            "new_2": 1 - beta_2,
            "new_3": 1 - beta_3,
            "ahead": beta_2,
            # The first gradient has no predecessor to differ from.
            "differs": ops.chosen(step == 1, 0.0, 1.0),
            "scale_1": 1 / ops.weight_seen(beta_1, step),
            "scale_2": beta_2 / ops.weight_seen(beta_2, step),
            "scale_3": ops.weight_seen(beta_3, step) ** -0.5,
        }

    def _formula(self, gradient: Any, slots: list[Any], scalars: dict[str, Any]) -> Any:
        momentum, difference, velocity, previous = slots
        change = (gradient - previous) * scalars["differs"]
        ahead = gradient + change * scalars["ahead"]
        momentum = ops.moved(momentum, gradient, scalars["new_1"])
        difference = ops.moved(difference, change, scalars["new_2"])
        velocity = ops.moved(velocity, ahead * ahead, scalars["new_3"])
        step = momentum * scalars["scale_1"] + difference * scalars["scale_2"]
        divisor = ops.root(velocity) * scalars["scale_3"] + self.epsilon
        return step / divisor, [momentum, difference, velocity, gradient]
