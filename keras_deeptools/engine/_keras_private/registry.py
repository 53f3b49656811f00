"""All seams, and the check that Keras still has them."""

import functools
import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Any

import keras

from keras_deeptools.engine._keras_private import (
    data,
    graph,
    layers,
    optimizers,
    random as random_seams,
    saving,
    training,
)
from keras_deeptools.engine._keras_private.seam import (
    Seam,
    Theme,
    missing_seams,
    samples,
)

PASSIVE = "schedules, initializers, layers, losses and metrics"
ATTACHED = "callbacks that act on updates, freezing and unfreezing"

THEMES = {
    "layers": Theme(layers.SEAMS, PASSIVE),
    "graph": Theme(graph.SEAMS, f"{ATTACHED}; {PASSIVE}"),
    "optimizers": Theme(
        optimizers.SEAMS, f"`mc_predict`, calibration, `audit`; {PASSIVE}"
    ),
    "training": Theme(training.SEAMS, f"{ATTACHED}, `mc_predict`; {PASSIVE}"),
    "data": Theme(data.SEAMS, f"{ATTACHED}; {PASSIVE}"),
    "random": Theme(random_seams.SEAMS, f"{ATTACHED}, calibration; {PASSIVE}"),
    "saving": Theme(saving.SEAMS, f"`mc_predict`, calibration, `audit`; {PASSIVE}"),
}

SEAMS: tuple[Seam, ...] = tuple(s for theme in THEMES.values() for s in theme.seams)
"""Every private name of Keras that this package builds on."""

LOG = logging.getLogger("keras_deeptools")


def check_seams(owner: str, *themes: str) -> None:
    """Raises on a Keras that lacks what a feature builds on; looks once per process.

    Args:
        owner: Str. Name of the caller, for the error.
        *themes: Str, keys of `THEMES`.

    Raises:
        KerasSeamError: It names the private name, the version of Keras, and what does
            not work without it.

    Example:

    >>> from keras_deeptools.engine._keras_private.registry import check_seams
    >>> check_seams("attach", "layers", "optimizers")
    """
    for theme in themes:
        missing = _missing(theme)
        if missing:
            raise missing_seams(owner, missing, THEMES[theme].works_without)


@functools.cache
def _missing(theme: str) -> tuple[Seam, ...]:
    """The seams of a theme that Keras lacks."""

    def look() -> list[Seam]:
        return [seam for seam in THEMES[theme].seams if not seam.is_intact()]

    return tuple(looked_at(theme, len(THEMES[theme].seams), look))


def looked_at(theme: str, count: int, look: Callable[[], list[Seam]]) -> list[Seam]:
    """Runs a check in a separate thread, and returns the seams that it finds missing.

    A separate thread has no trace, scope, strategy or counter of names that the objects
    of the check could meet or change.

    Args:
        theme: Str, what is checked, for the log.
        count: Int, the number of seams.
        look: Function that returns those that are missing.
    """
    found: list[Seam] = []
    began = time.perf_counter()
    drawn: Any = random.getstate()
    thread = threading.Thread(
        target=lambda: found.extend(look()), name="keras_deeptools_seams"
    )
    thread.start()
    thread.join()
    # Layers are seeded from Python's generator, also where they draw nothing.
    random.setstate(drawn)
    samples.forget()
    LOG.debug(
        "Keras %s: %d of %d canaries of %r pass (%.0f ms)",
        keras.__version__,
        count - len(found),
        count,
        theme,
        1000 * (time.perf_counter() - began),
    )
    return found
