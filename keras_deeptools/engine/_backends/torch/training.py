"""Train steps on torch: what takes part in them."""

import contextlib
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import keras
import torch

from keras_deeptools.engine._backends import common
from keras_deeptools.engine._backends.common import (
    BUILDS_IN_STEP as BUILDS_IN_STEP,
    LOOPS_HOLD_STATE as LOOPS_HOLD_STATE,
    LOSES_VALUES as LOSES_VALUES,
    SILENT_ON_WRONG_LABELS as SILENT_ON_WRONG_LABELS,
    after as after,
    are_lost as are_lost,
    between_steps as between_steps,
    check_deferred_build as check_deferred_build,
    count_skipped as count_skipped,
    forget_traced as forget_traced,
    functions_in_trace as functions_in_trace,
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
from keras_deeptools.engine._keras_private.training import (
    build_for,
    forget_parallel,
    functions_of_losses,
)
from keras_deeptools.engine._patching import replaced_in_thread


def check_supported(optimizer: Any, model: Any, owner: str = "attach") -> None:
    """Raises where weights are split over processes; whole ones are accepted.

    `DistributedDataParallel` reduces gradients before an optimizer is given them.
    """
    distribution = keras.distribution.distribution()
    if isinstance(distribution, keras.distribution.ModelParallel):
        raise ValueError(
            f"{owner}: on the torch backend each process must have whole weights, "
            "because torch cannot compute statistics of gradients that are split "
            "(DTensor). Received: the distribution is ModelParallel. Use "
            "`keras.distribution.DataParallel`, or ModelParallel on the JAX backend."
        )


def forget(model: Any) -> None:
    """Makes the model make its steps again, for the variables that it now trains."""
    wrapped = forget_parallel(model)
    common.forget(model)
    if not wrapped and _trains_in_several_processes(model):
        warnings.warn(
            f"What {model.name!r} trains has changed, and torch reduces the gradients "
            "of what was trained when a model was wrapped. If it is wrapped, wrap it "
            "again: `torch.nn.parallel.DistributedDataParallel(model)`.",
            stacklevel=3,
        )


def _trains_in_several_processes(model: Any) -> bool:
    processes = torch.distributed
    if not processes.is_available() or not processes.is_initialized():
        return False
    counted = None
    if model.optimizer is not None:
        counted = optimizers.counted_batches(model.optimizer)
    has_begun = counted is not None and int(counted) > 0
    return has_begun and processes.get_world_size() > 1


def uncompiled(update: Callable, model: Any) -> Callable:
    """An update that `torch.compile` leaves as it is, also in a step that it compiles.

    Features count with Python numbers on a CPU, each of which Dynamo would take for a
    constant: it would compile the update again at each step. It ends its graph at the
    optimizer anyway, whose fused kernels would gain nothing.
    """
    if getattr(model, "jit_compile", False) or "torch._dynamo" in sys.modules:
        return torch.compiler.disable(update)
    return update


def variable_scope(optimizer: Any) -> Any:
    """A context in which the optimizer's variables may be created."""
    return contextlib.nullcontext()


def fresh_step_function(model: Any) -> None:
    """Lets the model look up its train step again.

    Steps are not traced on this backend, but from Keras 3.16 on the model keeps the one
    that it had when `fit` began.
    """
    model.make_train_function(force=True)


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
    """A block in which, in this thread, sparse cross-entropy takes pixels as samples.

    Keras 3.15 gives torch a view with the classes moved to the second axis, through
    which torch does not go back on a CPU.
    """
    return replaced_in_thread(
        functions_of_losses(), "sparse_categorical_crossentropy", _by_rows
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
