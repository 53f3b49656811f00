"""A clipper that has nothing to limit leaves training as it is, to the last bit."""

import functools

import keras
import numpy as np
import pytest
import torch
from keras import layers, ops

from keras_deeptools.callbacks import GradientClipper, GradientMonitor
from keras_deeptools.engine import attach

rng = np.random.default_rng(0)
TOKENS = rng.integers(0, 4, size=(12, 6)).astype("int32")
"""Four tokens in six places: each is used several times in a sample."""
GOALS = rng.normal(size=(12, 2)).astype("float32")
OPTIMIZERS = {
    "SGD": lambda: keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
    "RMSprop": lambda: keras.optimizers.RMSprop(0.01, momentum=0.9, centered=True),
    "Adam": lambda: keras.optimizers.Adam(0.01),
    "AdamW": lambda: keras.optimizers.AdamW(0.01, use_ema=True),
    "Adamax": lambda: keras.optimizers.Adamax(0.01),
    "Nadam": lambda: keras.optimizers.Nadam(0.01),
    "Adagrad": lambda: keras.optimizers.Adagrad(0.01),
    "Lion": lambda: keras.optimizers.Lion(0.001),
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
    model.fit(TOKENS, GOALS, 4, epochs, 0, callbacks=list(callbacks), shuffle=False)
    states = [*model.variables, *model.optimizer.variables]
    return [np.array(ops.convert_to_numpy(v.value)) for v in states]


@functools.cache
def plain(kind: str) -> list[np.ndarray]:
    """All weights after training without a callback, made once."""
    return fitted(embedder(OPTIMIZERS[kind]()))


def assert_equal(these: list[np.ndarray], those: list[np.ndarray]) -> None:
    # XLA compiles the update together with what comes before it, and contracts other
    # products with sums than in a program without the clipper: the last bit of some
    # weights of SGD with momentum differs. What the clipper hands on is equal.
    last_bits = 3e-7 if keras.backend.backend() == "jax" else 0.0
    for this, that in zip(these, those, strict=True):
        np.testing.assert_allclose(this, that, rtol=last_bits, atol=last_bits)


@pytest.mark.alternates("kind", but=("scaled", "accumulating"))
@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_every_limit_out_of_reach_keeps_every_bit_with(kind: str) -> None:
    clipper = GradientClipper(**NEVER["all"])
    assert_equal(fitted(embedder(OPTIMIZERS[kind]()), clipper), plain(kind))
    assert set(clipper.fractions.values()) == {0.0}


@pytest.mark.alternates("limits", but=("all",))
@pytest.mark.parametrize("limits", NEVER)
def test_each_kind_of_limit_keeps_every_bit_of_adam(limits: str) -> None:
    model = embedder(OPTIMIZERS["Adam"]())
    assert_equal(fitted(model, GradientClipper(**NEVER[limits])), plain("Adam"))


def test_a_monitor_keeps_every_bit() -> None:
    monitor = GradientMonitor(on_problem="ignore")
    assert_equal(fitted(embedder(OPTIMIZERS["RMSprop"]()), monitor), plain("RMSprop"))


# --- When it acts --------------------------------------------------------------------

ROWS = rng.normal(size=(9, 4)).astype("float32")
REPEATED = np.array([[1, 1, 3, 1], [3, 1, 1, 8]], "int32")
TARGETS = 5.0 * rng.normal(size=(2, 4, 4)).astype("float32")


def table(optimizer: keras.optimizers.Optimizer, **options: object) -> keras.Model:
    """Only an embedding, of rows that occur several times."""
    model = keras.Sequential([keras.Input((4,), dtype="int32"), layers.Embedding(9, 4)])
    model.layers[0].embeddings.assign(ROWS)
    model.compile(optimizer, "mse", **options)
    return model


def with_torch(optimizer: type, clip: object, steps: int, **options: float) -> object:
    """The same training on a dense gradient, in torch alone."""
    rows = torch.nn.Parameter(torch.tensor(ROWS))
    descent = optimizer([rows], **options)
    for _ in range(steps):
        descent.zero_grad()
        picked = rows[torch.tensor(REPEATED).long()]
        ((picked - torch.tensor(TARGETS)) ** 2).mean().backward()
        clip([rows])
        descent.step()
    return rows.detach().numpy()


ADAM = {"lr": 0.1, "eps": 1e-12}


@pytest.mark.parametrize(
    ("limits", "clip"),
    [
        ({"value": 0.05}, lambda p: torch.nn.utils.clip_grad_value_(p, 0.05)),
        ({"norm": 0.05}, lambda p: torch.nn.utils.clip_grad_norm_(p, 0.05)),
        ({"global_norm": 0.05}, lambda p: torch.nn.utils.clip_grad_norm_(p, 0.05)),
    ],
    ids=["value", "norm", "global_norm"],
)
def test_where_a_limit_acts_rows_used_several_times_train_as_in_torch(
    limits: dict[str, float], clip: object
) -> None:
    model, clipper = (
        table(keras.optimizers.Adam(0.1, epsilon=1e-12)),
        GradientClipper(**limits),
    )
    with attach(model, clipper):
        for _ in range(3):
            model.train_on_batch(REPEATED, TARGETS)
    assert clipper.fractions[next(iter(limits))] == 1.0
    expected = with_torch(torch.optim.Adam, clip, 3, **ADAM)
    trained = ops.convert_to_numpy(model.layers[0].embeddings)
    np.testing.assert_allclose(trained, expected, atol=3e-5)


def dense_gradient(limit: float) -> np.ndarray:
    gradient = np.zeros_like(ROWS)
    np.add.at(gradient, REPEATED, 2 * (ROWS[REPEATED] - TARGETS) / TARGETS.size)
    return gradient * min(1.0, limit / np.linalg.norm(gradient))


@pytest.mark.alternates("kind")
@pytest.mark.parametrize("kind", [*OPTIMIZERS][:-2])
def test_where_it_acts_rows_used_several_times_train_as_a_dense_gradient(
    kind: str,
) -> None:
    model = table(OPTIMIZERS[kind](), run_eagerly=True)
    with attach(model, GradientClipper(global_norm=0.05)):
        model.train_on_batch(REPEATED, TARGETS)
    expected = keras.Variable(ROWS)
    OPTIMIZERS[kind]().apply([ops.convert_to_tensor(dense_gradient(0.05))], [expected])
    np.testing.assert_allclose(
        ops.convert_to_numpy(model.layers[0].embeddings),
        ops.convert_to_numpy(expected),
        atol=1e-6,
    )
