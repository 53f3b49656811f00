"""Freezing and unfreezing layers of a model that a user has chosen, at any time."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import keras

from keras_deeptools._arguments import checked_option, message
from keras_deeptools.engine._graph.layers import (
    Choice,
    Layers,
    checked_choices,
    layer_fits,
    layers_of,
    listed,
)
from keras_deeptools.engine._retraining.retrain import (
    Retraining,
    Trainability,
    leaves_of,
    retrain,
)
from keras_deeptools.transfer._layer_groups.groups import LayerGroup, LayerGroups

Choices = Layers | LayerGroup | LayerGroups | Sequence[Choice | LayerGroup]


def chosen_leaves(owner: str, model: keras.Layer, layers: Choices) -> list[keras.Layer]:
    """The layers under the choices that hold weights, or no other layers.

    Args:
        owner: Str. Who is named in errors.
        model: `keras.Layer`.
        layers: None for all, or one or several names, patterns, layers, layer groups
            or functions.

    Returns:
        List of `keras.Layer`, each once, in the order of the model.

    Raises:
        TypeError: If `layers` is none of these.
        ValueError: If a choice matches nothing that has weights.
    """
    choices = checked_choices(owner, _without_groups(layers))
    every = leaves_of(model)
    if choices is None:
        return every
    inside = [layer for layer, _ in layers_of(model)]
    chosen: set[int] = set()
    for choice in choices:
        found = _matching(choice, model, inside)
        leaves = [leaf for layer in found for leaf in leaves_of(layer)]
        if not any(leaf.weights for leaf in leaves):
            received = choice.name if isinstance(choice, keras.Layer) else choice
            rule = "layers of the model that have weights"
            names = listed(leaf.name for leaf in every if leaf.weights)
            raise ValueError(message(owner, "layers", rule, received, names))
        chosen |= {id(leaf) for leaf in leaves}
    return [leaf for leaf in every if id(leaf) in chosen]


def _without_groups(layers: Any) -> Any:
    """The choices with the layers of a group in its place."""
    if isinstance(layers, LayerGroup):
        return list(layers.layers)
    if isinstance(layers, (list, tuple, LayerGroups)):
        flat: list[Any] = []
        for choice in layers:
            plain = _without_groups(choice)
            flat += plain if isinstance(choice, LayerGroup) else [plain]
        return flat
    return layers


def _matching(
    choice: Any, model: keras.Layer, inside: list[keras.Layer]
) -> list[keras.Layer]:
    if isinstance(choice, keras.Layer):
        return [layer for layer in inside if layer is choice]
    parts = [layer for layer in inside if layer is not model]
    if isinstance(choice, str):
        return [layer for layer in parts if layer_fits(layer, choice)]
    return [layer for layer in parts if choice(layer)]


BATCH_NORM = {
    "frozen": (False, False),
    "statistics": (True, False),
    "train": (True, True),
}
"""Whether a BatchNormalization updates its statistics, and trains its weights."""


def checked_model(owner: str, model: Any) -> keras.Layer:
    """Return `model` if it is a built Keras model or layer, or raise."""
    if not isinstance(model, keras.Layer):
        rule = "a Keras model or layer"
        raise TypeError(message(owner, "model", rule, model))
    if not model.built:
        remedy = "Give it an Input, or call it on a batch of data, first."
        raise ValueError(message(owner, "model", "built", model.name, remedy))
    return model


def leaf_states(
    leaves: list[keras.Layer], trains: bool, batch_norm: str
) -> list[Trainability]:
    """The states of leaves that are frozen or trained, batch normalization apart.

    Args:
        leaves: List of `keras.Layer`.
        trains: Bool.
        batch_norm: A key of `BATCH_NORM`.
    """
    states = []
    for leaf in leaves:
        flags = (trains, trains)
        if isinstance(leaf, keras.layers.BatchNormalization):
            flags = BATCH_NORM[batch_norm]
        states.append(Trainability(leaf, *flags))
    return states


def freeze(
    model: keras.Layer, layers: Choices = None, *, batch_norm: str = "frozen"
) -> None:
    """Stops the training of layers, at any time.

    Layers can be frozen before and after `compile`, after `fit`, in a callback during
    `fit` and after loading. Every compiled model that holds the layers follows, also if
    `model` is only a part of it. Its optimizer continues with the weights that are
    still trained: it keeps their momenta, averages and accumulated gradients bit for
    bit and forgets those of the frozen weights. The compiled steps are traced again, so
    there is no need to compile again. Whatever is attached to the optimizer, as
    callbacks of this package are during `fit`, follows too.

    Args:
        model: `keras.Model` or layer, built.
        layers: What to freeze: None for all layers, or one or a list of the following.
            A name, or a pattern with `*`, `?` and `[...]` (`"block3_*"`); with a `/` in
            it, it is compared with the ends of layers' paths (`"encoder/dense_1"`). A
            layer. A `LayerGroup` of this model (`layer_groups(model)[:2]`). A function
            of a layer that returns whether it is chosen. A layer that contains layers
            stands for all of them; its own flag has no effect.
        batch_norm: What the chosen BatchNormalization layers do, whatever the other
            weights do. `"frozen"`: normalize with the moving statistics as they are,
            weights frozen. `"statistics"`: normalize with the batch and update the
            moving statistics, weights (gamma, beta) frozen. `"train"`: train.

    Raises:
        TypeError: If `model` is no layer, or `layers` is none of the above.
        ValueError: If `model` is not built, `layers` match nothing that has weights,
            something attached to the optimizer cannot follow, or the optimizer cannot
            be built again. In these cases nothing has been changed.

    A saved model stores one flag per layer, so `"statistics"` comes back as `"train"`:
    freeze again after loading.

    Example:

    >>> import keras
    >>> from keras_deeptools.transfer import freeze
    >>> model = keras.Sequential(
    ...     [
    ...         keras.Input((2,)),
    ...         keras.layers.Dense(3, name="body"),
    ...         keras.layers.Dense(1, name="head"),
    ...     ]
    ... )
    >>> freeze(model, "body")
    >>> [layer.name for layer in model.layers if layer.trainable_variables]
    ['head']
    """
    _retrain("freeze", model, layers, False, batch_norm)


def unfreeze(
    model: keras.Layer, layers: Choices = None, *, batch_norm: str = "train"
) -> None:
    """Starts or resumes the training of layers, at any time.

    This is the reverse of `freeze`. Weights that were trained before behave as if
    nothing had happened. The newly trained ones train as in a fresh optimizer: with new
    slots, with moving averages (`use_ema`) that start at the weights, and with their
    own count of updates, by which Adam and related optimizers correct the bias of
    averages that start at 0. (With the optimizer's own count, the first steps late in
    training would be up to 6.6 times as long.) RMSprop, which corrects nothing, begins
    with steps of the size of the learning rate instead of up to 3.2 times that.
    `GradualUnfreezing` unfreezes layers during a `fit`.

    The counts are saved in files of weights, as an attribute that Keras ignores. They
    are restored when weights are loaded into a model that has such counts. In other
    cases, as with `keras.saving.load_model`, all variables have the same count;
    therefore averages that began late are scaled in the files to what the optimizer's
    count expects.

    Layers of `model` that contain an unfrozen layer are set to let it train.

    Args:
        model: `keras.Model` or layer, built.
        layers: What to unfreeze, as in `freeze`; None for all layers.
        batch_norm: What the chosen BatchNormalization layers do, as in `freeze`.
            `"frozen"` is the usual choice for fine-tuning with small batches.

    Raises:
        TypeError: If `model` is no layer, or `layers` is none of what `freeze` takes.
        ValueError: As in `freeze`. In these cases nothing has been changed.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.transfer import freeze, unfreeze
    >>> model = keras.Sequential(
    ...     [
    ...         keras.Input((2,)),
    ...         keras.layers.Dense(3, name="body"),
    ...         keras.layers.Dense(1, name="head"),
    ...     ]
    ... )
    >>> freeze(model, "body")
    >>> model.compile("adam", loss="mse")
    >>> loss = model.train_on_batch(np.ones((4, 2)), np.ones((4, 1)))
    >>> unfreeze(model, "body")
    >>> loss = model.train_on_batch(np.ones((4, 2)), np.ones((4, 1)))
    >>> int(model.optimizer.iterations), len(model.trainable_variables)
    (2, 4)
    """
    _retrain("unfreeze", model, layers, True, batch_norm)


@contextlib.contextmanager
def frozen(
    model: keras.Layer, layers: Choices = None, *, batch_norm: str = "frozen"
) -> Iterator[None]:
    """Freezes layers for the length of a block.

    At the end of the block, also after an exception, the layers are as before, and so
    is the optimizer's state for their weights, unless the model was compiled in
    between.

    Args:
        model: `keras.Model` or layer, built.
        layers: What to freeze, as in `freeze`; None for all layers.
        batch_norm: What the chosen BatchNormalization layers do, as in `freeze`.

    Returns:
        Context manager; `as` gives None.

    Raises:
        TypeError: If `model` is no layer, or `layers` is none of what `freeze` takes.
        ValueError: As in `freeze`. In these cases nothing has been changed.

    Example:

    >>> import keras
    >>> from keras_deeptools.transfer import frozen
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> with frozen(model):
    ...     print(len(model.trainable_variables))
    0
    >>> len(model.trainable_variables)
    2
    """
    change = _retrain("frozen", model, layers, False, batch_norm)
    try:
        yield
    finally:
        change.undo()


def _retrain(
    owner: str, model: keras.Layer, layers: Choices, trains: bool, batch_norm: str
) -> Retraining:
    checked_option(owner, "batch_norm", batch_norm, BATCH_NORM)
    leaves = chosen_leaves(owner, checked_model(owner, model), layers)
    return retrain(model, leaf_states(leaves, trains, batch_norm), owner)
