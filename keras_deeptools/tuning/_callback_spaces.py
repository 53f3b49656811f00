"""What of callbacks is searched."""

from typing import Any

from keras_deeptools.callbacks import (
    GradientClipper,
    HyperparameterScheduler,
    MaxNormEnforcer,
    OneCycleScheduler,
    WeightAveraging,
)
from keras_deeptools.schedules import LinearRamp
from keras_deeptools.tuning._ranges import FloatRange, OneOf
from keras_deeptools.tuning._search_space import SearchSpace


def _one_cycle(
    max_learning_rate: float,
    low_momentum: float,
    high_momentum: float,
    total_steps: int | None = None,
    warmup_fraction: float = 0.3,
    initial_divisor: float = 25.0,
    final_divisor: float = 1e4,
    shape: str = "cosine",
    three_phase: bool = False,
) -> OneCycleScheduler:
    """The ends of the momentum one by one."""
    return OneCycleScheduler(
        max_learning_rate,
        total_steps,
        warmup_fraction,
        initial_divisor,
        final_divisor,
        (low_momentum, high_momentum),
        shape=shape,
        three_phase=three_phase,
    )


def _weight_decay_ramp(
    num_steps: int, initial_weight_decay: float, final_weight_decay: float
) -> HyperparameterScheduler:
    """Weight decay from one value to another."""
    ramp = LinearRamp(initial_weight_decay, final_weight_decay, num_steps)
    return HyperparameterScheduler({"weight_decay": ramp})


def _averaging(
    decay: float | None,
    start: int | float | None = None,
    every: int = 1,
    warmup: float | None = 9.0,
    validated: bool = True,
    kept: bool = True,
    batch_norm_data: Any = None,
) -> WeightAveraging:
    """A mean of all weights is one of the last quarter, if nothing else is given."""
    if start is None:
        start = 0.75 if decay is None else 0
    return WeightAveraging(
        decay,
        start=start,
        every=every,
        warmup=warmup,
        validated=validated,
        kept=kept,
        batch_norm_data=batch_norm_data,
    )


CALLBACKS = {
    "gradient_clipper": SearchSpace(
        GradientClipper, {"global_norm": FloatRange(0.1, 10.0, log=True)}
    ),
    "hyperparameter_scheduler": SearchSpace(
        HyperparameterScheduler,
        {
            "initial_weight_decay": FloatRange(1e-6, 1e-2, log=True),
            "final_weight_decay": FloatRange(1e-4, 1e-1, log=True),
        },
        make=_weight_decay_ramp,
    ),
    # Srivastava et al., 2014, section 5.1: c from 3 to 4; smaller for small layers.
    "max_norm_enforcer": SearchSpace(
        MaxNormEnforcer, {"max_norm": FloatRange(0.5, 5.0, log=True)}
    ),
    # Smith, 2018, sections 4 and 5.
    "one_cycle_scheduler": SearchSpace(
        OneCycleScheduler,
        {
            "max_learning_rate": FloatRange(1e-4, 1.0, log=True),
            "warmup_fraction": FloatRange(0.1, 0.45),
            "initial_divisor": OneOf((10.0, 25.0, 100.0)),
            "final_divisor": OneOf((1e2, 1e4, 1e6)),
            "low_momentum": OneOf((0.8, 0.85, 0.9)),
            "high_momentum": OneOf((0.95, 0.97, 0.99)),
            "shape": OneOf(("cosine", "linear")),
        },
        make=_one_cycle,
    ),
    # None: the mean of the last quarter, Izmailov et al., 2018, section 4.
    "weight_averaging": SearchSpace(
        WeightAveraging, {"decay": OneOf((0.99, 0.999, None))}, make=_averaging
    ),
}
