"""Building a model from data, with the weights that a first `fit` would give it."""

import functools
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras

from keras_deeptools.engine._backends.active import tensors
from keras_deeptools.engine._keras_private.layers import flat_layers, output_spec
from keras_deeptools.engine._patching import Replacement, replaced_in_thread
from keras_deeptools.engine._state.random_state import RandomState

MOST_OF_A_REASON = 300

Choose = Callable[[tuple[keras.Layer, ...], str, tuple[int, ...], str], Any]


def has_call(model: Any) -> bool:
    """Whether a model can be called; one with its own `train_step` need not be.

    Args:
        model: `keras.Layer`, for instance a model.
    """
    return type(model).call not in (keras.Model.call, keras.Layer.call)


def is_built(model: Any) -> bool:
    """Whether all variables of a model exist.

    Args:
        model: `keras.Layer`, for instance a model.
    """
    layers = flat_layers(model, include_self=has_call(model))
    return all(layer.built for layer in layers)


def build_on(model: Any, x: Any) -> None:
    """Builds what of a model is not built, from inputs, as the first `fit` does.

    Initial weights come from the seeds that the layers were made with, so they are the
    ones that training would have begun with. Nothing but shapes and types of the inputs
    is used, unless the model's own `call` needs numbers.

    Args:
        model: `keras.Model` with a `call`.
        x: Inputs: array or nested structure of arrays.

    Raises:
        Exception: What the model raises for such inputs.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.engine._building.first_call import build_on
    >>> model = keras.Sequential([keras.layers.Dense(2)])
    >>> build_on(model, np.ones((4, 3)))
    >>> tuple(model.layers[0].kernel.shape)
    (3, 2)
    """
    if not is_built(model):
        try_on(model, x)


def try_on(model: Any, x: Any) -> None:
    """Passes inputs through a model, by their shapes alone if that is enough.

    Arguments and errors are those of `build_on`.
    """
    try:
        output_spec(model, _without_numbers(x), training=False)
    except Exception:
        # Code that looks at numbers can run all the same; else this says what is wrong.
        _call_on(model, x)


def inputs_without_numbers(batches: Any) -> Any:
    """Shapes and types of the inputs of a first batch, of any number of samples.

    Args:
        batches: `Batches`.

    Returns:
        Nested `keras.KerasTensor`, as `build_on` takes them.
    """
    inputs, _, _ = keras.utils.unpack_x_y_sample_weight(batches.first())
    return keras.tree.map_structure(
        lambda each: (
            None
            if each is None
            else keras.KerasTensor((None, *each.shape[1:]), _dtype_of(each))
        ),
        inputs,
    )


def reason_of(error: Exception) -> str:
    """What Keras, or the code of a model, says is wrong, in one line.

    Args:
        error: Exception.
    """
    says = f"it needs {error.args[0]!s}" if isinstance(error, KeyError) else str(error)
    text = re.sub(r"\x1b\[[0-9;]*m", "", says) or type(error).__name__
    text = re.sub(r"\s+", " ", text.partition("\n\nArguments received by")[0]).strip()
    if len(text) > MOST_OF_A_REASON:
        text = f"{text[:MOST_OF_A_REASON].rsplit(' ', 1)[0]} ..."
    return text if text.endswith(".") else f"{text}."


def _without_numbers(x: Any) -> Any:
    return keras.tree.map_structure(
        lambda each: None if each is None else _symbolic(each), x
    )


def _symbolic(array: Any) -> Any:
    return keras.KerasTensor(tuple(array.shape), _dtype_of(array))


def _dtype_of(array: Any) -> str:
    is_text = str(array.dtype) == "object"
    return "string" if is_text else keras.backend.standardize_dtype(array.dtype)


def _call_on(model: Any, x: Any) -> None:
    """Calls a model on inputs, and takes back what is drawn and counted by that."""
    known = [(each, keras.ops.convert_to_numpy(each)) for each in model.variables]
    random = RandomState()
    try:
        model(keras.tree.map_structure(keras.ops.convert_to_tensor, x), training=False)
    finally:
        random.restore()
        for variable, value in known:
            variable.assign(value)


def built_by(model: keras.Model, x: Any, owner: str) -> None:
    """Builds a model by calling it on data, unless it is built.

    Args:
        model: `keras.Model`.
        x: Inputs, a structure of arrays `(samples, ...)`.
        owner: Str. Name of the caller, for errors.

    Raises:
        ValueError: If the model cannot be called on them.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.engine._building.first_call import built_by
    >>> model = keras.Sequential([keras.layers.Dense(3)])
    >>> built_by(model, np.ones((2, 4)), "example")
    >>> model.built, tuple(model.weights[0].shape)
    (True, (4, 3))
    """
    if model.built:
        return
    if not has_call(model):
        raise ValueError(
            f"{owner}: `model` must have a method `call`. Received: "
            f"model={model.name!r} of type {type(model).__name__}, which has none. "
            "Give the network inside it that predicts."
        )
    try:
        build_on(model, x)
    except Exception as error:
        shapes = keras.tree.map_structure(lambda a: a if a is None else a.shape, x)
        raise ValueError(
            f"{owner}: `x` must be data that the model takes. Received: arrays of "
            f"shape {shapes}, for which the model, which is not built yet, raised "
            f"{type(error).__name__}: {reason_of(error)}"
        ) from error


def built_by_first(model: keras.Model, batches: Any, owner: str) -> None:
    """Builds a model by the first batch of data, unless it is built or there is none.

    Args:
        model: `keras.Model`.
        batches: `RowBatches` of inputs, which give that batch again.
        owner: Str. Name of the caller, for errors.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.engine._building.first_call import built_by_first
    >>> from keras_deeptools.engine._data.samples import RowBatches
    >>> model = keras.Sequential([keras.layers.Dense(3)])
    >>> built_by_first(model, RowBatches(np.ones((2, 4)), 2), "example")
    >>> model.built
    True
    """
    first = None if model.built else batches.peek()
    if first is not None:
        built_by(model, first, owner)


def mark_built(model: keras.Model) -> None:
    """Marks a model as built whose layers all are.

    Keras builds a subclassed model by the sizes that a file tells, but leaves its mark
    out.

    Args:
        model: `keras.Model`.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._building.first_call import mark_built
    >>> model = keras.Sequential([keras.layers.Dense(3)])
    >>> mark_built(model)
    >>> model.built
    False
    """
    layers = list(flat_layers(model, include_self=False))
    if not model.built and model.weights and all(layer.built for layer in layers):
        model.built = True


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
    >>> from keras_deeptools.engine._building.first_call import initialize_later
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
