"""The values of a model, kept from a step that takes them with it when it fails."""

import contextlib
from collections.abc import Iterator

import keras

from keras_deeptools.engine._backends.active import training
from keras_deeptools.engine._state.snapshot import Snapshot
from keras_deeptools.engine._update.optimizer_hooks import SITE


@contextlib.contextmanager
def kept_values(model: keras.Model) -> Iterator[None]:
    """Leaves a model usable whatever ends the training in the block.

    A compiled step may reuse the memory of the variables that it is given. On JAX an
    error or Ctrl-C inside a step, between its start and its end, hence leaves the model
    without values: it then gets those that it had when the block began, and so does its
    optimizer. In every other case it keeps the values of the moment.

    Args:
        model: `keras.Model`, compiled. A copy of all values is held on the host where
            they can be lost.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.engine._update.kept_values import kept_values
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", loss="mse")
    >>> with kept_values(model):
    ...     loss = model.train_on_batch(np.ones((4, 2)), np.ones((4, 1)))
    """
    snapshot = Snapshot(model) if training.LOSES_VALUES else None
    try:
        yield
    except BaseException:
        training.synchronize(model)
        if snapshot is not None and _lost(model):
            _detach_all(model)
            snapshot.restore()
        raise


def _lost(model: keras.Model) -> bool:
    """Whether the memory of a variable has been reused."""
    return training.are_lost([*model.variables, *model.optimizer.variables])


def _detach_all(model: keras.Model) -> None:
    """Takes off what is attached, although its variables have no values either."""
    site = vars(model.optimizer).get(SITE)
    for attachment in [] if site is None else list(site.attachments):
        with contextlib.suppress(RuntimeError, TypeError, ValueError):
            attachment.detach()
