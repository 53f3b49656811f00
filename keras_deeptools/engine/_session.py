"""One feature at work."""

from dataclasses import dataclass, field
from typing import Any

from keras_deeptools.engine._leaf import Leaf


@dataclass(eq=False)
class Session:
    """One feature at work on one leaf optimizer."""

    feature: Any
    leaf: Leaf
    state: Any = None
    prepared: bool = False
    hyperparameters: list[Any] = field(default_factory=list)
    variables: list[Any] = field(default_factory=list)


def check_free(leaf: Leaf, name: str, owner: str) -> None:
    """Raises if a hyperparameter is scheduled already."""
    if name in leaf.scheduled:
        raise ValueError(
            f"{owner}: a hyperparameter can have one schedule. Received: {name!r}, "
            "which another attached feature schedules already. Use one of the two."
        )
