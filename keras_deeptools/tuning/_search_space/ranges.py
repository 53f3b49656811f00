"""What an argument may be in a search, and all arguments of a component."""

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from keras_deeptools._arguments import checked_count, checked_float, message


@dataclass(frozen=True)
class FloatRange:
    """Floats between two ends, both included.

    Args:
        low: Float, the smallest value.
        high: Float > `low`, the largest value.
        log: Bool, whether each decade is equally likely, as is right for learning rates
            and other scales. `low` must then be positive.

    Raises:
        TypeError: If an end is no number.
        ValueError: If the ends are not in order, or `low <= 0` on a log scale.

    Example:

    >>> from keras_deeptools.tuning import FloatRange
    >>> FloatRange(1e-4, 1e-1, log=True)
    FloatRange(low=0.0001, high=0.1, log=True)
    """

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        above = 0.0 if self.log else None
        low = checked_float("FloatRange", "low", self.low, above=above)
        checked_float("FloatRange", "high", self.high, above=low)

    @property
    def middle(self) -> float:
        """Float, the default in a search: the middle of the range, on its scale."""
        return _middle(self.low, self.high, self.log)

    def ask(self, hp: Any, name: str) -> float:
        """The value of this trial.

        Args:
            hp: `keras_tuner.HyperParameters`.
            name: Str, name of the hyperparameter.
        """
        sampling = "log" if self.log else "linear"
        return hp.Float(
            name, self.low, self.high, sampling=sampling, default=self.middle
        )


@dataclass(frozen=True)
class IntRange:
    """Whole numbers between two ends, both included.

    Args:
        low: Int, the smallest value.
        high: Int > `low`, the largest value.
        log: Bool, whether each doubling is equally likely, as is right for numbers of
            units. `low` must then be positive.

    Raises:
        TypeError: If an end is no integer.
        ValueError: If the ends are not in order, or `low < 1` on a log scale.

    Example:

    >>> from keras_deeptools.tuning import IntRange
    >>> IntRange(16, 512, log=True)
    IntRange(low=16, high=512, log=True)
    """

    low: int
    high: int
    log: bool = False

    def __post_init__(self) -> None:
        low = checked_count("IntRange", "low", self.low, minimum=int(self.log))
        checked_count("IntRange", "high", self.high, minimum=low + 1)

    @property
    def middle(self) -> int:
        """Int, the default in a search: the middle of the range, on its scale."""
        return round(_middle(self.low, self.high, self.log))

    def ask(self, hp: Any, name: str) -> int:
        """The value of this trial.

        Args:
            hp: `keras_tuner.HyperParameters`.
            name: Str, name of the hyperparameter.
        """
        sampling = "log" if self.log else "linear"
        return hp.Int(name, self.low, self.high, sampling=sampling, default=self.middle)


@dataclass(frozen=True)
class OneOf:
    """One of some values of any kind.

    Values that KerasTuner cannot hold (tuples, None, layers) are represented there by
    their text.

    Args:
        values: Sequence of two values or more, each with a different text.

    Raises:
        ValueError: If there are fewer than two values, or two with the same text.

    Example:

    >>> from keras_deeptools.tuning import OneOf
    >>> OneOf(("relu", "selu"))
    OneOf(values=('relu', 'selu'))
    """

    values: Sequence[Any]

    def __post_init__(self) -> None:
        texts = [str(value) for value in self.values]
        if len(texts) < 2 or len(set(texts)) < len(texts):
            rule = "two values or more, all different"
            raise ValueError(message("OneOf", "values", rule, self.values))

    def ask(self, hp: Any, name: str) -> Any:
        """The value of this trial.

        Args:
            hp: `keras_tuner.HyperParameters`.
            name: Str, name of the hyperparameter.
        """
        if set(map(type, self.values)) == {bool}:
            return hp.Boolean(name, default=self.values[0])
        kinds = {type(value) for value in self.values}
        if len(kinds) == 1 and kinds <= {int, float, str}:
            return hp.Choice(name, list(self.values), default=self.values[0])
        by_text = {str(value): value for value in self.values}
        return by_text[hp.Choice(name, list(by_text), default=str(self.values[0]))]


Range = FloatRange | IntRange | OneOf


def _middle(low: float, high: float, log: bool) -> float:
    return math.sqrt(low * high) if log else (low + high) / 2


@dataclass(frozen=True)
class SearchSpace:
    """The ranges of one component's arguments; made by `search_space`.

    Attributes:
        component: Class or function of this package.
        ranges: Dict from an argument to its `FloatRange`, `IntRange` or `OneOf`.
        make: Function that makes the component from the arguments, if they are not
            those of the component itself; otherwise None.

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
