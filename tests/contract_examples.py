"""A valid instance of every public class, for `test_contract.py`.

A class in an `__all__` without an entry here fails the contract, so that a new
component is covered from the day it exists.
"""

from collections.abc import Callable

import keras
import numpy as np

from keras_deeptools import callbacks, engine, schedules, statistics

INPUTS = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
TARGETS = INPUTS[:, :1] * INPUTS[:, 1:2]


def small_model() -> keras.Model:
    """A compiled model for `INPUTS` and `TARGETS`; the same weights every time."""
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(
                8, "tanh", kernel_initializer=keras.initializers.GlorotUniform(seed=1)
            ),
            keras.layers.Dense(
                1, kernel_initializer=keras.initializers.GlorotUniform(seed=2)
            ),
        ]
    )
    model.compile(keras.optimizers.Adam(0.01, name="adam"), "mean_squared_error")
    return model


# Public path -> a call that makes one. Callbacks train `small_model()` on `INPUTS`.
EXAMPLES: dict[str, Callable[[], object]] = {
    "keras_deeptools.callbacks.GradientClipper": lambda: callbacks.GradientClipper(
        norm=1.0, global_norm=2.0, value=0.5
    ),
    # "ignore": two epochs of four batches are too short to judge.
    "keras_deeptools.callbacks.GradientMonitor": lambda: callbacks.GradientMonitor(
        on_problem="ignore"
    ),
    "keras_deeptools.callbacks.HyperparameterScheduler": lambda: (
        callbacks.HyperparameterScheduler(
            {"learning_rate": schedules.Exponential(0.01, 0.9)}
        )
    ),
    "keras_deeptools.callbacks.LearningRateFinder": lambda: (
        callbacks.LearningRateFinder(INPUTS, TARGETS, apply=False, verbose=0)
    ),
    "keras_deeptools.callbacks.MaxNormEnforcer": lambda: callbacks.MaxNormEnforcer(1.0),
    "keras_deeptools.callbacks.OneCycleScheduler": lambda: callbacks.OneCycleScheduler(
        0.02
    ),
    "keras_deeptools.callbacks.RangeTest": lambda: callbacks.find_learning_rate(
        small_model(), INPUTS, TARGETS, verbose=0
    ),
    "keras_deeptools.callbacks.TrainingFeature": callbacks.TrainingFeature,
    "keras_deeptools.engine.Feature": engine.Feature,
    "keras_deeptools.schedules.Concatenation": lambda: schedules.Concatenation(
        [schedules.LinearRamp(0.0, 0.1, 5), schedules.Constant(0.1)], [5]
    ),
    "keras_deeptools.schedules.Constant": lambda: schedules.Constant(0.1),
    "keras_deeptools.schedules.CosineRestarts": lambda: schedules.CosineRestarts(
        0.1, period=10, period_multiplier=2
    ),
    "keras_deeptools.schedules.Exponential": lambda: schedules.Exponential(0.1, 0.9, 3),
    "keras_deeptools.schedules.ExponentialRamp": lambda: schedules.ExponentialRamp(
        1e-5, 1.0, 20
    ),
    "keras_deeptools.schedules.FlatCosine": lambda: schedules.FlatCosine(0.1, 20),
    "keras_deeptools.schedules.InverseTimePower": lambda: schedules.InverseTimePower(
        0.1, 10, power=0.5
    ),
    "keras_deeptools.schedules.LinearRamp": lambda: schedules.LinearRamp(0.0, 1.0, 20),
    "keras_deeptools.schedules.OneCycle": lambda: schedules.OneCycle(0.1, 20),
    "keras_deeptools.schedules.OneCycleMomentum": lambda: schedules.OneCycleMomentum(
        20
    ),
    "keras_deeptools.schedules.PiecewiseConstant": lambda: schedules.PiecewiseConstant(
        [5, 10], [0.1, 0.01, 0.001]
    ),
    "keras_deeptools.schedules.Triangular": lambda: schedules.Triangular(0.01, 0.1, 5),
    "keras_deeptools.schedules.Warmup": lambda: schedules.Warmup(
        schedules.Exponential(0.1, 0.9), 5
    ),
    "keras_deeptools.schedules.WarmupStableDecay": lambda: schedules.WarmupStableDecay(
        0.1, 20, 3, 5
    ),
    "keras_deeptools.statistics.DecimatedRows": lambda: statistics.DecimatedRows(3, 8),
    "keras_deeptools.statistics.GradientProblem": lambda: statistics.GradientProblem(
        "dead", "dense", 40, "All zero.", "Use HeNormal."
    ),
    "keras_deeptools.statistics.GradientThresholds": statistics.GradientThresholds,
    "keras_deeptools.statistics.LearningRateSuggestions": lambda: (
        statistics.suggest_learning_rate(
            *statistics.RangeTestCurve(0.01).sample(0.0, seed=0)
        )
    ),
    "keras_deeptools.statistics.RangeTestCurve": lambda: statistics.RangeTestCurve(
        0.01
    ),
}

# Handles on one live optimizer, for which a copy, a pickle or a config has no meaning.
HANDLES = {
    "keras_deeptools.engine.Attachment",
    "keras_deeptools.engine.Batches",
    "keras_deeptools.engine.Leaf",
    "keras_deeptools.engine.Recorder",
    "keras_deeptools.engine.Snapshot",
}
