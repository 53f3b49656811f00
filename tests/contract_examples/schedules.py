"""A valid instance of every public class of `keras_deeptools.schedules`."""

from collections.abc import Callable

from keras_deeptools import schedules

EXAMPLES: dict[str, Callable[[], object]] = {
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
    "keras_deeptools.schedules.Scaled": lambda: schedules.Scaled(
        schedules.Exponential(0.1, 0.9), 0.5
    ),
    "keras_deeptools.schedules.Triangular": lambda: schedules.Triangular(0.01, 0.1, 5),
    "keras_deeptools.schedules.Warmup": lambda: schedules.Warmup(
        schedules.Exponential(0.1, 0.9), 5
    ),
    "keras_deeptools.schedules.WarmupStableDecay": lambda: schedules.WarmupStableDecay(
        0.1, 20, 3, 5
    ),
}
