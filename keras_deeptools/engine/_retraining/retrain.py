"""Changes which layers of a model train, and updates its optimizer and compiled steps.

Whether layers train is read and set for each innermost layer, without the setter that
changes all layers inside a layer.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import keras

from keras_deeptools.engine._backends.active import training
from keras_deeptools.engine._graph.layers import models_alive
from keras_deeptools.engine._keras_private.layers import (
    direct_layers,
    flat_layers,
    held_weights,
    own_flag,
    set_own_flag,
    value_of,
)
from keras_deeptools.engine._keras_private.optimizers import built_for
from keras_deeptools.engine._keras_private.registry import check_seams
from keras_deeptools.engine._retraining.optimizer_slots import (
    OptimizerMemory,
    bring_back,
    check_rebuildable,
    rebuild,
    site_of,
    site_structures,
    take_out,
)
from keras_deeptools.engine._state.snapshot import optimizer_structures
from keras_deeptools.engine._update.train_step import drop_trace, trace_again


@dataclass(frozen=True)
class Trainability:
    """Whether one layer trains, and which of its own weights do.

    Args:
        layer: `keras.Layer`, one of `leaves_of`.
        trains: Bool. The layer's own flag, which files hold, and which decides whether
            batch normalization updates its statistics.
        weights: Bool. Whether the weights that the layer holds itself are trained.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._retraining.retrain import Trainability
    >>> from keras_deeptools.engine._retraining.retrain import retrain
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> memory = retrain(model, [Trainability(model.layers[0], False, False)])
    >>> len(model.trainable_variables)
    0
    """

    layer: keras.Layer
    trains: bool
    weights: bool


def leaves_of(layer: keras.Layer) -> list[keras.Layer]:
    """The layers inside a model or layer that hold weights, or no other layers.

    Args:
        layer: `keras.Layer`, for instance a model.

    Returns:
        List of `keras.Layer`, each once.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._retraining.retrain import leaves_of
    >>> inner = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="a")])
    >>> model = keras.Sequential([inner, keras.layers.ReLU(name="b")])
    >>> [leaf.name for leaf in leaves_of(model) if leaf.weights]
    ['a']
    """
    return [
        inner
        for inner in flat_layers(layer)
        if not direct_layers(inner) or own_weights(inner)
    ]


def own_weights(layer: keras.Layer) -> list[Any]:
    """The variables that a layer holds itself and that can be trained, frozen or not.

    Args:
        layer: `keras.Layer`, built.

    Returns:
        List of `keras.Variable`; moving statistics are not among them.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._retraining.retrain import own_weights
    >>> layer = keras.layers.BatchNormalization(trainable=False)
    >>> layer.build((None, 2))
    >>> [variable.name for variable in own_weights(layer)]
    ['gamma', 'beta']
    """
    return list(held_weights(layer))


class Flags:
    """The flags of all layers and weights under `root`, to be put back."""

    def __init__(self, root: keras.Layer) -> None:
        self._states = [
            (each, own_flag(each), [(v, v.trainable) for v in own_weights(each)])
            for each in flat_layers(root)
        ]

    def restore(self, layers: Iterable[keras.Layer] | None = None) -> None:
        """Puts back all flags, or those of `layers` only."""
        chosen = None if layers is None else {id(layer) for layer in layers}
        for layer, trains, weights in self._states:
            if chosen is None or id(layer) in chosen:
                set_own_flag(layer, trains)
                for variable, flag in weights:
                    variable.trainable = flag


def set_flags(root: keras.Layer, states: Iterable[Trainability]) -> None:
    """Sets the flags of leaves; what encloses one that trains lets it train."""
    training = set()
    for state in states:
        set_own_flag(state.layer, state.trains)
        for variable in own_weights(state.layer):
            variable.trainable = state.weights
        if state.weights:
            training.add(id(state.layer))
    for layer in flat_layers(root):
        if direct_layers(layer) and training & {id(x) for x in flat_layers(layer)}:
            set_own_flag(layer, True)


@dataclass(frozen=True)
class Retraining:
    """What `retrain` changed, so that it can be taken back.

    Made by `retrain`.

    Args:
        root: `keras.Layer`, the model or layer whose leaves were set.
        layers: List of `keras.Layer`, those leaves.
        flags: `Flags` before.
        memories: List of `OptimizerMemory`, what the optimizers knew of the variables
            that they no longer train.
        owner: Str. Name of the caller, for errors.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._retraining.retrain import Trainability
    >>> from keras_deeptools.engine._retraining.retrain import retrain
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> change = retrain(model, [Trainability(model.layers[0], False, False)])
    >>> change.undo()
    >>> len(model.trainable_variables)
    2
    """

    root: keras.Layer
    layers: list[keras.Layer]
    flags: Flags
    memories: list[OptimizerMemory]
    owner: str

    def undo(self) -> None:
        """Puts back the flags of the layers, and their slots in the optimizers."""
        _change(
            self.root,
            lambda: self.flags.restore(self.layers),
            self.owner,
            self.memories,
        )


def retrain(
    root: keras.Layer, states: Iterable[Trainability], owner: str = "retrain"
) -> Retraining:
    """Sets which innermost layers of a model train, in every model that holds them.

    For each compiled model with these layers, also one that only encloses `root`, the
    optimizer is built again for the variables that it now trains; the slots of those
    that it continues to train stay bit for bit the same. Attached features follow, and
    compiled steps are traced again. It works before and after `compile`, after `fit`,
    and in a callback during `fit`.

    Args:
        root: `keras.Layer`, built, for instance a model.
        states: `Trainability` objects of leaves of `root`.
        owner: Str. Name of the caller, for errors.

    Returns:
        `Retraining`, which can undo it.

    Raises:
        ValueError: If an attached feature cannot follow, or an optimizer cannot be
            built again. Nothing has been changed then.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.engine._retraining.retrain import Trainability
    >>> from keras_deeptools.engine._retraining.retrain import retrain
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile("adam", loss="mse")
    >>> loss = model.train_on_batch(np.ones((4, 2)), np.ones((4, 1)))
    >>> change = retrain(model, [Trainability(model.layers[0], False, False)])
    >>> len(model.optimizer.variables)  # iterations and learning rate
    2
    """
    check_seams(owner, "layers", "optimizers")
    wanted = list(states)
    flags = Flags(root)
    memories = _change(root, lambda: set_flags(root, wanted), owner, [])
    return Retraining(root, [s.layer for s in wanted], flags, memories, owner)


def _change(
    root: keras.Layer, change: Any, owner: str, earlier: list[OptimizerMemory]
) -> list[OptimizerMemory]:
    """Applies a change of flags to all that depends on them, or to nothing."""
    models = models_with(root)
    for model in models:
        training.synchronize(model)
    models = [each for each in models if each is root or not _lost_values(each)]
    for model in models:
        _check_values(model, owner)
        if _optimizer_of(model) is not None:
            check_rebuildable(model.optimizer, owner)
    flags = Flags(root)
    sites = [site_of(_optimizer_of(model)) for model in models]
    structures = [s for model in models for s in optimizer_structures(model)]
    structures += [s for site in sites if site for s in site_structures(site)]
    try:
        for site in sites:
            if site is not None:
                take_out(site)
        memories = [OptimizerMemory(_optimizer_of(model)) for model in models]
        change()
        for model, memory in zip(models, memories, strict=True):
            _follow(model, memory, earlier)
        for site in sites:
            if site is not None:
                bring_back(site)
    except BaseException:
        flags.restore()
        for structure in structures:
            structure.restore()
        raise
    finally:
        for model, site in zip(models, sites, strict=True):
            training.forget(model)
            drop_trace(model)
            if site is not None:
                trace_again(model)
    return memories


def models_with(root: keras.Layer) -> list[keras.Model]:
    """The models in use that hold any layer of `root`, itself among them."""
    inside = {id(layer) for layer in flat_layers(root)}
    return [
        model
        for model in models_alive()
        if _is_used(model) and inside & {id(x) for x in flat_layers(model)}
    ]


def _is_used(model: Any) -> bool:
    """Whether a model was compiled, or its `predict` called."""
    compiled = getattr(model, "compiled", False)
    return compiled or getattr(model, "predict_function", None) is not None


def _optimizer_of(model: Any) -> Any:
    return getattr(model, "optimizer", None)


def _follow(
    model: Any, memory: OptimizerMemory, earlier: list[OptimizerMemory]
) -> None:
    """Rebuilds the model's optimizer if what it was built for is not what trains."""
    optimizer = memory.optimizer
    variables = model.trainable_variables
    if optimizer is None or not optimizer.built:
        return
    if [id(v) for v in built_for(optimizer)] != [id(v) for v in variables]:
        known = [past for past in earlier if past.optimizer is optimizer]
        rebuild(optimizer, variables, known[0] if known else None)
    memory.forget(variables)


def _check_values(model: Any, owner: str) -> None:
    if _lost_values(model):
        raise ValueError(
            f"{owner}: the model's variables must have values. Received: "
            f"model={model.name!r}, whose values were handed to a step that failed. "
            "Load its weights again, or make it anew, first."
        )


def _lost_values(model: Any) -> bool:
    """Whether a failed step took the values, as it does on JAX."""
    variables = [*model.variables, *getattr(_optimizer_of(model), "variables", [])]
    return any(value_of(variable) is None for variable in variables)
