"""A clipper that has nothing to limit leaves training as it is, to the last bit."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_deeptools.callbacks import GradientClipper

rng = np.random.default_rng(0)
TOKENS = rng.integers(0, 4, size=(12, 6)).astype("int32")
"""Four tokens in six places: each is used several times in a sample."""
GOALS = rng.normal(size=(12, 2)).astype("float32")
OPTIMIZERS = {
    "SGD": lambda: keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
    "RMSprop": lambda: keras.optimizers.RMSprop(0.01, momentum=0.9, centered=True),
    "Adam": lambda: keras.optimizers.Adam(0.01),
    "AMSGrad": lambda: keras.optimizers.Adam(0.01, amsgrad=True),
    "AdamW": lambda: keras.optimizers.AdamW(0.01, use_ema=True),
    "Adamax": lambda: keras.optimizers.Adamax(0.01),
    "Nadam": lambda: keras.optimizers.Nadam(0.01),
    "Adagrad": lambda: keras.optimizers.Adagrad(0.01),
    "Adadelta": lambda: keras.optimizers.Adadelta(1.0),
    "Adafactor": lambda: keras.optimizers.Adafactor(0.01),
    "Lion": lambda: keras.optimizers.Lion(0.001),
    "Lamb": lambda: keras.optimizers.Lamb(0.01),
    "Ftrl": lambda: keras.optimizers.Ftrl(0.01),
    "accumulating": lambda: keras.optimizers.Adam(0.01, gradient_accumulation_steps=2),
    "scaled": lambda: keras.optimizers.LossScaleOptimizer(
        keras.optimizers.Adam(0.01), initial_scale=2.0
    ),
}
NEVER = {
    "value": {"value": 1e6},
    "norm": {"norm": 1e6},
    "norm per variable": {"norm": 1e6, "per": "variable"},
    "global_norm": {"global_norm": 1e6},
    "all": {"value": 1e6, "norm": 1e6, "global_norm": 1e6},
}


def embedder(optimizer: keras.optimizers.Optimizer, **options: object) -> keras.Model:
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((6,), dtype="int32"),
            layers.Embedding(9, 4),
            layers.GlobalAveragePooling1D(),
            layers.Dense(3, "tanh"),
            layers.Dense(2),
        ]
    )
    model.compile(optimizer, "mse", **options)
    return model


def fitted(model: keras.Model, *callbacks: object, epochs: int = 2) -> list[np.ndarray]:
    """All weights, also the optimizer's, after training."""
    model.fit(
        TOKENS, GOALS, 4, epochs, 0, callbacks=list(callbacks), shuffle=False
    )
    states = [*model.variables, *model.optimizer.variables]
    return [np.array(ops.convert_to_numpy(v.value)) for v in states]


def assert_equal(these: list[np.ndarray], those: list[np.ndarray]) -> None:
    for this, that in zip(these, those, strict=True):
        np.testing.assert_array_equal(this, that)


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_every_limit_out_of_reach_keeps_every_bit_with(kind: str) -> None:
    plain = fitted(embedder(OPTIMIZERS[kind]()))
    clipper = GradientClipper(**NEVER["all"])
    assert_equal(fitted(embedder(OPTIMIZERS[kind]()), clipper), plain)
    assert set(clipper.fractions.values()) == {0.0}


@pytest.mark.parametrize("limits", NEVER)
def test_each_kind_of_limit_keeps_every_bit_of_adam(limits: str) -> None:
    plain = fitted(embedder(keras.optimizers.Adam(0.01)))
    model = embedder(keras.optimizers.Adam(0.01))
    assert_equal(fitted(model, GradientClipper(**NEVER[limits])), plain)
