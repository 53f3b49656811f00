"""Adam that finds its learning rate while it trains."""

import math
from typing import Any, ClassVar

import keras

from keras_deeptools._arguments import checked_bool, checked_float, checked_rate
from keras_deeptools.engine import tensors
from keras_deeptools.engine._keras_private.optimizers import decays
from keras_deeptools.engine._update import elementwise_ops as ops
from keras_deeptools.engine._update.rate_multipliers import hold_seam
from keras_deeptools.optimizers._adam_variant import AdamVariant, described

OWNER = "Prodigy"


@described
@keras.saving.register_keras_serializable(package="keras_deeptools")
class Prodigy(AdamVariant):
    """Adam that estimates its learning rate from how far the weights have come.

    The best learning rate of many methods is proportional to the distance from the
    initial weights to the solution. Prodigy keeps a lower bound of this distance,
    `estimate`, which grows during training, and takes steps of `learning_rate` times
    the estimate. Leave the learning rate at 1, and let a schedule bring it down at the
    end (cosine, `FlatCosine`); with a schedule that begins with a warmup, set
    `safeguard_warmup`. An update takes a few passes over the weights more than with
    Adam, and the state takes four times the memory of the weights.

    All weights share the estimate, so Prodigy cannot be used in
    `DiscriminativeLearningRates`, which needs several learning rates. The learning
    rate that Prodigy finds is not the best one on every task: compare before you trust
    it.

    Args:
        learning_rate: Float, schedule, or a function without arguments; a multiple of
            the estimate.
        beta_1: Float in [0, 1). Decay of the mean of the gradients.
        beta_2: Float in [0, 1). Decay of the mean of their squares.
        beta_3: Float in [0, 1), or None for the square root of `beta_2`. Decay of the
            sums that the estimate is computed from.
        initial_estimate: Float > 0. The estimate at the beginning, far below any useful
            learning rate.
        coefficient: Float > 0. Factor of new estimates; the authors take 0.5 or 2 where
            1 is not best.
        bias_correction: Bool. Whether to correct both means as Adam does.
        safeguard_warmup: Bool. Whether the estimate is computed without
            `learning_rate`, so that a warmup does not inflate it.
        epsilon: Float > 0. Multiplied by the estimate and added to the divisor.
        weight_decay: Float or None. Decoupled weight decay, multiplied by the learning
            rate and the estimate.
    {{options}}

    Attributes:
        estimate: Scalar variable, the estimate; available once the optimizer is built.

    Example:

    >>> import keras
    >>> from keras_deeptools.optimizers import Prodigy
    >>> weight = keras.Variable(1.0)
    >>> optimizer = Prodigy(initial_estimate=0.01)
    >>> optimizer.build([weight])
    >>> for _ in range(10):
    ...     optimizer.apply([keras.ops.multiply(2.0, weight)])
    >>> float(optimizer.estimate) > 0.01
    True

    Reference:
        Mishchenko & Defazio, 2023, algorithm 4. https://arxiv.org/abs/2306.06101
    """

    SLOTS: ClassVar = ("momentum", "velocity", "weighted_sum", "initial_weight")
    COPIES: ClassVar = ("initial_weight",)
    NUMBERS: ClassVar = (
        "beta_1",
        "beta_2",
        "beta_3",
        "initial_estimate",
        "coefficient",
        "bias_correction",
        "safeguard_warmup",
        "epsilon",
    )
    SHARES_RATE = True

    def __init__(
        self,
        learning_rate: Any = 1.0,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        beta_3: float | None = None,
        initial_estimate: float = 1e-6,
        coefficient: float = 1.0,
        bias_correction: bool = False,
        safeguard_warmup: bool = False,
        epsilon: float = 1e-8,
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, **options)
        beta_3 = math.sqrt(self.beta_2) if beta_3 is None else beta_3
        self.beta_3 = checked_rate(OWNER, "beta_3", beta_3)
        self.initial_estimate = checked_float(
            OWNER, "initial_estimate", initial_estimate, above=0
        )
        self.coefficient = checked_float(OWNER, "coefficient", coefficient, above=0)
        self.bias_correction = checked_bool(OWNER, "bias_correction", bias_correction)
        self.safeguard_warmup = checked_bool(
            OWNER, "safeguard_warmup", safeguard_warmup
        )

    def build(self, variables: list[Any]) -> None:
        """Creates the slots of `variables`, and the state that all of them share."""
        if self.built:
            return
        super().build(variables)
        self.estimate = self.add_variable(
            (),
            keras.initializers.Constant(self.initial_estimate),
            "float32",
            name="estimate",
        )
        self.numerator = self.add_variable((), dtype="float32", name="numerator")
        # With several replicas, each variable is then updated on its own with the
        # global gradient.
        hold_seam(self, OWNER)

    def takes_all(self) -> bool:
        """True, because the estimate comes from all weights together."""
        return True

    def decays_itself(self) -> bool:
        """True, because weight decay is multiplied by the estimate."""
        return True

    def update_all(self, gradients: Any, variables: Any, learning_rate: Any) -> None:
        """Updates all `variables` by their `gradients` with the `learning_rate`."""
        beta_1, beta_2, beta_3 = map(self.hyperparameter, self.NUMBERS[:3])
        estimate = tensors.scalar(self.estimate)
        rate = estimate * tensors.number(learning_rate)
        if self.bias_correction:
            step = self.step_number()
            rate = (
                rate
                * ops.weight_seen(beta_2, step) ** 0.5
                / ops.weight_seen(beta_1, step)
            )
        relative = estimate / self.initial_estimate
        added = relative * (estimate if self.safeguard_warmup else rate)
        numerator, denominator, found = 0.0, 0.0, []
        for unit in self.units(gradients, variables):
            momentum, velocity, weighted, initial = unit.slots
            distance = ops.product(unit.gradient, initial - unit.read())
            numerator = numerator + distance
            gradient = unit.gradient * unit.scalar(estimate)
            momentum = ops.moved(momentum, gradient, unit.scalar(1 - beta_1))
            velocity = ops.moved(velocity, gradient * gradient, unit.scalar(1 - beta_2))
            weighted = weighted * unit.scalar(beta_3)
            weighted = weighted + unit.gradient * unit.scalar(added)
            denominator = denominator + ops.magnitude(weighted)
            found.append((unit, [momentum, velocity, weighted, initial]))
        numerator = (
            tensors.scalar(self.numerator) * beta_3 + relative * rate * numerator
        )
        is_known = denominator > 0
        candidate = (
            self.coefficient * numerator / ops.chosen(is_known, denominator, 1.0)
        )
        new = ops.larger(estimate, ops.chosen(is_known, candidate, 0.0))
        tensors.set_scalar(self.numerator, numerator)
        tensors.set_scalar(self.estimate, new)
        self._decay(variables, rate)
        for unit, slots in found:
            divisor = ops.root(slots[1]) + unit.scalar(new * self.epsilon)
            weight = unit.read() - slots[0] / divisor * unit.scalar(rate)
            unit.write(slots, weight)

    def _decay(self, variables: Any, rate: Any) -> None:
        if self.weight_decay is None:
            return
        kept = 1 - rate * self.hyperparameter("weight_decay")
        for variable in variables:
            if decays(self, variable):
                value = keras.ops.convert_to_tensor(variable)
                variable.assign(value * keras.ops.cast(kept, variable.dtype))
