"""What was given to show of a run, with the names of its sections."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import message
from keras_deeptools.report._gradient_charts import is_gradient_monitor
from keras_deeptools.report._rendering import RULE, shows_itself

_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def named(owner: str, monitors: Any) -> tuple[dict[str, Any], list[str]]:
    """What can be shown by the name of its section, and the callbacks that cannot.

    Args:
        owner: Str. Whom an error names.
        monitors: Objects, or a dict from names to them.
    """
    rule = f"a list of objects to show, or a dict from names to them: {RULE}"
    if isinstance(monitors, Mapping):
        pairs = [(str(name), one) for name, one in monitors.items()]
    elif isinstance(monitors, Iterable) and not isinstance(monitors, str):
        pairs = [("", one) for one in monitors]
    else:
        raise TypeError(message(owner, "monitors", rule, monitors))
    shown: dict[str, Any] = {}
    unseen = []
    for name, one in pairs:
        if isinstance(one, keras.callbacks.Callback) and not shows_itself(one):
            # A callback that keeps what it found is shown by that.
            one = getattr(one, "result", None) or one
        if shows_itself(one):
            shown[_free(name or _title(one), shown)] = one
        elif isinstance(one, keras.callbacks.Callback):
            unseen.append(type(one).__name__)
        else:
            raise TypeError(message(owner, "monitors", rule, one))
    return shown, unseen


def is_scheduler(thing: Any) -> bool:
    """Whether it has recorded hyperparameters by update."""
    history, steps = getattr(thing, "history", None), getattr(thing, "steps", None)
    if not isinstance(history, dict) or not isinstance(steps, np.ndarray):
        return False
    return all(np.shape(values) == steps.shape for values in history.values())


def _title(one: Any) -> str:
    if is_gradient_monitor(one):
        return "Gradients"
    words = _WORDS.split(type(one).__name__.strip("_"))
    lower = [word if word.isupper() else word.lower() for word in words[1:]]
    return " ".join([words[0], *lower])


def _free(name: str, taken: Mapping[str, Any]) -> str:
    """The name, with a number where there is one like it."""
    number, found = 1, name
    while found in taken:
        number += 1
        found = f"{name} {number}"
    return found
