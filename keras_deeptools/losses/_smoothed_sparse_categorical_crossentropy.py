"""Label smoothing for labels that are integers."""

from typing import Any

import keras
from keras import ops

from keras_deeptools._arguments import checked_rate
from keras_deeptools.engine._keras_private.layers import mask_of, set_mask


@keras.saving.register_keras_serializable(package="keras_deeptools")
class SmoothedSparseCategoricalCrossentropy(keras.losses.SparseCategoricalCrossentropy):
    """Cross-entropy with label smoothing, for labels 0, 1, ... as integers.

    Of Keras' losses, `CategoricalCrossentropy` smooths labels, but needs them as
    one-hot vectors. This loss gives the same values without them, which matters for
    thousands of classes: the true class has the target `1 - label_smoothing`, and all
    classes together share the rest equally. Smoothing keeps logits from growing without
    end, and calibrates probabilities.

    Args:
        label_smoothing: Float in [0, 1). Fraction of the target that all classes share.
        from_logits: Bool. Whether predictions are logits, not probabilities.
        ignore_class: Int or None. Label of the samples, tokens or pixels that do not
            count.
        axis: Int. Axis of the classes in the predictions.
        **kwargs: `reduction`, `name` and `dtype`, as for every Keras loss.

    Call arguments:
        y_true: Integer labels `(batch, ...)`.
        y_pred: Probabilities or logits `(batch, ..., classes)`.

    Raises:
        ValueError: If `label_smoothing` is outside [0, 1).
        TypeError: If `label_smoothing` is not a number.

    Example:

    >>> import numpy as np
    >>> from keras_deeptools.losses import SmoothedSparseCategoricalCrossentropy
    >>> loss = SmoothedSparseCategoricalCrossentropy(0.1)
    >>> round(float(loss(np.array([1]), np.array([[0.25, 0.5, 0.25]]))), 4)
    0.7394

    Reference:
        Szegedy et al., 2016, section 7. https://arxiv.org/abs/1512.00567
    """

    def __init__(
        self,
        label_smoothing: float = 0.1,
        from_logits: bool = False,
        ignore_class: int | None = None,
        axis: int = -1,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("name", "smoothed_sparse_categorical_crossentropy")
        super().__init__(
            from_logits=from_logits, ignore_class=ignore_class, axis=axis, **kwargs
        )
        owner = type(self).__name__
        self.label_smoothing = checked_rate(owner, "label_smoothing", label_smoothing)
        self.options = {
            "from_logits": from_logits,
            "ignore_class": ignore_class,
            "axis": axis,
        }

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the loss of each sample, without the axis of the classes."""
        plain = super().call(y_true, y_pred)
        axis, ignored = self.options["axis"], self.options["ignore_class"]
        if self.options["from_logits"]:
            logs = ops.log_softmax(y_pred, axis=axis)
        else:
            sums = ops.sum(y_pred, axis=axis, keepdims=True)
            low = keras.config.epsilon()
            logs = ops.log(ops.clip(y_pred / sums, low, 1 - low))
        uniform = -ops.mean(logs, axis=axis)
        mask = mask_of(plain)
        if ignored is not None:
            labels = ops.reshape(y_true, ops.shape(uniform))
            counts = ops.not_equal(labels, ops.cast(ignored, labels.dtype))
            uniform = ops.where(counts, uniform, ops.zeros_like(uniform))
        smoothing = self.label_smoothing
        mixed = (1 - smoothing) * plain + smoothing * uniform
        if mask is not None:
            set_mask(mixed, mask)
        return mixed

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        config = super().get_config() | self.options
        return config | {"label_smoothing": self.label_smoothing}
