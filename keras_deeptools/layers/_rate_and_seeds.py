"""The dropout rate and the seed that several layers take."""

from typing import Any

import numpy as np

from keras_deeptools._arguments import checked_rate, checked_seed


def checked_dropout_rate(owner: str, rate: Any) -> float:
    """Return `rate` as a float in [0, 1), or raise."""
    remedy = "Give the fraction of units to drop, such as 0.1."
    return checked_rate(owner, "rate", rate, remedy)


def spawned_seeds(owner: str, seed: Any, number: int) -> list[int | None]:
    """Distinct seeds for the parts of a layer or a model, from the one given.

    Args:
        owner: Str. Whom an error names.
        seed: Int >= 0, or None, which gives None for each part.
        number: Int >= 1, how many there shall be.
    """
    if checked_seed(owner, seed) is None:
        return [None] * number
    state = np.random.SeedSequence(seed).generate_state(number)
    return [int(word) % 2**31 for word in state]
