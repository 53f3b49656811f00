"""The state that layers compute from data in `adapt`, which is not in their config."""

import json
from typing import Any

import keras
import numpy as np

from keras_deeptools.engine._graph.layers import layers_of
from keras_deeptools.engine._keras_private.layers import lookup_of


def copy_adapted_state(source: keras.Model, target: keras.Model) -> None:
    """Gives a copy of a model the state that the model's layers have from `adapt`.

    These are statistics of `Normalization`, vocabularies of lookups and of
    `TextVectorization`, and the state that custom layers with a method `adapt` save.
    Training would not restore them.

    Args:
        source: `keras.Model`.
        target: `keras.Model` of the same layers, made of its config.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.engine._state.adapted_state import copy_adapted_state
    >>> normalize = keras.layers.Normalization()
    >>> normalize.adapt(np.array([[1.0], [3.0]]))
    >>> model = keras.Sequential([keras.Input((1,)), normalize])
    >>> copy = keras.models.clone_model(model)
    >>> copy_adapted_state(model, copy)
    >>> copy.predict(np.array([[3.0]]), verbose=0).tolist()
    [[1.0]]
    """
    pairs = zip(layers_of(source), layers_of(target), strict=False)
    for (layer, _), (copy, _) in pairs:
        if not _is_adapted(layer) or type(copy) is not type(layer):
            continue
        if not copy.built:
            copy.build_from_config(layer.get_build_config())
        if hasattr(layer, "set_vocabulary"):
            copy.set_vocabulary(**_vocabulary(layer))
        else:
            store: dict[str, Any] = {}
            layer.save_own_variables(store)
            copy.load_own_variables(
                {name: np.array(value) for name, value in store.items()}
            )


def json_with_adapted_state(model: keras.Model) -> str:
    """The JSON of a model that includes the state of Keras' layers from `adapt`.

    Args:
        model: `keras.Model`.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.engine._state.adapted_state import json_with_adapted_state
    >>> normalize = keras.layers.Normalization()
    >>> normalize.adapt(np.array([[1.0], [3.0]]))
    >>> model = keras.Sequential([keras.Input((1,)), normalize])
    >>> copy = keras.models.model_from_json(json_with_adapted_state(model))
    >>> copy.predict(np.array([[3.0]]), verbose=0).tolist()
    [[1.0]]
    """
    held = {layer.name: layer for layer, _ in layers_of(model) if _is_adapted(layer)}
    tree = json.loads(model.to_json())
    waiting = [tree]
    while waiting:
        part = waiting.pop()
        if isinstance(part, list):
            waiting += part
        elif isinstance(part, dict):
            waiting += part.values()
            config = part.get("config")
            if not isinstance(config, dict):
                continue
            layer = held.get(config.get("name"))
            if type(layer).__name__ == part.get("class_name"):
                config.update(_as_arguments(layer))
    return json.dumps(tree)


def _is_adapted(layer: Any) -> bool:
    if hasattr(layer, "set_vocabulary"):
        return bool(layer.get_vocabulary(include_special_tokens=False))
    return layer.built and callable(getattr(layer, "adapt", None))


def _as_arguments(layer: Any) -> dict[str, Any]:
    """Arguments that make a layer what `adapt` made it."""
    if isinstance(layer, keras.layers.Normalization) and layer.weights:
        held = (layer.adapt_mean, layer.adapt_variance)
        mean, variance = (keras.ops.convert_to_numpy(each).tolist() for each in held)
        return {"mean": mean, "variance": variance}
    if hasattr(layer, "set_vocabulary"):
        return _vocabulary(layer)
    return {}


def _vocabulary(layer: Any) -> dict[str, Any]:
    """The vocabulary of a layer, and its inverse document frequencies if it has any."""
    lookup = lookup_of(layer)
    store: dict[str, Any] = {}
    lookup.save_own_variables(store)
    # Of an IntegerLookup they are numbers of numpy.
    words = [it if isinstance(it, str) else int(it) for it in layer.get_vocabulary()]
    if "idf_weights" not in store:
        return {"vocabulary": words}
    weights = np.asarray(store["idf_weights"])[: len(words)]
    return {"vocabulary": words, "idf_weights": weights.tolist()}
