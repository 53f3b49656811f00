"""What is unfrozen trains as in a fresh optimizer, and the rest as if nothing was."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_deeptools.transfer import freeze, frozen, unfreeze
from newer_keras import needs_keras
from transfer.two_branches import (
    INPUTS,
    TARGETS,
    optimizers,
    step,
    two_branches,
    values,
)

of = keras.optimizers
FAST = ("Adam", "Nadam", "Muon")
MAKERS = optimizers() | {
    "Adamax": lambda: of.Adamax(0.1),
    "Lamb": lambda: of.Lamb(0.1),
    "Lion": lambda: of.Lion(0.1),
    "Adagrad": lambda: of.Adagrad(0.1),
}
del MAKERS["RMSprop"], MAKERS["AdamW"]


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(make, id=name, marks=[] if name in FAST else [pytest.mark.slow])
        for name, make in MAKERS.items()
    ],
)
def test_what_is_unfrozen_late_trains_as_in_a_fresh_optimizer(make: Callable) -> None:
    late, fresh = two_branches(make()), two_branches(make())
    freeze(late, "left")
    for _ in range(8):
        step(late)
    unfreeze(late, "left")
    for _ in range(4):
        step(late)
        step(fresh)
        now, then = values(late, "left"), values(fresh, "left")
        np.testing.assert_allclose(now["kernel"], then["kernel"], atol=2e-6)
        np.testing.assert_allclose(now["bias"], then["bias"], atol=2e-6)


def late_model(optimizer: keras.optimizers.Optimizer) -> keras.Model:
    """A model whose optimizer has made 5000 updates, with `left` just unfrozen."""
    model = two_branches(optimizer)
    freeze(model, "left")
    optimizer.build(model.trainable_variables)
    optimizer.iterations.assign(5000)
    unfreeze(model, "left")
    return model


def kernel(model: keras.Model) -> np.ndarray:
    return values(model, "left")["kernel"]


def longest(model: keras.Model) -> float:
    """Largest change of a weight of `left` in one update."""
    before = kernel(model)
    model.train_on_batch(INPUTS, TARGETS)
    return float(np.abs(kernel(model) - before).max())


def test_adam_steps_as_long_as_the_rate_after_a_late_unfreezing() -> None:
    model = late_model(of.Adam(0.01))
    assert max(longest(model) for _ in range(20)) <= 1.1 * 0.01


def test_rmsprop_takes_a_first_step_as_long_as_the_rate() -> None:
    model = late_model(of.RMSprop(0.01))
    assert longest(model) == pytest.approx(0.01, rel=1e-3)


def test_a_block_with_frozen_layers_does_not_count_for_them() -> None:
    model, plain = two_branches(of.Adam(0.1)), two_branches(of.Adam(0.1))
    step(model)
    step(plain)
    with frozen(model, "left"):
        for _ in range(4):
            step(model)
    step(model)
    step(plain)
    np.testing.assert_allclose(kernel(model), kernel(plain), atol=2e-6)


def test_the_count_travels_with_weights_and_ends_with_others(tmp_path: Path) -> None:
    model = late_model(of.Adam(0.01))
    longest(model)
    model.save_weights(tmp_path / "late.weights.h5")
    other = late_model(of.Adam(0.01))
    for _ in range(3):
        longest(other)
    other.load_weights(tmp_path / "late.weights.h5")
    assert longest(other) == longest(model)
    plain = two_branches(of.Adam(0.01))
    step(plain)
    plain.save_weights(tmp_path / "plain.weights.h5")
    other.load_weights(tmp_path / "plain.weights.h5")
    assert longest(other) == longest(plain)


@pytest.mark.alternates("scaled")
@needs_keras("3.11", "loading a model around a model")
@pytest.mark.parametrize("scaled", [False, True], ids=["plain", "loss scaling"])
def test_a_loaded_model_takes_no_longer_steps_though_it_counts_all_alike(
    scaled: bool, tmp_path: Path
) -> None:
    adam = of.Adam(0.01)
    model = late_model(adam)
    if scaled:
        adam = of.Adam(0.01)
        model = two_branches(of.LossScaleOptimizer(adam, 256.0))
        freeze(model, "left")
        model.optimizer.build(model.trainable_variables)
        adam.iterations.assign(5000)
        unfreeze(model, "left")
    for _ in range(25):
        longest(model)
    before = [np.array(slot) for slot in slots(adam)]
    model.save(tmp_path / "model.keras")
    for slot, value in zip(slots(adam), before, strict=True):
        np.testing.assert_array_equal(slot, value)
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert max(longest(loaded) for _ in range(10)) <= 1.1 * 0.01
    model.load_weights(tmp_path / "model.keras")
    for slot, value in zip(slots(adam), before, strict=True):
        np.testing.assert_array_equal(slot, value)


def slots(optimizer: keras.optimizers.Optimizer) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(v) for v in optimizer.variables[2:]]


def test_nothing_is_left_on_an_optimizer_that_counts_all_alike() -> None:
    model = two_branches(of.Adam(0.01))
    freeze(model, "left")
    step(model)
    unfreeze(model, "left")
    step(model)
    freeze(model, "left")
    left = [name for name in vars(model.optimizer) if "keras_deeptools" in name]
    assert not left and "save_own_variables" not in vars(model.optimizer)
