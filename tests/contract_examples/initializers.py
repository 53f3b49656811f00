"""A valid instance of every public class of `keras_deeptools.initializers`."""

from collections.abc import Callable

from keras_deeptools import initializers

EXAMPLES: dict[str, Callable[[], object]] = {
    "keras_deeptools.initializers.DeltaOrthogonal": lambda: (
        initializers.DeltaOrthogonal(2.0, seed=3)
    ),
    "keras_deeptools.initializers.Dirac": lambda: initializers.Dirac(0.5, 2),
    "keras_deeptools.initializers.FanScaling": lambda: initializers.FanScaling(
        2.0, "conv", strides=(2, 1), groups=4, seed=3
    ),
    "keras_deeptools.initializers.ICNR": lambda: initializers.ICNR("he_normal", 3, 1),
    "keras_deeptools.initializers.IdentityRNN": lambda: initializers.IdentityRNN(0.5),
    "keras_deeptools.initializers.Initialization": lambda: initializers.Initialization(
        (), ("dense/kernel: frozen",)
    ),
    "keras_deeptools.initializers.InitializedWeights": lambda: (
        initializers.InitializedWeights("dense/kernel", 4.0, 8.0, 1.0, 0.5)
    ),
    "keras_deeptools.initializers.ScaledLayer": lambda: initializers.ScaledLayer(
        "dense", 0.5, 1.0, 2.0, gradient_before=0.1, gradient_after=0.2
    ),
    "keras_deeptools.initializers.ScaledOrthogonal": lambda: (
        initializers.ScaledOrthogonal(input_axes=[0], output_axes=[1, 2], seed=3)
    ),
    "keras_deeptools.initializers.ScalingReport": lambda: initializers.ScalingReport(
        (), 1.0, 0.05, 1, {}, objective_before=0.2, objective_after=0.1
    ),
    "keras_deeptools.initializers.ZerO": initializers.ZerO,
}
