"""The loss that tells the other view of an image from all other images."""

from typing import Any

import keras
from keras import ops

from keras_deeptools._arguments import checked_float


@keras.saving.register_keras_serializable("keras_deeptools")
class NTXent(keras.losses.Loss):
    """Normalized, temperature-scaled cross-entropy between two views of a batch.

    For each of the 2 N vectors the cross-entropy of finding, by cosine similarity, its
    partner among the 2 N - 1 others. Large batches hold more to tell apart. Computed in
    float32 under any dtype policy.

    Args:
        temperature: Float > 0, by which similarities are divided. Small ones make the
            nearest of the others count most.
        reduction: As in `keras.losses.Loss`.
        name: Str.
        dtype: Dtype or policy to compute in. Default: Keras' `floatx`.

    Call arguments:
        y_true: Tensor `(batch, features)`, one view.
        y_pred: Tensor `(batch, features)`, the other view of the same rows.

    Returns:
        Scalar; with `reduction="none"` tensor `(batch,)`, the mean of both directions.

    Raises:
        ValueError: If `temperature <= 0`.

    Example:

    >>> import numpy as np
    >>> from keras_deeptools.pretraining import NTXent
    >>> views = np.eye(4, dtype="float32")
    >>> round(float(NTXent(temperature=0.5)(views, views)), 4)
    0.5944

    Reference:
        Chen et al., 2020, equation 1. https://arxiv.org/abs/2002.05709
    """

    def __init__(
        self,
        temperature: float = 0.1,
        reduction: str = "sum_over_batch_size",
        name: str = "nt_xent",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.temperature = checked_float("NTXent", "temperature", temperature, above=0)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The loss of each row."""
        first, second = on_sphere(y_true), on_sphere(y_pred)
        return nt_xent(similarities(first, second), self.temperature)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "temperature": self.temperature}


def on_sphere(vectors: Any) -> Any:
    """Vectors of length one."""
    lengths = ops.sqrt(ops.sum(ops.square(vectors), axis=-1, keepdims=True) + 1e-12)
    return vectors / lengths


def similarities(first: Any, second: Any) -> Any:
    """Cosines between all of two views, `(2 batch, 2 batch)`, first view first."""
    views = ops.concatenate([first, second])
    return ops.matmul(views, ops.transpose(views))


def nt_xent(cosines: Any, temperature: float) -> Any:
    """The loss of each row, `(batch,)`, from `similarities`."""
    count = ops.shape(cosines)[0]
    logits = cosines / temperature
    others = logits - 1e9 * ops.eye(count, dtype=logits.dtype)
    partners = ops.roll(logits, count // 2, axis=1)
    losses = ops.logsumexp(others, axis=1) - ops.diagonal(partners)
    return ops.mean(ops.reshape(losses, (2, -1)), axis=0)
