"""Layers as users name them: by name, pattern, instance or a function of a layer."""

from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any

import keras

from keras_deeptools._arguments import message

Choice = str | Callable[[Any], Any]
"""A name, a pattern, a layer (which can be called too) or a function of a layer."""

Layers = Choice | Sequence[Choice] | None


def checked_choices(owner: str, layers: Layers) -> list[Any] | None:
    """The choices as a list, None for all layers; an error for anything else."""
    if layers is None:
        return None
    choices: Any = [layers] if isinstance(layers, str) or callable(layers) else layers
    rule = "None, or one or more names, patterns, layers or functions of a layer"
    remedy = "Leave it out to choose all layers."
    if not (
        isinstance(choices, (list, tuple))
        and all(isinstance(choice, str) or callable(choice) for choice in choices)
    ):
        raise TypeError(message(owner, "layers", rule, layers, remedy))
    if not choices:
        raise ValueError(message(owner, "layers", rule, layers, remedy))
    return list(choices)


def layer_fits(layer: keras.Layer, pattern: str) -> bool:
    """Whether the layer's name, or its path where the pattern has a `/`, fits."""
    if "/" in pattern:
        return path_fits(layer.path or layer.name, pattern)
    return fnmatchcase(layer.name, pattern)


def path_fits(path: str, pattern: str) -> bool:
    """Whether a pattern with a `/` fits the whole path or its end."""
    whole = fnmatchcase(path, pattern) or fnmatchcase(path, f"*/{pattern}")
    return "/" in pattern and whole


def parent_fits(path: str, pattern: str) -> bool:
    """Whether a pattern fits one of the names that a path goes through."""
    return any(fnmatchcase(parent, pattern) for parent in path.split("/")[:-1])


def listed(names: Iterable[str]) -> str:
    """The names that there are, each once, for an error."""
    return f"Available: {', '.join(dict.fromkeys(names))}."
