"""A valid instance of every public class of `keras_deeptools.diagnosis`."""

from collections.abc import Callable

from keras_deeptools import diagnosis

NUMBERS = (
    "mean",
    "std",
    "pre_activation_std",
    "saturated",
    "zero",
    "dead",
    "gradient_mean",
    "gradient_std",
    "weight_gradient_std",
)

EXAMPLES: dict[str, Callable[[], object]] = {
    "keras_deeptools.diagnosis.LayerSignal": lambda: diagnosis.LayerSignal(
        "dense", "Dense", **dict.fromkeys(NUMBERS, 0.5)
    ),
    "keras_deeptools.diagnosis.SignalFinding": lambda: diagnosis.SignalFinding(
        "dead", "dense", "All units are dead.", "Use lsuv."
    ),
    "keras_deeptools.diagnosis.SignalPropagation": lambda: diagnosis.SignalPropagation(
        (), loss=1.0
    ),
}
