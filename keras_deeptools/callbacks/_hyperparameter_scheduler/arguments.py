"""What `HyperparameterScheduler` accepts as schedules, checked before training."""

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import keras

from keras_deeptools.engine import Leaf
from keras_deeptools.engine._update.scheduled_variables import model_variable
from keras_deeptools.schedules import Schedule


def checked_schedules(
    owner: str, schedules: Any
) -> tuple[dict[str, Callable], dict[str, Any]]:
    """Returns schedules by name, and the variables among the keys by their names.

    Args:
        owner: Str. Name of the caller, for errors.
        schedules: Dict from names to callables, or pairs of a name or a variable and a
            callable.

    Returns:
        Tuple of a dict from name to callable, and a dict from name to `keras.Variable`.
    """
    pairs = list(schedules.items()) if isinstance(schedules, dict) else schedules
    if not isinstance(pairs, list | tuple) or not pairs:
        error = ValueError if pairs == [] else TypeError
        raise error(
            f"{owner}: `schedules` must be a dict with at least one schedule. "
            f"Received: schedules={schedules!r}. Pass for instance "
            '`{"learning_rate": OneCycle(0.1, total_steps=1000)}`.'
        )
    checked: dict[str, Callable] = {}
    variables: dict[str, Any] = {}
    for pair in pairs:
        key, schedule = pair if _is_pair(pair) else (pair, None)
        is_variable = isinstance(key, keras.Variable)
        if not (isinstance(key, str) or is_variable) or not callable(schedule):
            raise TypeError(
                f"{owner}: `schedules` must map names to callables. Received: "
                f"{key!r} -> {schedule!r}. Use a schedule, or a function of the "
                "step; for a constant use `Constant(value)`."
            )
        name = key if isinstance(key, str) else key.name
        if name in checked and is_variable:
            name = key.path
        if name in checked:
            raise ValueError(
                f"{owner}: what is scheduled must have one schedule and a name of its "
                f"own. Received: {name!r} twice. Make variables with `name=`."
            )
        check_function(owner, name, schedule)
        checked[name] = schedule
        if is_variable:
            variables[name] = key
    return checked, variables


def _is_pair(pair: Any) -> bool:
    return isinstance(pair, list | tuple) and len(pair) == 2


def check_function(owner: str, name: str, schedule: Any) -> None:
    """Raises if a schedule cannot be a function of the step.

    Args:
        owner: Str. Name of the caller, for errors.
        name: Str. What is scheduled.
        schedule: What was given for it.
    """
    if isinstance(schedule, type):
        raise TypeError(
            f"{owner}: a schedule must be an object or a function. Received: {name!r} "
            f"-> the class {schedule.__name__}. Make an object of it: "
            f"`{schedule.__name__}(...)`."
        )
    if made_for_graphs(schedule):
        return
    try:
        signature = inspect.signature(schedule)
    except (TypeError, ValueError):
        return
    needed = [
        parameter
        for parameter in signature.parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    try:
        signature.bind(0)
    except TypeError:
        raise TypeError(
            f"{owner}: a schedule must be a function of one argument, the step "
            "(updates since the beginning). Received: "
            f"{name!r} -> a function of {signature}. "
            "Keras' LearningRateScheduler calls functions with the epoch and the "
            "learning rate; here, write the value at each step."
        ) from None
    if needed and needed[0].name in ("epoch", "epochs"):
        raise ValueError(
            f"{owner}: a schedule must be a function of the step (updates since the "
            f"beginning), not of the epoch. Received: {name!r} -> a function of "
            f"{signature}. Write `lambda step: function(step // updates_per_epoch)`, "
            "or name the argument `step` if it is one."
        )


def made_for_graphs(schedule: Any) -> bool:
    """Whether a schedule is from this package or Keras, which use tensor operations."""
    if isinstance(schedule, Schedule):
        return True
    own = type(schedule).__module__.split(".")[0] == "keras"
    return own and isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule)


def scheduled_variables(
    owner: str, leaf: Leaf, schedules: Iterable[str], given: dict[str, Any]
) -> dict[str, Any]:
    """The scheduled variables of the model, by name.

    Args:
        owner: Str. Name of the caller, for errors.
        leaf: `Leaf` of the optimizer, whose own attributes take precedence.
        schedules: Names of all scheduled hyperparameters and variables.
        given: Dict from name to `keras.Variable`, for keys that are variables.
    """
    found = {
        name: model_variable(owner, leaf, given.get(name, name))
        for name in schedules
        if not hasattr(leaf.optimizer, name)
    }
    return {name: each for name, each in found.items() if each is not None}
