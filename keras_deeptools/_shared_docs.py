"""Docstrings and signatures of siblings, with their common part written once."""

import inspect
import re
import textwrap
from collections.abc import Callable
from typing import Any, TypeVar

Documented = TypeVar("Documented")
PLACEHOLDER = re.compile(r"^( *)\{\{(\w+)\}\}$", re.MULTILINE)


def shared_docs(**parts: str) -> Callable[[Documented], Documented]:
    r"""Fills placeholders in the docstring of a class or function, as Keras does.

    Args:
        **parts: Text by the name of the placeholder: a line with nothing but the name
            in double braces, whose indentation each line of the text gets.

    Returns:
        Decorator.

    Raises:
        KeyError: If the docstring has a placeholder without a part.

    Example:

    >>> from keras_deeptools._shared_docs import shared_docs
    >>> @shared_docs(seed="seed: Int or None.")
    ... def drawn(seed):
    ...     '''Draws.
    ...
    ...     Args:
    ...         {{seed}}
    ...     '''
    >>> print(drawn.__doc__.splitlines()[-2].strip())
    seed: Int or None.
    """

    def filled(found: re.Match[str]) -> str:
        return textwrap.indent(parts[found[2]].rstrip(), found[1])

    def documented(thing: Documented) -> Documented:
        if thing.__doc__ is not None:  # `python -OO` leaves docstrings out
            thing.__doc__ = PLACEHOLDER.sub(filled, thing.__doc__)
        return thing

    return documented


def delegates(base: Callable, *names: str) -> Callable[[Documented], Documented]:
    """Shows in a signature what `**kwargs` are: arguments of the function they go to.

    `help`, notebooks and the documentation then show them, and siblings need not repeat
    them one by one. `**kwargs` remain in the signature where `base` has some, too.

    Args:
        base: Function that gets the `**kwargs`, most often `__init__` of a base class.
        *names: Str. Which of its arguments are shown; by default all that can only be
            given by keyword.

    Returns:
        Decorator.

    Example:

    >>> from inspect import signature
    >>> from keras_deeptools._shared_docs import delegates
    >>> def base(size, *, name: str | None = None):
    ...     pass
    >>> @delegates(base)
    ... def built(size, depth, **kwargs):
    ...     pass
    >>> signature(built)
    <Signature (size, depth, *, name: str | None = None)>
    """

    def shown(function: Any) -> Any:
        signature = inspect.signature(function)
        *own, rest = signature.parameters.values()
        known = {parameter.name for parameter in own}
        more = [
            parameter.replace(
                kind=inspect.Parameter.KEYWORD_ONLY,
                annotation=(
                    Any
                    if parameter.annotation is inspect.Parameter.empty
                    else parameter.annotation
                ),
            )
            for name, parameter in inspect.signature(base).parameters.items()
            if name not in known
            and (name in names if names else parameter.kind == parameter.KEYWORD_ONLY)
        ]
        if any(
            p.kind == p.VAR_KEYWORD for p in inspect.signature(base).parameters.values()
        ):
            more.append(rest)
        function.__signature__ = signature.replace(parameters=[*own, *more])
        return function

    return shown
