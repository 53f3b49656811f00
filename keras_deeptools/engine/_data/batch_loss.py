"""Training on one batch at a time, as `fit` does, with the logs of each alone."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_deeptools.engine._backends.active import training
from keras_deeptools.engine._backends.common import on_host
from keras_deeptools.engine._keras_private.layers import flat_layers, held_metrics
from keras_deeptools.engine._keras_private.training import own_metrics


def train_by_batch(model: keras.Model) -> None:
    """Prepares a model for `batch_logs`, with a separate step function.

    Args:
        model: `keras.Model`, compiled. Wrap the call and what follows in `preserved`.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine import preserved
    >>> from keras_deeptools.engine._data.batch_loss import train_by_batch
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
    training.single_steps(model)
    model.make_train_function(force=True)


def batch_logs(model: keras.Model, batch: Any) -> dict[str, float]:
    """Trains on one batch as `fit` does, and returns the logs of this batch alone.

    The batch goes to the train function as it is, where `train_on_batch` would hand
    `(x, y, None)` to a `train_step` that unpacks two.

    Args:
        model: `keras.Model`, compiled.
        batch: What `fit` would hand to `train_step`, such as `x` or `(x, y)`.

    Returns:
        Dict from the names that `train_step` returns to floats; the mean where it
        returns one number for each sample.

    Raises:
        TypeError: If `train_step` returns no dict.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.engine._data.batch_loss import batch_logs
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", loss="mse", metrics=["mae"])
    >>> sorted(batch_logs(model, (np.ones((4, 1)), np.ones((4, 1)))))
    ['loss', 'mae']
    """
    logs = training.run_step(model, batch, reset_running_metrics)
    if not isinstance(logs, Mapping):
        raise TypeError(
            "batch_logs: `train_step` must return a dict from names to numbers, as "
            f"`fit` needs it. Received: {type(logs).__name__}. Return for instance "
            '`{"loss": loss}`.'
        )
    return _numbers(logs)


def batch_loss(model: keras.Model, batch: Any) -> float:
    """Trains on one batch and returns the loss of this batch alone.

    Args:
        model: `keras.Model`, compiled.
        batch: What `fit` would hand to `train_step`: `x`, `(x,)`, `(x, y)` or
            `(x, y, sample_weight)`.

    Returns:
        Float, the weighted sum over the outputs, with regularization.

    Raises:
        ValueError: If the model's own `train_step` reports no `"loss"`.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.engine._data.batch_loss import batch_loss
    >>> model = keras.Sequential(
    ...     [keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="zeros")]
    ... )
    >>> model.compile(keras.optimizers.SGD(0.0), loss="mse")
    >>> [batch_loss(model, (np.ones((4, 1)), np.full((4, 1), y))) for y in (2.0, 3.0)]
    [4.0, 9.0]
    """
    logs = batch_logs(model, batch)
    if "loss" not in logs:
        raise ValueError(
            "batch_loss: `train_step` must report the loss. Received: "
            f"logs with the keys {sorted(logs)}. Return it under the key 'loss'."
        )
    return logs["loss"]


def running_metrics(model: keras.Model) -> list[Any]:
    """All metrics in a model, each once.

    Also those that `metrics` leaves out, and that `reset_metrics` of a model hence
    leaves as they are.
    """
    found = [*model.metrics, *own_metrics(model)]
    for layer in flat_layers(model):
        found += held_metrics(layer)
    return list({id(metric): metric for metric in found}.values())


def reset_running_metrics(model: keras.Model) -> None:
    """Resets all metrics, also those that the model keeps for itself."""
    model.reset_metrics()
    for metric in running_metrics(model):
        metric.reset_state()


def _numbers(logs: Mapping) -> dict[str, float]:
    """Logs as `fit` shows them: those of nested dicts beside the others."""
    found: dict[str, float] = {}
    for name, value in logs.items():
        if isinstance(value, Mapping):
            found |= _numbers(value)
        else:
            found[str(name)] = _number(value)
    return found


def _number(value: Any) -> float:
    if keras.ops.is_tensor(value):
        value = on_host(value)
    array = np.asarray(value, dtype="float64")
    return float(array.mean()) if array.size else float("nan")
