"""Training on one batch at a time, with the loss of each alone."""

from typing import Any

import keras
import numpy as np


def train_by_batch(model: keras.Model) -> None:
    """Readies a model for `batch_loss`, with a step function of its own.

    Args:
        model: `keras.Model`, compiled. Wrap the call and what follows in `preserved`.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine import preserved
    >>> from keras_deeptools.engine._batch_loss import train_by_batch
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", loss="mse", steps_per_execution=8)
    >>> with preserved(model):
    ...     train_by_batch(model)
    ...     print(model.steps_per_execution)
    1
    >>> model.steps_per_execution
    8
    """
    model.steps_per_execution = 1
    if keras.backend.backend() == "torch":
        model.jit_compile = False
    model.make_train_function(force=True)


def batch_loss(model: keras.Model, batch: Any) -> float:
    """Trains on one batch and returns the loss of this batch alone.

    Args:
        model: `keras.Model`, compiled.
        batch: `x`, `(x,)`, `(x, y)` or `(x, y, sample_weight)`.

    Returns:
        Float, the weighted sum over the outputs, with regularization.

    Raises:
        ValueError: If the model's own `train_step` reports no `"loss"`.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.engine._batch_loss import batch_loss
    >>> model = keras.Sequential(
    ...     [keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="zeros")]
    ... )
    >>> model.compile(keras.optimizers.SGD(0.0), loss="mse")
    >>> [batch_loss(model, (np.ones((4, 1)), np.full((4, 1), y))) for y in (2.0, 3.0)]
    [4.0, 9.0]
    """
    if keras.backend.backend() == "torch":
        model.train()
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
    logs = model.train_on_batch(x, y, sample_weight=sample_weight, return_dict=True)
    if "loss" not in logs:
        raise ValueError(
            "batch_loss: `train_step` must report the loss. Received: "
            f"logs with the keys {sorted(logs)}. Return it under the key 'loss'."
        )
    return float(np.asarray(logs["loss"]))
