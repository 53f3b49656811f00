"""What of layers is searched."""

from typing import Any

from keras_deeptools import initializers, layers, losses, regularizers
from keras_deeptools.tuning._search_space.ranges import (
    FloatRange,
    IntRange,
    OneOf,
    Range,
    SearchSpace,
)

# Srivastava et al., 2014, section 7.3; smaller in convolutions and for SELU
# (Klambauer et al., 2017, section 3: 0.05 and 0.1).
RATE = FloatRange(0.05, 0.5)
SPATIAL_RATE = FloatRange(0.05, 0.3)
ALPHA_RATE = FloatRange(0.01, 0.2)
DEPTH_RATE = FloatRange(0.02, 0.5)
UNITS = IntRange(16, 512, log=True)
FILTERS = IntRange(8, 256, log=True)
KERNEL_SIZE = OneOf((3, 5, 7))

CONVOLUTION: dict[str, Range] = {
    "filters": FILTERS,
    "kernel_size": KERNEL_SIZE,
    "rate": FloatRange(0.0, 0.1),
}


def _mlp(
    num_features: int,
    num_outputs: int,
    depth: int,
    width: int,
    rate: float = 0.05,
    output_activation: Any = None,
    adapt_to: Any = None,
    seed: int | None = None,
    name: str | None = None,
) -> Any:
    """Hidden layers of one width."""
    return layers.self_normalizing_mlp(
        num_features,
        num_outputs,
        [width] * depth,
        rate,
        output_activation,
        adapt_to,
        seed,
        name,
    )


LAYERS = {
    # Ghiasi et al., 2018, sections 4.1 and 4.2: 0.05 to 0.25 with blocks of 3 to 7.
    "drop_block2d": SearchSpace(
        layers.DropBlock2D,
        {"rate": FloatRange(0.05, 0.25), "block_size": OneOf((3, 5, 7))},
    ),
    # Touvron et al., 2021, section 2: 0.1 to 1e-6, smaller the deeper.
    "layer_scale": SearchSpace(
        layers.LayerScale, {"initial_value": FloatRange(1e-6, 1e-1, log=True)}
    ),
    # Huang et al., 2016, section 4 and figure 8: 0.5; less for small networks.
    "linear_stochastic_depth": SearchSpace(
        layers.linear_stochastic_depth, {"final_rate": DEPTH_RATE}
    ),
    "maxout": SearchSpace(layers.Maxout, {"num_pieces": OneOf((2, 3, 4, 5))}),
    "mc_alpha_dropout": SearchSpace(layers.MCAlphaDropout, {"rate": ALPHA_RATE}),
    "mc_dropout": SearchSpace(layers.MCDropout, {"rate": RATE}),
    "mc_gaussian_dropout": SearchSpace(layers.MCGaussianDropout, {"rate": RATE}),
    "mc_spatial_dropout1d": SearchSpace(
        layers.MCSpatialDropout1D, {"rate": SPATIAL_RATE}
    ),
    "mc_spatial_dropout2d": SearchSpace(
        layers.MCSpatialDropout2D, {"rate": SPATIAL_RATE}
    ),
    "mc_spatial_dropout3d": SearchSpace(
        layers.MCSpatialDropout3D, {"rate": SPATIAL_RATE}
    ),
    "norm_free_block": SearchSpace(
        layers.norm_free_block,
        {
            "filters": FILTERS,
            "kernel_size": OneOf((3, 5)),
            "activation": OneOf(("relu", "silu", "gelu")),
            "scheme": OneOf(("skip_init", "layer_scale")),
        },
    ),
    "scalar_bias": SearchSpace(
        layers.ScalarBias, {"initial_value": FloatRange(-0.1, 0.1)}
    ),
    "scaled_activation": SearchSpace(
        layers.ScaledActivation,
        {"activation": OneOf(("relu", "silu", "gelu", "tanh"))},
    ),
    "scaled_ws_conv2d": SearchSpace(
        layers.ScaledWSConv2D,
        {
            "filters": FILTERS,
            "kernel_size": KERNEL_SIZE,
            "use_gain": OneOf((True, False)),
        },
    ),
    "self_normalizing_conv1d": SearchSpace(layers.SelfNormalizingConv1D, CONVOLUTION),
    "self_normalizing_conv2d": SearchSpace(layers.SelfNormalizingConv2D, CONVOLUTION),
    "self_normalizing_conv3d": SearchSpace(layers.SelfNormalizingConv3D, CONVOLUTION),
    "self_normalizing_dense": SearchSpace(
        layers.SelfNormalizingDense, {"units": UNITS, "rate": FloatRange(0.0, 0.2)}
    ),
    # Klambauer et al., 2017, section 4 and table A4: 2 to 32 layers.
    "self_normalizing_mlp": SearchSpace(
        layers.self_normalizing_mlp,
        {
            "depth": IntRange(2, 32, log=True),
            "width": UNITS,
            "rate": FloatRange(0.0, 0.2),
        },
        make=_mlp,
    ),
    "self_normalizing_residual": SearchSpace(
        layers.SelfNormalizingResidual, {"branch_fraction": FloatRange(0.1, 0.9)}
    ),
    "skip_init": SearchSpace(
        layers.SkipInit, {"initial_value": OneOf((0.0, 0.1, 0.2))}
    ),
    "stochastic_depth": SearchSpace(layers.StochasticDepth, {"rate": DEPTH_RATE}),
}

# sqrt(2), ReLU's, lies in the middle: He et al., 2015, section 2.2.
GAIN = FloatRange(0.5, 2.0, log=True)
MODE = OneOf(("fan_in", "fan_out", "fan_avg"))
DISTRIBUTION = OneOf(("truncated_normal", "uniform"))

INITIALIZERS = {
    "delta_orthogonal": SearchSpace(initializers.DeltaOrthogonal, {"gain": GAIN}),
    "dirac": SearchSpace(initializers.Dirac, {"gain": GAIN}),
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
    "patch_whitening": SearchSpace(
        initializers.patch_whitening, {"epsilon": FloatRange(1e-4, 1e-1, log=True)}
    ),
    "rebalance": SearchSpace(
        initializers.rebalance, {"forward_weight": FloatRange(0.1, 0.9)}
    ),
    "scaled_orthogonal": SearchSpace(initializers.ScaledOrthogonal, {"gain": GAIN}),
    "zero": SearchSpace(initializers.ZerO, {"gain": GAIN}),
}

PENALTIES = {
    "smoothed_sparse_categorical_crossentropy": SearchSpace(
        losses.SmoothedSparseCategoricalCrossentropy,
        {"label_smoothing": FloatRange(0.0, 0.3)},
    ),
    # Bansal et al., 2018, section 4: 0.1, later 1e-3 to 1e-6 in the same run.
    "soft_orthogonality": SearchSpace(
        regularizers.SoftOrthogonality, {"factor": FloatRange(1e-6, 1e-1, log=True)}
    ),
}
