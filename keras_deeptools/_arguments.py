"""Checks of arguments, with errors in the one form that the package uses."""

import contextlib
import difflib
import functools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from numbers import Integral, Real
from typing import Any, ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def message(owner: str, argument: str, rule: str, value: Any, remedy: str = "") -> str:
    """Writes an error: owner, argument, rule, value and remedy."""
    text = f"{owner}: `{argument}` must be {rule}. Received: {argument}={value!r}."
    return f"{text} {remedy}".rstrip()


def known_elsewhere_as(
    **names: str,
) -> Callable[[Callable[Parameters, Result]], Callable[Parameters, Result]]:
    """Answers an argument's name in other libraries with its name in this package.

    Args:
        **names: Name here -> names elsewhere, with spaces between them.

    Example:

    >>> from keras_deeptools._arguments import known_elsewhere_as
    >>> @known_elsewhere_as(learning_rate="lr base_lr")
    ... def train(learning_rate=0.1):
    ...     return learning_rate
    >>> train(lr=0.2)
    Traceback (most recent call last):
        ...
    TypeError: train: `lr` must be given as `learning_rate` here. Received: lr=0.2.
    """
    here = {there: name for name, known in names.items() for there in known.split()}

    def decorated(function: Callable[Parameters, Result]) -> Callable:
        owner = function.__qualname__.removesuffix(".__init__")

        @functools.wraps(function)
        def call(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
            for name in here.keys() & kwargs.keys():
                rule = f"given as `{here[name]}` here"
                raise TypeError(message(owner, name, rule, kwargs[name]))
            return function(*args, **kwargs)

        return call

    return decorated


@contextlib.contextmanager
def errors_of(owner: str, *parts: str) -> Iterator[None]:
    """Replaces the names of an owner's parts in errors by that of the owner.

    Args:
        owner: Str. The function or class that the user called.
        parts: Str each, the parts that the errors name.
    """
    try:
        yield
    except (TypeError, ValueError) as error:
        named, colon, text = str(error).partition(": ")
        if named not in parts or not colon:
            raise
        raise type(error)(f"{owner}: {text}") from error


def is_number(value: Any) -> bool:
    """Returns whether `value` is a real number, NaN and infinity included; no bool."""
    return isinstance(value, Real) and not isinstance(value, bool)


def is_integer(value: Any) -> bool:
    """Returns whether `value` is an integer of Python or numpy, and not a bool."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def checked_float(
    owner: str,
    argument: str,
    value: Any,
    *,
    above: float | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
    is_finite: bool = True,
    rule: str = "",
    remedy: str = "",
) -> float:
    """Return `value` as a Python float within its limits, or raise.

    Args:
        owner: Str. Who is named in errors.
        argument: Str. The argument's name.
        value: The value that was given.
        above: Float or None. The value must be > it.
        at_least: Float or None. The value must be >= it.
        at_most: Float or None. The value must be <= it.
        below: Float or None. The value must be < it.
        is_finite: Bool. Whether infinity is refused, too; NaN always is.
        rule: Str. What the value must be, in words; by default made of the limits.
        remedy: Str. What to give instead.
    """
    limits = ((">", above), (">=", at_least), ("<=", at_most), ("<", below))
    if not rule:
        named = [f"{sign} {limit:g}" for sign, limit in limits if limit is not None]
        kind = "a finite float" if is_finite else "a number"
        rule = " ".join([kind, " and ".join(named)]).strip()
    if not is_number(value):
        kind_and_rule = f"a number {rule}" if rule.startswith("in ") else rule
        raise TypeError(message(owner, argument, kind_and_rule, value, remedy))
    number = float(value)
    if (
        math.isnan(number)
        or (is_finite and math.isinf(number))
        or (above is not None and number <= above)
        or (at_least is not None and number < at_least)
        or (at_most is not None and number > at_most)
        or (below is not None and number >= below)
    ):
        raise ValueError(message(owner, argument, rule, value, remedy))
    return number


def checked_rate(owner: str, argument: str, value: Any, remedy: str = "") -> float:
    """Return `value` as a float in [0, 1), or raise."""
    return checked_float(
        owner, argument, value, at_least=0, below=1, rule="in [0, 1)", remedy=remedy
    )


def checked_dropout_rate(owner: str, rate: Any) -> float:
    """Return `rate` as a float in [0, 1), or raise."""
    remedy = "Give the fraction of units to drop, such as 0.1."
    return checked_rate(owner, "rate", rate, remedy)


def checked_count(
    owner: str,
    argument: str,
    value: Any,
    minimum: int = 1,
    *,
    below: int | None = None,
    rule: str = "",
    remedy: str = "",
) -> int:
    """Return `value` as a Python int >= `minimum` and < `below`, or raise."""
    rule = rule or f"an integer >= {minimum}"
    if not is_integer(value):
        raise TypeError(message(owner, argument, rule, value, remedy))
    if value < minimum or (below is not None and value >= below):
        raise ValueError(message(owner, argument, rule, value, remedy))
    return int(value)


def checked_option(
    owner: str, argument: str, value: Any, options: Iterable[str]
) -> str:
    """Return `value` if it is one of `options`, or raise."""
    options = list(options)
    if not isinstance(value, str) or value not in options:
        rule = "one of " + ", ".join(map(repr, options))
        raise ValueError(
            message(owner, argument, rule, value, did_you_mean(value, options))
        )
    return value


def did_you_mean(value: Any, options: Iterable[str]) -> str:
    """Asks for the option that is spelled most like `value`; empty if there is none.

    Example:

    >>> from keras_deeptools._arguments import did_you_mean
    >>> did_you_mean("MobilenetV2", ["ResNet50", "MobileNetV2"])
    "Did you mean 'MobileNetV2'?"
    """
    spelled = {option.lower(): option for option in options}
    nearest = difflib.get_close_matches(str(value).lower(), spelled, 1, 0.75)
    return f"Did you mean {spelled[nearest[0]]!r}?" if nearest else ""


def checked_bool(owner: str, argument: str, value: Any) -> bool:
    """Return `value` if it is True or False, or raise."""
    if not isinstance(value, bool):
        raise TypeError(message(owner, argument, "True or False", value))
    return value


def checked_seed(owner: str, value: Any, remedy: str = "") -> int | None:
    """Return a seed: None or an int >= 0, or raise."""
    rule = "None or an integer >= 0"
    if value is None:
        return None
    if not is_integer(value):
        raise TypeError(message(owner, "seed", rule, value, remedy))
    if value < 0:
        raise ValueError(message(owner, "seed", rule, value))
    return int(value)


def spawned_seeds(owner: str, seed: Any, number: int) -> list[int | None]:
    """Returns distinct seeds for the parts of a layer or a model, from the one given.

    Args:
        owner: Str. Who is named in errors.
        seed: Int >= 0, or None, which gives None for each part.
        number: Int >= 1, the number of seeds.
    """
    import numpy as np

    if checked_seed(owner, seed) is None:
        return [None] * number
    state = np.random.SeedSequence(seed).generate_state(number)
    return [int(word) % 2**31 for word in state]


def checked_verbose(owner: str, value: Any, levels: Sequence[int] = (0, 1, 2)) -> Any:
    """Return `value` if it is "auto" or one of the `levels`, or raise."""
    if value not in ("auto", *levels):
        rule = f'"auto", {", ".join(map(str, levels[:-1]))} or {levels[-1]}'
        raise ValueError(message(owner, "verbose", rule, value))
    return value


def checked_model(owner: str, value: Any, rule: str = "a keras.Model") -> Any:
    """Return `value` if it is a Keras model, or raise."""
    import keras

    if not isinstance(value, keras.Model):
        raise TypeError(message(owner, "model", rule, value))
    return value
