"""What audit says of embeddings is what Keras does to them."""

from collections.abc import Callable

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_deeptools.diagnosis import audit

KIND = "embedding rows used several times"
ROWS = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
TOKENS = np.array([[1] * 16], "int32")
GOALS = np.random.default_rng(1).normal(size=(1, 16, 3)).astype("float32")
of = keras.optimizers
OPTIMIZERS: dict[str, Callable[[], of.Optimizer]] = {
    "SGD": lambda: of.SGD(0.01, momentum=0.9),
    "Adadelta": lambda: of.Adadelta(10.0),
    "Adafactor": lambda: of.Adafactor(0.01),
    "Adagrad": lambda: of.Adagrad(0.01),
    "Adam": lambda: of.Adam(0.01),
    "AdamW": lambda: of.AdamW(0.01),
    "Adamax": lambda: of.Adamax(0.01),
    "Ftrl": lambda: of.Ftrl(0.01),
    "Lamb": lambda: of.Lamb(0.01),
    "Lion": lambda: of.Lion(0.01),
    "Muon": lambda: of.Muon(0.01),
    "Nadam": lambda: of.Nadam(0.01),
    "RMSprop": lambda: of.RMSprop(0.01),
    "ScheduleFreeAdamW": lambda: of.ScheduleFreeAdamW(0.01),
    "scaled": lambda: of.LossScaleOptimizer(of.Adam(0.01), initial_scale=1.0),
    "clipnorm": lambda: of.Adam(0.01, clipnorm=1e9),
    "global_clipnorm": lambda: of.Adam(0.01, global_clipnorm=1e9),
}


def table(optimizer: of.Optimizer) -> keras.Model:
    model = keras.Sequential(
        [keras.Input((16,), dtype="int32"), layers.Embedding(5, 3, name="embedding")]
    )
    model.layers[0].embeddings.assign(ROWS)
    model.compile(optimizer, "mse", run_eagerly=True)
    return model


def dense_rows(optimizer: of.Optimizer) -> np.ndarray:
    """The rows after one update by the gradient that a calculation by hand gives."""
    gradient = np.zeros_like(ROWS)
    np.add.at(gradient, TOKENS, 2 * (ROWS[TOKENS] - GOALS) / GOALS.size)
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    with keras.name_scope("embedding"):
        variable = keras.Variable(ROWS, name="embeddings")
    optimizer.apply([ops.convert_to_tensor(gradient)], [variable])
    return ops.convert_to_numpy(variable)


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_it_is_found_exactly_where_the_update_is_not_that_of_the_sum(kind: str) -> None:
    model = table(OPTIMIZERS[kind]())
    model.train_on_batch(TOKENS, GOALS)
    rows = ops.convert_to_numpy(model.layers[0].embeddings)
    differs = np.abs(rows - dense_rows(OPTIMIZERS[kind]())).max() > 1e-4
    assert (KIND in audit(model).kinds) == differs


def test_adams_first_step_for_a_row_used_16_times_is_as_the_finding_says() -> None:
    model = table(of.Adam(0.01))
    model.train_on_batch(TOKENS, np.zeros((1, 16, 3)) + 1e3)
    moved = np.abs(ops.convert_to_numpy(model.layers[0].embeddings) - ROWS).max()
    on_tensorflow = keras.backend.backend() == "tensorflow"
    np.testing.assert_allclose(moved, 0.04 if on_tensorflow else 0.01, rtol=1e-3)


def test_accumulated_gradients_and_frozen_tables_are_not_found() -> None:
    model = table(of.Adam(0.01, gradient_accumulation_steps=2))
    assert KIND not in audit(model).kinds
    model = table(of.Adam(0.01))
    model.layers[0].trainable = False
    assert KIND not in audit(model).kinds


def test_an_optimizer_that_only_the_models_own_step_uses_is_looked_at() -> None:
    model = table(of.SGD(0.01))
    model.table_optimizer = of.Adam(0.01)
    on_tensorflow = keras.backend.backend() == "tensorflow"
    assert (KIND in audit(model).kinds) == on_tensorflow
