"""Which layer holds a variable, and as what."""

import gc
from typing import Any

import keras

from keras_deeptools.engine._leaf import Leaf


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
    >>> from keras_deeptools.engine import layers_of
    >>> model = keras.Sequential([keras.Input((2, 3)), keras.layers.LSTM(4)])
    >>> for layer, variables in layers_of(model):
    ...     print(type(layer).__name__, sorted(variables))
    Sequential []
    InputLayer []
    LSTM []
    LSTMCell ['bias', 'kernel', 'recurrent_kernel']
    """
    return [(inner, _held_by(inner)) for inner in layer._flatten_layers()]


def _held_by(layer: keras.Layer) -> dict[str, Any]:
    names = {
        id(value): name.lstrip("_")
        for name, value in vars(layer).items()
        if isinstance(value, keras.Variable)
    }
    held: dict[str, Any] = {}
    for variable in [*layer._trainable_variables, *layer._non_trainable_variables]:
        role = names.get(id(variable), variable.name)
        held[role if role not in held else f"{role}_{len(held)}"] = variable
    return held


def models_alive() -> list[keras.Model]:
    """All models of the process, to find those that hold some layer or optimizer.

    Neither a layer nor an optimizer knows the models that it is part of, and a list of
    our own would miss the models that were made before this package was imported.
    """
    return [each for each in gc.get_objects() if issubclass(type(each), keras.Model)]


def may_be_kernel(layer: keras.Layer, variable: Any) -> bool:
    """Whether a layer of the user's own may multiply by weights, whatever their name.

    Args:
        layer: `keras.Layer`, Keras' own or not.
        variable: `keras.Variable`, one of its weights.
    """
    own = not type(layer).__module__.startswith("keras.")
    floats = keras.backend.is_float_dtype(variable.dtype)
    return own and floats and variable.trainable and len(variable.shape) > 1


def trained_variables(leaf: Leaf) -> list[Any]:
    """The variables that an optimizer trains, through any of its parts.

    Where a feature is being attached to several optimizers of a model, those of all
    of them that are built.

    Args:
        leaf: `Leaf`, one of the parts, or all there is.

    Returns:
        List of `keras.Variable`.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine import Feature, attach, trained_variables
    >>> class Compare(Feature):
    ...     def prepare(self, leaf):
    ...         print(len(leaf.variables), "of", len(trained_variables(leaf)))
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", loss="mse")
    >>> with attach(model, Compare()):
    ...     pass
    2 of 2
    """
    roots = [root for root in leaf.roots if root.built]
    trained = [variable for root in roots for variable in root._trainable_variables]
    return list({id(variable): variable for variable in trained}.values())


def optimized_variables(optimizer: Any) -> list[Any]:
    """The variables that an optimizer was built for.

    They are what it updates, whatever became trainable or frozen since.

    Args:
        optimizer: `keras.optimizers.Optimizer`.

    Returns:
        List of `keras.Variable`; empty where the optimizer is not built.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine import optimized_variables
    >>> optimizer = keras.optimizers.SGD()
    >>> optimizer.build([keras.Variable(1.0)])
    >>> len(optimized_variables(optimizer))
    1
    """
    return list(getattr(optimizer, "_trainable_variables", ()))


def moving_averages(leaf: Leaf) -> list[Any]:
    """The moving averages that the optimizer keeps of its variables (`use_ema`).

    Args:
        leaf: `Leaf`.

    Returns:
        List of `keras.Variable`, one for each of `leaf.variables`; empty where the
        optimizer keeps no averages.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine import Feature, attach, moving_averages
    >>> class Count(Feature):
    ...     def prepare(self, leaf):
    ...         print(len(moving_averages(leaf)))
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile(keras.optimizers.SGD(0.1, use_ema=True), loss="mse")
    >>> with attach(model, Count()):
    ...     pass
    2
    """
    if not leaf.optimizer.use_ema:
        return []
    return list(leaf.optimizer._model_variables_moving_average)
