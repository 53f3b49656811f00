"""What of initializers is searched."""

from keras_deeptools import initializers
from keras_deeptools.tuning._ranges import FloatRange, OneOf
from keras_deeptools.tuning._search_space import SearchSpace

# sqrt(2), ReLU's, lies in the middle: He et al., 2015, section 2.2.
GAIN = FloatRange(0.5, 2.0, log=True)
MODE = OneOf(("fan_in", "fan_out", "fan_avg"))
DISTRIBUTION = OneOf(("truncated_normal", "uniform"))

INITIALIZERS = {
    "delta_orthogonal": SearchSpace(initializers.DeltaOrthogonal, {"gain": GAIN}),
    "fan_scaling": SearchSpace(
        initializers.FanScaling,
        {"gain": GAIN, "mode": MODE, "distribution": DISTRIBUTION},
    ),
    "icnr": SearchSpace(
        initializers.ICNR,
        {"initializer": OneOf(("he_normal", "glorot_uniform", "lecun_normal"))},
    ),
    # Le et al., 2015, section 4: 0.01 for long speech, 1 for long memory.
    "identity_rnn": SearchSpace(
        initializers.IdentityRNN, {"gain": FloatRange(0.01, 1.0, log=True)}
    ),
    "initialize": SearchSpace(
        initializers.initialize, {"mode": MODE, "distribution": DISTRIBUTION}
    ),
    "initializer_for": SearchSpace(
        initializers.initializer_for, {"mode": MODE, "distribution": DISTRIBUTION}
    ),
    "lsuv": SearchSpace(initializers.lsuv, {"orthogonal": OneOf((False, True))}),
    "rebalance": SearchSpace(
        initializers.rebalance, {"forward_weight": FloatRange(0.1, 0.9)}
    ),
    "scaled_orthogonal": SearchSpace(initializers.ScaledOrthogonal, {"gain": GAIN}),
    "zero": SearchSpace(initializers.ZerO, {"gain": GAIN}),
}
