"""What a schedule refuses, and how it says so."""

import re

import keras
import numpy as np
import pytest

from keras_deeptools import schedules as s

pytestmark = pytest.mark.backend_free

WRONG = [
    (lambda: s.OneCycle(0.0, 10), "OneCycle: `max_learning_rate` must be a finite"),
    (lambda: s.OneCycle(float("nan"), 10), "Received: max_learning_rate=nan."),
    (lambda: s.OneCycle("0.1", 10), "Received: max_learning_rate='0.1'."),
    (lambda: s.OneCycle(True, 10), "Received: max_learning_rate=True."),
    (lambda: s.OneCycle(0.1, 0), "`total_steps` must be an integer in [1, 2**30)."),
    (lambda: s.OneCycle(0.1, 10.0), "Received: total_steps=10.0."),
    (lambda: s.OneCycle(0.1, None), "Received: total_steps=None."),
    (lambda: s.OneCycle(0.1, 2**30), "Received: total_steps=1073741824."),
    (lambda: s.OneCycle(0.1, 10, 1.1), "`warmup_fraction` must be"),
    (lambda: s.OneCycle(0.1, 10, 0.6, three_phase=True), "<= 0.5 with three_phase"),
    (lambda: s.OneCycle(0.1, 10, initial_divisor=0.5), "`initial_divisor` must be"),
    (lambda: s.OneCycle(0.1, 10, final_divisor=0), "`final_divisor` must be"),
    (lambda: s.OneCycle(0.1, 10, shape="cos"), "one of 'cosine', 'linear'."),
    (lambda: s.OneCycle(0.1, 10, three_phase=1), "`three_phase` must be True or False"),
    (
        lambda: s.OneCycleMomentum(10, (0.95, 0.85)),
        "OneCycleMomentum: `momentum_range`",
    ),
    (lambda: s.OneCycleMomentum(10, (0.9,)), "`momentum_range` must be two floats"),
    (lambda: s.OneCycleMomentum(10, ()), "`momentum_range` must be two floats"),
    (lambda: s.OneCycleMomentum(10, (0.9, 1.0)), "0 <= low <= high < 1"),
    (lambda: s.OneCycleMomentum(10, 0.9), "`momentum_range` must be two floats"),
    (lambda: s.Exponential(0.1, 1.5), "For a rate that grows use ExponentialRamp."),
    (lambda: s.Exponential(0.1, 0.0), "Exponential: `decay_rate` must be"),
    (lambda: s.Exponential(0.1, 0.5, 0), "Exponential: `decay_steps` must be"),
    (lambda: s.Exponential(0.1, 0.5, staircase=None), "`staircase` must be"),
    (lambda: s.InverseTimePower(-1.0, 10), "`initial_learning_rate` must be"),
    (lambda: s.InverseTimePower(0.1, 10, 0.0), "InverseTimePower: `power` must be"),
    (
        lambda: s.PiecewiseConstant([5], [0.1]),
        "of length 0, one fewer than the 1 parts",
    ),
    (lambda: s.PiecewiseConstant([5, 5], [0.1] * 3), "strictly increasing"),
    (lambda: s.PiecewiseConstant([0], [0.1, 0.2]), "Received: boundaries=0."),
    (lambda: s.PiecewiseConstant(5, [0.1, 0.2]), "Received: boundaries=5."),
    (lambda: s.PiecewiseConstant([5], 0.1), "`values` must be a list of floats"),
    (lambda: s.PiecewiseConstant([], []), "`values` must be not empty"),
    (lambda: s.CosineRestarts(0.1, 0), "CosineRestarts: `period` must be"),
    (lambda: s.CosineRestarts(0.1, 5, 1.5), "`period_multiplier` must be"),
    (
        lambda: s.CosineRestarts(0.1, 5, 1, 0.2),
        "must be a finite float >= 0 and <= 0.1",
    ),
    (lambda: s.WarmupStableDecay(0.1, 10, 6, 5), "total_steps - num_warmup_steps = 4."),
    (lambda: s.WarmupStableDecay(0.1, 10, -1, 5), "`num_warmup_steps` must be"),
    (lambda: s.WarmupStableDecay(0.1, 10, 1, 5, 2.0), "`initial_factor` must be"),
    (lambda: s.WarmupStableDecay(0.1, 10, 1, 5, shape="exp"), "'cosine', 'sqrt'"),
    (lambda: s.FlatCosine(0.1, 10, -0.1), "FlatCosine: `flat_fraction` must be"),
    (lambda: s.FlatCosine(0.1, 10, 0.5, 0.2), "`min_learning_rate` must be"),
    (lambda: s.Triangular(0.2, 0.1, 5), "`max_learning_rate` must be"),
    (lambda: s.Triangular(0.1, 0.2, 5, 0), "Triangular: `num_down_steps` must be"),
    (
        lambda: s.Triangular(0.1, 0.2, 5, mode="exp"),
        "one of 'triangular', 'triangular2'",
    ),
    (lambda: s.LinearRamp(0.0, 1.0, 1), "Both ends count as steps."),
    (lambda: s.LinearRamp(0.0, np.inf, 5), "LinearRamp: `final_value` must be"),
    (lambda: s.ExponentialRamp(0.0, 1.0, 5), "ExponentialRamp: `initial_value` must"),
    (lambda: s.Constant(None), "Constant: `value` must be a finite float."),
    (lambda: s.Warmup("cosine", 5), "`schedule` must be a LearningRateSchedule or a"),
    (lambda: s.Warmup(np.nan, 5), "Warmup: `schedule` must be a finite float"),
    (lambda: s.Scaled("cosine", 2.0), "`schedule` must be a LearningRateSchedule or a"),
    (lambda: s.Scaled(0.1, np.inf), "Scaled: `factor` must be a finite float"),
    (lambda: s.Warmup(0.1, 0), "Warmup: `num_steps` must be"),
    (lambda: s.Warmup(0.1, 5, 1.5), "Warmup: `initial_factor` must be"),
    (lambda: s.Warmup(0.1, 5, shape="sqrt"), "Warmup: `shape` must be"),
    (lambda: s.Concatenation([0.1, 0.2], []), "of length 1, one fewer than the 2"),
    (lambda: s.Concatenation([], []), "Concatenation: `schedules` must be not empty"),
    (lambda: s.Concatenation(0.1, []), "Concatenation: `schedules` must be a list"),
    (lambda: s.Concatenation([0.1, print], [5]), "must be a LearningRateSchedule or a"),
]


@pytest.mark.parametrize(("make", "text"), WRONG, ids=[text for _, text in WRONG])
def test_a_wrong_argument_is_named_with_its_rule_and_value(make, text):
    with pytest.raises((TypeError, ValueError), match=re.escape(text)) as caught:
        make()
    owner_argument_rule_value = r"^\w+: `\w+` must be .+\. Received: \w+=.+\."
    assert re.match(owner_argument_rule_value, str(caught.value))


@pytest.mark.parametrize("step", [0.5, [0.5, 1.5], "now"])
def test_a_step_that_is_no_integer_is_refused(step):
    with pytest.raises(ValueError, match="`step` must be an integer"):
        s.OneCycle(0.1, 10).values(np.array(step))


def test_a_float_tensor_as_step_is_refused():
    with pytest.raises(ValueError, match="Received: step of dtype float32"):
        s.OneCycle(0.1, 10)(keras.ops.convert_to_tensor(0.5))


def test_no_steps_have_no_values():
    assert s.OneCycle(0.1, 10).values([]).shape == (0,)
