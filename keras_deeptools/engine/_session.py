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
    hyperparameters: list[Any] = field(default_factory=list)
    variables: list[Any] = field(default_factory=list)
