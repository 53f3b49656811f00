"""Checks of the arguments of the range test."""

import math
from typing import Any

from keras_deeptools._arguments import (
    checked_model,
    checked_verbose,
    is_integer,
    is_number,
    message,
)
from keras_deeptools.engine._update.model_optimizers import (
    ModelOptimizer,
    OptimizerChoice,
    chosen_optimizers,
    listed_names,
    model_optimizers,
)
from keras_deeptools.engine._update.update_watch import UpdateWatch

STEPS = (
    "The range test makes `num_steps` updates, and draws batches as often as it needs."
)

VALIDATION = "The range test looks at the training loss alone."

FIT_ARGUMENTS = {
    "epochs": STEPS,
    "initial_epoch": STEPS,
    "steps_per_epoch": STEPS,
    "steps": STEPS,
    "callbacks": "To have callbacks that act on updates take part, `attach` them.",
    "validation_split": "`fit` trains on the samples before those that it splits off: "
    "pass these, for instance `x[: int(len(x) * (1 - validation_split))]`.",
    "validation_data": VALIDATION,
    "validation_steps": VALIDATION,
    "validation_batch_size": VALIDATION,
    "validation_freq": VALIDATION,
}
"""Arguments of `fit` that the range test does not take, and what to do instead."""


def check_arguments(
    owner: str,
    *,
    min_learning_rate: Any,
    max_learning_rate: Any,
    num_steps: Any,
    ramp: Any,
    stop_factor: Any,
    smoothing: Any,
    verbose: Any,
    loss_name: Any = None,
) -> None:
    """Raises if an option is out of range."""
    if not _is_finite(min_learning_rate) or not min_learning_rate > 0:
        raise ValueError(
            message(owner, "min_learning_rate", "a float > 0", min_learning_rate)
        )
    if not _is_finite(max_learning_rate) or not max_learning_rate > min_learning_rate:
        rule = f"a float > min_learning_rate={min_learning_rate!r}"
        raise ValueError(message(owner, "max_learning_rate", rule, max_learning_rate))
    if not is_integer(num_steps) or not 10 <= num_steps < 2**30:
        rule = "an integer in [10, 2**30)"
        remedy = "Fewer steps do not show where the loss falls."
        raise ValueError(message(owner, "num_steps", rule, num_steps, remedy))
    if ramp not in ("exponential", "linear"):
        raise ValueError(message(owner, "ramp", "'exponential' or 'linear'", ramp))
    if stop_factor is not None and not (_is_finite(stop_factor) and stop_factor > 1):
        rule = "a float > 1, or None for no early end"
        raise ValueError(message(owner, "stop_factor", rule, stop_factor))
    if not _is_finite(smoothing) or not 0 <= smoothing < 1:
        raise ValueError(message(owner, "smoothing", "in [0, 1)", smoothing))
    checked_verbose(owner, verbose)
    if loss_name is not None and not isinstance(loss_name, str):
        raise TypeError(message(owner, "loss_name", "a str or None", loss_name))


def refuse_fit_arguments(owner: str, arguments: dict[str, Any]) -> None:
    """Raises for arguments that the range test does not have."""
    for name, value in arguments.items():
        remedy = FIT_ARGUMENTS.get(name)
        if remedy is None:
            raise TypeError(
                f"{owner}: `{name}` must be left out, because there is no such "
                f"argument. Received: {name}={value!r}."
            )
        raise TypeError(
            f"{owner}: `{name}` of `fit` must be left out. Received: {name}={value!r}. "
            f"{remedy}"
        )


def check_model(owner: str, model: Any) -> None:
    """Raises if `model` is not a compiled model."""
    checked_model(owner, model, "a compiled keras.Model")
    if not getattr(model, "compiled", False) or not model_optimizers(model):
        raise ValueError(
            f"{owner}: `model` must be compiled. Received: model={model.name!r}, which "
            "is not. Call `model.compile(optimizer, loss)` first."
        )


def check_trainable(owner: str, model: Any) -> None:
    """Raises for a built model in which nothing can be trained."""
    if not model.trainable_variables:
        raise ValueError(
            f"{owner}: `model` must have trainable weights. Received: "
            f"model={model.name!r}, where all layers are frozen or have no weights. "
            "Set `layer.trainable = True` where it should train, and compile again."
        )


def _is_finite(value: Any) -> bool:
    return is_number(value) and math.isfinite(value)


def chosen_optimizer(
    owner: str, model: Any, choice: OptimizerChoice
) -> list[ModelOptimizer]:
    """The optimizers that a user has chosen, or the one that the train step uses.

    Raises:
        ValueError: If the step uses several and none is chosen, or if there is none.
    """
    chosen = chosen_optimizers(model, choice, owner)
    if choice is None and len(chosen) > 1:
        raise ValueError(
            f"{owner}: `optimizer` must say whose learning rate is to grow, as "
            f"`train_step` uses {listed_names(chosen)}. Received: optimizer=None. Test "
            f'them one by one, for instance `optimizer="{chosen[0].name}"` with the '
            '`loss_name` of its loss, or all at once with a list or "all".'
        )
    return chosen


def check_used(watch: UpdateWatch) -> None:
    """Raises if other optimizers have made updates, but the chosen ones have not.

    Args:
        watch: `UpdateWatch` of the chosen optimizers, which have made no update yet.
    """
    others = watch.others_that_train()
    if others:
        raise ValueError(
            f"{watch.owner}: `optimizer` must be one that `train_step` uses. "
            f"Received: {listed_names(watch.chosen)}, which made no update, while "
            f'{listed_names(others)} did. Pass `optimizer="{others[0].name}"`.'
        )
