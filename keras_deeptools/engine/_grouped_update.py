"""Updates whose learning rate differs from variable to variable, group by group."""

import functools
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import keras
from keras import ops

from keras_deeptools.engine._leaf import leaf_optimizers
from keras_deeptools.engine._own_steps import births_of, own_count, own_rate
from keras_deeptools.engine._tensors import tensors

SEAM = "_keras_deeptools_grouped_update"
UPDATE, DECAY = "_backend_update_step", "_apply_weight_decay"
RATE = "_get_current_learning_rate"


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
    >>> from keras_deeptools.engine import check_rate_scales
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
    replaced: dict[str, Any]


def hold_seam(leaf: Any, user: Any) -> None:
    """Keeps the methods wrapped for `user`.

    Features hold the seam, too: what joins while they are attached is then beneath
    them, where it sees each update once.
    """
    seam = vars(leaf).get(SEAM)
    if seam is None:
        seam = _Seam((), {name: vars(leaf).get(name) for name in (UPDATE, DECAY)})
        _wrap(leaf)
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
    _restore(leaf, seam.replaced)


def _restore(leaf: Any, attributes: dict[str, Any]) -> None:
    """Puts attributes of the instance back; None: it had none of that name."""
    for name, value in attributes.items():
        if value is None:
            vars(leaf).pop(name, None)
        else:
            vars(leaf)[name] = value


def _wrap(leaf: Any) -> None:
    update, decay = getattr(leaf, UPDATE), getattr(leaf, DECAY)

    def _backend_update_step(
        grads: Any, trainable_variables: Any, learning_rate: Any
    ) -> None:
        groups = _groups(leaf, trainable_variables, _sources(leaf), births_of(leaf))
        if _all_as_is(groups):
            update(grads, trainable_variables, learning_rate)
        else:
            variables = list(trainable_variables)
            _update(leaf, update, groups, list(grads), variables, learning_rate)

    def _apply_weight_decay(variables: Any) -> None:
        sources = [s for s in _sources(leaf) if s.scales_weight_decay]
        groups = _groups(leaf, variables, sources)
        if _all_as_is(groups):
            decay(variables)
        else:
            _decay(leaf, decay, groups, list(variables))

    vars(leaf)[UPDATE] = _backend_update_step
    vars(leaf)[DECAY] = _apply_weight_decay


def _sources(leaf: Any) -> list[RateMultipliers]:
    return [u for u in vars(leaf)[SEAM].users if isinstance(u, RateMultipliers)]


@dataclass(frozen=True)
class _Group:
    """The positions of the variables that share a multiplier; None: the rate as is.

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


def _groups(
    leaf: Any,
    variables: list[Any],
    sources: list[RateMultipliers],
    births: Mapping[int, int] = MappingProxyType({}),
) -> list[_Group]:
    """Groups of variables with one multiplier and birth, those born first last."""
    columns = [source.function(leaf, variables) for source in sources]
    groups: dict[tuple, _Group] = {}
    for position in range(len(variables)):
        factors = [column[position] for column in columns]
        number = math.prod(f for f in factors if isinstance(f, (int, float)))
        scalars = [f for f in factors if not isinstance(f, (int, float))]
        birth = births.get(id(variables[position]), 0)
        key = (birth, number, *map(id, scalars))
        if key not in groups:
            groups[key] = _Group(_product(number, scalars), [], birth)
        groups[key].positions.append(position)
    return sorted(groups.values(), key=lambda group: -group.birth)


def _all_as_is(groups: list[_Group]) -> bool:
    return all(group.multiplier is None and not group.birth for group in groups)


def _product(number: float, scalars: list[Any]) -> Any:
    factors = scalars if number == 1 else [*scalars, number]
    return functools.reduce(operator.mul, factors) if factors else None


def _update(
    leaf: Any,
    update: Callable,
    groups: list[_Group],
    grads: list[Any],
    variables: list[Any],
    learning_rate: Any,
) -> None:
    """The optimizer's own update, once per group."""
    if isinstance(leaf, keras.optimizers.Adafactor):
        for birth in {group.birth: None for group in groups}:
            born = [group for group in groups if group.birth == birth]
            with own_count(leaf, birth):
                _update_then_scale(update, born, grads, variables, learning_rate)
        return
    advancing = _advancing(leaf) if len(groups) > 1 else []
    before = [tensors.current(variable) for variable in advancing]
    for number, group in enumerate(groups):
        if number:
            for variable, value in zip(advancing, before, strict=True):
                variable.assign(value)
        with own_count(leaf, group.birth):
            rate = own_rate(leaf, group.birth, group.rate(learning_rate))
            update(group.of(grads), group.of(variables), rate)


def _advancing(leaf: Any) -> list[Any]:
    """What an update advances for all variables at once, as Nadam's `_u_product`."""
    permanent = (leaf._iterations, leaf._learning_rate)
    tracked = {id(v) for v in leaf._variables} - {id(v) for v in permanent}
    return [
        value
        for value in vars(leaf).values()
        if isinstance(value, keras.Variable) and id(value) in tracked
    ]


def _update_then_scale(
    update: Callable,
    groups: list[_Group],
    grads: list[Any],
    variables: list[Any],
    learning_rate: Any,
) -> None:
    """For an optimizer that caps its rate, so that groups at the cap differ, too."""
    scaled = [group for group in groups if group.multiplier is not None]
    before = [[tensors.current(v) for v in group.of(variables)] for group in scaled]
    every = replace(
        groups[0], positions=[p for group in groups for p in group.positions]
    )
    update(every.of(grads), every.of(variables), learning_rate)
    for group, values in zip(scaled, before, strict=True):
        for variable, value in zip(group.of(variables), values, strict=True):
            factor = ops.cast(group.multiplier, variable.dtype)
            change = tensors.current(variable) - value
            variable.assign(value + change * factor)


def _decay(
    leaf: Any, decay: Callable, groups: list[_Group], variables: list[Any]
) -> None:
    """The optimizer's own weight decay, with the rate that it asks for multiplied."""
    rate, shadowed = leaf._get_current_learning_rate, {RATE: vars(leaf).get(RATE)}
    for group in groups:
        decayed = group.of(variables)
        if not tensors.can_decay(leaf, decayed):
            continue
        if group.multiplier is not None:
            vars(leaf)[RATE] = functools.partial(_rate, group, rate)
        try:
            decay(decayed)
        finally:
            _restore(leaf, shadowed)


def _rate(group: _Group, learning_rate: Callable[[], Any]) -> Any:
    return group.rate(learning_rate())
