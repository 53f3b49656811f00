"""One `fit` as callbacks see it, over two kinds of data."""

import contextlib
from collections.abc import Callable
from typing import Any

import keras

from keras_deeptools.engine._keras_private.training import (
    INITIAL_EPOCH,
    begin_callbacks,
)
from keras_deeptools.engine._patching import replaced


def fit_in_two_parts(
    model: keras.Model,
    first: dict[str, Any],
    second: Callable[[], dict[str, Any]],
    watch: "FitWatch",
    around_first: contextlib.AbstractContextManager,
    callbacks: Any = None,
    **arguments: Any,
) -> keras.callbacks.History:
    """Calls `fit`; from the epoch on that `watch` refuses, on other data.

    Callbacks see one training: one begin, one end, each epoch once.

    Args:
        model: `keras.Model`, compiled.
        first: Data, as arguments of `fit`.
        second: Function of nothing that gives the data for the rest.
        watch: `FitWatch`.
        around_first: Context manager for the first part.
        callbacks: As in `fit`.
        **arguments: What else `fit` takes.

    Returns:
        `keras.callbacks.History`.

    Example:

    >>> import contextlib, keras, numpy as np
    >>> from keras_deeptools.engine._frozen_features import two_part_fit
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> epochs = []
    >>> fewer = lambda: len(epochs) < 2
    >>> watch = two_part_fit.FitWatch(fewer, lambda: None, epochs.append)
    >>> few, many = {"x": np.ones((2, 1)), "y": np.ones(2)}, {"x": np.ones((9, 1))}
    >>> many = {**many, "y": np.ones(9)}
    >>> nothing = contextlib.nullcontext()
    >>> history = two_part_fit.fit_in_two_parts(
    ...     model, few, lambda: many, watch, nothing, epochs=5, verbose=0
    ... )
    >>> watch.left, history.epoch
    (2, [0, 1, 2, 3, 4])
    """
    given = _listed(callbacks)
    finalize = model.optimizer.finalize_variable_values

    def finalize_at_end(variables: Any) -> None:
        # JAX calls it also where an exception leaves `fit`.
        if watch.left is None:
            finalize(variables)

    finalizing = replaced(model.optimizer, "finalize_variable_values", finalize_at_end)
    try:
        with around_first, finalizing:
            return model.fit(**first, callbacks=[*given, watch], **arguments)
    except _LeftError:
        pass
    rest = _Continued([*given, model.history], len(given), model, watch)
    arguments["initial_epoch"] = watch.left
    # What a callback restored must not bring the first part's epochs back.
    with replaced(model, INITIAL_EPOCH, None):
        return model.fit(**second(), callbacks=rest, **arguments)


class FitWatch(keras.callbacks.Callback):
    """Looks at the beginning of each epoch whether data still serve.

    Args:
        serves: Function of nothing that returns a bool.
        check_batch: Function of nothing, called before each batch, which may raise.
        begin: Function of the epoch, called where it begins.

    Attributes:
        left: Int, the epoch in which the data did not serve any more, or None.

    Example:

    >>> from keras_deeptools.engine._frozen_features.two_part_fit import FitWatch
    >>> begun = []
    >>> watch = FitWatch(lambda: True, lambda: None, begun.append)
    >>> watch.on_epoch_begin(3)
    >>> begun, watch.left
    ([3], None)
    """

    def __init__(
        self,
        serves: Callable[[], bool],
        check_batch: Callable[[], None],
        begin: Callable[[int], None],
    ) -> None:
        super().__init__()
        self.left: int | None = None
        self._serves = serves
        self._check_batch = check_batch
        self._begin = begin

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Leaves `fit` where the data do not serve any more."""
        if not self._serves():
            self.left = epoch
            raise _LeftError
        self._begin(epoch)

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Checks before the batch."""
        self._check_batch()


class _LeftError(Exception):
    """Raised to leave a `fit` that is continued elsewhere."""


class _Continued(keras.callbacks.CallbackList):
    """Callbacks of which the first `num_begun` have seen training and epoch begin."""

    def __init__(
        self, callbacks: list[Any], num_begun: int, model: keras.Model, watch: FitWatch
    ) -> None:
        params = dict(watch.params)
        shows = params["verbose"] != 0
        super().__init__(callbacks, add_progbar=shows, model=model, **params)
        self._fresh = self.callbacks[num_begun:]
        self._seen = watch.left

    def on_train_begin(self, logs: dict | None = None) -> None:
        progress_bar = begin_callbacks(self)
        if progress_bar is not None:
            progress_bar.on_train_begin(logs)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        if epoch != self._seen:
            super().on_epoch_begin(epoch, logs)
            return
        for callback in self._fresh:
            callback.on_epoch_begin(epoch, logs)


def _listed(callbacks: Any) -> list[Any]:
    if callbacks is None:
        return []
    if isinstance(callbacks, keras.callbacks.CallbackList):
        return list(callbacks.callbacks)
    return list(callbacks) if isinstance(callbacks, list | tuple) else [callbacks]
