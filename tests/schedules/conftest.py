"""One example of every schedule, for the tests that hold for all of them."""

import keras
import pytest

from keras_deeptools import schedules as s

LONG = 1_000_003

# Name -> (schedule, peak, steps at which something happens).
EXAMPLES = {
    "one cycle": (s.OneCycle(0.5, LONG), 0.5, [300_000, LONG]),
    "one cycle, linear": (
        s.OneCycle(0.5, LONG, 0.123, 1e3, 1e5, shape="linear"),
        0.5,
        [123_000, LONG],
    ),
    "one cycle, three phases": (
        s.OneCycle(3e-3, LONG, 0.27, 1e4, three_phase=True, shape="linear"),
        3e-3,
        [270_000, 540_000, LONG],
    ),
    "one cycle, short": (
        s.OneCycle(2.0, 11, 0.31, 1e4, three_phase=True, shape="linear"),
        2.0,
        [3, 6, 11],
    ),
    "momentum": (s.OneCycleMomentum(LONG), 0.95, [300_000, LONG]),
    "exponential": (s.Exponential(0.1, 1e-12, LONG), 0.1, [LONG]),
    "exponential, staircase": (
        s.Exponential(0.1, 0.94, 1000, staircase=True),
        0.1,
        [1000, 500_000],
    ),
    "power": (s.InverseTimePower(0.1, 1000, 2.0), 0.1, [LONG]),
    "piecewise": (
        s.PiecewiseConstant([100, 20_000], [0.1, 0.3, 0.01]),
        0.3,
        [100, 20_000],
    ),
    "restarts": (s.CosineRestarts(0.1, 5000), 0.1, [5000, 995_000]),
    "restarts, growing": (
        s.CosineRestarts(0.1, 1000, 3, 1e-6),
        0.1,
        [1000, 4000, 13_000, 364_000, 1_093_000, 2**31 - 30],
    ),
    "warmup, stable, decay": (
        s.WarmupStableDecay(0.1, LONG, 10_000, 200_000, 1e-3, 1e-6),
        0.1,
        [10_000, LONG - 200_000, LONG],
    ),
    "warmup, stable, sqrt": (
        s.WarmupStableDecay(0.1, LONG, 10_000, 200_000, shape="sqrt"),
        0.1,
        [10_000, LONG - 200_000, LONG],
    ),
    "flat, cosine": (s.FlatCosine(0.1, LONG, 0.72), 0.1, [720_000, LONG]),
    "triangular": (s.Triangular(1e-5, 0.1, 2000, 7000), 0.1, [2000, 9000, 900_000]),
    "triangular2": (
        s.Triangular(0.0, 0.1, 700, mode="triangular2"),
        0.1,
        [700, 1400, 14_000],
    ),
    "linear ramp": (s.LinearRamp(1e-7, 10.0, LONG), 10.0, [LONG]),
    "linear ramp, falling": (s.LinearRamp(10.0, 1e-7, 100), 10.0, [100]),
    "exponential ramp": (s.ExponentialRamp(1e-7, 10.0, LONG), 10.0, [500_000, LONG]),
    "constant": (s.Constant(0.1), 0.1, []),
    "warmup": (
        s.Warmup(s.FlatCosine(0.1, LONG), 1000, 0.01, "cosine"),
        0.1,
        [1000, LONG + 1000],
    ),
    "warmup of Keras' own": (
        s.Warmup(keras.optimizers.schedules.InverseTimeDecay(0.1, 100, 0.5), 50),
        0.1,
        [50, 100],
    ),
    "scaled": (s.Scaled(s.FlatCosine(0.1, LONG), 3.0), 0.3, [LONG]),
    "scaled, Keras' own": (
        s.Scaled(keras.optimizers.schedules.InverseTimeDecay(0.1, 100, 0.5), 0.5),
        0.05,
        [100],
    ),
    "concatenation": (
        s.Concatenation(
            [s.LinearRamp(0.0, 0.1, 50), 0.1, s.OneCycle(0.3, 99)], [50, 80]
        ),
        0.3,
        [50, 80, 179],
    ),
}


@pytest.fixture(autouse=True)
def same_start(tmp_path, monkeypatch):
    """As for all tests, less the clearing of Keras' session, which none here needs.

    It collects garbage, which takes longer than any of these many small tests.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    keras.utils.set_random_seed(0)


@pytest.fixture(params=EXAMPLES)
def example(request):
    """A schedule, its largest value, and the steps at which something happens."""
    return EXAMPLES[request.param]


@pytest.fixture(params=[name for name in EXAMPLES if "Keras" not in name])
def own_schedule(request):
    """An example of every schedule that has no schedule of Keras inside."""
    return EXAMPLES[request.param][0]


@pytest.fixture
def schedule(example):
    """An example of every schedule."""
    return example[0]
