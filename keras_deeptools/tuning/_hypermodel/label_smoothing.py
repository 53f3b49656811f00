"""Label smoothing for losses that have none."""

from typing import Any

import keras


@keras.saving.register_keras_serializable(package="keras_deeptools")
class SmoothedSparseCrossentropy(keras.losses.Loss):
    """What `CategoricalCrossentropy` is with `label_smoothing`, for integer labels.

    Args:
        label_smoothing: Float in [0, 1), probability that is spread over all classes.
        from_logits: Bool. Whether predictions are logits.
        axis: Int, the axis of classes.
        **kwargs: As for every Keras loss.
    """

    def __init__(
        self,
        label_smoothing: float = 0.0,
        from_logits: bool = False,
        axis: int = -1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.label_smoothing = label_smoothing
        self.from_logits = from_logits
        self.axis = axis

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Loss of each row."""
        num_classes = y_pred.shape[self.axis]
        labels = keras.ops.cast(y_true, "int32")
        if len(labels.shape) == len(y_pred.shape) and labels.shape[self.axis] == 1:
            labels = keras.ops.squeeze(labels, self.axis)
        one_hot = keras.ops.one_hot(labels, num_classes, axis=self.axis)
        return keras.losses.categorical_crossentropy(
            one_hot, y_pred, self.from_logits, self.label_smoothing, self.axis
        )

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        names = ("label_smoothing", "from_logits", "axis")
        return super().get_config() | {name: getattr(self, name) for name in names}


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
