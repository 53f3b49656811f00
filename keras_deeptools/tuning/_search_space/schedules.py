"""What of schedules is searched; the number of steps is the caller's to give."""

from typing import Any

from keras_deeptools import schedules
from keras_deeptools.tuning._search_space.ranges import FloatRange, OneOf, SearchSpace

RATE = FloatRange(1e-5, 1e-1, log=True)


def _momentum(
    total_steps: int,
    low_momentum: float,
    high_momentum: float,
    warmup_fraction: float = 0.3,
    shape: str = "cosine",
) -> schedules.OneCycleMomentum:
    """The ends of the momentum one by one."""
    momentum_range = (low_momentum, high_momentum)
    return schedules.OneCycleMomentum(
        total_steps, momentum_range, warmup_fraction, shape
    )


def _thirds(
    total_steps: int, learning_rate: float, factor: float
) -> schedules.PiecewiseConstant:
    """A learning rate that falls by a factor after one and two thirds of the steps."""
    boundaries = [total_steps // 3, 2 * total_steps // 3]
    return schedules.PiecewiseConstant(
        boundaries, [learning_rate, learning_rate * factor, learning_rate * factor**2]
    )


def _triangle(
    total_steps: int, max_learning_rate: float, divisor: float, up_fraction: float
) -> schedules.Triangular:
    """One triangle over all steps."""
    num_up_steps = max(1, round(total_steps * up_fraction))
    return schedules.Triangular(
        max_learning_rate / divisor,
        max_learning_rate,
        num_up_steps,
        max(1, total_steps - num_up_steps),
    )


def _stable(
    total_steps: int,
    max_learning_rate: float,
    warmup_fraction: float,
    decay_fraction: float,
    shape: str,
) -> schedules.WarmupStableDecay:
    """Warmup and decay as fractions of all steps."""
    return schedules.WarmupStableDecay(
        max_learning_rate,
        total_steps,
        round(total_steps * warmup_fraction),
        max(1, round(total_steps * decay_fraction)),
        shape=shape,
    )


def _warm(
    schedule: Any, total_steps: int, warmup_fraction: float, initial_factor: float
) -> schedules.Warmup:
    """A warmup over a fraction of all steps."""
    num_steps = max(1, round(total_steps * warmup_fraction))
    return schedules.Warmup(schedule, num_steps, initial_factor)


def _half_life(
    total_steps: int, initial_learning_rate: float, final_fraction: float
) -> schedules.Exponential:
    """A learning rate that ends at a fraction of what it began with."""
    return schedules.Exponential(initial_learning_rate, final_fraction, total_steps)


SCHEDULES = {
    "constant": SearchSpace(schedules.Constant, {"value": RATE}),
    "cosine_restarts": SearchSpace(
        schedules.CosineRestarts,
        {"max_learning_rate": RATE, "period_multiplier": OneOf((1, 2))},
    ),
    "exponential": SearchSpace(
        schedules.Exponential,
        {
            "initial_learning_rate": RATE,
            "final_fraction": FloatRange(1e-4, 0.5, log=True),
        },
        make=_half_life,
    ),
    "exponential_ramp": SearchSpace(
        schedules.ExponentialRamp,
        {
            "initial_value": FloatRange(1e-7, 1e-4, log=True),
            "final_value": FloatRange(1e-3, 1.0, log=True),
        },
    ),
    "flat_cosine": SearchSpace(
        schedules.FlatCosine,
        {"max_learning_rate": RATE, "flat_fraction": FloatRange(0.0, 0.9)},
    ),
    "inverse_time_power": SearchSpace(
        schedules.InverseTimePower,
        {"initial_learning_rate": RATE, "power": FloatRange(0.25, 2.0)},
    ),
    "linear_ramp": SearchSpace(
        schedules.LinearRamp,
        {"initial_value": RATE, "final_value": FloatRange(1e-6, 1e-2, log=True)},
    ),
    "one_cycle": SearchSpace(
        schedules.OneCycle,
        {
            "max_learning_rate": FloatRange(1e-4, 1.0, log=True),
            "warmup_fraction": FloatRange(0.1, 0.45),
            "initial_divisor": OneOf((10.0, 25.0, 100.0)),
            "final_divisor": OneOf((1e2, 1e4, 1e6)),
            "shape": OneOf(("cosine", "linear")),
        },
    ),
    "one_cycle_momentum": SearchSpace(
        schedules.OneCycleMomentum,
        {
            "low_momentum": OneOf((0.8, 0.85, 0.9)),
            "high_momentum": OneOf((0.95, 0.97, 0.99)),
            "warmup_fraction": FloatRange(0.1, 0.45),
        },
        make=_momentum,
    ),
    "piecewise_constant": SearchSpace(
        schedules.PiecewiseConstant,
        {"learning_rate": RATE, "factor": OneOf((0.1, 0.2, 0.5))},
        make=_thirds,
    ),
    "triangular": SearchSpace(
        schedules.Triangular,
        {
            "max_learning_rate": RATE,
            "divisor": OneOf((4.0, 10.0, 25.0)),
            "up_fraction": FloatRange(0.2, 0.6),
        },
        make=_triangle,
    ),
    "warmup": SearchSpace(
        schedules.Warmup,
        {
            "warmup_fraction": FloatRange(0.01, 0.2),
            "initial_factor": OneOf((0.0, 0.01, 0.1)),
        },
        make=_warm,
    ),
    "warmup_stable_decay": SearchSpace(
        schedules.WarmupStableDecay,
        {
            "max_learning_rate": RATE,
            "warmup_fraction": FloatRange(0.0, 0.2),
            "decay_fraction": FloatRange(0.1, 0.6),
            "shape": OneOf(("linear", "cosine")),
        },
        make=_stable,
    ),
}
