"""An optimizer that wraps another one and follows it with slow weights."""

from typing import Any

import keras
from keras import ops

from keras_deeptools._arguments import checked_count, checked_float, message
from keras_deeptools.engine import tensors
from keras_deeptools.engine._keras_private.optimizers import (
    counted_batches,
    position_of,
)
from keras_deeptools.engine._update.elementwise_optimizer import copied_slots
from keras_deeptools.engine._update.leaf import (
    leaf_optimizers,
    optimized_variables,
    optimizer_parts,
)
from keras_deeptools.engine._update.optimizer_wrapper import OptimizerWrapper
from keras_deeptools.engine._update.rate_multipliers import AfterUpdate

OWNER = "Lookahead"
SLOW = "lookahead_slow_weights"


@keras.saving.register_keras_serializable(package="keras_deeptools")
class Lookahead(OptimizerWrapper):
    """Lets an optimizer run ahead for some updates, then goes part of the way.

    Slow weights stay behind while the inner optimizer makes `sync_period` updates of
    the fast weights, with which the model computes. The slow weights then move towards
    the fast ones by the fraction `slow_step_size`, and the fast ones start again from
    there. This averages out much of the noise, so that high learning rates and large
    momenta do less harm; with tuned learning rates the gain is small.

    Any Keras optimizer can be wrapped, and `Lookahead` may stand inside or around a
    `LossScaleOptimizer`, inside or around `DiscriminativeLearningRates`, and around a
    `MultiOptimizer`. Attributes that are not its own (`learning_rate`, `beta_1`) are
    read from and set on the inner optimizer. The slow weights are variables of the
    inner optimizer: they are saved with it, follow freezing and unfreezing, and do not
    change in updates that mixed precision skips. With `gradient_accumulation_steps`,
    updates are counted, not batches; constraints and the moving averages of `use_ema`
    see the weights after the slow ones have moved. `Lookahead` takes one more copy of
    the weights, and the time of one copy in every `sync_period` updates. The inner
    optimizer's momenta continue unchanged, which the paper calls "maintain".

    Args:
        inner_optimizer: Keras optimizer, or its name.
        sync_period: Int > 0. Number of updates from one move of the slow weights to the
            next.
        slow_step_size: Float in (0, 1]. Fraction of the way that the slow weights move.
        name: Str or None.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range, or the inner optimizer is in a
            `Lookahead` already.

    Example:

    >>> import keras
    >>> from keras_deeptools.optimizers import Lookahead
    >>> weight = keras.Variable(1.0)
    >>> optimizer = Lookahead(keras.optimizers.SGD(0.25), sync_period=2)
    >>> optimizer.build([weight])
    >>> for _ in range(2):
    ...     optimizer.apply([keras.ops.ones(())])
    ...     print(float(weight.numpy()))
    0.75
    0.75

    Reference:
        Zhang et al., 2019, algorithm 1. https://arxiv.org/abs/1907.08610
    """

    def __init__(
        self,
        inner_optimizer: Any,
        sync_period: int = 6,
        slow_step_size: float = 0.5,
        name: str | None = None,
    ) -> None:
        inner = keras.optimizers.get(inner_optimizer)
        if any(isinstance(part, Lookahead) for part in optimizer_parts(inner)):
            rule = "an optimizer that is not in a `Lookahead` already"
            raise ValueError(message(OWNER, "inner_optimizer", rule, inner))
        super().__init__(inner, name)
        self.sync_period = checked_count(OWNER, "sync_period", sync_period)
        self.slow_step_size = checked_float(
            OWNER, "slow_step_size", slow_step_size, above=0, at_most=1
        )
        self._sequel = AfterUpdate(self._synchronize)

    def build(self, variables: list[Any]) -> None:
        """Builds the inner optimizer; the slow weights start equal to `variables`."""
        is_new = not self.inner_optimizer.built
        super().build(variables)
        for leaf in leaf_optimizers(self.inner_optimizer):
            if leaf.built and (is_new or not hasattr(leaf, SLOW)):
                trained = optimized_variables(leaf)
                setattr(leaf, SLOW, copied_slots(leaf, trained, "slow_weights"))
        self._sequel.join(self.inner_optimizer)

    def _synchronize(self, leaf: Any, variables: list[Any]) -> None:
        """Moves the slow weights after every `sync_period`-th update."""
        batches = tensors.scalar(counted_batches(leaf))
        update = batches // (leaf.gradient_accumulation_steps or 1) + 1
        is_time = update % self.sync_period == 0
        if not tensors.possibly(is_time):
            return
        held = getattr(leaf, SLOW)
        slow_weights = [held[position_of(leaf, variable)] for variable in variables]
        pairs = [
            (ops.convert_to_tensor(slow), ops.convert_to_tensor(fast))
            for slow, fast in zip(slow_weights, variables, strict=True)
        ]
        for slow, fast, pair in zip(slow_weights, variables, pairs, strict=True):
            before, ahead = pair
            moved = before + (ahead - before) * self.slow_step_size
            if is_time is not True:
                before = ops.where(is_time, moved, before)
                ahead = ops.where(is_time, moved, ahead)
            else:
                before = ahead = moved
            slow.assign(before)
            fast.assign(ahead)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments, with the inner optimizer serialized."""
        return super().get_config() | {
            "sync_period": self.sync_period,
            "slow_step_size": self.slow_step_size,
        }
