"""Checks of arguments: what they take, and that an error says what there is to say."""

import math
from fractions import Fraction

import keras
import numpy as np
import pytest

from keras_deeptools import _arguments as arguments

pytestmark = pytest.mark.one_backend

NO_NUMBERS = [True, "1", None, [1.0], 1j]


def test_an_error_names_owner_argument_rule_value_and_remedy() -> None:
    with pytest.raises(ValueError) as raised:
        arguments.checked_count("Owner", "size", 0, remedy="Give 8.")
    expected = "Owner: `size` must be an integer >= 1. Received: size=0. Give 8."
    assert str(raised.value) == expected


@pytest.mark.parametrize("value", [1, 1.5, np.float32(2), np.int8(3), Fraction(1, 2)])
def test_a_number_of_any_kind_is_a_float_afterwards(value: object) -> None:
    found = arguments.checked_float("Owner", "x", value)
    assert type(found) is float and found == value


@pytest.mark.parametrize("value", NO_NUMBERS)
def test_what_is_no_number_is_a_type_error(value: object) -> None:
    assert not arguments.is_number(value)
    with pytest.raises(TypeError, match="Owner: `x` must be a finite float. Received"):
        arguments.checked_float("Owner", "x", value)


@pytest.mark.parametrize(
    ("limits", "rule", "inside", "outside"),
    [
        ({"above": 0}, "> 0", 1e-9, 0),
        ({"at_least": 0}, ">= 0", 0, -1e-9),
        ({"at_most": 2}, "<= 2", 2, 2.1),
        ({"below": 2}, "< 2", 1.9, 2),
        ({"above": 0, "below": 1}, "> 0 and < 1", 0.5, 1),
    ],
)
def test_limits_are_open_or_closed_and_named(
    limits: dict, rule: str, inside: float, outside: float
) -> None:
    assert arguments.checked_float("Owner", "x", inside, **limits) == inside
    with pytest.raises(ValueError, match=f"must be a finite float {rule}. Received"):
        arguments.checked_float("Owner", "x", outside, **limits)


def test_infinity_is_taken_only_where_it_may_be() -> None:
    infinity = arguments.checked_float("Owner", "x", math.inf, is_finite=False)
    assert infinity == math.inf
    with pytest.raises(ValueError, match="finite float"):
        arguments.checked_float("Owner", "x", math.inf)


@pytest.mark.parametrize("is_finite", [True, False])
def test_nan_is_never_taken(is_finite: bool) -> None:
    with pytest.raises(ValueError, match="x=nan"):
        arguments.checked_float("Owner", "x", math.nan, is_finite=is_finite)


@pytest.mark.parametrize("value", [-0.1, 1.0, math.nan])
def test_a_rate_is_under_one(value: float) -> None:
    assert arguments.checked_rate("Owner", "rate", 0) == 0
    with pytest.raises(ValueError, match=r"`rate` must be in \[0, 1\)"):
        arguments.checked_rate("Owner", "rate", value)


def test_a_rate_is_a_number() -> None:
    with pytest.raises(TypeError, match=r"`rate` must be a number in \[0, 1\)"):
        arguments.checked_rate("Owner", "rate", "half")


@pytest.mark.parametrize("value", [3, np.int64(3)])
def test_an_integer_of_any_kind_is_an_int_afterwards(value: object) -> None:
    found = arguments.checked_count("Owner", "n", value, below=4)
    assert type(found) is int and found == 3


@pytest.mark.parametrize("value", [*NO_NUMBERS, 2.0])
def test_what_is_no_integer_is_a_type_error(value: object) -> None:
    assert not arguments.is_integer(value)
    with pytest.raises(TypeError, match="Owner: `n` must be an integer >= 0"):
        arguments.checked_count("Owner", "n", value, 0)


def test_a_count_may_have_a_limit() -> None:
    with pytest.raises(ValueError, match="`n` must be an integer in "):
        arguments.checked_count(
            "Owner", "n", 8, below=8, rule="an integer in [1, 8)", remedy="Give 7."
        )


def test_an_option_is_one_of_those_there_are() -> None:
    assert arguments.checked_option("Owner", "kind", "a", ("a", "b")) == "a"
    with pytest.raises(ValueError, match="`kind` must be one of 'a', 'b'"):
        arguments.checked_option("Owner", "kind", "c", ("a", "b"))


def test_a_truth_value_is_no_number() -> None:
    assert arguments.checked_bool("Owner", "flag", False) is False
    with pytest.raises(TypeError, match="`flag` must be True or False"):
        arguments.checked_bool("Owner", "flag", 1)


def test_a_seed_is_none_or_not_negative() -> None:
    assert arguments.checked_seed("Owner", None) is None
    assert arguments.checked_seed("Owner", np.uint8(7)) == 7
    with pytest.raises(ValueError, match="`seed` must be None or an integer >= 0"):
        arguments.checked_seed("Owner", -1)
    with pytest.raises(TypeError, match="`seed` must be None or an integer >= 0"):
        arguments.checked_seed("Owner", 1.0)


def test_how_much_is_printed_is_auto_or_a_level() -> None:
    assert arguments.checked_verbose("Owner", "auto") == "auto"
    with pytest.raises(ValueError, match='`verbose` must be "auto", 0 or 1'):
        arguments.checked_verbose("Owner", 2, (0, 1))


def test_a_model_is_one_of_keras() -> None:
    model = keras.Sequential()
    assert arguments.checked_model("Owner", model) is model
    with pytest.raises(TypeError, match="Owner: `model` must be a keras.Model"):
        arguments.checked_model("Owner", keras.layers.Dense(1))
