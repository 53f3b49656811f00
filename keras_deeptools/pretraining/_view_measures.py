"""How well two views of a batch agree, and how well they fill the sphere."""

from typing import Any

from keras import ops


def contrastive_accuracy(cosines: Any) -> Any:
    """The fraction of views whose nearest other view is their partner.

    Args:
        cosines: Tensor `(2 batch, 2 batch)`, see `similarities`.
    """
    count = ops.shape(cosines)[0]
    others = cosines - 1e9 * ops.eye(count, dtype=cosines.dtype)
    nearest = ops.argmax(others, axis=1)
    partners = ops.roll(ops.arange(count), count // 2)
    found = ops.cast(nearest, "int32") == ops.cast(partners, "int32")
    return ops.mean(ops.cast(found, "float32"))


def alignment(cosines: Any) -> Any:
    """Mean squared distance between partners on the unit sphere; 0 is best.

    Args:
        cosines: Tensor `(2 batch, 2 batch)`, see `similarities`.
    """
    half = ops.shape(cosines)[0] // 2
    partners = ops.diagonal(ops.roll(cosines, half, axis=1))
    return ops.mean(2 - 2 * partners)


def uniformity(cosines: Any) -> Any:
    """Log of the mean Gaussian potential between views; low where they spread.

    Args:
        cosines: Tensor `(2 batch, 2 batch)`, see `similarities`.
    """
    count = ops.shape(cosines)[0]
    away = 1 - ops.eye(count, dtype=cosines.dtype)
    potentials = ops.exp(-2 * (2 - 2 * cosines)) * away
    return ops.log(ops.sum(potentials) / ops.sum(away))
