"""Reading a learning rate from range tests whose steepest point is known."""

import math

import numpy as np
import pytest

from keras_deeptools.statistics import (
    RangeTestCurve,
    exponential_smoothing,
    suggest_learning_rate,
)

pytestmark = pytest.mark.backend_free

SEEDS = range(30)
RULES = ["valley", "steepest", "slide", "minimum"]


def decades_off(
    curve: RangeTestCurve, noise: float, num_steps: int = 100
) -> np.ndarray:
    """Distance of the suggestion from the true steepest point, for each seed."""
    found = []
    for seed in SEEDS:
        rates, losses = curve.sample(noise, seed, num_steps)
        suggestion = suggest_learning_rate(rates, losses).suggestion
        found.append(abs(math.log10(suggestion / curve.steepest)))
    return np.array(found)


# --- The bar: half a decade for 90% of 30 seeds --------------------------------------


@pytest.mark.parametrize("noise", [0.05, 0.1, 0.2])
def test_suggestion_is_within_half_a_decade_for_nine_seeds_in_ten(
    noise: float,
) -> None:
    assert np.mean(decades_off(RangeTestCurve(steepest=1e-3), noise) <= 0.5) >= 0.9


@pytest.mark.parametrize("shape", RangeTestCurve.shapes[1:])
def test_suggestion_is_within_half_a_decade_for_every_shape(shape: str) -> None:
    curve = RangeTestCurve(steepest=10**-2.5, shape=shape)
    assert np.mean(decades_off(curve, 0.2) <= 0.5) >= 0.9


@pytest.mark.parametrize("steepest, width", [(1e-5, 2.5), (1e-4, 0.8), (1e-1, 2.5)])
def test_suggestion_finds_descents_anywhere_and_of_any_width(
    steepest: float, width: float
) -> None:
    curve = RangeTestCurve(steepest, width=width)
    assert np.mean(decades_off(curve, 0.2) <= 0.5) >= 0.9


@pytest.mark.parametrize("num_steps", [30, 200])
def test_suggestion_holds_for_shorter_and_longer_tests(num_steps: int) -> None:
    curve = RangeTestCurve(steepest=1e-3)
    assert np.mean(decades_off(curve, 0.1, num_steps) <= 0.5) >= 0.9


def test_suggestion_without_noise_is_within_a_step_or_two() -> None:
    for shape in RangeTestCurve.shapes:
        curve = RangeTestCurve(steepest=1e-3, shape=shape)
        rates, losses = curve.sample(noise=0.0, seed=0)
        steepest = suggest_learning_rate(rates, losses).rules["steepest"]
        assert abs(math.log10(steepest / 1e-3)) < 0.17, shape


def test_interval_holds_the_steepest_point_for_nine_seeds_in_ten() -> None:
    inside = []
    for seed in SEEDS:
        rates, losses = RangeTestCurve(steepest=1e-3).sample(0.1, seed)
        low, high = suggest_learning_rate(rates, losses).interval
        inside.append(low <= 1e-3 <= high)
    assert np.mean(inside) >= 0.9


# --- What may be done to a curve -----------------------------------------------------


@pytest.mark.parametrize("factor, offset", [(1e3, 0.0), (1e-6, 0.0), (1.0, -50.0)])
def test_suggestion_does_not_depend_on_the_unit_of_the_loss(
    factor: float, offset: float
) -> None:
    rates, losses = RangeTestCurve(steepest=1e-3).sample(0.1, seed=0)
    plain = suggest_learning_rate(rates, losses)
    other = suggest_learning_rate(rates, losses * factor + offset)
    assert other.suggestion == pytest.approx(plain.suggestion)


def test_suggestion_shifts_with_the_rates() -> None:
    rates, losses = RangeTestCurve(steepest=1e-3).sample(0.1, seed=0)
    plain = suggest_learning_rate(rates, losses)
    shifted = suggest_learning_rate(rates * 100, losses)
    assert shifted.suggestion == pytest.approx(100 * plain.suggestion)
    assert shifted.interval == pytest.approx([100 * end for end in plain.interval])


def test_suggestion_ignores_what_follows_the_blow_up() -> None:
    rates, losses = RangeTestCurve(steepest=1e-3).sample(0.1, seed=0)
    plain = suggest_learning_rate(rates, losses).suggestion
    for end in (np.nan, np.inf, 1e30):
        broken = losses.copy()
        broken[-12:] = end
        found = suggest_learning_rate(rates, broken).suggestion
        assert abs(math.log10(found / plain)) < 0.2


def test_suggestion_survives_single_outliers_and_gaps() -> None:
    rates, losses = RangeTestCurve(steepest=1e-3).sample(0.1, seed=0)
    losses[[7, 30, 62]] = [40.0, -30.0, np.nan]
    found = suggest_learning_rate(rates, losses).suggestion
    assert abs(math.log10(found / 1e-3)) < 0.5


def test_same_losses_give_the_same_suggestion_and_draw_no_global_random_number() -> (
    None
):
    rates, losses = RangeTestCurve(steepest=1e-3).sample(0.1, seed=0)
    np.random.seed(3)
    first = suggest_learning_rate(rates, losses)
    drawn = np.random.random()
    np.random.seed(3)
    assert np.random.random() == drawn
    assert suggest_learning_rate(rates, losses).interval == first.interval


def test_linear_ramp_with_few_steps_at_small_rates_is_read_too() -> None:
    rates = np.linspace(1e-4, 1.0, 100)
    curve = RangeTestCurve(steepest=0.1, width=0.8)
    losses = curve.loss(rates) + np.random.default_rng(0).normal(0, 0.05, 100)
    found = suggest_learning_rate(rates, losses).suggestion
    assert abs(math.log10(found / 0.1)) < 0.5


# --- No answer is better than a wrong one --------------------------------------------


def test_flat_noise_gives_no_suggestion_for_nine_seeds_in_ten() -> None:
    rates = np.geomspace(1e-7, 10, 100)
    found = [
        suggest_learning_rate(rates, np.random.default_rng(seed).normal(2.3, 0.1, 100))
        for seed in SEEDS
    ]
    assert np.mean([math.isnan(each.suggestion) for each in found]) >= 0.9


@pytest.mark.parametrize(
    "losses",
    [
        np.full(50, 2.3),
        np.linspace(1, 9, 50),
        np.full(50, np.nan),
        [3, 2, 1] + [9] * 47,
    ],
    ids=["constant", "rising", "not finite", "over at once"],
)
def test_loss_that_never_clearly_falls_gives_no_suggestion(losses: np.ndarray) -> None:
    found = suggest_learning_rate(np.geomspace(1e-7, 10, 50), losses)
    assert math.isnan(found.suggestion)
    assert list(found.rules) == RULES
    assert all(math.isnan(value) for value in found.rules.values())


def test_a_descent_of_three_deviations_is_seen() -> None:
    curve = RangeTestCurve(steepest=1e-2, initial_loss=2.0, lowest_loss=1.4)
    assert np.mean(decades_off(curve, 0.2) <= 0.7) >= 0.9


def test_loss_that_falls_to_the_end_is_marked() -> None:
    rates, losses = RangeTestCurve(steepest=1e-1).sample(0.02, seed=0)
    assert suggest_learning_rate(rates[:80], losses[:80]).falling_at_end
    assert not suggest_learning_rate(rates, losses).falling_at_end


@pytest.mark.parametrize(
    "rates, losses, argument",
    [
        (np.geomspace(1e-7, 10, 20), np.ones(19), "losses"),
        (np.geomspace(1e-7, 10, 20).reshape(4, 5), np.ones((4, 5)), "losses"),
        (np.geomspace(10, 1e-7, 20), np.ones(20), "learning_rates"),
        (np.linspace(0, 1, 20), np.ones(20), "learning_rates"),
    ],
)
def test_unfit_arrays_are_named(
    rates: np.ndarray, losses: np.ndarray, argument: str
) -> None:
    with pytest.raises(ValueError, match=f"suggest_learning_rate: `{argument}` must"):
        suggest_learning_rate(rates, losses)


# --- The single rules ----------------------------------------------------------------


def test_rules_without_noise_are_where_their_definitions_say() -> None:
    curve = RangeTestCurve(steepest=1e-3, gap=2.0)
    rates, losses = curve.sample(noise=0.0, seed=0, num_steps=400)
    rules = suggest_learning_rate(rates, losses).rules
    lowest = rates[np.argmin(losses)]
    half = rates[np.argmax(losses <= (losses[0] + losses.min()) / 2)]
    fall = losses[0] - losses.min()
    later = np.interp(np.log10(rates) + 1, np.log10(rates), losses)
    falls = (losses - later > 0.1 * fall) & (rates <= lowest)
    assert rules["minimum"] == pytest.approx(lowest / 10, rel=0.3)
    assert rules["valley"] == pytest.approx(half, rel=0.05)
    assert rules["slide"] == pytest.approx(rates[falls][-1], rel=0.2)


# --- Running average -----------------------------------------------------------------


def test_running_average_equals_the_weighted_mean_of_the_past() -> None:
    values = np.random.default_rng(0).normal(size=20)
    weights = 0.9 ** np.arange(19, -1, -1)
    expected = np.sum(weights * values) / np.sum(weights)
    assert exponential_smoothing(values, 0.9)[-1] == pytest.approx(expected)


def test_running_average_passes_over_what_is_not_finite() -> None:
    smoothed = exponential_smoothing([np.nan, 2.0, np.inf, np.nan, 2.0], 0.5)
    np.testing.assert_array_equal(smoothed, [np.nan, 2.0, 2.0, 2.0, 2.0])


@pytest.mark.parametrize("beta", [1.0, -0.1, np.nan])
def test_running_average_with_an_unfit_beta_is_refused(beta: float) -> None:
    with pytest.raises(ValueError, match=r"`beta` must be in \[0, 1\)"):
        exponential_smoothing([1.0], beta)


# --- The published curves ------------------------------------------------------------


@pytest.mark.parametrize("shape", RangeTestCurve.shapes)
def test_curve_is_steepest_where_it_says(shape: str) -> None:
    for width in (0.8, 1.5, 2.5):
        curve = RangeTestCurve(1e-3, shape, width, gap=0.5)
        decades = np.linspace(-8, 2, 5001)
        losses = curve.loss(10**decades)
        slopes = np.gradient(losses, decades)[: np.argmin(losses)]
        assert abs(decades[np.argmin(slopes)] + 3) < 0.03


@pytest.mark.parametrize("shape", RangeTestCurve.shapes)
def test_curve_covers_a_tenth_to_nine_tenths_of_its_fall_over_its_width(
    shape: str,
) -> None:
    curve = RangeTestCurve(1e-3, shape, width=1.5, gap=8.0)
    decades = np.linspace(-10, 4, 14001)
    losses = curve.loss(10**decades)
    tenth, nine_tenths = (
        decades[np.argmax(losses < 0.6 + rest * 1.7)] for rest in (0.9, 0.1)
    )
    assert nine_tenths - tenth == pytest.approx(1.5, abs=0.01)


@pytest.mark.parametrize(
    "arguments",
    [
        {"steepest": 0.0},
        {"steepest": 0.1, "width": -1.0},
        {"steepest": 0.1, "shape": "cliff"},
        {"steepest": 0.1, "lowest_loss": 5.0},
    ],
)
def test_curve_with_an_unfit_argument_is_refused(arguments: dict) -> None:
    with pytest.raises(ValueError, match="RangeTestCurve: `"):
        RangeTestCurve(**arguments)


def test_eight_finite_losses_are_enough_and_seven_are_not() -> None:
    rates = np.logspace(-4, 0, 8)
    losses = np.array([2.3, 2.29, 2.2, 1.9, 1.4, 0.9, 0.6, 0.5])
    assert np.isfinite(suggest_learning_rate(rates, losses).suggestion)
    losses[0] = np.nan
    assert np.isnan(suggest_learning_rate(rates, losses).suggestion)
