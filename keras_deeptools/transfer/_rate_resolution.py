"""From what users say of rates to the multiplier of each variable."""

import functools
from collections.abc import Sequence
from math import prod
from typing import Any, TypeAlias

import keras

from keras_deeptools._arguments import checked_float, message
from keras_deeptools.engine import leaves_of, own_weights
from keras_deeptools.transfer._chosen_leaves import chosen_leaves
from keras_deeptools.transfer._layer_group import LayerGroups
from keras_deeptools.transfer._layer_groups import layer_groups
from keras_deeptools.transfer._rate_groups import RateGroup, RateGroups

OWNER = "DiscriminativeLearningRates"

Rates: TypeAlias = slice | Sequence[float] | dict[str, float]
"""From the first group to the last, one per group, or by pattern."""

Groups: TypeAlias = keras.Model | LayerGroups | Sequence[Any]
"""A model, its layer groups, or lists of layers."""

Named: TypeAlias = list[tuple[str, list[keras.Layer]]]


def resolved(argument: str, value: Any, groups: Groups) -> tuple[RateGroups, float]:
    """The groups with their multipliers, and the rate of which they are multiples.

    Args:
        argument: `"rates"`, `"multipliers"` or `"layer_decay"`.
        value: What was passed for it.
        groups: Model, layer groups, or lists of layers.

    Returns:
        The groups, and the rate; 1.0 but for `rates`.
    """
    if argument == "layer_decay":
        decay = checked_float(OWNER, argument, value, above=0, at_most=1)
        named = _in_order(groups, None)
        given = [decay**power for power in reversed(range(len(named)))]
    elif isinstance(value, dict):
        named = _by_pattern(argument, value, groups)
        given = list(value.values())
    else:
        count = len(value) if isinstance(value, (list, tuple)) else None
        named = _in_order(groups, count)
        given = _per_group(argument, value, len(named))
    values = [checked_float(OWNER, argument, number, above=0) for number in given]
    base = 1.0
    if argument == "rates":
        base = max(values) if isinstance(value, dict) else values[-1]
    return _grouped(named, [number / base for number in values]), base


def _per_group(argument: str, rates: Any, count: int) -> list[Any]:
    if isinstance(rates, slice):
        return _geometric(argument, rates, count)
    if not isinstance(rates, (list, tuple)):
        rule = "a slice, a list with a number for each group, or a dict of patterns"
        raise TypeError(message(OWNER, argument, rule, rates))
    if len(rates) != count:
        rule = f"a list of {count} numbers, one for each group"
        raise ValueError(message(OWNER, argument, rule, rates))
    return list(rates)


def _geometric(argument: str, rates: slice, count: int) -> list[float]:
    if rates.step is not None or rates.stop is None:
        rule = "`slice(low, high)` or `slice(None, high)`"
        raise ValueError(message(OWNER, argument, rule, rates))
    high = checked_float(OWNER, argument, rates.stop, above=0)
    if rates.start is None:
        return [high / 10] * (count - 1) + [high]
    low = checked_float(OWNER, argument, rates.start, above=0)
    powers = [i / max(count - 1, 1) for i in reversed(range(count))]
    return [high * (low / high) ** power for power in powers]


def _in_order(groups: Groups, count: int | None) -> Named:
    if isinstance(groups, keras.Model):
        groups = layer_groups(groups, count)
    if isinstance(groups, LayerGroups):
        return [(group.name, list(group.layers)) for group in groups]
    if not isinstance(groups, (list, tuple)) or not groups:
        rule = "a `keras.Model`, its `layer_groups`, or a list of lists of layers"
        remedy = "Give the model by name: `groups=model`." if groups is None else ""
        raise TypeError(message(OWNER, "groups", rule, groups, remedy))
    named = []
    for group in groups:
        layers = [group] if isinstance(group, keras.Layer) else list(group)
        for layer in layers:
            if not isinstance(layer, keras.Layer):
                rule = "made of layers"
                raise TypeError(message(OWNER, "groups", rule, layer))
        ends = [layers[0].name, layers[-1].name]
        named.append((" .. ".join(dict.fromkeys(ends)), layers))
    return named


def _by_pattern(argument: str, rates: dict[str, float], groups: Groups) -> Named:
    if not isinstance(groups, keras.Model) or not groups.built:
        rule = f"a built `keras.Model` where `{argument}` is a dict of patterns"
        raise TypeError(message(OWNER, "groups", rule, groups))
    if not rates:
        raise ValueError(message(OWNER, argument, "a dict that is not empty", rates))
    return [(pattern, chosen_leaves(OWNER, groups, pattern)) for pattern in rates]


def _grouped(named: Named, multipliers: list[float]) -> RateGroups:
    """Each variable in the first group that has it."""
    taken: set[int] = set()
    groups, members = [], []
    for (name, layers), multiplier in zip(named, multipliers, strict=True):
        leaves = [leaf for layer in layers for leaf in leaves_of(layer)]
        held = [(leaf, v) for leaf in leaves for v in own_weights(leaf)]
        held = [(leaf, v) for leaf, v in held if id(v) not in taken]
        variables = list({id(v): v for _, v in held}.values())
        taken |= {id(variable) for variable in variables}
        groups.append(
            RateGroup(
                name,
                multiplier,
                len({id(leaf) for leaf, _ in held}),
                sum(prod(variable.shape) for variable in variables),
                tuple(variable.path for variable in variables),
            )
        )
        members.append(variables)
    layers = [leaf for _, each in named for layer in each for leaf in leaves_of(layer)]
    if all(layer.built for layer in layers):
        return RateGroups(groups, members)
    # The first step builds them, and the optimizer after them.
    again = functools.partial(_grouped, named, multipliers)
    return RateGroups(groups, members, again=again)
