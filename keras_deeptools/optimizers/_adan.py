"""Adam with Nesterov momentum, computed from differences of gradients."""

from typing import Any, ClassVar

import keras

from keras_deeptools._arguments import checked_float, checked_rate
from keras_deeptools.engine._update.elementwise_optimizer import (
    ElementwiseOptimizer,
    chosen,
    moved,
    root,
    weight_seen,
)

OWNER = "Adan"


@keras.saving.register_keras_serializable(package="keras_deeptools")
class Adan(ElementwiseOptimizer):
    """Adaptive Nesterov momentum: averages gradients and their differences.

    Nesterov momentum looks ahead along the path; Adan does so without a second
    gradient, from the change of the gradient since the last update. It trains with
    learning rates that are 5 to 10 times Adam's, and with large batches. An update
    takes little longer than with Adam, and the state takes four times the memory of
    the weights.

    Args:
        learning_rate: Float, schedule, or a function without arguments.
        beta_1: Float in [0, 1). Decay of the mean of the gradients.
        beta_2: Float in [0, 1). Decay of the mean of their differences, and the weight
            of these in the update.
        beta_3: Float in [0, 1). Decay of the mean of the squares. All three betas are
            defined as in the authors' code; the paper writes 1 minus these values.
        epsilon: Float > 0. Added to the divisor.
        weight_decay: Float or None. Decoupled weight decay, multiplied by the learning
            rate, as in AdamW (the authors' `no_prox=True`; their value of 0.02 belongs
            to their large learning rates).
        name: Str or None.
        **options: Keras' own arguments of every optimizer: `clipnorm`, `clipvalue`,
            `global_clipnorm`, `use_ema`, `ema_momentum`, `ema_overwrite_frequency`,
            `loss_scale_factor`, `gradient_accumulation_steps`.

    Raises:
        TypeError: If an argument that must be a number is not one.
        ValueError: If a number is out of range.

    Example:

    >>> import keras
    >>> from keras_deeptools.optimizers import Adan
    >>> weight = keras.Variable(1.0)
    >>> optimizer = Adan(learning_rate=0.25)
    >>> optimizer.build([weight])
    >>> optimizer.apply([keras.ops.convert_to_tensor(0.5)])
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
        weight_decay: float | None = None,
        name: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, weight_decay, name, **options)
        self.beta_1 = checked_rate(OWNER, "beta_1", beta_1)
        self.beta_2 = checked_rate(OWNER, "beta_2", beta_2)
        self.beta_3 = checked_rate(OWNER, "beta_3", beta_3)
        self.epsilon = checked_float(OWNER, "epsilon", epsilon, above=0)

    def _scalars(self, step: Any) -> dict[str, Any]:
        beta_1, beta_2, beta_3 = map(self.hyperparameter, self.NUMBERS[:3])
        return {
            "new_1": 1 - beta_1,
            "new_2": 1 - beta_2,
            "new_3": 1 - beta_3,
            "ahead": beta_2,
            # The first gradient has no predecessor to differ from.
            "differs": chosen(step == 1, 0.0, 1.0),
            "scale_1": 1 / weight_seen(beta_1, step),
            "scale_2": beta_2 / weight_seen(beta_2, step),
            "scale_3": weight_seen(beta_3, step) ** -0.5,
        }

    def _formula(self, gradient: Any, slots: list[Any], scalars: dict[str, Any]) -> Any:
        momentum, difference, velocity, previous = slots
        change = (gradient - previous) * scalars["differs"]
        ahead = gradient + change * scalars["ahead"]
        momentum = moved(momentum, gradient, scalars["new_1"])
        difference = moved(difference, change, scalars["new_2"])
        velocity = moved(velocity, ahead * ahead, scalars["new_3"])
        step = momentum * scalars["scale_1"] + difference * scalars["scale_2"]
        divisor = root(velocity) * scalars["scale_3"] + self.epsilon
        return step / divisor, [momentum, difference, velocity, gradient]
