"""Schedules that PyTorch has too."""

import numpy as np
import pytest
import torch

from keras_deeptools.schedules import (
    Concatenation,
    CosineRestarts,
    Exponential,
    InverseTimePower,
    PiecewiseConstant,
    Triangular,
    Warmup,
    WarmupStableDecay,
)
from schedules.torch_reference import torch_rates

pytestmark = pytest.mark.backend_free

schedulers = torch.optim.lr_scheduler


def assert_equal_to_torch(schedule, make_scheduler, num_steps, learning_rate=1.0):
    rates = torch_rates(make_scheduler, num_steps, learning_rate)
    values = schedule.values(np.arange(num_steps))
    np.testing.assert_allclose(values, rates, rtol=1e-9, atol=1e-12)


def test_exponential_equals_exponential_lr():
    assert_equal_to_torch(
        Exponential(0.2, 0.9),
        lambda optimizer: schedulers.ExponentialLR(optimizer, 0.9),
        200,
        0.2,
    )


def test_exponential_staircase_equals_step_lr():
    assert_equal_to_torch(
        Exponential(0.2, 0.5, decay_steps=30, staircase=True),
        lambda optimizer: schedulers.StepLR(optimizer, 30, 0.5),
        200,
        0.2,
    )


def test_inverse_time_power_equals_lambda_lr_with_its_formula():
    assert_equal_to_torch(
        InverseTimePower(0.2, 30, 0.7),
        lambda optimizer: schedulers.LambdaLR(
            optimizer, lambda n: (1 + n / 30) ** -0.7
        ),
        200,
        0.2,
    )


def test_piecewise_constant_equals_multi_step_lr():
    assert_equal_to_torch(
        PiecewiseConstant([10, 25, 26], [1.0, 0.1, 0.01, 0.001]),
        lambda optimizer: schedulers.MultiStepLR(optimizer, [10, 25, 26], 0.1),
        40,
    )


@pytest.mark.parametrize("multiplier", [1, 2, 3])
@pytest.mark.parametrize("period", [1, 7, 10])
def test_cosine_restarts_equals_cosine_annealing_warm_restarts(period, multiplier):
    assert_equal_to_torch(
        CosineRestarts(1.0, period, multiplier, 0.01),
        lambda optimizer: schedulers.CosineAnnealingWarmRestarts(
            optimizer, period, multiplier, 0.01
        ),
        300,
    )


@pytest.mark.parametrize("mode", ["triangular", "triangular2"])
@pytest.mark.parametrize("down", [None, 3, 13])
def test_triangular_equals_cyclic_lr(mode, down):
    assert_equal_to_torch(
        Triangular(0.1, 0.9, 8, down, mode),
        lambda optimizer: schedulers.CyclicLR(
            optimizer, 0.1, 0.9, step_size_up=8, step_size_down=down, mode=mode
        ),
        200,
    )


def test_warmup_equals_linear_lr():
    assert_equal_to_torch(
        Warmup(0.4, 20, initial_factor=0.25),
        lambda optimizer: schedulers.LinearLR(optimizer, 0.25, total_iters=20),
        40,
        0.4,
    )


def test_warmup_of_a_schedule_equals_sequential_lr():
    assert_equal_to_torch(
        Warmup(Exponential(0.4, 0.9), 20, initial_factor=0.25),
        lambda optimizer: schedulers.SequentialLR(
            optimizer,
            [
                schedulers.LinearLR(optimizer, 0.25, total_iters=20),
                schedulers.ExponentialLR(optimizer, 0.9),
            ],
            milestones=[20],
        ),
        60,
        0.4,
    )


def test_concatenation_equals_sequential_lr():
    assert_equal_to_torch(
        Concatenation([0.02, Exponential(0.2, 0.9)], [10]),
        lambda optimizer: schedulers.SequentialLR(
            optimizer,
            [
                schedulers.ConstantLR(optimizer, 0.1, total_iters=100),
                schedulers.ExponentialLR(optimizer, 0.9),
            ],
            milestones=[10],
        ),
        40,
        0.2,
    )


def test_the_linear_decay_of_warmup_stable_decay_equals_polynomial_lr():
    schedule = WarmupStableDecay(0.2, 50, num_warmup_steps=0, num_decay_steps=50)
    assert_equal_to_torch(
        schedule,
        lambda optimizer: schedulers.PolynomialLR(optimizer, total_iters=50),
        60,
        0.2,
    )


def test_the_cosine_decay_of_warmup_stable_decay_equals_cosine_annealing_lr():
    schedule = WarmupStableDecay(0.2, 50, 0, 50, final_factor=0.1, shape="cosine")
    assert_equal_to_torch(
        schedule,
        lambda optimizer: schedulers.CosineAnnealingLR(optimizer, 50, 0.02),
        51,
        0.2,
    )
