"""A small model with a body of two groups and a head, and data for it."""

from typing import Any

import keras
import numpy as np

INPUTS = np.random.default_rng(0).normal(size=(32, 6)).astype("float32")
LABELS = np.random.default_rng(1).integers(0, 3, 32)


def pretrained(body_dropout: float = 0.0, head_dropout: float = 0.0) -> keras.Model:
    """Not compiled; the same weights and the same drops every time."""

    def dense(units: int, name: str, seed: int, activation: str) -> keras.Layer:
        start = keras.initializers.GlorotUniform(seed)
        return keras.layers.Dense(
            units, activation, kernel_initializer=start, name=name
        )

    layers = [
        dense(8, "block1_dense", 1, "relu"),
        keras.layers.BatchNormalization(name="block1_norm"),
        keras.layers.Dropout(body_dropout, seed=7, name="block2_dropout"),
        dense(8, "block2_dense", 2, "relu"),
        keras.layers.Dropout(head_dropout, seed=8, name="dropout"),
        dense(3, "head", 3, "softmax"),
    ]
    return keras.Sequential([keras.Input((6,)), *layers], name="pretrained")


def values(model: keras.Model) -> dict[str, np.ndarray]:
    """Copies of all weights by layer and name."""
    return {
        "/".join(variable.path.split("/")[-2:]): np.array(
            keras.ops.convert_to_numpy(variable)
        )
        for variable in model.weights
    }


class Watch(keras.callbacks.Callback):
    """Keeps what it sees at the end of each epoch; `interrupt_at` counts batches."""

    def __init__(self, interrupt_at: int | None = None) -> None:
        super().__init__()
        self.epochs: list[int] = []
        self.losses: list[float] = []
        self.weights: list[dict[str, np.ndarray]] = []
        self.num_batches = 0
        self.interrupt_at = interrupt_at

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.num_batches += 1
        if self.num_batches == self.interrupt_at:
            raise KeyboardInterrupt

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.epochs.append(epoch)
        self.losses.append(logs["loss"])
        self.weights.append(values(self.model))
