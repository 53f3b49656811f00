"""No test and no value is left out on all backends that compile."""

from collections import defaultdict
from types import SimpleNamespace

import pytest

from backend_turns import IN_TURN, runs_on, turn_of

pytestmark = pytest.mark.backend_free


def item(name: str, *marks: pytest.MarkDecorator, **values: int) -> SimpleNamespace:
    """What pytest would collect for five values of each argument."""
    given = [each.mark for each in marks]
    places = [pytest.mark.parametrize(one, range(5)).mark for one in values]
    return SimpleNamespace(
        name=name,
        callspec=SimpleNamespace(params=values),
        get_closest_marker={mark.name: mark for mark in given}.get,
        iter_markers=lambda name: places,
    )


def test_tests_that_alternate_leave_some_values_to_each(
    request: pytest.FixtureRequest,
) -> None:
    if request.config.getoption("first_values"):
        pytest.skip("the other values are left out")
    turns = defaultdict(set)
    for each in request.session.items:
        if each.get_closest_marker("alternates"):
            turns[each.nodeid.partition("[")[0]].add(turn_of(each))
    assert not [name for name, seen in turns.items() if not {*IN_TURN} <= seen]


@pytest.mark.parametrize("mark", ["backend_free", "one_backend"])
def test_what_one_backend_is_enough_for_runs_on_torch(mark: str) -> None:
    once = item("once", getattr(pytest.mark, mark))
    assert [b for b in ("torch", *IN_TURN) if runs_on(b, once)] == ["torch"]


def test_a_test_without_marks_runs_everywhere() -> None:
    assert all(runs_on(backend, item("plain")) for backend in ("torch", *IN_TURN))


def test_every_value_runs_on_torch_and_on_one_other_backend() -> None:
    mark = pytest.mark.alternates("kind")
    for kind in range(5):
        found = [b for b in IN_TURN if runs_on(b, item("turn", mark, kind=kind))]
        assert found == [IN_TURN[kind % 2]]
        assert runs_on("torch", item("turn", mark, kind=kind))


def test_every_value_of_two_arguments_meets_every_backend() -> None:
    mark = pytest.mark.alternates("kind", "mode")
    for backend in IN_TURN:
        pairs = {
            (kind, mode)
            for kind in range(5)
            for mode in range(2)
            if runs_on(backend, item("turn", mark, kind=kind, mode=mode))
        }
        assert len(pairs) == 5
        assert {kind for kind, _ in pairs} == set(range(5))
        assert {mode for _, mode in pairs} == {0, 1}


def test_values_that_are_named_run_everywhere() -> None:
    mark = pytest.mark.alternates("kind", but=("scaled",))
    for name, everywhere in (("turn[scaled SGD]", True), ("turn[SGD]", False)):
        each = item(name, mark, kind=1)
        assert all(runs_on(b, each) for b in IN_TURN) is everywhere
