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


def turn_of(item: pytest.Item) -> str | None:
    """Of two backends the one on which a test that alternates runs; None: on both."""
    mark = item.get_closest_marker("alternates")
    if mark is None or any(word in item.name for word in mark.kwargs.get("but", ())):
        return None
    places = item.callspec.indices  # where each value stands in its `parametrize`
    return IN_TURN[sum(places[name] for name in mark.args) % 2]


def runs_on(backend: str, item: pytest.Item) -> bool:
    """Whether a test runs on a backend, if nobody asks for everything."""
    if backend == "torch":
        return True
    if any(map(item.get_closest_marker, ONCE)):
        return False
    return turn_of(item) in (None, backend)
