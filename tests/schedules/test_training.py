"""Schedules as the learning rate of an optimizer that trains, saves and loads."""

import keras
import numpy as np
import pytest

from keras_deeptools import schedules as s

SCHEDULES = {
    "OneCycle": s.OneCycle(0.5, 24, three_phase=True),
    "Exponential": s.Exponential(0.1, 0.9),
    "InverseTimePower": s.InverseTimePower(0.1, 5),
    "PiecewiseConstant": s.PiecewiseConstant([5, 13], [0.1, 0.5, 0.2]),
    "CosineRestarts": s.CosineRestarts(0.1, 4, 2),
    "WarmupStableDecay": s.WarmupStableDecay(0.1, 24, 4, 8, shape="sqrt"),
    "FlatCosine": s.FlatCosine(0.1, 24, 0.5),
    "Triangular": s.Triangular(0.1, 0.5, 4, mode="triangular2"),
    "LinearRamp": s.LinearRamp(0.0, 1.0, 24),
    "ExponentialRamp": s.ExponentialRamp(1e-4, 1.0, 24),
    "Constant": s.Constant(0.1),
    "Warmup": s.Warmup(s.OneCycle(0.5, 20), 4),
    "Concatenation": s.Concatenation([0.1, s.Exponential(0.5, 0.8)], [7]),
}
NUM_STEPS = 12


@keras.saving.register_keras_serializable(package="tests")
def mean_output(targets, outputs):
    """A loss whose gradient is 1 for the one weight of `one_weight`."""
    return outputs


def one_weight(schedule):
    """A model whose weight falls by exactly the learning rate at every update."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.compile(keras.optimizers.SGD(learning_rate=schedule), mean_output)
    return model


def weight_lost_in(model, num_steps):
    before = float(model.get_weights()[0][0, 0])
    ones = np.ones((2 * num_steps, 1), "float32")
    model.fit(ones, ones, batch_size=2, verbose=0)
    return before - float(model.get_weights()[0][0, 0])


@pytest.mark.alternates("name")
@pytest.mark.parametrize("name", SCHEDULES)
def test_every_update_of_fit_uses_the_value_of_its_step_also_after_loading(name):
    schedule = SCHEDULES[name]
    model = one_weight(schedule)
    first = schedule.values(np.arange(NUM_STEPS)).sum()
    assert weight_lost_in(model, NUM_STEPS) == pytest.approx(first, abs=1e-5)
    model.save("model.keras")
    loaded = keras.saving.load_model("model.keras")
    second = schedule.values(np.arange(NUM_STEPS, 2 * NUM_STEPS)).sum()
    assert weight_lost_in(loaded, NUM_STEPS) == pytest.approx(second, abs=1e-5)


def test_an_optimizer_shows_the_value_of_its_step_as_its_learning_rate():
    schedule = s.OneCycle(0.5, 24)
    model = one_weight(schedule)
    weight_lost_in(model, 10)
    value = keras.ops.convert_to_numpy(model.optimizer.learning_rate)
    assert value == pytest.approx(schedule.values(10), rel=1e-6)
