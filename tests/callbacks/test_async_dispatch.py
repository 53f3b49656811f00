"""Keras hands on logs while it trains on, where no callback has to wait for them."""

import inspect

import keras
import pytest

from public_api import public_classes

pytestmark = pytest.mark.backend_free

SYNCHRONOUS = {"TimeLimit"}
"""Callbacks that measure when a batch has ended."""

CALLBACKS = {
    path: thing
    for path, thing in public_classes().items()
    if inspect.isclass(thing) and issubclass(thing, keras.callbacks.Callback)
}


def test_callbacks_let_keras_train_on() -> None:
    own = keras.callbacks.Callback
    waiting = {
        path.rsplit(".", 1)[-1]
        for path, kind in CALLBACKS.items()
        if not getattr(kind, "async_safe", False)
        if kind.on_train_batch_end is not own.on_train_batch_end
        or kind.on_batch_end is not own.on_batch_end
    }
    assert waiting == SYNCHRONOUS
