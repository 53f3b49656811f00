"""Train steps on torch: what takes part in them."""

import contextlib
from typing import Any

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
    """Makes the model trace its train step again."""
    if model.train_function is not None:
        model.make_train_function(force=True)


def check_supported(optimizer: Any, model: Any, owner: str = "attach") -> None:
    """Raises for a model that `torch.compile` traces."""
    if model is not None and getattr(model, "jit_compile", False) is True:
        raise ValueError(
            "attach: a model on the torch backend must be compiled with "
            "`jit_compile=False`: torch.compile caches the traced step by its code "
            "and would go on without what is attached. Received: jit_compile=True. "
            "Call `model.compile(..., jit_compile=False)`."
        )


def after(gradients: list[Any]) -> Any:
    """Nothing to wait for: a step runs only when it has its data."""
    return contextlib.nullcontext()


def variable_scope(optimizer: Any) -> Any:
    """A context in which the optimizer's variables may be created."""
    return contextlib.nullcontext()


def fresh_step_function(model: Any) -> None:
    """Nothing to do: steps are not traced on this backend."""


def track(optimizer: Any, variable: Any) -> None:
    """Nothing to do: the step reads and writes variables wherever they are."""


def untrack(optimizer: Any, variable: Any) -> None:
    """Nothing to undo."""


def synchronize(model: Any) -> None:
    """Nothing to do: variables are always up to date on this backend."""


def can_decay(optimizer: Any, variables: list[Any]) -> bool:
    """Whether weight decay accepts these variables: fused, it needs one at least."""
    return any(optimizer._use_weight_decay(variable) for variable in variables)


def count_skipped(optimizer: Any, counter: Any) -> dict[str, Any]:
    """Methods for a LossScaleOptimizer that count its skipped updates."""
    handle = optimizer._stateful_handle_non_finite_grads

    def handle_and_count() -> None:
        handle()
        counter.assign_add(1)

    return {"_stateful_handle_non_finite_grads": handle_and_count}
