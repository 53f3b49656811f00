"""A valid instance of every public class of `keras_deeptools.transfer`."""

from collections.abc import Callable

import keras
import numpy as np

from contract_examples.model import small_model
from keras_deeptools import transfer

EXAMPLES: dict[str, Callable[[], object]] = {
    "keras_deeptools.transfer.DepthProbe": lambda: transfer.DepthProbe(
        ("low", "high"), ("head",), np.array([[0.5, 0.7], [0.8, 0.9]]), 20, 2
    ),
    "keras_deeptools.transfer.DiscriminativeLearningRates": lambda: (
        transfer.DiscriminativeLearningRates(
            "adamw", multipliers=[0.1, 1.0], groups=small_model()
        )
    ),
    "keras_deeptools.transfer.FineTuning": lambda: transfer.FineTuning(
        {"loss": [0.5]},
        [0],
        (transfer.FineTuningPhase("head", 0, 1, 0.002, 8, True),),
        "loss",
        0,
        0.5,
        True,
        0,
    ),
    "keras_deeptools.transfer.FineTuningPhase": lambda: transfer.FineTuningPhase(
        "head", 0, 1, 0.002, 8, True
    ),
    "keras_deeptools.transfer.GradualUnfreezing": lambda: transfer.GradualUnfreezing(
        epochs=1, start=0
    ),
    "keras_deeptools.transfer.InferenceMode": lambda: transfer.InferenceMode(
        keras.layers.Dense(4)
    ),
    "keras_deeptools.transfer.UnfreezingPhase": lambda: transfer.UnfreezingPhase(
        0, 0, "head", 1, 10
    ),
}

# Handles on a model's own layers, which a copy or a pickle would not be.
HANDLES = {
    "keras_deeptools.transfer.CachedFeatures",
    "keras_deeptools.transfer.LayerGroup",
    "keras_deeptools.transfer.LayerGroups",
}
