"""Compiling a model for fine-tuning, or keeping what it was compiled with."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import message
from keras_deeptools.engine._graph.calls import producer
from keras_deeptools.engine._passes.compiled_with import compile_arguments
from keras_deeptools.engine._update.rate_multipliers import check_rate_scales
from keras_deeptools.transfer._epoch_batches import (
    as_arrays,
    can_be_read_again,
    first_batch,
)
from keras_deeptools.transfer._fine_tune.chosen_loss import (
    check_class_weight,
    check_label_types,
    check_labels,
    chosen_loss,
    fitting_metrics,
)
from keras_deeptools.transfer._fine_tune.data import FineTuningData
from keras_deeptools.transfer._fine_tune.plan import OWNER


def compiled_for(
    model: keras.Model,
    data: FineTuningData,
    optimizer: Any,
    loss: Any,
    metrics: Any,
    class_weight: Any = None,
) -> None:
    """Compiles a model with what is given, otherwise with its own, or a default.

    Args:
        model: `keras.Model`.
        data: `FineTuningData`.
        optimizer: As in `compile`, or None.
        loss: As in `compile`, or None.
        metrics: As in `compile`, or None.
        class_weight: As in `fit`, or None.

    Raises:
        ValueError: If there is no loss and none can be told, or the targets are not
            such as it takes. Nothing has been changed.
    """
    compiled = model.compiled
    y = _some_targets(data, needed=loss is None and not compiled)
    if loss is None and not compiled:
        loss = chosen_loss(OWNER, model, y)
        metrics = ["accuracy"] if metrics is None else metrics
    _check_targets(model, model.loss if loss is None else loss, data, y, class_weight)
    if metrics is not None:
        metrics = _fitting(metrics, model, model.loss if loss is None else loss)
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
    model.compile(optimizer=optimizer, loss=loss, metrics=metrics)


def _default_optimizer() -> keras.optimizers.Optimizer:
    return keras.optimizers.AdamW(weight_decay=0.01)


def _check_targets(
    model: keras.Model, loss: Any, data: FineTuningData, y: Any, class_weight: Any
) -> None:
    """Looks at the targets of a model of one output."""
    outputs = getattr(model, "outputs", None) or []
    if isinstance(y, np.ndarray) and len(outputs) < 2:
        check_class_weight(OWNER, loss, class_weight, y)
    held = data.validation
    held = held[1] if isinstance(held, tuple) and len(held) > 1 else None
    for argument, targets in (("y", y), ("validation_data", held)):
        for name, output, of_it, values in _by_output(model, loss, targets):
            where = f"{argument}[{name!r}]" if name else argument
            check_labels(OWNER, of_it, output, values, where)


def _by_output(
    model: keras.Model, loss: Any, y: Any
) -> Iterator[tuple[str, Any, Any, np.ndarray]]:
    """The name, the tensor, the loss and the targets of each output that has arrays.

    The name is empty where there is one output.
    """
    outputs = getattr(model, "outputs", None) or []
    if isinstance(y, np.ndarray):
        if len(outputs) < 2:
            yield "", outputs[0] if outputs else None, loss, y
        return
    structure = getattr(model, "output", None) if outputs else None
    names = getattr(model, "output_names", ())
    names = list(structure) if isinstance(structure, dict) else names
    tensors = list(structure.values()) if isinstance(structure, dict) else outputs
    for place, (name, tensor) in enumerate(zip(names, tensors, strict=False)):
        values = _part(y, name, place, None)
        if isinstance(values, np.ndarray):
            yield str(name), tensor, _part(loss, name, place, loss), values


def _part(each: Any, name: str, place: int, shared: Any) -> Any:
    """What of losses or targets belongs to an output."""
    if isinstance(each, dict):
        return each.get(name)
    if isinstance(each, list | tuple):
        return each[place] if place < len(each) else None
    return shared


def _fitting(metrics: Any, model: keras.Model, loss: Any) -> Any:
    """Metrics of each output that fit it, where it is clear whose they are."""
    outputs = getattr(model, "outputs", None) or []
    if len(outputs) == 1 and isinstance(metrics, list | tuple):
        return fitting_metrics(metrics, outputs[0], loss)
    names = [producer(tensor)[0].name for tensor in outputs]
    if not isinstance(metrics, dict) or not set(metrics) <= set(names):
        return metrics
    tensors = dict(zip(names, outputs, strict=True))
    losses = loss if isinstance(loss, dict) else dict.fromkeys(names, loss)
    return {
        name: fitting_metrics(
            each if isinstance(each, list | tuple) else [each],
            tensors[name],
            losses.get(name),
        )
        for name, each in metrics.items()
    }


def _some_targets(data: FineTuningData, needed: bool) -> Any:
    """Targets of arrays, or of the first batch of data that can be read again.

    Args:
        data: `FineTuningData`.
        needed: Bool, whether there must be some.

    Returns:
        Structure of numpy arrays, or None.
    """
    source = data.source
    if data.arrays is not None:
        batch: Any = data.arrays
    elif can_be_read_again(source):
        batch = first_batch(source)
    else:
        if not needed:
            return None
        rule = "given where `x` is a generator and the model is not compiled"
        remedy = (
            "Give what fits the targets, such as 'sparse_categorical_crossentropy' "
            "for class indices, or compile the model."
        )
        raise ValueError(message(OWNER, "loss", rule, None, remedy))
    if isinstance(batch, tuple | list) and len(batch) > 1:
        check_label_types(OWNER, batch[1])
        return as_arrays(batch[1])
    if needed:
        remedy = "Give labels; a dataset or generator must yield (x, y)."
        raise ValueError(message(OWNER, "y", "given", None, remedy))
    return None
