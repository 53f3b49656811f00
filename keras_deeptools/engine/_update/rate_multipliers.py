"""Updates whose learning rate differs from variable to variable, group by group."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import keras

from keras_deeptools.engine._backends.active import training
from keras_deeptools.engine._keras_private.optimizers import UPDATE_STEP, WEIGHT_DECAY
from keras_deeptools.engine._patching import Replacement
from keras_deeptools.engine._update.leaf import leaf_optimizers
from keras_deeptools.engine._update.parameter_groups import (
    all_as_is,
    decay_groups,
    groups_of,
    update_groups,
)
from keras_deeptools.engine._update.step_counts import births_of

SEAM = "_keras_deeptools_grouped_update"


class RateMultipliers:
    """Multiplies the learning rate that an optimizer applies to each variable.

    Variables with equal multipliers are updated together by the optimizer's own code,
    so fused updates stay fused. Several of these on one optimizer multiply. What is
    attached to the optimizer, before or after, sees one update, with all groups in it.

    Args:
        function: Function of a leaf optimizer and a list of its variables, called
            whenever an update is run or traced. Returns a list with a multiplier for
            each variable: a float, or a scalar tensor, the same object for all
            variables that share it.
        scales_weight_decay: Bool. Whether weight decay is multiplied, too.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine import RateMultipliers
    >>> first, second = keras.Variable(1.0), keras.Variable(1.0)
    >>> optimizer = keras.optimizers.SGD(0.5)
    >>> optimizer.build([first, second])
    >>> halves = RateMultipliers(lambda optimizer, variables: [1.0, 0.5])
    >>> halves.join(optimizer)
    >>> optimizer.apply([keras.ops.ones(()), keras.ops.ones(())])
    >>> float(first.numpy()), float(second.numpy())
    (0.5, 0.75)
    """

    def __init__(
        self,
        function: Callable[[Any, list[Any]], list[Any]],
        scales_weight_decay: bool = True,
    ) -> None:
        self.function = function
        self.scales_weight_decay = scales_weight_decay

    def join(self, optimizer: Any, owner: str = "RateMultipliers") -> None:
        """Takes effect on every optimizer that updates variables itself.

        Steps that are compiled already do not follow; `retrain` traces them again.

        Args:
            optimizer: Keras optimizer; a `MultiOptimizer` must be built.
            owner: Str. Who is named in errors.

        Raises:
            ValueError: If the size of an optimizer's update does not follow its rate.
        """
        check_rate_scales(optimizer, owner)
        for leaf in leaf_optimizers(optimizer):
            hold_seam(leaf, self)

    def leave(self, optimizer: Any) -> None:
        """Ends the effect; nothing is left of it."""
        for leaf in leaf_optimizers(optimizer):
            release_seam(leaf, self)


def check_rate_scales(optimizer: Any, owner: str) -> None:
    """Raises if an optimizer's update is not proportional to its rate.

    Args:
        optimizer: Keras optimizer.
        owner: Str. Who is named in errors.

    Raises:
        ValueError: For `Ftrl`, where the rate takes part in the state: the weights are
            computed anew from sums over all gradients, scaled by the present rate.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._update.rate_multipliers import check_rate_scales
    >>> check_rate_scales(keras.optimizers.Adam(), "fine_tune")
    """
    for leaf in leaf_optimizers(optimizer):
        if isinstance(leaf, keras.optimizers.Ftrl):
            raise ValueError(
                f"{owner}: the optimizer's update must be proportional to its rate. "
                f"Received: optimizer={leaf.name!r}, an Ftrl, which computes weights "
                "anew from sums over all gradients. Use Adam, AdamW, SGD, Adagrad or "
                "any other Keras optimizer."
            )


@dataclass(frozen=True)
class _Seam:
    """Who needs the wrapped methods of an optimizer, and what they replaced."""

    users: tuple[Any, ...]
    replaced: tuple[Replacement, ...]


def hold_seam(leaf: Any, user: Any) -> None:
    """Keeps the methods wrapped for `user`.

    Features hold the seam, too: what joins while they are attached is then beneath
    them, where it sees each update once.
    """
    seam = vars(leaf).get(SEAM)
    if seam is None:
        seam = _Seam((), _wrap(leaf))
    if not any(user is other for other in seam.users):
        vars(leaf)[SEAM] = replace(seam, users=(*seam.users, user))


def release_seam(leaf: Any, user: Any) -> None:
    """Unwraps the methods when nobody needs them any more."""
    seam = vars(leaf).get(SEAM)
    if seam is None:
        return
    users = tuple(other for other in seam.users if other is not user)
    vars(leaf)[SEAM] = replace(seam, users=users)
    if users:
        return
    del vars(leaf)[SEAM]
    for replacement in reversed(seam.replaced):
        replacement.undo()


def _wrap(leaf: Any) -> tuple[Replacement, ...]:
    unmerged = [
        Replacement(leaf, name, method)
        for name, method in training.unmerged_methods(leaf).items()
    ]
    update, decay = getattr(leaf, UPDATE_STEP), getattr(leaf, WEIGHT_DECAY)

    def update_by_groups(
        grads: Any, trainable_variables: Any, learning_rate: Any
    ) -> None:
        groups = groups_of(leaf, trainable_variables, _functions(leaf), births_of(leaf))
        if all_as_is(groups):
            update(grads, trainable_variables, learning_rate)
        else:
            variables = list(trainable_variables)
            update_groups(leaf, update, groups, list(grads), variables, learning_rate)

    def decay_by_groups(variables: Any) -> None:
        if leaf.weight_decay is None:
            return
        groups = groups_of(leaf, variables, _functions(leaf, decay=True))
        if all_as_is(groups):
            decay(variables)
        else:
            decay_groups(leaf, decay, groups, list(variables))

    return (
        *unmerged,
        Replacement(leaf, UPDATE_STEP, update_by_groups),
        Replacement(leaf, WEIGHT_DECAY, decay_by_groups),
    )


def _functions(leaf: Any, decay: bool = False) -> list[Callable]:
    """What gives the multipliers, of weight decay or of the whole update."""
    sources = [u for u in vars(leaf)[SEAM].users if isinstance(u, RateMultipliers)]
    return [s.function for s in sources if s.scales_weight_decay or not decay]
