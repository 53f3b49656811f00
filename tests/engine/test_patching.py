"""One way to replace an attribute: nested, after errors, in any order, by thread."""

import itertools
import threading
import types

import pytest

from keras_deeptools.engine._patching import (
    Replacement,
    _switches,
    replaced,
    replaced_in_thread,
)

pytestmark = pytest.mark.backend_free


class Door:
    def state(self):
        return "open"


def in_other_thread(function):
    found = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


def test_a_method_of_the_class_is_back_and_nothing_is_left():
    door = Door()
    with replaced(door, "state", lambda: "closed"):
        assert door.state() == "closed"
    assert door.state() == "open"
    assert vars(door) == {}


def test_an_attribute_is_back_after_an_error():
    light = types.SimpleNamespace(color="red")
    with pytest.raises(ZeroDivisionError), replaced(light, "color", "green"):
        raise ZeroDivisionError
    assert vars(light) == {"color": "red"}


def test_a_block_takes_away_what_is_assigned_in_it():
    light = types.SimpleNamespace(color="red")
    with replaced(light, "color", "green"):
        light.color = "yellow"
    assert light.color == "red"


def test_a_replacement_leaves_what_others_assigned():
    light = types.SimpleNamespace(color="red")
    replacement = Replacement(light, "color", "green")
    light.color = "yellow"
    replacement.undo()
    assert vars(light) == {"color": "yellow"}


@pytest.mark.parametrize("value", [None, False, 0.0])
def test_values_that_are_false_are_given_back(value):
    light = types.SimpleNamespace(color=value)
    with replaced(light, "color", None):
        assert light.color is None
    assert light.color is value
    assert vars(light) == {"color": value}


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_replacements_are_undone_in_any_order(order):
    light = types.SimpleNamespace(color="red")
    replacements = [Replacement(light, "color", each) for each in "abc"]
    left = list("abc")
    for number in order:
        replacements[number].undo()
        left.remove("abc"[number])
        assert light.color == (left[-1] if left else "red")
    assert vars(light) == {"color": "red"}


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_equal_values_are_undone_in_any_order(order):
    light = types.SimpleNamespace()
    replacements = [Replacement(light, "color", "green") for _ in range(3)]
    for number in order:
        assert light.color == "green"
        replacements[number].undo()
    assert vars(light) == {}


def test_undoing_twice_does_nothing():
    light = types.SimpleNamespace(color="red")
    first = Replacement(light, "color", "green")
    first.undo()
    second = Replacement(light, "color", "blue")
    first.undo()
    assert light.color == "blue"
    second.undo()
    assert light.color == "red"


def test_attributes_of_one_object_do_not_meet():
    light = types.SimpleNamespace(color="red", power=1)
    first, second = Replacement(light, "color", "green"), Replacement(light, "power", 2)
    first.undo()
    assert vars(light)["power"] == 2
    second.undo()
    assert vars(light) == {"color": "red", "power": 1}


def test_a_method_of_a_class_is_replaced_and_given_back():
    class Gate(Door):
        pass

    with replaced(Gate, "state", lambda self: "closed"):
        assert Gate().state() == "closed"
    assert Gate().state() == "open"
    assert "state" not in vars(Gate)


def test_other_threads_see_their_own_function():
    module = types.SimpleNamespace(draw=lambda: "own")
    with replaced_in_thread(module, "draw", lambda own: lambda: "ours"):
        assert module.draw() == "ours"
        assert in_other_thread(lambda: module.draw()) == "own"
    assert module.draw() == "own"
    assert list(vars(module)) == ["draw"]


def test_a_method_of_a_class_is_replaced_for_one_thread():
    def make(own):
        return lambda self: f"not {own(self)}"

    with replaced_in_thread(Door, "state", make):
        assert Door().state() == "not open"
        assert in_other_thread(lambda: Door().state()) == "open"
    assert Door().state() == "open"


def test_blocks_of_one_thread_nest():
    module = types.SimpleNamespace(draw=lambda: "own")

    def louder(beneath):
        return lambda: beneath() + "!"

    with replaced_in_thread(module, "draw", louder):
        with replaced_in_thread(module, "draw", louder):
            assert module.draw() == "own!!"
        assert module.draw() == "own!"
    assert module.draw() == "own"


def test_threads_that_overlap_give_back_the_original():
    module = types.SimpleNamespace(draw=lambda: "own")
    own, entered, leave = module.draw, threading.Event(), threading.Event()
    seen = []

    def run():
        with replaced_in_thread(module, "draw", lambda own: lambda: "theirs"):
            entered.set()
            leave.wait(10)
            seen.append(module.draw())

    thread = threading.Thread(target=run)
    with replaced_in_thread(module, "draw", lambda own: lambda: "ours"):
        thread.start()
        entered.wait(10)
    # The first that came has left; the other is still inside.
    assert module.draw() == "own"
    leave.set()
    thread.join()
    assert seen == ["theirs"]
    assert module.draw is own
    assert not _switches


def test_a_block_in_one_thread_ends_with_an_error():
    module = types.SimpleNamespace(draw=lambda: "own")
    own = module.draw
    with (
        pytest.raises(ZeroDivisionError),
        replaced_in_thread(module, "draw", lambda own: lambda: 1 / 0),
    ):
        module.draw()
    assert module.draw is own


def test_what_cannot_be_made_leaves_nothing():
    module = types.SimpleNamespace(draw=lambda: "own")
    own = module.draw
    with (
        pytest.raises(ZeroDivisionError),
        replaced_in_thread(module, "draw", lambda own: 1 / 0),
    ):
        pass
    assert module.draw is own
    assert not _switches


def test_what_kept_the_switch_still_reaches_the_original():
    module = types.SimpleNamespace(draw=lambda: "own")
    with replaced_in_thread(module, "draw", lambda own: lambda: "ours"):
        kept = module.draw
    assert kept() == "own"
