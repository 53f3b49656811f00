"""All seams, and the check that Keras still has them."""

import functools
import random
import threading
from typing import Any

from keras_deeptools.engine._keras_private import (
    data,
    graph,
    layers,
    optimizers,
    random as random_seams,
    saving,
    training,
)
from keras_deeptools.engine._keras_private.seam import Seam, missing_seams, samples

THEMES = {
    "layers": layers.SEAMS,
    "graph": graph.SEAMS,
    "optimizers": optimizers.SEAMS,
    "training": training.SEAMS,
    "data": data.SEAMS,
    "random": random_seams.SEAMS,
    "saving": saving.SEAMS,
}

SEAMS: tuple[Seam, ...] = tuple(seam for seams in THEMES.values() for seam in seams)
"""Every private name of Keras that this package builds on."""


def check_seams(owner: str, *themes: str) -> None:
    """Raises on a Keras that lacks what a feature builds on; looks once per process.

    Args:
        owner: Str. Who is named in the error.
        *themes: Str, keys of `THEMES`.

    Raises:
        KerasSeamError: It names the private name, the version of Keras, and what does
            not work without it.

    Example:

    >>> from keras_deeptools.engine._keras_private.registry import check_seams
    >>> check_seams("attach", "layers", "optimizers")
    """
    missing = [seam for theme in themes for seam in _missing(theme)]
    if missing:
        raise missing_seams(owner, missing)


@functools.cache
def _missing(theme: str) -> tuple[Seam, ...]:
    """The seams of a theme that Keras lacks.

    In a thread of its own: there is no trace, scope, strategy or counter of names in
    it that what is made for the check could meet or change.
    """
    found: list[Seam] = []

    def look() -> None:
        found.extend(seam for seam in THEMES[theme] if not seam.is_intact())

    drawn: Any = random.getstate()
    thread = threading.Thread(target=look, name="keras_deeptools_seams")
    thread.start()
    thread.join()
    # Layers are seeded from Python's generator, also where they draw nothing.
    random.setstate(drawn)
    samples.forget()
    return tuple(found)
