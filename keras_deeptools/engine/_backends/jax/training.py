"""Train steps on JAX: what takes part in them, and tracing them again."""

import gc
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import jax
import keras

from keras_deeptools.engine._backends.common import (
    BUILDS_IN_STEP as BUILDS_IN_STEP,
    after as after,
    between_steps as between_steps,
    can_decay as can_decay,
    check_deferred_build as check_deferred_build,
    have_values as have_values,
    on_each_replica as on_each_replica,
    reason_to_trace_again as reason_to_trace_again,
    row_losses as row_losses,
    single_steps as single_steps,
    trace_step as trace_step,
    tracing as tracing,
    uncompiled as uncompiled,
    unmerged_methods as unmerged_methods,
)
from keras_deeptools.engine._backends.jax.tensors import forget_function, is_compiled
from keras_deeptools.engine._keras_private import optimizers
from keras_deeptools.engine._keras_private.data import (
    as_jax,
    batches_in,
    epoch_iterator,
    on_jax_devices,
)
from keras_deeptools.engine._keras_private.layers import value_of
from keras_deeptools.engine._keras_private.training import (
    JAX_STATE,
    begin_jax_step,
    build_for,
    end_jax_step,
    jax_state,
    list_jax_shardings,
)
from keras_deeptools.engine._patching import replaced


def forget(model: Any) -> None:
    """Makes the model trace every step again.

    All of them map lists of values to lists of variables, and which variable is in
    which list changes with what is trained. `jax.jit` would find the old trace again
    through the equality of bound methods, even after `compile`.
    """
    for step in (model.train_step, model.test_step):
        jax.jit(step).clear_cache()
    model.test_function = None
    model.predict_function = None
    if model.train_function is not None:
        model.make_train_function(force=True)
    list_jax_shardings(model)


def check_supported(optimizer: Any, model: Any, owner: str = "attach") -> None:
    """Accepts every JAX set-up: gradients inside `jit` are global arrays."""


def variable_scope(optimizer: Any) -> Any:
    """A context in which the optimizer's variables may be created."""
    return jax.named_scope("keras_deeptools")


def fresh_step_function(model: Any) -> None:
    """Makes the model trace its train step again at the next call.

    `jax.jit` finds an earlier trace again through the equality of bound methods,
    so the step is traced under a new function object.
    """
    train_step = model.train_step

    def traced_step(state: Any, data: Any) -> Any:
        return train_step(state, data)

    list_jax_shardings(model)
    with replaced(model, "train_step", traced_step):
        model.make_train_function(force=True)


_TRACES = "cache_miss"
"""What JAX calls its function that traces another, which it has under `fun`."""


def functions_in_trace() -> list[Any]:
    """The functions under `jax.jit` that are being traced, the innermost first.

    Those that Keras has put under it are left out.
    """
    found: list[Any] = []
    frame: FrameType | None = sys._getframe()
    function = None
    while frame is not None:
        home = frame.f_globals.get("__name__", "").partition(".")[0]
        if function is not None and home != "jax":
            if home != "keras":
                found.append(function)
            function = None
        if home == "jax" and frame.f_code.co_name == _TRACES:
            function = frame.f_locals.get("fun")
        frame = frame.f_back
    return found


def forget_traced(function: Any) -> None:
    """Lets every `jax.jit` of a function trace it again at the next call."""
    for holder in gc.get_referrers(function):
        if is_compiled(holder):
            forget_function(holder)


def track(optimizer: Any, variable: Any) -> None:
    """Threads a variable through the compiled step with the optimizer's own."""
    optimizers.track(optimizer, variable)


def untrack(optimizer: Any, variable: Any) -> None:
    """Undoes `track`."""
    optimizers.untrack(optimizer, variable)


def synchronize(model: Any) -> None:
    """Brings the variables up to date with the state held by a running `fit`."""
    model.jax_state_sync()


def count_skipped(optimizer: Any, counter: Any) -> dict[str, Any]:
    """Methods for a LossScaleOptimizer that count its skipped updates."""
    handle = getattr(optimizer, optimizers.STATELESS_SKIP)

    def handle_and_count(optimizer_variables: Any, trainable_variables: Any) -> Any:
        trainable, values = handle(optimizer_variables, trainable_variables)
        index = next(i for i, v in enumerate(optimizer.variables) if v is counter)
        values = list(values)
        values[index] = values[index] + 1
        return trainable, values

    return {optimizers.STATELESS_SKIP: handle_and_count}


LOOPS_HOLD_STATE = True
"""Whether loops thread the optimizer's state by hand, and assign it in the end."""

LOSES_VALUES = True
"""Whether a step that fails takes the values of the variables along."""


def are_lost(variables: list[Any]) -> bool:
    """Whether the memory of a variable has been reused."""
    values = [value_of(variable) for variable in variables]
    return any(value is None or value.is_deleted() for value in values)


SILENT_ON_WRONG_LABELS = True
"""Whether training on labels that are no classes raises no error."""


def run_step(model: Any, batch: Any, reset: Any) -> Any:
    """Runs the compiled step on a batch, after `reset(model)`; its logs."""
    build_for(model, data_batch=batch)
    model.make_train_function()
    reset(model)
    list_jax_shardings(model)
    state = jax_state(model, JAX_STATE)
    begin_jax_step(model)
    logs, state = model.train_function(state, iter([batch]))
    end_jax_step(model, dict(zip(JAX_STATE, state, strict=True)))
    model.jax_state_sync()
    return logs


def iterator_of(model: Any) -> Callable[..., Any]:
    """What makes the iterator by which `fit` feeds a model."""
    return epoch_iterator("backend.jax.trainer", "JAXEpochIterator")


def converted(batch: Any) -> Any:
    """A batch of numpy arrays in the form in which `fit` hands it to the step.

    On a CPU that is numpy arrays.
    """
    batch = as_jax(batch)
    distributed = keras.distribution.distribution() is not None
    if distributed or jax.default_backend() != "cpu":
        return on_jax_devices(batch)
    return batch


def as_tensors(batch: Any) -> Any:
    """A batch of arrays as the step takes it when it is called on it."""
    return batch


def of_epoch(iterator: Any) -> Iterator[Any]:
    """The batches of one epoch, as `fit` would hand them to the step."""
    return batches_in(iterator)
