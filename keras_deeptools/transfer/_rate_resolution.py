"""From what users say of rates to the multiplier of each variable."""

from collections.abc import Iterable, Sequence
from math import prod
from typing import Any, TypeAlias

import keras

from keras_deeptools._arguments import checked_float, message
from keras_deeptools.engine import leaves_of, own_weights
from keras_deeptools.transfer._chosen_leaves import chosen_leaves
from keras_deeptools.transfer._layer_group import LayerGroups
from keras_deeptools.transfer._layer_groups import layer_groups
from keras_deeptools.transfer._rate_group import RateGroup, RateGroups

OWNER = "DiscriminativeLearningRates"

Rates: TypeAlias = slice | Sequence[float] | dict[str, float]
"""From the first group to the last, one per group, or by pattern."""

Groups: TypeAlias = keras.Model | LayerGroups | Sequence[Any]
"""A model, its layer groups, or lists of layers."""

Named: TypeAlias = list[tuple[str, list[keras.Layer]]]


def resolved(
    argument: str, rates: Rates, groups: Groups
) -> tuple[RateGroups, list[float]]:
    """The groups with a value each: multipliers as given, or rates.

    Args:
        argument: Str, the name under which `rates` was passed.
        rates: Slice, list or dict.
        groups: Model, layer groups, or lists of layers.

    Returns:
        The groups, multipliers being the values, and the values.
    """
    if isinstance(rates, dict):
        named = _by_pattern(argument, rates, groups)
        given = list(rates.values())
    else:
        is_list = isinstance(rates, (list, tuple))
        named = _in_order(groups, len(rates) if is_list else None)
        given = _per_group(argument, rates, len(named))
    values = [checked_float(OWNER, argument, value, above=0) for value in given]
    return _with_paths(named, values), values


def decayed(layer_decay: float, groups: Groups) -> RateGroups:
    """Each group with this many times the rate of the next; the last with 1."""
    named = _in_order(groups, None)
    powers = reversed(range(len(named)))
    return _with_paths(named, [layer_decay**power for power in powers])


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
        raise TypeError(message(OWNER, "groups", rule, groups))
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


def _with_paths(named: Named, values: Iterable[float]) -> RateGroups:
    """Each variable in the first group that has it."""
    taken: dict[int, float] = {}
    multipliers: dict[str, float] = {}
    groups = []
    for (name, layers), value in zip(named, values, strict=True):
        leaves = [leaf for layer in layers for leaf in leaves_of(layer)]
        pairs = [(leaf, v) for leaf in leaves for v in own_weights(leaf)]
        pairs = [(leaf, v) for leaf, v in pairs if id(v) not in taken]
        taken |= {id(variable): value for _, variable in pairs}
        for _, variable in pairs:
            if multipliers.setdefault(variable.path, value) != value:
                raise ValueError(
                    f"{OWNER}: variables with different rates must have different "
                    f"paths. Received: two variables with path={variable.path!r}. "
                    "Give their layers different names."
                )
        groups.append(
            RateGroup(
                name,
                value,
                tuple(dict.fromkeys(leaf.name for leaf, _ in pairs)),
                sum(prod(variable.shape) for _, variable in pairs),
                tuple(dict.fromkeys(variable.path for _, variable in pairs)),
            )
        )
    return RateGroups(tuple(groups))
