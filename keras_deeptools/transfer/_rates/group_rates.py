"""From the learning rates that users give to the multiplier of each variable."""

import functools
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from math import prod
from typing import Any, TypeAlias

import keras

from keras_deeptools._arguments import checked_float, message
from keras_deeptools._text_table import text_table
from keras_deeptools.engine._retraining.retrain import leaves_of, own_weights
from keras_deeptools.transfer._freezing.freeze import chosen_leaves
from keras_deeptools.transfer._layer_groups.groups import LayerGroups, layer_groups


@dataclass(frozen=True)
class RateGroup:
    """The description of one group, also after loading.

    Attributes:
        name: Str.
        multiplier: Float > 0, of the optimizer's own learning rate.
        num_layers: Int.
        num_parameters: Int.
        paths: Tuple of str, of the variables that can be trained.
    """

    name: str
    multiplier: float
    num_layers: int
    num_parameters: int
    paths: tuple[str, ...]


class RateGroups:
    """The groups of a model, and which variable is in which.

    Variables are known by identity. Those of a loaded model are recognized by their
    order, as their slots are: loading changes the paths of variables (the name of an
    enclosing Sequential is lost, layers named by Keras get other numbers), and two
    variables may have the same path.

    Args:
        groups: `RateGroup` objects.
        members: For each group, its variables; None: they are to be recognized.
        trained: Pairs of the path and the number of the group of each variable that the
            optimizer was built for when it was saved, in order.
        again: Function of nothing that gives the groups with the variables of layers
            that have been built meanwhile, or None where all were.
    """

    def __init__(
        self,
        groups: Iterable[RateGroup],
        members: Iterable[Iterable[Any]] | None = None,
        trained: Iterable[tuple[str, int]] = (),
        again: Callable[[], "RateGroups"] | None = None,
    ) -> None:
        self._again = again
        self.groups = tuple(groups)
        self._from_file = members is None
        self._trained = [(path, number) for path, number in trained]
        # With the variables themselves, lest another one gets the identity.
        self._known: dict[int, tuple[Any, int]] = {}
        for number, variables in enumerate(members or ()):
            self._learn(variables, number)

    def _learn(self, variables: Iterable[Any], number: int) -> None:
        for variable in variables:
            self._known[id(variable)] = (variable, number)

    def knows(self, variable: Any) -> bool:
        """Whether the variable is in a group."""
        return id(variable) in self._known

    def multipliers(self, variables: Iterable[Any]) -> list[float]:
        """The multiplier of each variable; all are known."""
        return [self.groups[self._known[id(v)][1]].multiplier for v in variables]

    def recognize(self, variables: list[Any]) -> list[Any]:
        """Finds the group of each variable; returns those that are in none."""
        if self._again is not None and not all(map(self.knows, variables)):
            found = self._again()
            self.groups = found.groups
            self._known |= found._known
            self._again = found._again
        if self._from_file:
            numbers = self._numbers([variable.path for variable in variables])
            for variable, number in zip(variables, numbers, strict=True):
                if number is not None and not self.knows(variable):
                    self._learn([variable], number)
        return [variable for variable in variables if not self.knows(variable)]

    def note_trained(self, variables: list[Any]) -> None:
        """Keeps for files the order in which the optimizer has the variables."""
        self._trained = [(v.path, self._known[id(v)][1]) for v in variables]

    def _numbers(self, paths: list[str]) -> list[int | None]:
        """The groups of variables from a file: by order, or else by layer and name."""
        if [_tail(path) for path, _ in self._trained] == list(map(_tail, paths)):
            return [number for _, number in self._trained]
        stored: dict[str, list[int]] = defaultdict(list)
        for number, group in enumerate(self.groups):
            for path in group.paths:
                stored[_tail(path)].append(number)
        counts = Counter(map(_tail, paths))
        seen: Counter[str] = Counter()
        found: list[int | None] = []
        for path in paths:
            tail = _tail(path)
            candidates = stored[tail]
            if len(set(candidates)) != 1 and len(candidates) != counts[tail]:
                exact = [n for n, g in enumerate(self.groups) if path in g.paths]
                candidates = exact if len(exact) == 1 else []
            at = min(seen[tail], len(candidates) - 1)
            found.append(candidates[at] if candidates else None)
            seen[tail] += 1
        return found

    def table(self, learning_rate: float | None) -> str:
        """Lines of text, columns aligned: each group with its present learning rate."""
        titles = ["group", "layers", "parameters", "multiplier", "rate now"]
        rows = []
        digits = len(str(len(self.groups) - 1))
        for number, group in enumerate(self.groups):
            rate = None if learning_rate is None else learning_rate * group.multiplier
            rows.append(
                [
                    f"{number:>{digits}}  {group.name}",
                    f"{group.num_layers:,}",
                    f"{group.num_parameters:,}",
                    f"{group.multiplier:.4g}",
                    "-" if rate is None else f"{rate:.3g}",
                ]
            )
        return text_table(titles, rows)

    def get_config(self) -> dict[str, Any]:
        """The groups, and the order of what is trained, as lists and dicts."""
        groups = [asdict(group) | {"paths": list(group.paths)} for group in self.groups]
        return {"groups": groups, "trained": [list(pair) for pair in self._trained]}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "RateGroups":
        """The reverse of `get_config`."""
        groups = [
            RateGroup(**group | {"paths": tuple(group["paths"])})
            for group in config["groups"]
        ]
        return cls(groups, trained=[tuple(pair) for pair in config["trained"]])


def _tail(path: str) -> str:
    """Layer and name of a variable, without the number that Keras gives the layer."""
    layer, _, name = path.rpartition("/")
    return re.sub(r"_\d+$", "", layer.rpartition("/")[2]) + "/" + name


OWNER = "DiscriminativeLearningRates"

Rates: TypeAlias = slice | Sequence[float] | dict[str, float]
"""From the first group to the last, one per group, or by pattern."""

Groups: TypeAlias = keras.Model | LayerGroups | Sequence[Any]
"""A model, its layer groups, or lists of layers."""

Named: TypeAlias = list[tuple[str, list[keras.Layer]]]


def resolved(argument: str, value: Any, groups: Groups) -> tuple[RateGroups, float]:
    """The groups with their multipliers, and the learning rate that these multiply.

    Args:
        argument: `"rates"`, `"multipliers"` or `"layer_decay"`.
        value: What was passed for it.
        groups: Model, layer groups, or lists of layers.

    Returns:
        The groups, and the learning rate; 1.0 except for `rates`.
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
