"""What of optimizers is searched."""

import keras

from keras_deeptools import optimizers
from keras_deeptools.tuning._search_space.ranges import FloatRange, OneOf, SearchSpace

# As for Adam in `searched_optimizer`.
RATE = FloatRange(3e-4, 3e-2, log=True)

DECAY = FloatRange(1e-6, 1e-1, log=True)


def _lookahead(
    learning_rate: float,
    sync_period: int,
    slow_step_size: float,
    inner_optimizer: str = "adamw",
) -> optimizers.Lookahead:
    """The rate of the inner optimizer, which is known by its name."""
    config = {"class_name": inner_optimizer, "config": {"learning_rate": learning_rate}}
    inner = keras.optimizers.get(config)
    return optimizers.Lookahead(inner, sync_period, slow_step_size)


OPTIMIZERS = {
    "adabelief": SearchSpace(
        optimizers.AdaBelief,
        {
            "learning_rate": RATE,
            "epsilon": OneOf((1e-16, 1e-12, 1e-8)),
            "weight_decay": DECAY,
        },
    ),
    # Xie et al., 2022, section 5: rates five to ten times AdamW's.
    "adan": SearchSpace(
        optimizers.Adan,
        {
            "learning_rate": FloatRange(1e-3, 1e-1, log=True),
            "weight_decay": DECAY,
        },
    ),
    # Pagliardini et al., 2024, section 4: alpha from 4 to 10; the slow mean is shorter
    # here, since a search trains for fewer updates.
    "ademamix": SearchSpace(
        optimizers.AdEMAMix,
        {
            "learning_rate": RATE,
            "alpha": FloatRange(1.0, 10.0),
            "beta_3": OneOf((0.99, 0.999, 0.9999)),
            "weight_decay": DECAY,
        },
    ),
    "adopt": SearchSpace(
        optimizers.ADOPT,
        {
            "learning_rate": RATE,
            "beta_2": OneOf((0.99, 0.999, 0.9999)),
            "weight_decay": DECAY,
        },
    ),
    # Zhang et al., 2019, section 5: 5 to 20 updates, and a step of 0.5 or 0.8.
    "lookahead": SearchSpace(
        optimizers.Lookahead,
        {
            "learning_rate": RATE,
            "sync_period": OneOf((5, 6, 10, 20)),
            "slow_step_size": OneOf((0.5, 0.8)),
        },
        make=_lookahead,
    ),
    "prodigy": SearchSpace(
        optimizers.Prodigy,
        {"coefficient": FloatRange(0.5, 2.0, log=True), "weight_decay": DECAY},
    ),
    "rectified_adam": SearchSpace(
        optimizers.RectifiedAdam, {"learning_rate": RATE, "weight_decay": DECAY}
    ),
}
