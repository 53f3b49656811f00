"""Train steps on torch: what takes part in them."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras

from keras_deeptools.engine._backends.common import (
    BUILDS_IN_STEP as BUILDS_IN_STEP,
    LOSES_VALUES as LOSES_VALUES,
    SILENT_ON_WRONG_LABELS as SILENT_ON_WRONG_LABELS,
    after as after,
    are_lost as are_lost,
    between_steps as between_steps,
    check_deferred_build as check_deferred_build,
    count_skipped as count_skipped,
    forget as forget,
    have_values as have_values,
    on_each_replica as on_each_replica,
    reason_to_trace_again as reason_to_trace_again,
    synchronize as synchronize,
    trace_step as trace_step,
    tracing as tracing,
    track as track,
    unmerged_methods as unmerged_methods,
    untrack as untrack,
)
from keras_deeptools.engine._keras_private import optimizers
from keras_deeptools.engine._keras_private.data import (
    adapter_kind,
    as_torch,
    batches_in,
    epoch_iterator,
)
from keras_deeptools.engine._keras_private.seam import private
from keras_deeptools.engine._keras_private.training import build_for
from keras_deeptools.engine._patching import replaced_in_thread


def check_supported(optimizer: Any, model: Any, owner: str = "attach") -> None:
    """Raises for a model that `torch.compile` traces."""
    if model is not None and getattr(model, "jit_compile", False) is True:
        raise ValueError(
            "attach: a model on the torch backend must be compiled with "
            "`jit_compile=False`: torch.compile caches the traced step by its code "
            "and would go on without what is attached. Received: jit_compile=True. "
            "Call `model.compile(..., jit_compile=False)`."
        )


def variable_scope(optimizer: Any) -> Any:
    """A context in which the optimizer's variables may be created."""
    return contextlib.nullcontext()


def fresh_step_function(model: Any) -> None:
    """Nothing to do: steps are not traced on this backend."""


def can_decay(optimizer: Any, variables: list[Any]) -> bool:
    """Whether weight decay accepts these variables: fused, it needs one at least."""
    return any(optimizers.decays(optimizer, variable) for variable in variables)


def single_steps(model: Any) -> None:
    """Readies a model for steps that are run one at a time, which are not compiled."""
    model.jit_compile = False


def run_step(model: Any, batch: Any, reset: Any) -> Any:
    """Runs the step on a batch, after `reset(model)`; its logs."""
    model.train()
    build_for(model, data_batch=batch)
    model.make_train_function()
    reset(model)
    return model.train_function([batch])


def row_losses() -> Any:
    """A block in which the sparse cross-entropy takes pixels as rows, in this thread.

    Keras 3.15 gives torch a view with the classes moved to the second axis, through
    which torch does not go back on a CPU.
    """
    return replaced_in_thread(
        private("backend.torch.nn"), "sparse_categorical_crossentropy", _by_rows
    )


def _by_rows(own: Callable) -> Callable:
    def by_rows(
        target: Any, output: Any, from_logits: bool = False, axis: int = -1
    ) -> Any:
        rank = len(output.shape)
        if rank < 3 or axis not in (-1, rank - 1):
            return own(target, output, from_logits, axis)
        places = tuple(output.shape[:-1])
        if tuple(target.shape) not in (places, (*places, 1)):
            return own(target, output, from_logits, axis)
        rows = keras.ops.reshape(output, (-1, output.shape[-1]))
        losses = own(keras.ops.reshape(target, (-1,)), rows, from_logits, -1)
        return keras.ops.reshape(losses, places)

    return by_rows


_LEFT_TO_KERAS = ("ArrayDataAdapter", "TorchDataLoaderAdapter")


"""Adapters that load nothing in threads, which would go on after the last batch."""


def iterator_of(model: Any) -> Callable[..., Any]:
    """What makes the iterator by which `fit` feeds a model."""
    return epoch_iterator("backend.torch.trainer", "TorchEpochIterator")


def converted(batch: Any) -> Any:
    """A batch of numpy arrays in the form in which `fit` hands it to the step."""
    return as_torch(batch)


def as_tensors(batch: Any) -> Any:
    """A batch of arrays as the step takes it when it is called on it."""
    return batch


def of_epoch(iterator: Any) -> Iterator[Any]:
    """The batches of one epoch, as `fit` would hand them to the step."""
    adapter = iterator.data_adapter
    if adapter_kind(adapter) in _LEFT_TO_KERAS:
        return batches_in(iterator)
    return map(converted, adapter.get_numpy_iterator())
