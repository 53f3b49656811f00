"""What kind of targets a loss takes."""

from typing import Any

import keras

SPARSE, CATEGORICAL, BINARY = "sparse", "categorical", "binary"
_KINDS = {
    "sparsecategoricalcrossentropy": SPARSE,
    "categoricalcrossentropy": CATEGORICAL,
    "categoricalfocalcrossentropy": CATEGORICAL,
    "binarycrossentropy": BINARY,
    "binaryfocalcrossentropy": BINARY,
}


def the_loss(loss: Any) -> Any:
    """The loss of a model of one output, which may be given in a list or dict."""
    if isinstance(loss, dict) and len(loss) == 1:
        return next(iter(loss.values()))
    if isinstance(loss, list | tuple) and len(loss) == 1:
        return loss[0]
    return loss


def kind_of(loss: Any) -> str | None:
    """What a loss takes for targets: classes, one-hot rows or yes and no; else None.

    Args:
        loss: As in `compile`.

    Example:

    >>> from keras_deeptools.transfer._loss_kind import kind_of
    >>> kind_of("sparse_categorical_crossentropy"), kind_of("mse")
    ('sparse', None)
    """
    loss = the_loss(loss)
    if isinstance(loss, str):
        try:
            # Some have short names: "bce".
            loss = keras.losses.get(loss)
        except ValueError:
            return None
    name = getattr(loss, "__name__", None)
    name = type(loss).__name__ if name is None else name
    return _KINDS.get(name.replace("_", "").lower())


def takes_logits(loss: Any) -> bool:
    """Whether a loss object expects what stands before softmax or sigmoid."""
    return bool(_configured(the_loss(loss), "from_logits"))


def ignored_class(loss: Any) -> int | None:
    """The class whose places a loss leaves out, if there is one."""
    return _configured(the_loss(loss), "ignore_class")


def _configured(loss: Any, name: str) -> Any:
    """An argument of a loss object, or of a partial function."""
    if hasattr(loss, name):
        return getattr(loss, name)
    keywords = getattr(loss, "keywords", None) or {}
    return keywords.get(name)
