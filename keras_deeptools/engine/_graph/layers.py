"""Which layer holds a variable and as what, and how users name layers."""

import gc
import re
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any

import keras

from keras_deeptools._arguments import message
from keras_deeptools.engine._keras_private.layers import (
    current_path,
    flat_layers,
    held_states,
    held_weights,
)

Choice = str | Callable[[Any], Any]
"""A name, a pattern, a layer (which can be called too) or a function of a layer."""

Layers = Choice | Sequence[Choice] | None


def layers_of(layer: keras.Layer) -> list[tuple[keras.Layer, dict[str, Any]]]:
    """The layers inside a model or layer, itself first, with the variables they hold.

    Walks into nested models, wrappers, recurrent cells and lists of layers; a layer
    that is used several times is listed once.

    Args:
        layer: `keras.Layer`, for instance a model.

    Returns:
        List of tuples of a layer and a dict from role to variable, for variables
        that the layer holds itself. The role is the name of the attribute, such as
        `"kernel"`, else the name of the variable.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._graph.layers import layers_of
    >>> model = keras.Sequential([keras.Input((2, 3)), keras.layers.LSTM(4)])
    >>> for layer, variables in layers_of(model):
    ...     print(type(layer).__name__, sorted(variables))
    Sequential []
    InputLayer []
    LSTM []
    LSTMCell ['bias', 'kernel', 'recurrent_kernel']
    """
    return [(inner, _held_by(inner)) for inner in flat_layers(layer)]


def _held_by(layer: keras.Layer) -> dict[str, Any]:
    names = {
        id(value): name.lstrip("_")
        for name, value in vars(layer).items()
        if isinstance(value, keras.Variable)
    }
    held: dict[str, Any] = {}
    for variable in [*held_weights(layer), *held_states(layer)]:
        role = names.get(id(variable), variable.name)
        held[role if role not in held else f"{role}_{len(held)}"] = variable
    return held


def models_alive() -> list[keras.Model]:
    """All models of the process, to find those that hold some layer or optimizer.

    They are read from the garbage collector: neither a layer nor an optimizer knows the
    models that it is part of, and a separate list would miss models that were made
    before this package was imported. So this function is used only when layers are
    frozen or unfrozen, when a file that says so is loaded, or when features are
    attached to an optimizer without its model; never in a step.
    """
    return [each for each in gc.get_objects() if issubclass(type(each), keras.Model)]


def may_be_kernel(layer: keras.Layer, variable: Any) -> bool:
    """Whether a custom layer may multiply by weights, whatever their name.

    Args:
        layer: `keras.Layer`, Keras' own or not.
        variable: `keras.Variable`, one of its weights.
    """
    own = not type(layer).__module__.startswith("keras.")
    floats = keras.backend.is_float_dtype(variable.dtype)
    return own and floats and variable.trainable and len(variable.shape) > 1


def current_place() -> str:
    """The name of the layer that is making a variable, less a number at its end.

    What a session counts (`dense_7`) goes, so that the same code gives the same answer
    however many layers were made before; what layers call their parts (`query`, `key`)
    stays. An empty string outside of any layer.

    Returns:
        Str, such as `"dense"` or `"query"`.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._graph.layers import current_place
    >>> with keras.name_scope("attention_3"), keras.name_scope("query"):
    ...     current_place()
    'query'
    >>> with keras.name_scope("dense_12"):
    ...     current_place()
    'dense'
    """
    return re.sub(r"_\d+$", "", current_path().rpartition("/")[2])


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
