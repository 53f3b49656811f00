"""The 1cycle policy against PyTorch's OneCycleLR."""

import itertools

import numpy as np
import pytest
import torch

from keras_deeptools.schedules import OneCycle, OneCycleMomentum
from schedules.torch_reference import torch_run

pytestmark = pytest.mark.backend_free

TOTALS = (1, 2, 3, 4, 5, 7, 10, 11, 97, 1000)
FRACTIONS = (0.0, 0.05, 0.3, 0.37, 0.5, 1.0)
SHAPES = {"cosine": "cos", "linear": "linear"}


def totals_and_fractions(three_phase):
    """Every combination for which PyTorch does not divide by zero."""
    for total, fraction in itertools.product(TOTALS, FRACTIONS):
        if fraction * total != 1 and not (three_phase and fraction > 0.5):
            yield total, fraction


def reference(total, fraction, shape, three_phase, optimizer="SGD"):
    return torch_run(
        lambda inner: torch.optim.lr_scheduler.OneCycleLR(
            inner,
            max_lr=0.4,
            total_steps=total,
            pct_start=fraction,
            anneal_strategy=SHAPES[shape],
            div_factor=20.0,
            final_div_factor=1e3,
            three_phase=three_phase,
            base_momentum=0.8,
            max_momentum=0.93,
        ),
        total,
        optimizer,
    )


@pytest.mark.parametrize("three_phase", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_learning_rate_and_momentum_equal_torch_at_every_step(shape, three_phase):
    for total, fraction in totals_and_fractions(three_phase):
        rates, momenta = reference(total, fraction, shape, three_phase)
        steps = np.arange(total)
        values = OneCycle(0.4, total, fraction, 20.0, 1e3, shape, three_phase).values(
            steps
        )
        # PyTorch's own (1 + cos) form loses digits at the tail, in float64 too.
        np.testing.assert_allclose(values, rates, rtol=1e-9, atol=1e-15)
        values = OneCycleMomentum(
            total, (0.8, 0.93), fraction, shape, three_phase
        ).values(steps)
        np.testing.assert_allclose(values, momenta, rtol=1e-12)


def test_momentum_equals_what_torch_sets_as_the_first_beta_of_adam():
    _, betas = reference(97, 0.3, "cosine", False, optimizer="Adam")
    momentum = OneCycleMomentum(97, (0.8, 0.93))
    np.testing.assert_allclose(momentum.values(np.arange(97)), betas, rtol=1e-12)


def test_defaults_are_those_of_torch():
    rates, momenta = torch_run(
        lambda inner: torch.optim.lr_scheduler.OneCycleLR(inner, 0.1, total_steps=50),
        50,
    )
    steps = np.arange(50)
    np.testing.assert_allclose(OneCycle(0.1, 50).values(steps), rates, rtol=1e-9)
    np.testing.assert_allclose(OneCycleMomentum(50).values(steps), momenta, rtol=1e-9)


@pytest.mark.parametrize("three_phase", [False, True])
def test_a_warmup_of_one_update_starts_at_the_peak_where_torch_divides_by_zero(
    three_phase,
):
    with pytest.raises(ZeroDivisionError):
        reference(10, 0.1, "cosine", three_phase)
    schedule = OneCycle(0.4, 10, 0.1, three_phase=three_phase)
    assert schedule.values(0) == 0.4
    assert np.isfinite(schedule.values(np.arange(10))).all()


def test_a_warmup_that_fills_a_cycle_of_one_update_gives_the_peak():
    assert OneCycle(0.4, 1, warmup_fraction=1.0).values([0, 1]).tolist() == [0.4, 0.4]


def test_the_last_value_is_the_initial_one_over_the_final_divisor():
    schedule = OneCycle(1.0, 100, initial_divisor=10.0, final_divisor=100.0)
    np.testing.assert_allclose(schedule.values([0, 99, 5000]), [0.1, 1e-3, 1e-3])


def test_the_momentum_is_lowest_where_the_learning_rate_is_highest():
    steps = np.arange(97)
    rates, momenta = OneCycle(1.0, 97).values(steps), OneCycleMomentum(97).values(steps)
    assert rates.argmax() == momenta.argmin()
