"""The data of a fine-tuning, and the loss and metrics that fit them."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import checked_count, checked_float, message
from keras_deeptools.engine._graph.calls import producer
from keras_deeptools.engine._passes.compiled_with import compile_arguments
from keras_deeptools.engine._update.rate_multipliers import check_rate_scales
from keras_deeptools.transfer._epoch_batches import (
    ShuffledBatches,
    ShuffledRows,
    are_arrays,
    as_arrays,
    can_be_read_again,
    first_batch,
    length_of,
    num_batches_of,
    split_rows,
)
from keras_deeptools.transfer._features.cached_features import CachedFeatures
from keras_deeptools.transfer._fine_tune.chosen_loss import (
    check_class_weight,
    check_is_no_list,
    check_label_types,
    check_labels,
    chosen_loss,
    fitting_metrics,
)
from keras_deeptools.transfer._fine_tune.plan import OWNER


@dataclass(frozen=True)
class FineTuningData:
    """What `fine_tune` was given to train on, made ready.

    Attributes:
        arrays: Tuple `(x, y)`, `(x,)` or `(x, y, sample_weight)` of structures of numpy
            arrays, or None for data of another kind.
        source: Such other data.
        validation: Like `arrays`, or other data, or None.
        batch_size: Int, of arrays.
        steps: Int, batches in an epoch.
        limited: Bool, whether that was given, and is not all that there is.
    """

    arrays: tuple | None
    source: Any
    validation: Any
    batch_size: int
    steps: int
    limited: bool

    @property
    def one_pass(self) -> bool:
        """Whether the data can be read only once."""
        return isinstance(self.source, Iterator)

    @property
    def all_inputs(self) -> Any:
        """The inputs, as arrays or in the batches of other data."""
        return self.source if self.arrays is None else self.arrays[0]

    def fit_arguments(
        self, seed: int | None, cached: CachedFeatures | None
    ) -> tuple[Any, dict[str, Any]]:
        """What `fit` takes as `x`, and what it takes besides of the data.

        Args:
            seed: Int, or None for the order that the data have.
            cached: `CachedFeatures` to train on in place of the data, or None.
        """
        validation = self.validation
        arguments: dict[str, Any] = {"shuffle": False}
        feed = self.source
        if cached is not None:
            rows = tuple(part for part in cached.rows() if part is not None)
            feed = ShuffledRows(rows, self.batch_size, self.steps, seed)
            if isinstance(validation, tuple):
                found = cached.for_validation(*validation).rows()
                validation = keras.utils.pack_x_y_sample_weight(*found)
        elif self.arrays is not None:
            feed = ShuffledRows(self.arrays, self.batch_size, self.steps, seed)
        elif _has_length(self.source):
            feed = ShuffledBatches(self.source, self.steps, seed)
        elif self.limited:
            arguments["steps_per_epoch"] = self.steps
        if isinstance(validation, tuple):
            arguments["validation_batch_size"] = self.batch_size
        return feed, arguments | {"validation_data": validation}

    def facts(self) -> list[Any]:
        """Kinds, shapes and types of the data, ready for JSON."""
        return [
            _described(self.source if self.arrays is None else self.arrays),
            _described(self.validation),
            self.steps,
        ]


def ready_data(
    model: keras.Model,
    x: Any,
    y: Any,
    sample_weight: Any,
    batch_size: int | None,
    validation_data: Any,
    validation_split: float,
    steps_per_epoch: int | None,
) -> FineTuningData:
    """The data of `fine_tune`, checked.

    Raises:
        ValueError: If arguments do not go together, or only reading all data would tell
            how many batches they have.
    """
    steps = steps_per_epoch
    if steps is not None:
        steps = checked_count(OWNER, "steps_per_epoch", steps)
    size = 32
    if batch_size is not None:
        size = checked_count(OWNER, "batch_size", batch_size)
    fraction = checked_float(OWNER, "validation_split", validation_split, at_least=0)
    if fraction >= 1:
        rule = "in [0, 1)"
        raise ValueError(message(OWNER, "validation_split", rule, validation_split))
    if isinstance(validation_data, tuple | list):
        names = ("validation_data[0]", "validation_data[1]")
        for name, part in zip(names, validation_data, strict=False):
            check_is_no_list(OWNER, name, part)
        check_label_types(OWNER, validation_data[1:2], names[1])
    if validation_data is not None and _holds_arrays(validation_data):
        validation_data = as_arrays(tuple(validation_data))
    check_label_types(OWNER, y)
    check_is_no_list(OWNER, "x", x)
    first = x[0] if _has_length(x) else None
    if isinstance(first, tuple | list) and len(first) > 1:
        check_label_types(OWNER, first[1])
    if not are_arrays(x):
        for name, value, given in (
            ("y", y, y is not None),
            ("sample_weight", sample_weight, sample_weight is not None),
            ("batch_size", batch_size, batch_size is not None),
            ("validation_split", validation_split, fraction > 0),
        ):
            if given:
                rule = f"left out where `x` is a {type(x).__name__}"
                raise ValueError(message(OWNER, name, rule, type(value).__name__))
        available = None if steps else num_batches_of(OWNER, model, x)
        if _has_length(x):
            available = x.num_batches
        count = _checked_steps(steps, available)
        limited = steps is not None
        return FineTuningData(None, x, validation_data, size, count, limited)
    arrays = as_arrays(tuple(a for a in (x, y, sample_weight) if a is not None))
    if y is not None:
        arrays = (arrays[0], keras.tree.map_structure(_counted, arrays[1]), *arrays[2:])
    if sample_weight is not None and y is None:
        raise ValueError(message(OWNER, "y", "given with `sample_weight`", None))
    _check_lengths(arrays)
    if fraction:
        if validation_data is not None:
            rule = "0 where `validation_data` are given"
            raise ValueError(message(OWNER, "validation_split", rule, validation_split))
        arrays, validation_data = split_rows(arrays, fraction)
    count = math.ceil(length_of(arrays) / size)
    steps = _checked_steps(steps, count)
    return FineTuningData(arrays, None, validation_data, size, steps, limited=True)


def _checked_steps(steps: int | None, available: int | None) -> int:
    if steps is None:
        assert available is not None
        return available
    if available is not None and steps > available:
        rule = f"at most the {available} batches that there are"
        raise ValueError(message(OWNER, "steps_per_epoch", rule, steps))
    return steps


def _check_lengths(arrays: tuple) -> None:
    lengths = sorted({len(array) for array in keras.tree.flatten(arrays)})
    if len(lengths) != 1 or not lengths[0]:
        raise ValueError(
            f"{OWNER}: `x`, `y` and `sample_weight` must have as many rows as one "
            f"another, at least one. Received: rows={lengths}."
        )


def _counted(targets: np.ndarray) -> np.ndarray:
    """Yes and no as 1 and 0, which every loss takes."""
    return targets.astype("int32") if targets.dtype == bool else targets


def _has_length(data: Any) -> bool:
    known = isinstance(data, keras.utils.PyDataset)
    return known and data.num_batches is not None


def _holds_arrays(data: Any) -> bool:
    return isinstance(data, tuple | list) and are_arrays(data)


def _described(data: Any) -> Any:
    if data is None:
        return None
    if not isinstance(data, tuple):
        return type(data).__name__
    return [[str(a.dtype), list(a.shape)] for a in keras.tree.flatten(data)]


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
