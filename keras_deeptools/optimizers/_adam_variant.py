"""What the optimizers that descend from Adam have in common."""

from typing import Any, ClassVar, TypeVar

from keras_deeptools._arguments import checked_float, checked_rate
from keras_deeptools._shared_docs import delegates, shared_docs
from keras_deeptools.engine._update.elementwise_optimizer import ElementwiseOptimizer

Variant = TypeVar("Variant", bound="type[AdamVariant]")

LEARNING_RATE = "learning_rate: Float, schedule, or a function without arguments."
DECAY = """\
    weight_decay: Float or None. Decoupled weight decay, multiplied by the learning
        rate, as in AdamW.
"""
OPTIONS = """\
    name: Str or None.
    **options: Keras' own arguments of every optimizer: `clipnorm`, `clipvalue`,
        `global_clipnorm`, `use_ema`, `ema_momentum`, `ema_overwrite_frequency`,
        `loss_scale_factor`, `gradient_accumulation_steps`.

Raises:
    TypeError: If an argument has the wrong type.
    ValueError: If a number is out of range.
"""


class AdamVariant(ElementwiseOptimizer):
    """Optimizer with decays of two means and an `epsilon`, as Adam has them.

    Args:
        learning_rate: Float, schedule, or a function without arguments.
        beta_1: Float in [0, 1). Decay of the first mean.
        beta_2: Float in [0, 1). Decay of the second mean.
        epsilon: Float > 0.
        weight_decay: Float or None.
        name: Str or None.
        **options: Keras' own arguments of every optimizer.
    """

    NUMBERS: ClassVar[tuple[str, ...]] = ("beta_1", "beta_2", "epsilon")

    def __init__(
        self,
        learning_rate: Any,
        beta_1: float,
        beta_2: float,
        epsilon: float,
        *,
        weight_decay: float | None = None,
        name: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, weight_decay, name, **options)
        owner = type(self).__name__
        self.beta_1 = checked_rate(owner, "beta_1", beta_1)
        self.beta_2 = checked_rate(owner, "beta_2", beta_2)
        self.epsilon = checked_float(owner, "epsilon", epsilon, above=0)


def described(variant: Variant) -> Variant:
    """Completes the docstring and the signature of a variant by what all of them have.

    Args:
        variant: Subclass of `AdamVariant` that passes `**options` to it.
    """
    delegates(AdamVariant.__init__)(variant.__init__)
    return shared_docs(
        learning_rate=LEARNING_RATE,
        decay_and_options=DECAY + OPTIONS,
        options=OPTIONS,
    )(variant)
