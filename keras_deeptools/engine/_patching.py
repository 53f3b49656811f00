"""Attributes that are other ones for a while."""

import contextlib
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Sets an attribute past all tracking, and puts back what was there."""
    held = vars(owner)
    missing = object()
    before = held.get(name, missing)
    held[name] = value
    try:
        yield
    finally:
        if before is missing:
            del held[name]
        else:
            held[name] = before


CHAIN = "_keras_deeptools_replaced"


class Replacement:
    """One method replaced on one object, until `undo` is called.

    Where several replace the same method, each may be undone first: the one that lies
    above then gives back what was beneath.

    Args:
        holder: Object whose method it is.
        name: Str.
        method: Function, called in its place.

    Example:

    >>> from keras_deeptools.engine._patching import Replacement
    >>> class Door:
    ...     def state(self):
    ...         return "open"
    >>> door = Door()
    >>> first = Replacement(door, "state", lambda: "closed")
    >>> second = Replacement(door, "state", lambda: "locked")
    >>> first.undo()
    >>> door.state()
    'locked'
    >>> second.undo()
    >>> door.state(), vars(door)
    ('open', {})
    """

    def __init__(self, holder: Any, name: str, method: Any) -> None:
        self.holder = holder
        self.name = name
        self._method = method
        self._beneath = vars(holder).get(name)
        vars(holder).setdefault(CHAIN, []).append(self)
        vars(holder)[name] = method

    def undo(self) -> None:
        """Takes the method off; does nothing when it is off already."""
        attributes = vars(self.holder)
        chain = [one for one in attributes.get(CHAIN, ()) if one is not self]
        above = [one for one in chain if one._is_above(self)]
        if attributes.get(self.name) is self._method:
            if self._beneath is None:
                del attributes[self.name]
            else:
                attributes[self.name] = self._beneath
        elif above:
            above[0]._beneath = self._beneath
        if chain:
            attributes[CHAIN] = chain
        else:
            attributes.pop(CHAIN, None)

    def _is_above(self, other: "Replacement") -> bool:
        return self.name == other.name and self._beneath is other._method
