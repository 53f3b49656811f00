"""Averages of weights as they are kept in files, with the weights that they hide."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_deeptools.callbacks._running_average import RunningAverage

State = tuple[dict[str, Any], list[np.ndarray]]


def written(
    model: keras.Model, states: Sequence[RunningAverage], own: list[tuple[Any, Any]]
) -> State:
    """What a file should hold beside the weights that the model shows.

    Args:
        model: `keras.Model`.
        states: List of `RunningAverage`, one for each optimizer.
        own: List of tuples of a variable and its own value, where it shows another.

    Returns:
        Dict, as JSON has it, and list of float32 arrays.
    """
    places = {id(variable): place for place, variable in enumerate(model.variables)}
    arrays = [array for state in states for array in state.arrays()]
    arrays += [keras.ops.convert_to_numpy(value) for _, value in own]
    found = {
        "seen": [int(state.leaf.read(state.num_seen)) for state in states],
        "own": [places[id(variable)] for variable, _ in own],
    }
    return found, [np.array(array, "float32") for array in arrays]


def put_back(
    model: keras.Model,
    states: Sequence[RunningAverage],
    found: dict[str, Any],
    arrays: list[np.ndarray],
) -> None:
    """Sets the averages, and the model's own weights, once a file has been loaded.

    Args:
        model: `keras.Model`.
        states: List of `RunningAverage`, as when the file was written.
        found: Dict that `written` returned.
        arrays: Its arrays.
    """
    rest = iter(arrays)
    for state, seen in zip(states, found["seen"], strict=True):
        state.restore(seen, rest)
    variables = model.variables
    for place, array in zip(found["own"], rest, strict=True):
        states[0].leaf.assign(variables[place], array)
