"""Slots in files, for whoever counts all variables alike.

Files hold no counts that Keras would know of. Averages that started late are therefore
written as large as the optimizer's own count expects them, so that training goes on
without too long steps wherever the file is loaded. The factors are powers of two: who
knows the counts gets the averages back bit for bit.
"""

import math
from typing import Any

import keras
import numpy as np

from keras_deeptools.engine._leaf import leaf_optimizers
from keras_deeptools.engine._own_steps import births_of, num_updates

FIRST = {"_momentums": "beta_1", "_m": "beta_1", "momentums": "adam_beta_1"}
SECOND = {
    "_velocities": "beta_2",
    "_velocity_hats": "beta_2",
    "adam_velocities": "adam_beta_2",
}
"""Lists of averages that the optimizer corrects, and their decay."""

of = keras.optimizers
AVERAGING = (of.Adam, of.Nadam, of.Adamax, of.Lamb, of.Muon)


def scale_saved(store: Any, optimizer: Any) -> bool:
    """Scales what was written; False, and all as it was, if nothing or not finite.

    Args:
        store: What `save_own_variables` has written to.
        optimizer: Keras optimizer, or one around others.
    """
    scaled = {}
    for position, power in _powers(optimizer).items():
        if str(position) in store.keys():
            value = np.asarray(store[str(position)])
            scaled[str(position)] = value * np.asarray(2.0**power, value.dtype)
    finite = [np.isfinite(value.astype("float32")).all() for value in scaled.values()]
    if not scaled or not all(finite):
        return False
    for key, value in scaled.items():
        del store[key]
        store[key] = value
    return True


def unscale_loaded(optimizer: Any) -> None:
    """Gives the slots back the sizes that they had, births being known again."""
    variables = optimizer.variables
    for position, power in _powers(optimizer).items():
        variable = variables[position]
        variable.assign(keras.ops.multiply(variable, 2.0**-power))


def _powers(optimizer: Any) -> dict[int, int]:
    """Positions among the optimizer's variables -> exponents of two, if not 0."""
    found: dict[int, int] = {}
    for leaf in leaf_optimizers(optimizer):
        found |= exponents(leaf)
    listed = enumerate(optimizer.variables)
    return {i: found[id(v)] for i, v in listed if found.get(id(v))}


def exponents(leaf: Any) -> dict[int, int]:
    """Identity of each slot to be scaled -> the power of two to write it with."""
    births, count = births_of(leaf), num_updates(leaf)
    found: dict[int, int] = {}
    if not isinstance(leaf, AVERAGING):
        return found
    for position, variable in enumerate(leaf._trainable_variables):
        own = count - births.get(id(variable), 0)
        if not 0 < own < count or _is_without_second(leaf, position):
            continue
        # Rounded so that steps are rather shorter than longer.
        for slots, round_ in ((FIRST, math.floor), (SECOND, math.ceil)):
            for name, decay in slots.items():
                listed = vars(leaf).get(name)
                if listed and hasattr(leaf, decay):
                    power = _log2_correction(float(getattr(leaf, decay)), own, count)
                    found[id(listed[position])] = round_(power)
    return found


def _log2_correction(decay: float, own: int, count: int) -> float:
    return math.log2((1 - decay**count) / (1 - decay**own))


def _is_without_second(leaf: Any, position: int) -> bool:
    """Whether Muon updates this variable without averages that it corrects."""
    listed = vars(leaf).get("adam_velocities")
    return listed is not None and listed[position] is None
