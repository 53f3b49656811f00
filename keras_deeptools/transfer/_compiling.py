"""Compiling a model for fine-tuning, or keeping what it was compiled with."""

from typing import Any

import keras

from keras_deeptools._arguments import message
from keras_deeptools.engine import check_rate_scales, compile_arguments
from keras_deeptools.transfer._chosen_loss import chosen_loss
from keras_deeptools.transfer._epoch_feed import as_arrays
from keras_deeptools.transfer._fine_tuning_data import FineTuningData
from keras_deeptools.transfer._fine_tuning_plan import OWNER


def compiled_for(
    model: keras.Model, data: FineTuningData, optimizer: Any, loss: Any, metrics: Any
) -> None:
    """Compiles a model with what is given, and else with what it has, or a default.

    Args:
        model: `keras.Model`.
        data: `FineTuningData`.
        optimizer: As in `compile`, or None.
        loss: As in `compile`, or None.
        metrics: As in `compile`, or None.

    Raises:
        ValueError: If there is no loss and none can be told. Nothing has been changed.
    """
    compiled = model.compiled
    if optimizer is None:
        optimizer = getattr(model, "optimizer", None) or _default_optimizer()
    optimizer = keras.optimizers.get(optimizer)
    check_rate_scales(optimizer, OWNER)
    if compiled:
        if optimizer is not model.optimizer or loss is not None or metrics is not None:
            # All that it had is given again: what is not would be lost in files.
            given = {"loss": loss, "metrics": metrics}
            new = {name: each for name, each in given.items() if each is not None}
            model.compile(optimizer, **compile_arguments(model) | new)
        return
    if loss is None:
        loss = chosen_loss(OWNER, model, _some_targets(data))
        metrics = ["accuracy"] if metrics is None else metrics
    model.compile(optimizer=optimizer, loss=loss, metrics=metrics)


def _default_optimizer() -> keras.optimizers.Optimizer:
    return keras.optimizers.AdamW(weight_decay=0.01)


def _some_targets(data: FineTuningData) -> Any:
    """Targets of arrays, or of the first batch of data that can be read again."""
    source = data.source
    if data.arrays is not None:
        batch: Any = data.arrays
    elif isinstance(source, keras.utils.PyDataset):
        batch = source[0]
    elif iter(source) is source:
        rule = "given where `x` is a generator and the model is not compiled"
        raise ValueError(message(OWNER, "loss", rule, None))
    else:
        batch = next(iter(source))
    if not isinstance(batch, tuple | list) or len(batch) < 2:
        raise ValueError(message(OWNER, "y", "given", None))
    return as_arrays(batch[1])
