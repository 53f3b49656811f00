"""A valid instance of every public class of `keras_deeptools.layers`."""

from collections.abc import Callable

import keras

from keras_deeptools import layers

EXAMPLES: dict[str, Callable[[], object]] = {
    "keras_deeptools.layers.DropBlock2D": lambda: layers.DropBlock2D(
        0.2, 3, per_channel=False, data_format="channels_first", seed=3
    ),
    "keras_deeptools.layers.LayerScale": lambda: layers.LayerScale(0.1, axis=1),
    "keras_deeptools.layers.Maxout": lambda: layers.Maxout(3, axis=1),
    "keras_deeptools.layers.NormFreeResidual": lambda: layers.NormFreeResidual(
        keras.layers.Dense(4), layers.LayerScale(), keras.layers.Dense(4)
    ),
    "keras_deeptools.layers.ScalarBias": lambda: layers.ScalarBias(0.5),
    "keras_deeptools.layers.ScaledActivation": lambda: layers.ScaledActivation("gelu"),
    "keras_deeptools.layers.ScaledWSConv2D": lambda: layers.ScaledWSConv2D(
        4, 3, padding="same", activation="silu", use_gain=False
    ),
    "keras_deeptools.layers.SelfNormalizingConv1D": lambda: (
        layers.SelfNormalizingConv1D(4, 3, padding="causal", rate=0.1, seed=3)
    ),
    "keras_deeptools.layers.SelfNormalizingConv2D": lambda: (
        layers.SelfNormalizingConv2D(
            4, (3, 2), padding="reflect", kernel_regularizer="l2"
        )
    ),
    "keras_deeptools.layers.SelfNormalizingConv3D": lambda: (
        layers.SelfNormalizingConv3D(
            4, 2, 2, padding="same", data_format="channels_last"
        )
    ),
    "keras_deeptools.layers.SelfNormalizingDense": lambda: layers.SelfNormalizingDense(
        4, 0.1, kernel_constraint=keras.constraints.MaxNorm(2.0), seed=7
    ),
    "keras_deeptools.layers.SelfNormalizingResidual": lambda: (
        layers.SelfNormalizingResidual(
            [layers.SelfNormalizingDense(4), keras.layers.Dense(4)], 0.2
        )
    ),
    "keras_deeptools.layers.SkipInit": lambda: layers.SkipInit(0.2),
    "keras_deeptools.layers.StochasticDepth": lambda: layers.StochasticDepth(0.2, 3),
    "keras_deeptools.layers.WeightNormalization": lambda: layers.WeightNormalization(
        keras.layers.Dense(4, "relu")
    ),
}
