"""All that an optimizer knows, as arrays and numbers, and back."""

import contextlib
from typing import Any

import numpy as np

from keras_deeptools.engine._births import settle
from keras_deeptools.engine._following import site_of
from keras_deeptools.engine._host import on_host
from keras_deeptools.engine._leaf import leaf_optimizers, optimizer_parts
from keras_deeptools.engine._own_steps import births_of, set_births


def optimizer_state(optimizer: Any) -> tuple[list[np.ndarray], list[list[int]]]:
    """Copies of an optimizer's variables, and when it began to train each weight.

    Without what is attached to it, also while it is attached, and with the learning
    rate that it has without it.

    Args:
        optimizer: Built Keras optimizer.

    Returns:
        List of arrays, and a list of ints for each optimizer inside that updates
        variables itself.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._optimizer_state import optimizer_state
    >>> optimizer = keras.optimizers.SGD(0.5)
    >>> optimizer.build([keras.Variable(1.0)])
    >>> values, births = optimizer_state(optimizer)
    >>> [value.tolist() for value in values], births
    ([0, 0.5], [[0]])
    """
    site = site_of(optimizer)
    with contextlib.nullcontext() if site is None else site.hidden():
        values = [on_host(variable) for variable in _variables(optimizer)]
    births = [
        [births_of(leaf).get(id(v), 0) for v in leaf._trainable_variables]
        for leaf in leaf_optimizers(optimizer)
    ]
    return values, births


def set_optimizer_state(
    optimizer: Any, values: list[np.ndarray], births: list[list[int]]
) -> None:
    """Gives an optimizer what `optimizer_state` returned; nothing may be attached.

    Args:
        optimizer: Keras optimizer, built for as many variables of the same shapes.
        values: List of arrays.
        births: List of lists of ints.

    Raises:
        ValueError: If they do not fit.
    """
    variables, leaves = _variables(optimizer), leaf_optimizers(optimizer)
    shapes = [tuple(variable.shape) for variable in variables]
    if shapes != [value.shape for value in values] or len(leaves) != len(births):
        raise ValueError(
            "set_optimizer_state: `values` must be those of an optimizer that was "
            f"built for the same weights. Received: {len(values)} arrays for "
            f"{len(variables)} variables of {type(optimizer).__name__}."
        )
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
    for leaf, counts in zip(leaves, births, strict=True):
        trained = leaf._trainable_variables
        pairs = zip(trained, counts, strict=True)
        set_births(leaf, {id(variable): count for variable, count in pairs})
    settle(optimizer)


def _variables(optimizer: Any) -> list[Any]:
    """All variables of an optimizer and those inside it, each once."""
    parts = optimizer_parts(optimizer)
    found = {id(v): v for part in parts for v in part.variables}
    return list(found.values())
