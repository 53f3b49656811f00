"""A valid instance of every public class of `keras_deeptools.initializers`."""

from collections.abc import Callable

from keras_deeptools import initializers

EXAMPLES: dict[str, Callable[[], object]] = {
    "keras_deeptools.initializers.ScaledLayer": lambda: initializers.ScaledLayer(
        "dense", std_before=0.5, std_after=1.0, scale=2.0
    ),
    "keras_deeptools.initializers.ScalingReport": lambda: initializers.ScalingReport(
        (), target=1.0, tolerance=0.05, iterations=1, exempt={}
    ),
}
