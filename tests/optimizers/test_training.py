"""The optimizers in `fit`: Keras' own arguments, schedules, files, freezing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import numpy_network
from keras_deeptools import optimizers, transfer
from keras_deeptools.callbacks import GradientMonitor, OneCycleScheduler
from keras_deeptools.schedules import OneCycle, OneCycleMomentum

KINDS = ("ADOPT", "AdEMAMix", "AdaBelief", "Adan", "RectifiedAdam")
RNG = np.random.default_rng(0)
INPUTS = RNG.normal(size=(32, 6)).astype("float32")
TARGETS = np.tanh(INPUTS @ RNG.normal(size=(6, 3))).astype("float32")


def make(kind: str, rate: Any = 0.01, **options: Any) -> Any:
    """One of the optimizers; "Lookahead" around AdaBelief."""
    if kind == "Prodigy":
        return optimizers.Prodigy(100 * rate, initial_estimate=0.01, **options)
    if kind == "Lookahead":
        inner = optimizers.AdaBelief(rate, **options)
        return optimizers.Lookahead(inner, sync_period=3)
    return getattr(optimizers, kind)(rate, **options)


def network(optimizer: Any, **options: Any) -> keras.Model:
    """Two layers with the same weights each time."""
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(5, "tanh", name="hidden"),
            keras.layers.Dense(3, name="head"),
        ]
    )
    model.compile(optimizer, loss="mse", **options)
    return model


def fit(model: keras.Model, *callbacks: Any, epochs: int = 2, size: int = 8) -> None:
    model.fit(
        INPUTS,
        TARGETS,
        epochs=epochs,
        batch_size=size,
        shuffle=False,
        verbose=0,
        callbacks=list(callbacks),
    )


def values(variables: Any) -> list[np.ndarray]:
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def assert_close(these: Any, those: Any, **tolerance: float) -> None:
    for this, that in zip(values(these), values(those), strict=True):
        np.testing.assert_allclose(this, that, **tolerance or {"atol": 1e-6})


def assert_differ(these: Any, those: Any) -> None:
    pairs = zip(values(these), values(those), strict=True)
    assert not all(np.allclose(this, that) for this, that in pairs)


@pytest.mark.alternates("kind")
@pytest.mark.parametrize("kind", [*KINDS, "Lookahead", "Prodigy", "SOAP"])
def test_a_saved_model_trains_on_as_the_one_that_was_saved(
    kind: str, tmp_path: Path
) -> None:
    model = network(make(kind, weight_decay=0.1))
    fit(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    fit(model, epochs=1)
    fit(loaded, epochs=1)
    assert_close(loaded.variables, model.variables, rtol=0, atol=0)


@pytest.mark.alternates("kind")
@pytest.mark.parametrize("kind", [*KINDS, "Lookahead"])
def test_accumulated_halves_of_a_batch_train_as_the_whole_batch(kind: str) -> None:
    halves, whole = (
        network(make(kind, gradient_accumulation_steps=2)),
        network(make(kind)),
    )
    fit(halves, size=8)
    fit(whole, size=16)
    assert_close(halves.variables, whole.variables, atol=2e-4)


CLIPPED = [
    ({"clipnorm": 0.5}, [0.3, -0.4]),
    ({"global_clipnorm": 0.5}, [0.3, -0.4]),
    ({"clipvalue": 2.0}, [2.0, -2.0]),
]


@pytest.mark.one_backend
@pytest.mark.parametrize(("options", "expected"), CLIPPED)
@pytest.mark.parametrize("kind", ["AdEMAMix", "Lookahead"])
def test_clipped_gradients_are_what_the_optimizer_sees(
    kind: str, options: dict[str, float], expected: list[float]
) -> None:
    weights = []
    given = [(make(kind, **options), [3.0, -4.0]), (make(kind), expected)]
    for optimizer, gradient in given:
        weights.append(keras.Variable([1.0, 1.0]))
        optimizer.build([weights[-1]])
        # The first gradient is none of those, so that their size matters.
        for values_now in ([0.1, 0.1], gradient, gradient):
            optimizer.apply([keras.ops.convert_to_tensor(values_now)])
    assert_close([weights[0]], [weights[1]], atol=1e-6)


@pytest.mark.one_backend
@pytest.mark.parametrize("kind", [*KINDS, "Lookahead"])
def test_a_loss_scale_changes_nothing_but_rounding(kind: str) -> None:
    scaled, plain = network(make(kind, loss_scale_factor=1024.0)), network(make(kind))
    fit(scaled)
    fit(plain)
    assert_close(scaled.variables, plain.variables, atol=1e-5)


@pytest.mark.alternates("kind")
@pytest.mark.parametrize("kind", ["Adan", "Lookahead"])
def test_mixed_precision_trains_nearly_as_single_precision(kind: str) -> None:
    keras.config.set_dtype_policy("mixed_float16")
    try:
        mixed = network(make(kind), auto_scale_loss=True)
    finally:
        keras.config.set_dtype_policy("float32")
    plain = network(make(kind))
    fit(mixed)
    fit(plain)
    assert isinstance(mixed.optimizer, keras.optimizers.LossScaleOptimizer)
    assert_close(mixed.trainable_variables, plain.trainable_variables, atol=0.02)


@pytest.mark.one_backend
@pytest.mark.parametrize("kind", ["RectifiedAdam", "Lookahead"])
def test_half_precision_weights_stay_of_their_type(kind: str) -> None:
    keras.config.set_dtype_policy("bfloat16")
    try:
        model = network(make(kind))
    finally:
        keras.config.set_dtype_policy("float32")
    before = [w.astype("float32") for w in values(model.trainable_variables)]
    fit(model)
    assert {str(v.dtype) for v in model.trainable_variables} == {"bfloat16"}
    after = [w.astype("float32") for w in values(model.trainable_variables)]
    assert all(np.isfinite(w).all() for w in after)
    assert any((a != b).any() for a, b in zip(before, after, strict=True))


@pytest.mark.alternates("kind")
@pytest.mark.parametrize("kind", ["AdaBelief", "RectifiedAdam"])
def test_1cycle_with_momentum_is_that_of_a_loop_by_hand(kind: str) -> None:
    x, y = numpy_network.data()
    model = numpy_network.network(make(kind))
    weights, by_hand = numpy_network.weights_of(model), make(kind)
    variables = [keras.Variable(weight.astype("float32")) for weight in weights]
    model.fit(x, y, 4, 2, 0, callbacks=[OneCycleScheduler(0.05)], shuffle=False)
    by_hand.build(variables)
    rates, momenta = OneCycle(0.05, 12), OneCycleMomentum(12)
    for step in range(12):
        by_hand.learning_rate = float(rates(step))
        by_hand.beta_1 = float(momenta(step))
        batch = slice(4 * (step % 6), 4 * (step % 6) + 4)
        found = numpy_network.gradients(values(variables), x[batch], y[batch])
        by_hand.apply([keras.ops.convert_to_tensor(g.astype("float32")) for g in found])
    assert_close(model.trainable_variables, variables, atol=1e-5)


@pytest.mark.one_backend
@pytest.mark.parametrize("kind", [*KINDS, "Lookahead"])
def test_a_schedule_of_keras_is_followed(kind: str) -> None:
    halved = keras.optimizers.schedules.PiecewiseConstantDecay([3], [0.01, 0.0])
    model = network(make(kind, halved))
    fit(model, epochs=1)
    after_four = values(model.trainable_variables)
    if kind != "Lookahead":
        fit(model, epochs=1)
        assert_close(model.trainable_variables, after_four, atol=0)
    assert_differ(after_four, network("sgd").trainable_variables)


@pytest.mark.one_backend
@pytest.mark.parametrize("kind", [*KINDS, "Lookahead"])
def test_slow_groups_move_less_and_all_groups_keep_their_slots(kind: str) -> None:
    slow, plain = network("sgd"), network(make(kind))
    inner = make(kind)
    slow.compile(
        transfer.DiscriminativeLearningRates(
            inner, multipliers={"hidden": 0.1, "head": 1.0}, groups=slow
        ),
        loss="mse",
    )
    start = values(slow.trainable_variables)
    fit(slow, epochs=1, size=32)
    fit(slow, epochs=1, size=32)
    fit(plain, epochs=1, size=32)
    fit(plain, epochs=1, size=32)
    moved, whole = (
        [a - b for a, b in zip(values(m.trainable_variables), start, strict=True)]
        for m in (slow, plain)
    )
    ratio = np.abs(moved[0]).max() / np.abs(whole[0]).max()
    assert ratio == pytest.approx(0.1, abs=0.03)
    assert np.abs(moved[2]).max() > 0.5 * np.abs(whole[2]).max()


@pytest.mark.alternates("kind", but=("Lookahead",))
@pytest.mark.parametrize("kind", ["Adan", "Prodigy", "Lookahead", "SOAP"])
def test_frozen_and_unfrozen_layers_keep_what_the_optimizer_knows(kind: str) -> None:
    model = network(make(kind))
    fit(model)
    before = by_name(model.optimizer)
    transfer.freeze(model, "hidden")
    transfer.unfreeze(model, "hidden")
    after = by_name(model.optimizer)
    head = [name for name in before if "head" in name]
    assert head
    for name in head:
        np.testing.assert_array_equal(after[name], before[name])
    fit(model)
    assert all(np.isfinite(value).all() for value in values(model.variables))


def by_name(optimizer: Any) -> dict[str, np.ndarray]:
    named = zip(optimizer.variables, values(optimizer.variables), strict=True)
    return {variable.path.rpartition("/")[2]: value for variable, value in named}


@pytest.mark.parametrize("kind", ["Adan"])
def test_repeated_rows_of_an_embedding_train_as_their_sum(kind: str) -> None:
    def model() -> keras.Model:
        keras.utils.set_random_seed(1)
        layers = [keras.layers.Embedding(5, 3), keras.layers.GlobalAveragePooling1D()]
        return keras.Sequential([keras.Input((4,), dtype="int32"), *layers])

    ids = np.array([[1, 1, 1, 2], [0, 1, 2, 2]])
    listed = model()
    listed.compile(make(kind), loss="mse")
    for _ in range(4):
        listed.train_on_batch(ids, np.zeros((2, 3)))
    counts = np.stack([np.bincount(row, minlength=5) for row in ids]) / 4
    summed, [table] = make(kind), model().weights
    summed.build([table])
    for _ in range(4):
        outputs = counts @ values([table])[0]
        gradient = (counts.T @ outputs * 2 / outputs.size).astype("float32")
        summed.apply([keras.ops.convert_to_tensor(gradient)])
    assert_close(listed.weights, [table], atol=1e-5)


@pytest.mark.one_backend
@pytest.mark.parametrize("kind", [*KINDS, "Lookahead", "Prodigy", "SOAP"])
def test_a_monitor_sees_the_updates_and_changes_none(kind: str) -> None:
    watched, plain = network(make(kind)), network(make(kind))
    monitor = GradientMonitor(on_problem="ignore")
    fit(watched, monitor)
    fit(plain)
    assert_close(watched.variables, plain.variables, atol=0)


def test_kernels_of_any_rank_are_rotated_but_for_dimensions_that_are_too_large() -> (
    None
):
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            keras.layers.Conv2D(5, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(1),
        ]
    )
    soap = optimizers.SOAP(0.01, refresh_every=2, max_dimension=4)
    model.compile(soap, loss="mse")
    x = RNG.normal(size=(16, 6, 6, 2)).astype("float32")
    losses = model.fit(x, x[:, 0, 0, :1], 8, 4, 0).history["loss"]
    assert losses[-1] < losses[0]
    bases = {
        tuple(variable.shape): value
        for variable, value in zip(soap.variables, values(soap.variables), strict=True)
        if "basis" in variable.path
    }
    assert set(bases) == {(3, 3), (2, 2), (1, 1)}
    for basis in bases.values():
        np.testing.assert_allclose(basis.T @ basis, np.eye(len(basis)), atol=1e-5)


@pytest.mark.one_backend
def test_an_optimizer_with_one_rate_for_all_takes_none_for_groups() -> None:
    model = network("sgd")
    with pytest.raises(ValueError, match="Discriminative.*prodigy.*estimates one"):
        transfer.DiscriminativeLearningRates(
            optimizers.Prodigy(name="prodigy"), multipliers=[0.1, 1.0], groups=model
        )


@pytest.mark.one_backend
@pytest.mark.parametrize("kind", KINDS)
def test_numbers_out_of_range_are_refused_by_name(kind: str) -> None:
    cls: Callable[..., Any] = getattr(optimizers, kind)
    with pytest.raises(ValueError, match=rf"{kind}: `beta_1` must be .*beta_1=1\.5"):
        cls(beta_1=1.5)
