"""Updates that differ between groups of variables, or are followed by a function."""

import functools
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import keras
from keras import ops

from keras_deeptools.engine._backends.active import tensors, training
from keras_deeptools.engine._keras_private.optimizers import (
    CURRENT_RATE,
    UPDATE_STEP,
    WEIGHT_DECAY,
    counted_batches,
    rate_in_effect,
    rate_of,
    tracked,
)
from keras_deeptools.engine._patching import Replacement, replaced
from keras_deeptools.engine._update.leaf import leaf_optimizers
from keras_deeptools.engine._update.step_counts import (
    births_of,
    own_count,
    own_rate,
    shares_rate,
)

SEAM = "_keras_deeptools_grouped_update"
OWNER = "Rates and counts of their own for some variables"


class RateMultipliers:
    """Multiplies the learning rate that an optimizer applies to each variable.

    Variables with equal multipliers are updated together by the optimizer's own code,
    so fused updates stay fused. If several `RateMultipliers` have joined one optimizer,
    their factors are multiplied. Features that are attached to the optimizer, before or
    after, see one update with all groups in it.

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

        Steps that are compiled already do not change; `retrain` traces them again.

        Args:
            optimizer: Keras optimizer; a `MultiOptimizer` must be built.
            owner: Str. Name of the caller, for errors.

        Raises:
            ValueError: If the size of an optimizer's update is not proportional to its
                learning rate.
        """
        check_rate_scales(optimizer, owner)
        for leaf in leaf_optimizers(optimizer):
            hold_seam(leaf, self)

    def leave(self, optimizer: Any) -> None:
        """Ends the effect on `optimizer` completely."""
        for leaf in leaf_optimizers(optimizer):
            release_seam(leaf, self)


class AfterUpdate:
    """Acts on the weights after each update of an optimizer, as a part of it.

    It comes before the moving averages and the constraints of Keras, and what features
    see as the update contains it. Several of these act in the order in which they
    joined.

    Args:
        function: Function of a leaf optimizer and a list of the variables updated,
            called whenever an update is run or traced.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._update.rate_multipliers import AfterUpdate
    >>> weight = keras.Variable(1.0)
    >>> optimizer = keras.optimizers.SGD(0.5)
    >>> optimizer.build([weight])
    >>> AfterUpdate(lambda _, weights: weights[0].assign(7.0)).join(optimizer)
    >>> optimizer.apply([keras.ops.ones(())])
    >>> float(weight.numpy())
    7.0
    """

    def __init__(self, function: Callable[[Any, list[Any]], Any]) -> None:
        self.function = function

    def join(self, optimizer: Any) -> None:
        """Takes effect on every optimizer that updates variables itself."""
        for leaf in leaf_optimizers(optimizer):
            hold_seam(leaf, self)


def has_sequel(leaf: Any) -> bool:
    """Whether something acts on the weights after each update of an optimizer.

    Args:
        leaf: Keras optimizer that updates variables itself.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._update.rate_multipliers import has_sequel
    >>> has_sequel(keras.optimizers.SGD())
    False
    """
    seam = vars(leaf).get(SEAM)
    return seam is not None and any(isinstance(u, AfterUpdate) for u in seam.users)


def check_rate_scales(optimizer: Any, owner: str) -> None:
    """Raises if an optimizer's update is not proportional to its learning rate.

    Args:
        optimizer: Keras optimizer.
        owner: Str. Name of the caller, for errors.

    Raises:
        ValueError: For `Ftrl`, whose state depends on the learning rate: the weights
            are computed again from sums over all gradients, scaled by the present
            learning rate; and for `Prodigy`, which estimates one learning rate for all
            weights.

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
        if shares_rate(leaf):
            raise ValueError(
                f"{owner}: the optimizer must take a rate for each weight. Received: "
                f"optimizer={leaf.name!r}, which estimates one for all of them from "
                "all of them. Use Adam, AdamW or any other that is given its rate."
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
    """Unwraps the methods when no user needs them any more."""
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
        for user in vars(leaf)[SEAM].users:
            if isinstance(user, AfterUpdate):
                user.function(leaf, list(trainable_variables))

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


@dataclass(frozen=True)
class Group:
    """The positions of variables that share a multiplier of the learning rate.

    A multiplier of None leaves the learning rate as it is.

    They also share the count of updates before they began to train.
    """

    multiplier: Any
    positions: list[int]
    birth: int = 0

    def of(self, items: list[Any]) -> list[Any]:
        return [items[position] for position in self.positions]

    def rate(self, learning_rate: Any) -> Any:
        multiplier = self.multiplier
        return learning_rate if multiplier is None else learning_rate * multiplier


def groups_of(
    leaf: Any,
    variables: list[Any],
    sources: list[Callable[[Any, list[Any]], list[Any]]],
    births: Mapping[int, int] = MappingProxyType({}),
) -> list[Group]:
    """Groups of variables with one multiplier and birth, those born first last."""
    columns = [source(leaf, variables) for source in sources]
    identifiers = [[id(factor) for factor in column] for column in columns]
    begun = [births.get(id(variable), 0) for variable in variables]
    # Eager steps come here each time: by identity first, which is quick.
    same: dict[tuple, list[int]] = {}
    for position, key in enumerate(zip(begun, *identifiers, strict=True)):
        same.setdefault(key, []).append(position)
    groups: dict[tuple, Group] = {}
    for (birth, *_), positions in same.items():
        factors = [column[positions[0]] for column in columns]
        number = math.prod(f for f in factors if isinstance(f, (int, float)))
        scalars = [f for f in factors if not isinstance(f, (int, float))]
        key = (birth, number, *map(id, scalars))
        if key not in groups:
            groups[key] = Group(_product(number, scalars), [], birth)
        groups[key].positions.extend(positions)
    return sorted(groups.values(), key=lambda group: -group.birth)


def all_as_is(groups: list[Group]) -> bool:
    return all(group.multiplier is None and not group.birth for group in groups)


def _product(number: float, scalars: list[Any]) -> Any:
    factors = scalars if number == 1 else [*scalars, number]
    return functools.reduce(operator.mul, factors) if factors else None


def update_groups(
    leaf: Any,
    update: Callable,
    groups: list[Group],
    grads: list[Any],
    variables: list[Any],
    learning_rate: Any,
) -> None:
    """The optimizer's own update, once per group."""

    def update_one(group: Group, rate: Any) -> None:
        update(group.of(grads), group.of(variables), rate)

    training.check_supported(leaf, None, OWNER)
    if isinstance(leaf, keras.optimizers.Adafactor):
        for birth in {group.birth: None for group in groups}:
            born = [group for group in groups if group.birth == birth]
            with own_count(leaf, birth):
                _update_then_scale(update_one, born, variables, learning_rate)
        return
    advancing = _advancing(leaf) if len(groups) > 1 else []
    before = [tensors.current(variable) for variable in advancing]
    for number, group in enumerate(groups):
        if number:
            for variable, value in zip(advancing, before, strict=True):
                variable.assign(value)
        with own_count(leaf, group.birth):
            rate = own_rate(leaf, group.birth, group.rate(learning_rate))
            update_one(group, rate)


def _advancing(leaf: Any) -> list[Any]:
    """What an update advances for all variables at once, as Nadam's `_u_product`."""
    permanent = (counted_batches(leaf), rate_of(leaf))
    own = {id(v) for v in tracked(leaf)} - {id(v) for v in permanent}
    return [
        value
        for value in vars(leaf).values()
        if isinstance(value, keras.Variable) and id(value) in own
    ]


def _update_then_scale(
    update: Callable[[Group, Any], None],
    groups: list[Group],
    variables: list[Any],
    learning_rate: Any,
) -> None:
    """The update for an optimizer that caps its learning rate.

    It makes groups at the cap differ, too.
    """
    scaled = [group for group in groups if group.multiplier is not None]
    before = [[tensors.current(v) for v in group.of(variables)] for group in scaled]
    every = replace(
        groups[0], positions=[p for group in groups for p in group.positions]
    )
    update(every, learning_rate)
    for group, values in zip(scaled, before, strict=True):
        for variable, value in zip(group.of(variables), values, strict=True):
            factor = ops.cast(group.multiplier, variable.dtype)
            change = tensors.current(variable) - value
            variable.assign(value + change * factor)


def decay_groups(
    leaf: Any, decay: Callable, groups: list[Group], variables: list[Any]
) -> None:
    """The optimizer's own weight decay, with the learning rate multiplied."""
    rate = rate_in_effect(leaf)
    for group in groups:
        decayed = group.of(variables)
        if not training.can_decay(leaf, decayed):
            continue
        if group.multiplier is None:
            decay(decayed)
        else:
            multiplied = functools.partial(_rate, group, rate)
            with replaced(leaf, CURRENT_RATE, multiplied):
                decay(decayed)


def _rate(group: Group, learning_rate: Callable[[], Any]) -> Any:
    return group.rate(learning_rate())
