"""Checks of what users pass to the range test."""

import math
from numbers import Integral, Real
from typing import Any

import keras

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


"""Arguments of `fit` that the range test has no use for, and what to do instead."""


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
    """Raises for an option that is out of range."""
    if not _is_number(min_learning_rate) or not min_learning_rate > 0:
        raise ValueError(
            _message(owner, "min_learning_rate", "a float > 0", min_learning_rate)
        )
    if not _is_number(max_learning_rate) or not max_learning_rate > min_learning_rate:
        rule = f"a float > min_learning_rate={min_learning_rate!r}"
        raise ValueError(_message(owner, "max_learning_rate", rule, max_learning_rate))
    if not _is_count(num_steps) or not 10 <= num_steps < 2**30:
        rule = "an integer in [10, 2**30)"
        raise ValueError(
            _message(owner, "num_steps", rule, num_steps)
            + " Fewer steps do not show where the loss falls."
        )
    if ramp not in ("exponential", "linear"):
        raise ValueError(_message(owner, "ramp", "'exponential' or 'linear'", ramp))
    if stop_factor is not None and not (_is_number(stop_factor) and stop_factor > 1):
        rule = "a float > 1, or None for no early end"
        raise ValueError(_message(owner, "stop_factor", rule, stop_factor))
    if not _is_number(smoothing) or not 0 <= smoothing < 1:
        raise ValueError(_message(owner, "smoothing", "in [0, 1)", smoothing))
    if verbose not in ("auto", 0, 1, 2):
        raise ValueError(_message(owner, "verbose", "'auto', 0, 1 or 2", verbose))
    if loss_name is not None and not isinstance(loss_name, str):
        raise TypeError(_message(owner, "loss_name", "a str or None", loss_name))


def refuse_fit_arguments(owner: str, arguments: dict[str, Any]) -> None:
    """Raises for arguments that are not those of the range test."""
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
    """Raises for what is no compiled model."""
    if not isinstance(model, keras.Model):
        raise TypeError(_message(owner, "model", "a compiled keras.Model", model))
    if not getattr(model, "compiled", False) or not model_optimizers(model):
        raise ValueError(
            f"{owner}: `model` must be compiled. Received: model={model.name!r}, which "
            "is not. Call `model.compile(optimizer, loss)` first."
        )


def check_trainable(owner: str, model: keras.Model) -> None:
    """Raises for a built model in which nothing can be trained."""
    if not model.trainable_variables:
        raise ValueError(
            f"{owner}: `model` must have trainable weights. Received: "
            f"model={model.name!r}, where all layers are frozen or have no weights. "
            "Set `layer.trainable = True` where it should train, and compile again."
        )


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    return math.isfinite(value)


def _is_count(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _message(owner: str, argument: str, rule: str, value: Any) -> str:
    return f"{owner}: `{argument}` must be {rule}. Received: {argument}={value!r}."


def chosen_optimizer(
    owner: str, model: keras.Model, choice: OptimizerChoice
) -> list[ModelOptimizer]:
    """The optimizers that a user has chosen, or the one that the train step uses.

    Raises:
        ValueError: If the step uses several and none has been chosen, or there is none.
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
    """Raises if other optimizers have made updates, while the chosen have made none.

    Args:
        watch: `UpdateWatch` of the chosen optimizers, which have made none yet.
    """
    others = watch.others_that_train()
    if others:
        raise ValueError(
            f"{watch.owner}: `optimizer` must be one that `train_step` uses. "
            f"Received: {listed_names(watch.chosen)}, which made no update, while "
            f'{listed_names(others)} did. Pass `optimizer="{others[0].name}"`.'
        )
