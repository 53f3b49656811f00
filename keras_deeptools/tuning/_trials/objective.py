"""What a search looks for, and whether more or less of it is better."""

import difflib
import math
import warnings
from typing import Any

import keras
import keras_tuner

from keras_deeptools._arguments import message
from keras_deeptools.statistics._metric_direction import direction_of


class StatedObjective(keras_tuner.Objective):
    """An objective whose direction was thought of."""


def objective(name: str, direction: str | None = None) -> keras_tuner.Objective:
    """Makes the objective of a search, with the direction that its name implies.

    KerasTuner silently minimizes every metric that it does not know:
    `objective="val_f1_score"` finds the worst model, as do `"val_mean_io_u"`,
    `"val_r2_score"` and more of Keras' own metrics. This function knows every metric
    and loss of Keras, also after an output's name (`"val_head_accuracy"`) and before a
    number (`"val_auc_1"`); for other names the direction must be given.
    `DeepHyperModel`, `TransferHyperModel` and `fit_trial` refuse, before the first
    trial trains, to search in the direction opposite to that of the name, unless the
    direction was given here.

    Args:
        name: Str, a name in the logs of `fit`, such as `"val_f1_score"`.
        direction: `"min"`, `"max"`, or None: the one that the name implies.

    Returns:
        `keras_tuner.Objective`, for any tuner.

    Raises:
        TypeError: If `name` is not a string.
        ValueError: If `direction` is another one, or None for an unknown name.

    Example:

    >>> from keras_deeptools.tuning import objective
    >>> print(objective("val_f1_score"))
    Objective(name="val_f1_score", direction="max")
    >>> print(objective("val_profit", "max"))
    Objective(name="val_profit", direction="max")
    """
    if not isinstance(name, str) or not name:
        raise TypeError(message("objective", "name", "a name in the logs", name))
    if direction not in ("min", "max", None):
        rule = "'min', 'max' or None"
        raise ValueError(message("objective", "direction", rule, direction))
    found = direction or direction_of(name)
    if found is None:
        rule = "'min' or 'max' where the name does not tell"
        remedy = f"Received: name={name!r}. Give direction='max' if more is better."
        raise ValueError(message("objective", "direction", rule, direction, remedy))
    return StatedObjective(name, found)


def check_direction(objective: Any) -> None:
    """Raises where a search goes in the direction opposite to what a name tells.

    Args:
        objective: `keras_tuner.Objective` of a tuner's oracle.
    """
    for one in getattr(objective, "objectives", [objective]):
        told = direction_of(one.name)
        if isinstance(one, StatedObjective) or told in (None, one.direction):
            continue
        doing = "minimizes" if one.direction == "min" else "maximizes"
        better = "more" if told == "max" else "less"
        raise keras_tuner.errors.FatalValueError(
            f"The search {doing} {one.name!r}, of which {better} is better. Received: "
            f"objective={one.name!r}. Give the tuner "
            f"objective=keras_deeptools.tuning.objective({one.name!r}), or with "
            f"{one.direction!r} as its direction if that is what you want."
        )


TOLD = "_keras_deeptools_told"
"""Marks an objective of which a search has been warned."""


class ObjectiveCheck(keras.callbacks.Callback):
    """Says in the first epoch that the objective is not logged, and what is.

    Args:
        objective: `keras_tuner.Objective` of the search.
        validation_freq: Int or list of ints, as in `fit`.
        must_log: Bool. Whether the search ends with an error where the objective is
            not in the logs. A `HyperModel.fit` of the user's own may return it instead;
            then this is a warning.
    """

    def __init__(self, objective: Any, validation_freq: Any, must_log: bool) -> None:
        super().__init__()
        self._objective = objective
        self._must_log = must_log
        freq = validation_freq
        self._wait = freq if isinstance(freq, int) else min(freq, default=1)
        self._num_epochs = 0

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Looks, once validation has been."""
        self._num_epochs += 1
        if self._num_epochs == max(self._wait, 1):
            self._look(logs or {})

    def _look(self, logs: dict[str, Any]) -> None:
        each = getattr(self._objective, "objectives", [self._objective])
        missing = [one.name for one in each if one.name not in logs]
        if not missing or missing == ["default_objective"]:
            return
        text = _told(missing[0], list(logs))
        if self._must_log:
            raise keras_tuner.errors.FatalValueError(text)
        if TOLD not in vars(self._objective):
            setattr(self._objective, TOLD, True)
            warnings.warn(
                f"{text} Every trial fails, unless the `fit` of your HyperModel "
                "returns the value itself.",
                stacklevel=2,
            )


def _told(name: str, names: list[str]) -> str:
    text = (
        f"search: `objective` must be in the logs of the trials. Received: "
        f"objective={name!r}, where the logs hold {', '.join(map(repr, names))}."
    )
    similar = difflib.get_close_matches(name, names, 1)
    if name.startswith("val_") and not any(one.startswith("val_") for one in names):
        return f"{text} Give `search` validation_data or validation_split."
    if similar:
        return f"{text} Did you mean {similar[0]!r}?"
    return f"{text} Name one of these, or compile the model with metrics that log it."


def in_every_epoch(
    history: Any, objective: Any, logged: dict[str, list[float]]
) -> None:
    """Lets values of an objective stand at their epochs where validation skips some.

    KerasTuner takes the values of a history for those of one epoch after another.

    Args:
        history: `keras.callbacks.History`.
        objective: `keras_tuner.Objective` of the search.
        logged: Dict from names to the values of all epochs, NaN where there was none.
    """
    for one in getattr(objective, "objectives", [objective]):
        values = history.history.get(one.name)
        if not values or len(values) >= len(logged.get(one.name, ())):
            continue
        worst = float("-inf" if one.direction == "max" else "inf")
        history.history[one.name] = [
            worst if math.isnan(each) else each for each in logged[one.name]
        ]
