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
    """Where the value of an argument stands in its own `parametrize`."""
    [values] = [
        mark.args[1]
        for mark in item.iter_markers("parametrize")
        if mark.args[0] == argument
    ]
    return list(values).index(item.callspec.params[argument])


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
