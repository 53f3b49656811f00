"""What a list of steps computes, as text that is equal in another process."""

import hashlib
import json
import re
from typing import Any

import keras
import numpy as np

from keras_deeptools.engine._graph.execution import Slot, Step


def step_config(steps: list[Step]) -> str:
    """Operations, their configurations and arguments, and what reads what.

    Names are left out where they only tell layers apart. Code of a user's own layers
    is known by the name of its class.

    Args:
        steps: List of `Step`, such as `FeatureCut(model).steps`.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._frozen_features.cut import FeatureCut
    >>> from keras_deeptools.engine._graph.fingerprint import step_config
    >>> def config(rate):
    ...     layers = [keras.layers.Rescaling(rate), keras.layers.Dense(1)]
    ...     model = keras.Sequential([keras.Input((2,)), *layers])
    ...     return step_config(FeatureCut(model).steps)
    >>> config(0.5) == config(0.5), config(0.5) == config(0.1)
    (True, False)
    """
    numbers: dict[Slot, int] = {}
    lines = []
    for step in steps:
        read = [numbers.setdefault(slot, len(numbers)) for slot in step.inputs]
        made = [numbers.setdefault(slot, len(numbers)) for slot in step.outputs]
        given = _argument_text(step.arguments)
        lines.append([_described(step.operation), given, read, made])
    return json.dumps(lines, sort_keys=True, default=_plain)


def _argument_text(arguments: Any) -> str:
    """What an operation is called with, tensors of the graph as `tensor`."""
    return str(keras.tree.map_structure(_plain, arguments))


def _described(operation: Any) -> Any:
    if operation is None:
        return "input"
    name = f"{type(operation).__module__}.{type(operation).__qualname__}"
    try:
        return [name, _nameless(keras.saving.serialize_keras_object(operation))]
    except (NotImplementedError, TypeError, ValueError):
        return name


def _nameless(config: Any) -> Any:
    if isinstance(config, dict):
        skipped = ("name", "build_config", "shared_object_id")
        return {k: _nameless(v) for k, v in config.items() if k not in skipped}
    if isinstance(config, list | tuple):
        return [_nameless(each) for each in config]
    return config


def _plain(value: Any) -> str:
    if isinstance(value, keras.KerasTensor):
        return "tensor"
    if isinstance(value, np.ndarray) or keras.ops.is_tensor(value):
        array = np.ascontiguousarray(keras.ops.convert_to_numpy(value))
        digest = hashlib.blake2b(array.tobytes(), digest_size=16).hexdigest()
        return f"{array.dtype} {array.shape} {digest}"
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))
