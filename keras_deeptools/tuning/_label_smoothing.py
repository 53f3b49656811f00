"""Label smoothing for losses that have none."""

from typing import Any

import keras

from keras_deeptools.tuning._smoothed_crossentropy import SmoothedSparseCrossentropy

CROSSENTROPIES = {
    "categorical_crossentropy": keras.losses.CategoricalCrossentropy,
    "binary_crossentropy": keras.losses.BinaryCrossentropy,
}
SPARSE = "sparse_categorical_crossentropy"


def can_smooth(loss: Any) -> bool:
    """Whether labels can be smoothed by the loss itself.

    Args:
        loss: Name of a loss or `keras.losses.Loss`.
    """
    if isinstance(loss, keras.losses.SparseCategoricalCrossentropy):
        return getattr(loss, "ignore_class", None) is None
    if isinstance(loss, str):
        return loss in CROSSENTROPIES or loss == SPARSE
    return isinstance(loss, tuple(CROSSENTROPIES.values()))


def smoothed(loss: Any, amount: float) -> Any:
    """The loss with smoothed labels.

    Args:
        loss: Name of a loss or `keras.losses.Loss` that `can_smooth`.
        amount: Float in [0, 1), probability that is spread over all classes.

    Returns:
        `keras.losses.Loss`; for integer labels and nothing to smooth, `loss` itself.
    """
    if loss == SPARSE or isinstance(loss, keras.losses.SparseCategoricalCrossentropy):
        return _sparse(loss, amount) if amount else loss
    if isinstance(loss, str):
        return CROSSENTROPIES[loss](label_smoothing=amount)
    config = loss.get_config()
    return type(loss).from_config(config | {"label_smoothing": amount})


def _sparse(loss: Any, amount: float) -> SmoothedSparseCrossentropy:
    if isinstance(loss, str):
        return SmoothedSparseCrossentropy(amount)
    known = ("name", "reduction", "dtype", "from_logits", "axis")
    config = {key: value for key, value in loss.get_config().items() if key in known}
    return SmoothedSparseCrossentropy.from_config(config | {"label_smoothing": amount})
