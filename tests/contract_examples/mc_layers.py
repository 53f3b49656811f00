"""A valid instance of every Monte Carlo layer of `keras_deeptools.layers`."""

from collections.abc import Callable

from keras_deeptools import layers

EXAMPLES: dict[str, Callable[[], object]] = {
    "keras_deeptools.layers.MCAlphaDropout": lambda: layers.MCAlphaDropout(0.1),
    "keras_deeptools.layers.MCDropout": lambda: layers.MCDropout(0.1, seed=3),
    "keras_deeptools.layers.MCGaussianDropout": lambda: layers.MCGaussianDropout(0.1),
    "keras_deeptools.layers.MCSpatialDropout1D": lambda: layers.MCSpatialDropout1D(0.1),
    "keras_deeptools.layers.MCSpatialDropout2D": lambda: layers.MCSpatialDropout2D(0.1),
    "keras_deeptools.layers.MCSpatialDropout3D": lambda: layers.MCSpatialDropout3D(
        0.1, stochastic_inference=True
    ),
}
