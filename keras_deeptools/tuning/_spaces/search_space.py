"""What of one component is searched, and how it is made."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from keras_deeptools.tuning._spaces.ranges import Range


@dataclass(frozen=True)
class SearchSpace:
    """The ranges of one component's arguments; made by `search_space`.

    Attributes:
        component: Class or function of this package.
        ranges: Dict from an argument to its `FloatRange`, `IntRange` or `OneOf`.
        make: Function that makes the component from the arguments, where they are not
            those of the component itself; else None.

    Example:

    >>> from keras_deeptools.tuning import search_space
    >>> search_space("mc_dropout").ranges
    {'rate': FloatRange(low=0.05, high=0.5, log=False)}
    """

    component: Callable[..., Any]
    ranges: dict[str, Range]
    make: Callable[..., Any] | None = field(default=None, repr=False)

    @property
    def arguments(self) -> list[str]:
        """List of str, the names of all arguments that may be given."""
        return [*dict.fromkeys([*self.ranges, *self._parameters()])]

    @property
    def takes_more(self) -> bool:
        """Whether arguments of any other name are passed on, as `name` of a layer."""
        return any(one.kind is one.VAR_KEYWORD for one in self._signature())

    def missing(self, given: dict[str, Any]) -> list[str]:
        """Arguments without a default that are neither searched nor given.

        Args:
            given: Dict from names of arguments to their values.
        """
        plain = inspect.Parameter.empty
        return [
            name
            for name, parameter in self._parameters().items()
            if parameter.default is plain and name not in self.ranges | given
        ]

    def build(self, **arguments: Any) -> Any:
        """Makes the component.

        Args:
            **arguments: Values of all arguments that have no default.
        """
        return (self.make or self.component)(**arguments)

    def _parameters(self) -> dict[str, inspect.Parameter]:
        """The parameters of the maker that have a name."""
        variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        return {one.name: one for one in self._signature() if one.kind not in variadic}

    def _signature(self) -> list[inspect.Parameter]:
        """All parameters of the maker.

        Of a class, those of `__init__`: up to Python 3.11.2, `inspect` takes those of
        Keras' `__new__` where a class inherits both.
        """
        maker: Any = self.make or self.component
        if inspect.isclass(maker):
            cls: Any = maker
            return list(inspect.signature(cls.__init__).parameters.values())[1:]
        return list(inspect.signature(maker).parameters.values())
