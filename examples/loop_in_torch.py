"""A training loop in torch, with a model that is not compiled and `optimizer.apply`.

KERAS_BACKEND=torch python examples/loop_in_torch.py
"""

from typing import Any

import keras
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from keras_deeptools import attach
from keras_deeptools.callbacks import (
    GradientClipper,
    GradientMonitor,
    OneCycleScheduler,
    WeightAveraging,
)


def step(model: keras.Model, optimizer: Any, x: Any, y: Any) -> float:
    """One update; returns the loss."""
    scores = model(torch.tensor(x), training=True)
    loss = torch.nn.functional.cross_entropy(scores, torch.tensor(y))
    model.zero_grad()
    loss.backward()
    weights = model.trainable_variables
    with torch.no_grad():
        optimizer.apply([weight.value.grad for weight in weights], weights)
    return float(loss.detach())


def accuracy(model: keras.Model, x: Any, y: Any) -> float:
    """The fraction of images that are recognized."""
    with torch.no_grad():
        scores = model(torch.tensor(x))
    return float((scores.argmax(-1).numpy(force=True) == y).mean())


def main(epochs: int = 15, batch_size: int = 64) -> float:
    """Returns the accuracy on the test set."""
    keras.utils.set_random_seed(0)
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype("float32")
    x, x_test, y, y_test = train_test_split(x, y, test_size=0.3, random_state=0)
    layers = [keras.layers.Dense(64, "relu") for _ in range(3)]
    model = keras.Sequential([keras.Input((64,)), *layers, keras.layers.Dense(10)])
    optimizer = keras.optimizers.AdamW()

    num_batches = len(x) // batch_size
    monitor = GradientMonitor(on_problem="ignore")
    averaging = WeightAveraging(0.98)
    with attach(
        optimizer,
        monitor,
        GradientClipper(global_norm=1.0),
        OneCycleScheduler(0.01, total_steps=epochs * num_batches),
        averaging,
    ):
        for epoch in range(epochs):
            order = np.random.default_rng(epoch).permutation(len(x))
            for rows in np.array_split(order, num_batches):
                step(model, optimizer, x[rows], y[rows])
        # What is attached is gone after the block, so the averages are taken here.
        with averaging.shown():
            averages = model.get_weights()
    print(f"accuracy, last weights: {accuracy(model, x_test, y_test):.3f}")
    model.set_weights(averages)
    result = accuracy(model, x_test, y_test)
    print(f"accuracy, averaged weights: {result:.3f}")
    print(monitor.table())
    return result


if __name__ == "__main__":
    main()
