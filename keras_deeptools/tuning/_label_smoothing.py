"""Label smoothing for losses that have none."""

from typing import Any

import keras

CROSSENTROPIES = {
    "categorical_crossentropy": keras.losses.CategoricalCrossentropy,
    "binary_crossentropy": keras.losses.BinaryCrossentropy,
}


def can_smooth(loss: Any) -> bool:
    """Whether labels can be smoothed by the loss itself.

    Args:
        loss: Name of a loss or `keras.losses.Loss`.
    """
    return loss in CROSSENTROPIES or isinstance(loss, tuple(CROSSENTROPIES.values()))


def smoothed(loss: Any, amount: float) -> keras.losses.Loss:
    """The loss with smoothed labels.

    Args:
        loss: Name of a loss or `keras.losses.Loss` that `can_smooth`.
        amount: Float in [0, 1), probability that is spread over all classes.
    """
    if isinstance(loss, str):
        return CROSSENTROPIES[loss](label_smoothing=amount)
    config = loss.get_config()
    return type(loss).from_config(config | {"label_smoothing": amount})
