"""A valid instance of every public class of `keras_deeptools.initializers`."""

from collections.abc import Callable

from keras_deeptools import initializers

EXAMPLES: dict[str, Callable[[], object]] = {
    "keras_deeptools.initializers.ScaledLayer": lambda: initializers.ScaledLayer(
        "dense", 0.5, 1.0, 2.0, gradient_before=0.1, gradient_after=0.2
    ),
    "keras_deeptools.initializers.ScalingReport": lambda: initializers.ScalingReport(
        (), 1.0, 0.05, 1, {}, objective_before=0.2, objective_after=0.1
    ),
}
