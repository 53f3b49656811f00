"""What the search benchmark searches: spaces by hand and of this package."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_deeptools.tuning import DeepHyperModel, IntRange, mlp_family


def network(hp: Any, data: dict[str, np.ndarray], rate: float) -> keras.Model:
    """The perceptron, not compiled."""
    width = hp.Int("width", 32, 256, sampling="log", default=96)
    hidden = []
    for _ in range(hp.Int("depth", 1, 3, default=2)):
        hidden += [keras.layers.Dense(width, "relu"), keras.layers.Dropout(rate)]
    outputs = keras.layers.Dense(int(data["y_train"].max()) + 1, "softmax")
    inputs = keras.Input(data["x_train"].shape[1:])
    return keras.Sequential([inputs, *hidden, outputs])


def compiled(model: keras.Model, optimizer: Any) -> keras.Model:
    """The model with loss and metrics."""
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def by_hand(data: dict[str, np.ndarray]) -> Callable[[Any], keras.Model]:
    """What a user of KerasTuner alone writes."""

    def build(hp: Any) -> keras.Model:
        model = network(hp, data, hp.Float("dropout", 0.05, 0.5, default=0.2))
        name = hp.Choice("optimizer", ["adam", "sgd", "rmsprop"])
        config = {"learning_rate": hp.Float("rate", 1e-4, 1e-1, sampling="log")}
        if name == "sgd":
            config |= {"momentum": 0.9, "nesterov": True}
        optimizer = keras.optimizers.get({"class_name": name, "config": config})
        return compiled(model, optimizer)

    return build


def by_hand_as_many(
    data: dict[str, np.ndarray], steps: int
) -> Callable[[Any], keras.Model]:
    """What a user of KerasTuner alone writes who wants to search all of it.

    Args:
        data: Dict of arrays.
        steps: Int, of a whole fit.
    """

    def build(hp: Any) -> keras.Model:
        width = hp.Int("width", 32, 256, sampling="log")
        depth = hp.Int("depth", 1, 3)
        activation = hp.Choice("activation", ["relu", "elu", "silu", "selu"])
        starts = ["glorot_uniform", "he_normal", "lecun_normal"]
        start = hp.Choice("initializer", starts)
        norm = hp.Choice("normalization", ["none", "batch", "layer"])
        rate = hp.Float("dropout", 0.0, 0.5)
        hidden: list[keras.Layer] = []
        for _ in range(depth):
            hidden.append(keras.layers.Dense(width, kernel_initializer=start))
            if norm == "batch":
                hidden.append(keras.layers.BatchNormalization())
            elif norm == "layer":
                hidden.append(keras.layers.LayerNormalization())
            act = keras.layers.Activation(activation)
            hidden += [act, keras.layers.Dropout(rate)]
        outputs = keras.layers.Dense(int(data["y_train"].max()) + 1, "softmax")
        inputs = keras.Input(data["x_train"].shape[1:])
        model = keras.Sequential([inputs, *hidden, outputs])
        name = hp.Choice("optimizer", ["adam", "sgd", "rmsprop"])
        learning_rate: Any = hp.Float("rate", 1e-4, 1e-1, sampling="log")
        if hp.Boolean("cosine"):
            cosine = keras.optimizers.schedules.CosineDecay
            learning_rate = cosine(learning_rate, steps)
        decay = hp.Float("weight_decay", 1e-6, 1e-1, sampling="log")
        config: dict[str, Any] = {"weight_decay": decay}
        if name == "sgd":
            config |= {"momentum": 0.9, "nesterov": True}
        optimizers = {
            "adam": keras.optimizers.Adam,
            "rmsprop": keras.optimizers.RMSprop,
            "sgd": keras.optimizers.SGD,
        }
        return compiled(model, optimizers[name](learning_rate, **config))

    return build


def ours(data: dict[str, np.ndarray], epochs: int) -> DeepHyperModel:
    """The same network with how it is trained from this package."""
    return DeepHyperModel(
        lambda hp: compiled(network(hp, data, 0.2), "adam"),
        max_epochs=epochs,
        parts=["optimizer", "one_cycle", "dropout_rate"],
    )


def family(
    data: dict[str, np.ndarray],
    epochs: int,
    always: tuple[str, ...] = ("one_cycle",),
    activations: tuple[str, ...] | None = None,
) -> DeepHyperModel:
    """A ready family of networks, of the same widths and depths.

    Args:
        data: Dict of arrays.
        epochs: Int, of a whole fit.
        always: Names of parts that every trial has.
        activations: Names of activations, or None for those of the family.
    """
    build = mlp_family(
        data["x_train"].shape[1],
        int(data["y_train"].max()) + 1,
        depth=IntRange(1, 3),
        width=IntRange(32, 256, log=True),
        activations=activations,
    )
    parts = ["optimizer", "one_cycle", "weight_averaging"]
    return DeepHyperModel(build, max_epochs=epochs, parts=parts, always=always)


def model_of(arm: str, data: dict[str, np.ndarray], size: int, epochs: int) -> Any:
    """What a tuner searches.

    Args:
        arm: Str, its name.
        data: Dict of arrays.
        size: Int, rows of a batch.
        epochs: Int, of a whole fit.
    """
    if arm.startswith("by hand, as many"):
        return by_hand_as_many(data, epochs * -(-len(data["x_train"]) // size))
    if arm.startswith("ours"):
        return ours(data, epochs)
    return family(data, epochs) if arm.startswith("family") else by_hand(data)
