"""AdamW with a second, slow average of the gradients."""

from typing import Any, ClassVar

import keras

from keras_deeptools._arguments import checked_count, checked_float
from keras_deeptools.engine._update import elementwise_ops as ops
from keras_deeptools.optimizers._adam_variant import AdamVariant, described

OWNER = "AdEMAMix"


@described
@keras.saving.register_keras_serializable(package="keras_deeptools")
class AdEMAMix(AdamVariant):
    """AdamW that also remembers the gradients of thousands of updates ago.

    One moving average of the gradients cannot both follow the latest gradients and
    keep the old ones. AdEMAMix adds a slow average to Adam's, with the weight `alpha`.
    The authors train language models with it for a hundred thousand updates and more,
    and find it ahead of AdamW; in runs that are short compared with
    `1 / (1 - beta_3)` updates there are no old gradients to remember. An update takes
    little longer than with Adam, and the state takes three times the memory of the
    weights.

    Args:
        {{learning_rate}}
        beta_1: Float in (0, 1). Decay of the fast mean of the gradients.
        beta_2: Float in [0, 1). Decay of the mean of their squares.
        beta_3: Float in (0, 1), at least `beta_1`. Decay of the slow mean.
        alpha: Float >= 0. Weight of the slow mean; the authors use values from 4 to 10.
        warmup_steps: Int > 0 or None. Number of updates in which `alpha` grows from 0
            and the slow decay from `beta_1` (its half-life linearly); the authors take
            all updates of the run. With None, both are constant from the first update
            on, and training may diverge.
        epsilon: Float > 0. Added to the divisor.
    {{decay_and_options}}

    Example:

    >>> import keras
    >>> from keras_deeptools.optimizers import AdEMAMix
    >>> weight = keras.Variable(1.0)
    >>> optimizer = AdEMAMix(learning_rate=0.25, warmup_steps=1000)
    >>> optimizer.apply([keras.ops.convert_to_tensor(0.5)], [weight])
    >>> round(float(weight.numpy()), 3)
    0.75

    Reference:
        Pagliardini et al., 2024, algorithm 1. https://arxiv.org/abs/2409.03137
    """

    SLOTS: ClassVar = ("momentum", "slow_momentum", "velocity")
    NUMBERS: ClassVar = (
        "beta_1",
        "beta_2",
        "beta_3",
        "alpha",
        "warmup_steps",
        "epsilon",
    )

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        beta_3: float = 0.9999,
        alpha: float = 5.0,
        warmup_steps: int | None = None,
        epsilon: float = 1e-8,
        **options: Any,
    ) -> None:
        beta_1 = checked_float(OWNER, "beta_1", beta_1, above=0, below=1)
        super().__init__(learning_rate, beta_1, beta_2, epsilon, **options)
        self.beta_3 = checked_float(
            OWNER, "beta_3", beta_3, at_least=self.beta_1, below=1
        )
        self.alpha = checked_float(OWNER, "alpha", alpha, at_least=0)
        self.warmup_steps = (
            None
            if warmup_steps is None
            else checked_count(OWNER, "warmup_steps", warmup_steps)
        )

    def _scalars(self, step: Any) -> dict[str, Any]:
        beta_1, beta_2, beta_3 = map(self.hyperparameter, self.NUMBERS[:3])
        alpha, new_3 = self.hyperparameter("alpha"), 1 - beta_3
        if self.warmup_steps is not None:
            done = ops.smaller(step / self.warmup_steps, 1.0)
            alpha = alpha * done
            # Lifetimes, 1 / -log(beta), are half-lives up to a constant factor.
            short, long = -1 / ops.logarithm(beta_1), -1 / ops.logarithm(beta_3)
            new_3 = -ops.exponential_less_one(-1 / (short + (long - short) * done))
        return {
            "new_1": 1 - beta_1,
            "new_2": 1 - beta_2,
            "new_3": new_3,
            "alpha": alpha,
            "scale_1": 1 / ops.weight_seen(beta_1, step),
            "scale_2": ops.weight_seen(beta_2, step) ** -0.5,
        }

    def _formula(self, gradient: Any, slots: list[Any], scalars: dict[str, Any]) -> Any:
        momentum, slow, velocity = slots
        momentum = ops.moved(momentum, gradient, scalars["new_1"])
        slow = ops.moved(slow, gradient, scalars["new_3"])
        velocity = ops.moved(velocity, gradient * gradient, scalars["new_2"])
        step = momentum * scalars["scale_1"] + slow * scalars["alpha"]
        divisor = ops.root(velocity) * scalars["scale_2"] + self.epsilon
        return step / divisor, [momentum, slow, velocity]
