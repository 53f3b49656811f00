"""Choosing the initial values of weights that a model does not have yet."""

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras

from keras_deeptools.engine._backends.active import tensors
from keras_deeptools.engine._keras_private.layers import flat_layers
from keras_deeptools.engine._patching import Replacement, replaced_in_thread

Choose = Callable[[tuple[keras.Layer, ...], str, tuple[int, ...], str], Any]


class _Building(threading.local):
    """The layers whose `build` is running in a thread, the innermost last."""

    def __init__(self) -> None:
        self.layers: list[tuple[Choose, keras.Layer]] = []


_building = _Building()


def initialize_later(model: keras.Layer, choose: Choose) -> list[keras.Layer]:
    """Lets a function choose the initializers of weights that are yet to be made.

    The function is called once for each layer, when it is built: by `model.build`, a
    first call or the first step of `fit`. The layers keep the initializers that they
    were made with, so that files and copies of the model are not affected. A copy that
    is made before the model is built has its own initial weights.

    Args:
        model: `keras.Layer`, for instance a model, or parts of it, not built.
        choose: Function of a layer, with those whose `build` makes it before it, the
            outermost first, the name and shape of the weights and their dtype, for
            floats that train; returns a function that returns their values as an array,
            computed as if nothing were traced, or None for the layer's own initializer.

    Returns:
        List of the layers that are not built, without models.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.engine._building.later_weights import initialize_later
    >>> model = keras.Sequential([keras.layers.Dense(2, name="dense")])
    >>> def ones(layers, name, shape, dtype):
    ...     return lambda: np.ones(shape)
    >>> len(initialize_later(model, ones))
    1
    >>> model.build((None, 1))
    >>> model.layers[0].kernel.numpy().tolist(), model.layers[0].bias.numpy().tolist()
    ([[1.0, 1.0]], [1.0, 1.0])
    """
    waiting = [layer for layer in flat_layers(model) if not layer.built]
    for layer in waiting:
        _choose_in_build(layer, choose)
    return [layer for layer in waiting if not isinstance(layer, keras.Model)]


def _choose_in_build(layer: Any, choose: Choose) -> None:
    earlier = getattr(layer.build, "chosen_for", None)
    if earlier is not None:
        earlier.undo()
    build = layer.build

    @functools.wraps(build)
    def choosing(*arguments: Any, **options: Any) -> Any:
        replacement.undo()
        _building.layers.append((choose, layer))
        try:
            with _asked_for_weights():
                built = build(*arguments, **options)
        finally:
            _building.layers.pop()
        for part in flat_layers(layer, include_self=False):
            # Made in `build`, and built when it is called for the first time.
            if not part.built and not hasattr(part.build, "chosen_for"):
                _choose_in_build(part, choose)
        return built

    replacement = Replacement(layer, "build", choosing)
    choosing.chosen_for = replacement  # type: ignore[attr-defined]


@contextmanager
def _asked_for_weights() -> Iterator[None]:
    """While a layer is built, `add_weight` asks which initializer to use.

    The method is replaced for all layers, since a layer may make other layers in
    `build`, and only in this thread.
    """
    if len(_building.layers) > 1:
        # Inside of the `build` of another layer that asks.
        yield
        return
    with replaced_in_thread(keras.Layer, "add_weight", _asking):
        yield


def _asking(add_weight: Callable) -> Callable:
    @functools.wraps(add_weight)
    def asking(self: Any, *arguments: Any, **options: Any) -> Any:
        shape = arguments[0] if arguments else options.get("shape")
        trains = options.get("trainable", True) and len(arguments) < 2
        dtype = options.get("dtype") or self.variable_dtype
        dtype = keras.backend.standardize_dtype(dtype)
        if _building.layers and shape is not None and trains and "float" in dtype:
            layers = [layer for _, layer in _building.layers]
            layers += [self] * (self is not layers[-1])
            name = str(options.get("name") or "")
            chosen = _building.layers[-1][0](tuple(layers), name, tuple(shape), dtype)
            if chosen is not None:
                options["initializer"] = functools.partial(_as_tensor, chosen)
        return add_weight(self, *arguments, **options)

    return asking


def _as_tensor(choose: Callable[[], Any], shape: Any, dtype: Any = None) -> Any:
    # Keras may call an initializer twice for the same weights, or in a graph.
    with tensors.eagerly():
        values = choose()
    return keras.ops.convert_to_tensor(values, dtype)
