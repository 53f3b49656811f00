"""An optimizer's own update, run once for each group of variables."""

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
    counted_batches,
    rate_in_effect,
    rate_of,
    tracked,
)
from keras_deeptools.engine._patching import replaced
from keras_deeptools.engine._update.step_counts import own_count, own_rate

OWNER = "Rates and counts of their own for some variables"


@dataclass(frozen=True)
class Group:
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
    """For an optimizer that caps its rate, so that groups at the cap differ, too."""
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
    """The optimizer's own weight decay, with the rate that it asks for multiplied."""
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
