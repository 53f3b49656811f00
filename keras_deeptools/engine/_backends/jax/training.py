"""Train steps on JAX: what takes part in them, and tracing them again."""

import contextlib
from typing import Any

import jax

from keras_deeptools.engine._backends.common import (
    BUILDS_IN_STEP as BUILDS_IN_STEP,
)
from keras_deeptools.engine._backends.common import (
    between_steps as between_steps,
)
from keras_deeptools.engine._backends.common import (
    have_values as have_values,
)
from keras_deeptools.engine._backends.common import (
    reason_to_trace_again as reason_to_trace_again,
)
from keras_deeptools.engine._backends.common import (
    tracing as tracing,
)


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
    record_shardings(model)


def check_supported(optimizer: Any, model: Any, owner: str = "attach") -> None:
    """Accepts every JAX set-up: gradients inside `jit` are global arrays."""


def after(gradients: list[Any]) -> Any:
    """Nothing to wait for: a step runs only when it has its data."""
    return contextlib.nullcontext()


def variable_scope(optimizer: Any) -> Any:
    """A context in which the optimizer's variables may be created."""
    return jax.named_scope("keras_deeptools")


def fresh_step_function(model: Any) -> None:
    """Makes the model trace its train step again at the next call.

    `jax.jit` finds an earlier trace again through the equality of bound methods,
    so the step is traced under a function object of its own.
    """
    train_step = model.train_step

    def traced_step(state: Any, data: Any) -> Any:
        return train_step(state, data)

    record_shardings(model)
    overridden = "train_step" in model.__dict__
    model.__dict__["train_step"] = traced_step
    try:
        model.make_train_function(force=True)
    finally:
        if overridden:
            model.__dict__["train_step"] = train_step
        else:
            del model.__dict__["train_step"]


def record_shardings(model: Any) -> None:
    """Lets Keras up to 3.11 list anew how each variable lies on the devices.

    It lists them when `fit` begins, before callbacks have added any.
    """
    record = getattr(model, "_record_training_state_sharding_spec", None)
    if record is not None and model.optimizer is not None and model.optimizer.built:
        record()


def track(optimizer: Any, variable: Any) -> None:
    """Threads a variable through the compiled step with the optimizer's own."""
    optimizer._track_variable(variable)


def untrack(optimizer: Any, variable: Any) -> None:
    """Undoes `track`."""
    optimizer._untrack_variable(variable)


def synchronize(model: Any) -> None:
    """Brings the variables up to date with the state held by a running `fit`."""
    model.jax_state_sync()


def can_decay(optimizer: Any, variables: list[Any]) -> bool:
    """Whether weight decay accepts these variables."""
    return True


def count_skipped(optimizer: Any, counter: Any) -> dict[str, Any]:
    """Methods for a LossScaleOptimizer that count its skipped updates."""
    handle = optimizer._stateless_handle_non_finite_grads

    def handle_and_count(optimizer_variables: Any, trainable_variables: Any) -> Any:
        trainable, values = handle(optimizer_variables, trainable_variables)
        index = next(i for i, v in enumerate(optimizer.variables) if v is counter)
        values = list(values)
        values[index] = values[index] + 1
        return trainable, values

    return {"_stateless_handle_non_finite_grads": handle_and_count}
