"""The one way in which an attribute or method is replaced, and given back.

Of an object: `Replacement`, undone by hand, and `replaced`, for a block. What is
replaced several times may be given back in any order. `replaced_in_thread` is for what
other threads use too, such as the functions of a module: they see nothing of it.
"""

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any

CHAIN = "_keras_deeptools_replaced"
"""Attribute of an object under which its replacements are listed, oldest first."""

_MISSING = object()
_LOCK = threading.RLock()


class Replacement:
    """One attribute or method replaced on one object, until `undo` is called.

    Past any tracking of assignments. Where several replace the same, each may be undone
    first: the one that lies above then gives back what was beneath.

    Args:
        holder: Object whose attribute it is; a class or module, too.
        name: Str.
        value: The replacement: for a method, a function that is called without the
            object.

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

    __slots__ = ("_beneath", "_value", "holder", "name")

    def __init__(self, holder: Any, name: str, value: Any) -> None:
        self.holder = holder
        self.name = name
        self._value = value
        with _LOCK:
            held: Any = vars(holder)
            self._beneath = held.get(name, _MISSING)
            if CHAIN in held:
                held[CHAIN].append(self)
            else:
                _set(holder, CHAIN, [self])
            _set(holder, name, value)

    def undo(self, force: bool = False) -> None:
        """Gives back what was there; does nothing when that was done already.

        Args:
            force: Bool. Whether also to take away what others have set meanwhile.
        """
        with _LOCK:
            held: Any = vars(self.holder)
            chain = held.get(CHAIN, [])
            if self not in chain:
                return
            above = [
                one for one in chain[chain.index(self) + 1 :] if one.name == self.name
            ]
            if above:
                above[0]._beneath = self._beneath
            elif force or held.get(self.name) is self._value:
                _set(self.holder, self.name, self._beneath)
            chain.remove(self)
            if not chain:
                _set(self.holder, CHAIN, _MISSING)


def _set(holder: Any, name: str, value: Any) -> None:
    if not isinstance(holder, type):
        if value is not _MISSING:
            vars(holder)[name] = value
        else:
            vars(holder).pop(name, None)
    elif value is not _MISSING:
        setattr(holder, name, value)
    elif name in vars(holder):
        delattr(holder, name)


@contextlib.contextmanager
def replaced(holder: Any, name: str, value: Any) -> Iterator[None]:
    """Replaces an attribute or method of an object in the block.

    At its end, also after an error, what was there is there again, whatever the code in
    the block has assigned.

    Args:
        holder: Object whose attribute it is.
        name: Str.
        value: The replacement.

    Example:

    >>> import types
    >>> from keras_deeptools.engine._patching import replaced
    >>> light = types.SimpleNamespace(color="red")
    >>> with replaced(light, "color", "green"):
    ...     light.color
    'green'
    >>> vars(light)
    {'color': 'red'}
    """
    replacement = Replacement(holder, name, value)
    try:
        yield
    finally:
        replacement.undo(force=True)


class _Switch:
    """What stands in the place of a function while any thread has replaced it.

    Attributes:
        shown: Dict from the identity of a thread to the functions that it has put in
            its place, the newest last.
    """

    __slots__ = ("num_users", "own", "replacement", "shown")

    def __init__(self, holder: Any, name: str) -> None:
        self.own = own = getattr(holder, name)
        self.shown: dict[int, tuple[Callable, ...]] = {}
        self.num_users = 0
        shown, thread = self.shown, threading.get_ident

        @functools.wraps(own)
        def switch(*arguments: Any, **options: Any) -> Any:
            functions = shown.get(thread())
            return (functions[-1] if functions else own)(*arguments, **options)

        self.replacement = Replacement(holder, name, switch)

    def push(self, make: Callable[[Callable], Callable]) -> Callable:
        """Shows the running thread what is made of the function that it sees now."""
        thread = threading.get_ident()
        functions = self.shown.get(thread, ())
        function = make(functions[-1] if functions else self.own)
        self.shown[thread] = (*functions, function)
        return function

    def drop(self, function: Callable) -> None:
        """Shows it no more, also where another one lies above."""
        thread = threading.get_ident()
        rest = tuple(f for f in self.shown[thread] if f is not function)
        if rest:
            self.shown[thread] = rest
        else:
            del self.shown[thread]


_switches: dict[tuple[int, str], _Switch] = {}


@contextlib.contextmanager
def replaced_in_thread(
    holder: Any, name: str, make: Callable[[Callable], Callable]
) -> Iterator[None]:
    """Replaces a function for the running thread alone, in the block.

    While any thread does so, the others call their own by one more call of Python.

    Args:
        holder: Module, class or object that has it.
        name: Str.
        make: Function of what the thread sees in its place now, which returns what it
            is to see; of a class, functions that take the instance first.

    Example:

    >>> import threading, types
    >>> from keras_deeptools.engine._patching import replaced_in_thread
    >>> dice = types.SimpleNamespace(roll=lambda: 4)
    >>> seen = []
    >>> with replaced_in_thread(dice, "roll", lambda roll: lambda: roll() + 1):
    ...     other = threading.Thread(target=lambda: seen.append(dice.roll()))
    ...     other.start(), other.join(), seen.append(dice.roll())
    (None, None, None)
    >>> seen, dice.roll()
    ([4, 5], 4)
    """
    key = (id(holder), name)
    with _LOCK:
        switch = _switches.get(key)
        if switch is None:
            switch = _switches[key] = _Switch(holder, name)
        switch.num_users += 1
    try:
        function = switch.push(make)
        try:
            yield
        finally:
            switch.drop(function)
    finally:
        with _LOCK:
            switch.num_users -= 1
            if not switch.num_users:
                del _switches[key]
                switch.replacement.undo()
