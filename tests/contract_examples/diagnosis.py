"""A valid instance of every public class of `keras_deeptools.diagnosis`."""

from collections.abc import Callable

from keras_deeptools import diagnosis

EXAMPLES: dict[str, Callable[[], object]] = {
    "keras_deeptools.diagnosis.LayerSignal": lambda: diagnosis.LayerSignal(
        "dense", "Dense", mean=0.0, std=1.0
    ),
    "keras_deeptools.diagnosis.SignalFinding": lambda: diagnosis.SignalFinding(
        "dead", "dense", "All units are dead.", "Use lsuv."
    ),
    "keras_deeptools.diagnosis.SignalPropagation": lambda: diagnosis.SignalPropagation(
        (diagnosis.LayerSignal("dense", "Dense", mean=0.0, std=1.0),)
    ),
}
