"""Schedules against the formulas of their papers, written out step by step."""

import keras
import numpy as np
import pytest

from keras_deeptools.schedules import (
    Concatenation,
    Constant,
    ExponentialRamp,
    FlatCosine,
    LinearRamp,
    OneCycle,
    PiecewiseConstant,
    Scaled,
    Triangular,
    Warmup,
    WarmupStableDecay,
)

pytestmark = pytest.mark.backend_free


@pytest.mark.parametrize(
    ("shape", "decay"),
    [
        ("linear", lambda t: 1 - t),
        ("cosine", lambda t: (1 + np.cos(np.pi * t)) / 2),
        ("sqrt", lambda t: 1 - np.sqrt(t)),
    ],
)
def test_warmup_stable_decay_follows_its_three_formulas(shape, decay):
    schedule = WarmupStableDecay(0.2, 100, 10, 30, 0.1, 0.05, shape)
    steps = np.arange(130)
    rise = 0.1 + 0.9 * steps / 10
    fall = 0.05 + 0.95 * decay(np.clip((steps - 70) / 30, 0, 1))
    expected = 0.2 * np.where(steps < 10, rise, fall)
    np.testing.assert_allclose(schedule.values(steps), expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(("warmup", "decay"), [(0, 0), (0, 5), (5, 0), (3, 2), (5, 5)])
def test_warmup_stable_decay_works_without_some_of_its_parts(warmup, decay):
    schedule = WarmupStableDecay(1.0, 10, warmup, decay, final_factor=0.5)
    values = schedule.values(np.arange(12))
    assert values[0] == (0.0 if warmup else 1.0)
    assert values[warmup] == 1.0
    assert values[10 - decay] == 1.0
    assert values[10] == values[11] == (0.5 if decay else 1.0)


@pytest.mark.parametrize("fraction", [0.0, 0.33, 0.75])
def test_flat_cosine_is_flat_and_then_half_a_cosine(fraction):
    steps = np.arange(120)
    position = np.clip((steps - fraction * 100) / (100 - fraction * 100), 0, 1)
    expected = 0.01 + 0.19 * (1 + np.cos(np.pi * position)) / 2
    schedule = FlatCosine(0.2, 100, fraction, 0.01)
    np.testing.assert_allclose(schedule.values(steps), expected, rtol=1e-12)


def test_flat_cosine_that_is_all_flat_never_falls():
    assert set(FlatCosine(0.2, 100, 1.0).values(np.arange(200))) == {0.2}


def test_linear_ramp_is_linspace_and_holds_its_end():
    values = LinearRamp(0.5, 2.0, 31).values(np.arange(40))
    np.testing.assert_allclose(values[:31], np.linspace(0.5, 2.0, 31), rtol=1e-12)
    assert (values[31:] == 2.0).all()


@pytest.mark.parametrize("ends", [(1e-7, 10.0), (10.0, 1e-7)])
def test_exponential_ramp_is_geomspace_with_exact_ends(ends):
    values = ExponentialRamp(*ends, 100).values(np.arange(120))
    np.testing.assert_allclose(values[:100], np.geomspace(*ends, 100), rtol=1e-12)
    assert values[0] == ends[0]
    assert (values[99:] == ends[1]).all()


def test_cosine_warmup_is_half_a_cosine():
    values = Warmup(2.0, 10, 0.1, "cosine").values(np.arange(10))
    expected = 2.0 * (0.1 + 0.9 * (1 - np.cos(np.pi * np.arange(10) / 10)) / 2)
    np.testing.assert_allclose(values, expected, rtol=1e-12)


def test_a_schedule_under_warmup_runs_as_a_whole_after_it():
    inner = OneCycle(0.3, 50)
    values = Warmup(inner, 7).values(np.arange(7, 57))
    np.testing.assert_array_equal(values, inner.values(np.arange(50)))


def test_every_part_of_a_concatenation_counts_from_its_own_start():
    first, second = OneCycle(0.3, 20), Triangular(0.0, 1.0, 4)
    values = Concatenation([first, second], [20]).values(np.arange(40))
    np.testing.assert_array_equal(values[:20], first.values(np.arange(20)))
    np.testing.assert_array_equal(values[20:], second.values(np.arange(20)))


def test_a_concatenation_and_a_warmup_take_the_schedules_of_keras():
    keras_own = keras.optimizers.schedules.CosineDecay(0.5, 10)
    expected = [float(keras_own(n)) for n in range(12)]
    concatenated = Concatenation([0.1, keras_own], [5]).values(np.arange(17))
    np.testing.assert_allclose(concatenated[5:], expected, rtol=1e-6, atol=1e-9)
    warmed_up = Warmup(keras_own, 5).values(np.arange(17))
    np.testing.assert_allclose(warmed_up[5:], expected, rtol=1e-6, atol=1e-9)


def test_a_piecewise_constant_without_boundaries_is_constant():
    steps = [0, 5, 10**6]
    expected = Constant(0.3).values(steps)
    np.testing.assert_array_equal(PiecewiseConstant([], [0.3]).values(steps), expected)


@pytest.mark.parametrize(
    ("schedule", "last_step"),
    [
        (OneCycle(0.3, 50), 49),
        (WarmupStableDecay(0.1, 50, 5, 5), 50),
        (PiecewiseConstant([5, 9], [1.0, 2.0, 3.0]), 9),
        (LinearRamp(0.0, 1.0, 10), 9),
        (Warmup(OneCycle(0.3, 50), 10), 59),
        (Scaled(OneCycle(0.3, 50), 2.0), 49),
        (Concatenation([0.1, OneCycle(0.3, 50)], [10]), 59),
        (Constant(0.1), 0),
        (Triangular(0.1, 0.2, 5), None),
        (Warmup(Triangular(0.1, 0.2, 5), 10), None),
    ],
)
def test_last_step_is_where_the_schedule_stops_changing(schedule, last_step):
    assert schedule.last_step == last_step
    if last_step:
        before, at, after = schedule.values([last_step - 1, last_step, last_step + 9])
        assert before != at == after
