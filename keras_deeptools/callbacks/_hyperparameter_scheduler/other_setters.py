"""Who else sets the learning rate in the same run, and who wins."""

import warnings
from typing import Any

import keras

from keras_deeptools.engine import Leaf
from keras_deeptools.engine._update.train_step import running_fit


def set_by_epoch(model: Any) -> keras.callbacks.Callback | None:
    """Keras' LearningRateScheduler in the running `fit`, which assigns every epoch."""
    return _beside(model, keras.callbacks.LearningRateScheduler)


def reduced_on_plateau(model: Any) -> keras.callbacks.Callback | None:
    """Keras' ReduceLROnPlateau in the running `fit`."""
    return _beside(model, keras.callbacks.ReduceLROnPlateau)


def _beside(model: Any, kind: type) -> keras.callbacks.Callback | None:
    run = running_fit(model)
    callbacks = run.callbacks if run else []
    return next((each for each in callbacks if isinstance(each, kind)), None)


def tell_overruled(owner: str, other: keras.callbacks.Callback) -> None:
    """Warns that what a callback assigns at each epoch has no effect."""
    name = type(other).__name__
    warnings.warn(
        f"{owner}: {name} sets the learning rate in the same `fit`, once an epoch. "
        f"{owner} wins: its values are used at every update, and what {name} sets has "
        "no effect. Leave out one of the two.",
        stacklevel=3,
    )


def tell_multiplied(owner: str) -> None:
    """Warns that reductions multiply a cycle that rises and falls by itself."""
    warnings.warn(
        f"{owner}: ReduceLROnPlateau sets the learning rate in the same `fit`. Neither "
        "wins: each of its reductions multiplies the rest of the cycle, which needs "
        "none, as it ends with a small learning rate. Leave out one of the two.",
        stacklevel=3,
    )


def tell_factor(owner: str, factor: float) -> None:
    """Warns that a callback that cannot be seen has assigned a learning rate."""
    warnings.warn(
        f"{owner}: something else, such as another callback, has assigned to "
        f"`optimizer.learning_rate` during training. {owner} goes on, with its values "
        f"multiplied by {factor:.3g}, which is what was assigned over what was in "
        "effect. Leave out one of the two.",
        stacklevel=3,
    )


def tell_replaced(owner: str, leaf: Leaf) -> None:
    """Warns where the optimizer was built with a schedule for its learning rate."""
    optimizer = leaf.optimizer
    if isinstance(optimizer.learning_rate, keras.Variable):
        return
    warnings.warn(
        f"{owner}: {type(optimizer).__name__} was built with a schedule of its own as "
        f"learning rate. {owner} wins: its values are used during this training, and "
        "the optimizer's schedule again afterwards. Compile with a number to have one "
        "schedule alone.",
        stacklevel=3,
    )
