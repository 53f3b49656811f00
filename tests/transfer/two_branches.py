"""Two branches that share nothing but the inputs, so that neither feels the other."""

from collections.abc import Callable

import keras
import numpy as np

INPUTS = np.random.default_rng(0).normal(size=(16, 3)).astype("float32")
TARGETS = [
    np.random.default_rng(1).normal(size=(16, 2)).astype("float32"),
    np.random.default_rng(2).normal(size=(16, 2)).astype("float32"),
]


def two_branches(optimizer: object, **options: object) -> keras.Model:
    """A compiled model with outputs of the layers `left` and `right`."""
    inputs = keras.Input((3,))
    ones = {"kernel_initializer": "ones"}
    outputs = [
        keras.layers.Dense(2, name="left", **ones)(inputs),
        keras.layers.Dense(2, name="right", **ones)(inputs),
    ]
    model = keras.Model(inputs, outputs)
    model.compile(optimizer, loss=["mse", "mse"], **options)
    return model


def train(model: keras.Model, epochs: int = 1, **options: object) -> None:
    """Two batches an epoch, always in the same order."""
    options = {"batch_size": 8, "shuffle": False, "verbose": 0} | options
    model.fit(INPUTS, TARGETS, epochs=epochs, **options)


def step(model: keras.Model) -> None:
    """Two updates outside `fit`, after which weights are not yet averages."""
    for _ in range(2):
        model.train_on_batch(INPUTS, TARGETS)


def values(model: keras.Model, layer: str) -> dict[str, np.ndarray]:
    """Weights of a layer and what the optimizer keeps of them, by name."""
    variables = [*model.get_layer(layer).variables, *model.optimizer.variables]
    return {
        variable.path.rpartition("/")[2]: np.array(keras.ops.convert_to_numpy(variable))
        for variable in variables
        if layer in variable.path
    }


def optimizers() -> dict[str, Callable[[], keras.optimizers.Optimizer]]:
    """Makers of optimizers, by what is special about them."""
    of = keras.optimizers

    def multi() -> keras.optimizers.Optimizer:
        chosen = keras.optimizers.OptimizerMap(of.Adam(0.1), {"left.*": of.Lion(0.1)})
        return of.MultiOptimizer(chosen)

    return {
        "SGD with momentum": lambda: of.SGD(0.1, momentum=0.9),
        "Adam": lambda: of.Adam(0.1, amsgrad=True),
        "AdamW": lambda: of.AdamW(0.1),
        "gradient accumulation": lambda: of.Adam(0.1, gradient_accumulation_steps=2),
        "moving averages": lambda: of.Adam(
            0.1, use_ema=True, ema_overwrite_frequency=None
        ),
        "RMSprop": lambda: of.RMSprop(0.1, momentum=0.5, centered=True),
        "Nadam": lambda: of.Nadam(0.1),
        "Muon": lambda: of.Muon(0.1, exclude_layers=["left"]),
        "Adafactor": lambda: of.Adafactor(0.1),
        "ScheduleFreeAdamW": lambda: of.ScheduleFreeAdamW(0.1),
        "LossScaleOptimizer": lambda: of.LossScaleOptimizer(of.Adam(0.1), 256.0),
        "MultiOptimizer": multi,
    }
