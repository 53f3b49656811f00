"""Train steps on TensorFlow: what takes part in them, and tracing them again."""

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import keras
import tensorflow as tf

from keras_deeptools.engine._backends.common import (
    LOOPS_HOLD_STATE as LOOPS_HOLD_STATE,
    LOSES_VALUES as LOSES_VALUES,
    SILENT_ON_WRONG_LABELS as SILENT_ON_WRONG_LABELS,
    are_lost as are_lost,
    can_decay as can_decay,
    count_skipped as count_skipped_updates,
    forget as forget,
    row_losses as row_losses,
    single_steps as single_steps,
    synchronize as synchronize,
    track as track,
    uncompiled as uncompiled,
    untrack as untrack,
)
from keras_deeptools.engine._backends.tensorflow.replicas import (
    check_deferred_build as check_deferred_build,
    check_replicas,
    finite_on_all_replicas,
    on_each_replica as on_each_replica,
    unmerged_methods as unmerged_methods,
)
from keras_deeptools.engine._backends.tensorflow.tensors import (
    forget_function,
    is_compiled,
    is_sparse,
)
from keras_deeptools.engine._keras_private import optimizers
from keras_deeptools.engine._keras_private.data import (
    adapter_kind,
    as_numpy,
    as_tensorflow_sparse,
    batches_in,
    epoch_iterator,
)
from keras_deeptools.engine._keras_private.layers import value_of


def check_supported(optimizer: Any, model: Any, owner: str = "attach") -> None:
    """Raises under a strategy whose replicas cannot be updated one after another."""
    check_replicas(optimizer, model, owner)


def count_skipped(optimizer: Any, counter: Any) -> dict[str, Any]:
    """Methods for a LossScaleOptimizer that count its skipped updates."""
    methods = count_skipped_updates(optimizer, counter)
    return methods | finite_on_all_replicas(optimizer)


def after(gradients: list[Any]) -> Any:
    """A context whose writes wait for data.

    Where a generator has ended, the graph fails in reading it; writes that do not
    depend on the data could happen all the same.
    """
    last = gradients[-1]
    return tf.control_dependencies([last.values if is_sparse(last) else last])


def variable_scope(optimizer: Any) -> Any:
    """A context in which the optimizer's variables may be created."""
    return optimizers.strategy_of(optimizer).scope()


def fresh_step_function(model: Any) -> None:
    """Makes the model trace its train step again at the next call."""
    model.make_train_function(force=True)


BUILDS_IN_STEP = True
"""Whether the first step of `fit` creates the variables that do not exist."""


@contextlib.contextmanager
def between_steps() -> Iterator[None]:
    """A context that runs on the host at once, also where a step is being traced.

    Variables may be created in it, too, which a traced function refuses.
    """
    graph = tf.compat.v1.get_default_graph()
    creators = graph._variable_creator_stack
    with tf.init_scope():
        graph._variable_creator_stack = []
        try:
            yield
        finally:
            graph._variable_creator_stack = creators


def tracing() -> bool:
    """Whether a step is being traced now."""
    return tf.inside_function()


def functions_in_trace() -> list[Any]:
    """Each `tf.function` whose call is being traced, the innermost first."""
    found: list[Any] = []
    frame: FrameType | None = sys._getframe() if tracing() else None
    while frame is not None:
        # Of other frames nothing is read: a frame keeps what was read alive.
        if frame.f_globals.get("__name__", "").startswith("tensorflow."):
            holder = frame.f_locals.get("self")
            if is_compiled(holder) and not any(holder is each for each in found):
                found.append(holder)
        frame = frame.f_back
    return found


def forget_traced(function: Any) -> None:
    """Lets a `tf.function` be traced again at the next call."""
    forget_function(function)


def reason_to_trace_again() -> Any:
    """Makes `tf.function` trace what it is tracing a second time before it runs.

    It does so where a trace has created variables.

    Returns:
        What must be kept until then.
    """
    return tf.Variable(0, trainable=False)


def have_values(variables: list[Any]) -> bool:
    """Whether variables have values: those created in a trace get them after it."""
    with tf.init_scope():
        return all(
            value_of(v) is not None and bool(value_of(v).is_initialized())
            for v in variables
        )


def run_step(model: Any, batch: Any, reset: Any) -> Any:
    """Runs the compiled step on a batch, after `reset(model)`; its logs."""
    model.make_train_function()
    reset(model)
    return model.train_function(iter([batch]))


def trace_step(model: Any, batch: Any) -> None:
    """Traces the train step on a batch, and throws the trace away."""
    step = tf.function(lambda data: model.train_step(data))
    step.get_concrete_function(batch)


_LEFT_TO_KERAS = ("ArrayDataAdapter", "TFDatasetAdapter")
"""Adapters that load nothing in threads, which would go on after the last batch."""


def iterator_of(model: Any) -> Callable[..., Any]:
    """What makes the iterator by which `fit` feeds a model."""
    made = epoch_iterator("backend.tensorflow.trainer", "TFEpochIterator")
    return functools.partial(made, distribute_strategy=model.distribute_strategy)


def converted(batch: Any) -> Any:
    """A batch of numpy arrays in the form in which `fit` hands it to the step."""
    return as_tensors(as_numpy(batch))


def as_tensors(batch: Any) -> Any:
    """A batch of arrays or sparse matrices as the step takes it when it is called."""
    return keras.tree.map_structure(
        lambda each: None if each is None else _tensor(each), batch
    )


def of_epoch(iterator: Any) -> Iterator[Any]:
    """The batches of one epoch, as `fit` would hand them to the step."""
    adapter = iterator.data_adapter
    if adapter_kind(adapter) in _LEFT_TO_KERAS:
        return map(_without_optionals, batches_in(iterator))
    return map(converted, adapter.get_numpy_iterator())


def _tensor(value: Any) -> Any:
    sparse = as_tensorflow_sparse(value)
    if sparse is not None:
        return sparse
    kept = (tf.Tensor, tf.RaggedTensor, tf.SparseTensor)
    return value if isinstance(value, kept) else tf.convert_to_tensor(value)


def _without_optionals(batch: Any) -> Any:
    """None in the place of what says that a Dataset has no value, as Keras does it."""
    return keras.tree.map_structure(
        lambda i: None if isinstance(i, tf.experimental.Optional) else i, batch
    )
