"""The components of this package that can be searched, and over which ranges.

`searched` makes one with arguments from a search.
"""

import contextlib
import functools
from collections.abc import Callable
from typing import Any

from keras_deeptools._arguments import message
from keras_deeptools.tuning._search_space.model_parts import (
    INITIALIZERS,
    LAYERS,
    PENALTIES,
)
from keras_deeptools.tuning._search_space.ranges import (
    FloatRange,
    IntRange,
    OneOf,
    SearchSpace,
)
from keras_deeptools.tuning._search_space.schedules import SCHEDULES
from keras_deeptools.tuning._search_space.searched_optimizer import OPTIMIZERS
from keras_deeptools.tuning._search_space.training import CALLBACKS, TRAINING

SPACES = {
    name: found
    for room in (
        CALLBACKS,
        INITIALIZERS,
        LAYERS,
        OPTIMIZERS,
        PENALTIES,
        SCHEDULES,
        TRAINING,
    )
    for name, found in room.items()
}


def search_space(component: str | Callable[..., Any]) -> SearchSpace:
    """The arguments of a component that `searched` searches, and their ranges.

    Args:
        component: Str, one of `space_names()`; or the class or function itself.

    Returns:
        `SearchSpace`.

    Raises:
        ValueError: If there is no such component.

    Example:

    >>> from keras_deeptools.layers import MCAlphaDropout
    >>> from keras_deeptools.tuning import search_space
    >>> search_space(MCAlphaDropout).ranges
    {'rate': FloatRange(low=0.01, high=0.2, log=False)}
    """
    for name, found in SPACES.items():
        if component == name or component is found.component:
            return found
    rule = f"a component of this package: {', '.join(sorted(SPACES))}"
    raise ValueError(message("search_space", "component", rule, component))


def space_names() -> list[str]:
    """The names of all components that `searched` knows, sorted.

    Returns:
        List of str.

    Example:

    >>> from keras_deeptools.tuning import space_names
    >>> "max_norm_enforcer" in space_names()
    True
    """
    return sorted(SPACES)


def name_of(found: SearchSpace) -> str:
    """The name under which a search space is listed.

    Args:
        found: `SearchSpace`, one of `SPACES`.
    """
    return next(name for name, each in SPACES.items() if each is found)


def searched(
    hp: Any,
    component: str | Callable[..., Any],
    *,
    prefix: str | None = None,
    optional: bool = False,
    **arguments: Any,
) -> Any:
    """Makes a component whose arguments come from a search.

    Each argument of the component's `search_space` becomes a hyperparameter
    `"prefix/argument"`. A value given here is used as it is; a range given here is
    searched instead of the usual one.

    Args:
        hp: `keras_tuner.HyperParameters`, what `build(hp)` and `HyperModel.fit` get.
        component: Str, one of `space_names()`, such as `"one_cycle_scheduler"`; or the
            class or function itself.
        prefix: Str or None. First part of the hyperparameters' names, a different one
            for each use in a search; None for the component's name.
        optional: Bool. Whether a hyperparameter `"prefix"` decides if the component is
            used at all; its other hyperparameters are active only if it is.
        **arguments: Values and ranges of arguments of the component.

    Returns:
        The component. If it needs arguments that only the caller has (`total_steps`,
        `model`, `x`) and that were not given here: a `functools.partial` that takes
        them. None if `optional` and not used in this trial.

    Raises:
        ValueError: If there is no such component, or it has no such argument.

    Example:

    >>> import keras
    >>> from keras_deeptools.tuning import FloatRange, searched
    >>> class FirstTrial:
    ...     def Float(name, low, high, sampling, default):
    ...         print(name)
    ...         return default
    >>> rate = FloatRange(0.1, 0.3)
    >>> layer = searched(FirstTrial, "mc_dropout", prefix="top", rate=rate)
    top/rate
    >>> layer.rate
    0.2
    """
    found = search_space(component)
    name = name_of(found)
    unknown = sorted(set(arguments) - set(found.arguments))
    if unknown and not found.takes_more:
        rule = f"arguments of {name}: {', '.join(found.arguments)}"
        raise ValueError(message("searched", "arguments", rule, unknown))
    prefix = name if prefix is None else prefix
    ranges = {**found.ranges}
    given = {}
    for argument, value in arguments.items():
        ranges.pop(argument, None)
        if isinstance(value, FloatRange | IntRange | OneOf):
            ranges[argument] = value
        else:
            given[argument] = value
    scope: Any = contextlib.nullcontext()
    if optional:
        if not hp.Boolean(prefix, default=True):
            return None
        scope = hp.conditional_scope(prefix, [True])
    with scope:
        asked = {
            argument: one.ask(hp, f"{prefix}/{argument}")
            for argument, one in ranges.items()
        }
    values = asked | given
    if found.missing(values):
        return functools.partial(found.build, **values)
    return found.build(**values)
