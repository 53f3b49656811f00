"""The components of this package that can be searched, and over which ranges."""

from collections.abc import Callable
from typing import Any

from keras_deeptools._arguments import message
from keras_deeptools.tuning._search_space.model_parts import INITIALIZERS, LAYERS
from keras_deeptools.tuning._search_space.ranges import SearchSpace
from keras_deeptools.tuning._search_space.schedules import SCHEDULES
from keras_deeptools.tuning._search_space.training import CALLBACKS, TRAINING

SPACES = {
    name: found
    for room in (CALLBACKS, INITIALIZERS, LAYERS, SCHEDULES, TRAINING)
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
