"""Which tests run on which backend, by their marks.

`backend_free` and `one_backend` run on torch, which starts fastest and compiles
nothing. `alternates("kind")` runs there with every value of `kind`, and on TensorFlow
and JAX with every second one, in turn; `but=("Adam",)` keeps those with these words in
their names on all backends. With two arguments, as in `alternates("kind", "mode")`,
each value meets each backend, beside other values of the other argument.
"""

import pytest

ONCE = ("backend_free", "one_backend")
"""Marks of tests for which one backend is enough."""
IN_TURN = ("tensorflow", "jax")


def place_of_value(item: pytest.Item, argument: str) -> int:
    """Where the value of an argument stands in its own `parametrize`.

    pytest counts the values of arguments together, where there are several.
    """
    value = item.callspec.params[argument]
    for mark in item.iter_markers("parametrize"):
        names, values = mark.args[:2]
        names = names.split(",") if isinstance(names, str) else names
        names = [name.strip() for name in names]
        if argument not in names:
            continue
        for place, each in enumerate(values):
            parts = getattr(each, "values", None) if is_marked(each) else each
            alone = len(names) == 1 and not is_marked(each)
            own = parts if alone else parts[names.index(argument)]
            if own is value or (isinstance(own, HASHED) and own == value):
                return place
    return item.callspec.indices[argument]  # a fixture's


def is_marked(value: object) -> bool:
    """Whether a value was written as `pytest.param(...)`."""
    return type(value).__name__ == "ParameterSet"


HASHED = (str, int, float, tuple, frozenset)
"""Types whose values can be compared."""


def turn_of(item: pytest.Item) -> str | None:
    """Of two backends the one on which a test that alternates runs; None: on both."""
    mark = item.get_closest_marker("alternates")
    if mark is None or any(word in item.name for word in mark.kwargs.get("but", ())):
        return None
    return IN_TURN[sum(place_of_value(item, name) for name in mark.args) % 2]


def runs_on(backend: str, item: pytest.Item) -> bool:
    """Whether a test runs on a backend, if nobody asks for everything."""
    if backend == "torch":
        return True
    if any(map(item.get_closest_marker, ONCE)):
        return False
    return turn_of(item) in (None, backend)
