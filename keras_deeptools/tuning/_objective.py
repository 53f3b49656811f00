"""What a search looks for, and whether more or less of it is better."""

from typing import Any

import keras_tuner

from keras_deeptools._arguments import message
from keras_deeptools.tuning._metric_directions import direction_of


class StatedObjective(keras_tuner.Objective):
    """An objective whose direction was thought of."""


def objective(name: str, direction: str | None = None) -> keras_tuner.Objective:
    """Makes the objective of a search, with the direction that its name tells.

    KerasTuner minimizes silently what it does not know to be maximized:
    `objective="val_f1_score"` finds the worst model, as do `"val_mean_io_u"`,
    `"val_r2_score"` and more of Keras' own metrics. Every metric and loss of Keras is
    known here, also after an output's name (`"val_head_accuracy"`) and before a number
    (`"val_auc_1"`); of other names the direction has to be given. `DeepHyperModel`,
    `TransferHyperModel` and `fit_trial` refuse, before the first trial trains, to
    search in the direction opposite to what the name tells, unless it was given here.

    Args:
        name: Str, a name in the logs of `fit`, such as `"val_f1_score"`.
        direction: `"min"`, `"max"`, or None: what the name tells.

    Returns:
        `keras_tuner.Objective`, for any tuner.

    Raises:
        TypeError: If `name` is not a string.
        ValueError: If `direction` is another one, or None where the name does not tell.

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
