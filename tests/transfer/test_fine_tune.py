"""Fine-tuning in one call: what trains, how fast, on what, and what comes of it."""

import random

import keras
import numpy as np
import pytest

from keras_deeptools.callbacks import OneCycleScheduler
from keras_deeptools.transfer import (
    DiscriminativeLearningRates,
    FineTuning,
    fine_tune,
    freeze_to,
)
from transfer.pretrained import INPUTS, LABELS, Watch, pretrained, values

OPTIONS = {"batch_size": 8, "verbose": 0}


def tuned(model: keras.Model, **options: object) -> FineTuning:
    return fine_tune(model, INPUTS, LABELS, **(OPTIONS | {"epochs": 2} | options))


@pytest.fixture(scope="module")
def watched() -> tuple[FineTuning, Watch, keras.Model, dict]:
    """One usual call, watched."""
    keras.utils.set_random_seed(0)
    model = pretrained()
    before, watch = values(model), Watch()
    random.seed(1)
    state = random.getstate(), np.random.get_state()[1].tolist()
    result = tuned(model, validation_split=0.25, callbacks=[watch], seed=3)
    after = random.getstate(), np.random.get_state()[1].tolist()
    return result, watch, model, {"weights": before, "random": (state, after)}


def test_the_head_trains_first_and_nothing_before_it_changes(watched: tuple) -> None:
    _, watch, _, before = watched
    for name, value in watch.weights[0].items():
        changed = (value != before["weights"][name]).any()
        assert changed == name.startswith("head"), name


def test_then_all_layers_train_but_batch_normalization(watched: tuple) -> None:
    _, watch, _, _ = watched
    for name, value in watch.weights[-1].items():
        changed = (value != watch.weights[0][name]).any()
        assert changed != ("norm" in name), name


def test_the_history_and_what_callbacks_see_is_numbered_through(
    watched: tuple,
) -> None:
    result, watch, _, _ = watched
    assert result.epoch == watch.epochs == [0, 1, 2]
    names = {"loss", "val_loss", "accuracy", "val_accuracy", "learning_rate", "beta_1"}
    assert result.history.keys() == names
    assert {len(column) for column in result.history.values()} == {3}
    np.testing.assert_allclose(result.history["loss"], watch.losses, rtol=1e-6)


def test_the_model_ends_with_the_weights_of_the_best_epoch(watched: tuple) -> None:
    result, watch, model, _ = watched
    losses = result.history["val_loss"]
    assert result.best_epoch == int(np.argmin(losses))
    assert result.best_value == min(losses)
    for name, value in values(model).items():
        np.testing.assert_array_equal(value, watch.weights[result.best_epoch][name])


def test_the_phases_say_what_trained(watched: tuple) -> None:
    phases = watched[0].phases
    assert [phase.name for phase in phases] == ["head", "all layers"]
    assert [phase.num_trainable for phase in phases] == [27, 155]
    assert [phase.learning_rate for phase in phases] == [2e-3, 1e-3]
    assert [phase.cached for phase in phases] == [True, False]


def test_no_random_state_outside_moves(watched: tuple) -> None:
    before, after = watched[3]["random"]
    assert before == after


def test_the_optimizer_keeps_its_own_rate_and_files_know_nothing(
    watched: tuple,
) -> None:
    model = watched[2]
    plain = keras.optimizers.AdamW(weight_decay=0.01, name=model.optimizer.name)
    assert model.optimizer.get_config() == plain.get_config()
    assert isinstance(model.optimizer, keras.optimizers.AdamW)


def test_the_same_by_hand_gives_the_same_weights() -> None:
    one, other = pretrained(), pretrained()
    tuned(one, shuffle=False, restore_best=False, cache=False)

    inner = keras.optimizers.AdamW(weight_decay=0.01)
    rates = DiscriminativeLearningRates(inner, slice(1e-5, 1e-3), other)
    other.compile(rates, "sparse_categorical_crossentropy")
    fit = {"batch_size": 8, "shuffle": False, "verbose": 0}
    freeze_to(other, -1)
    cycle = OneCycleScheduler(2e-3, warmup_fraction=0.99)
    other.fit(INPUTS, LABELS, callbacks=[cycle], **fit)
    freeze_to(other, 0, batch_norm="frozen")
    cycle = OneCycleScheduler(1e-3, initial_divisor=5.0, first_epoch=1)
    fit |= {"initial_epoch": 1, "epochs": 3}
    other.fit(INPUTS, LABELS, callbacks=[cycle], **fit)
    for name, value in values(one).items():
        np.testing.assert_allclose(value, values(other)[name], atol=1e-6)


def test_groups_train_at_rates_on_a_geometric_scale() -> None:
    """Lion's steps are as long as the rate; a cycle of one step is at its end."""
    model = pretrained()
    before = values(model)
    tuned(
        model,
        frozen_epochs=0,
        epochs=1,
        batch_size=len(INPUTS),
        optimizer=keras.optimizers.Lion(weight_decay=None),
        learning_rate=1e3,
        rate_ratio=16.0,
        restore_best=False,
    )
    after = values(model)
    steps = [
        np.abs(after[name] - before[name]).max()
        for name in ("block1_dense/kernel", "block2_dense/kernel", "head/kernel")
    ]
    np.testing.assert_allclose(np.divide(steps, steps[-1]), [1 / 16, 1 / 4, 1], 1e-3)


@pytest.mark.one_backend
def test_a_compiled_model_keeps_its_optimizer_loss_and_metrics() -> None:
    model = pretrained()
    optimizer = keras.optimizers.SGD(0.125, momentum=0.5)
    model.compile(optimizer, "mean_squared_error", metrics=["mae"])
    options = {"frozen_epochs": 0, "epochs": 1, "learning_rate": 1e-3}
    result = fine_tune(model, INPUTS, np.eye(3)[LABELS], **OPTIONS, **options)
    assert model.optimizer is optimizer and model.loss == "mean_squared_error"
    assert result.history.keys() == {"loss", "mae", "learning_rate", "momentum"}
    assert float(optimizer.learning_rate) == 0.125


@pytest.mark.one_backend
def test_the_weights_of_the_last_epoch_stay_on_request(
    capsys: pytest.CaptureFixture,
) -> None:
    model, watch = pretrained(body_dropout=0.5), Watch()
    result = tuned(
        model,
        epochs=1,
        monitor="accuracy",
        mode="min",
        restore_best=False,
        callbacks=[watch],
        verbose=2,
    )
    assert not result.restored
    assert result.best_value == min(result.history["accuracy"])
    for name, value in values(model).items():
        np.testing.assert_array_equal(value, watch.weights[-1][name])
    # What draws at random before the head is not cached, and the progress named.
    assert [phase.cached for phase in result.phases] == [False, False]
    printed = capsys.readouterr().out
    assert "Epoch 1/2 (head)" in printed and "Epoch 2/2 (all layers)" in printed
    assert printed.count("loss:") == 2


@pytest.mark.one_backend
def test_a_cache_that_cannot_be_is_refused_on_request() -> None:
    with pytest.raises(ValueError, match="cache_features"):
        tuned(pretrained(body_dropout=0.5), epochs=1, cache=True)


@pytest.mark.one_backend
def test_early_stopping_ends_a_phase_and_the_next_begins() -> None:
    stop = keras.callbacks.EarlyStopping("loss", patience=0, min_delta=1e9)
    result = tuned(
        pretrained(), frozen_epochs=3, epochs=3, cache=False, callbacks=[stop]
    )
    assert result.epoch == [0, 1, 3, 4]
    assert [phase.num_epochs for phase in result.phases] == [2, 2]
    assert "1-2" in result.table() and "4-5" in result.table()


def test_training_the_head_on_cached_features_gives_the_same_weights(
    watched: tuple,
) -> None:
    watch = Watch()
    options = {"validation_split": 0.25, "callbacks": [watch], "seed": 3}
    assert not tuned(pretrained(), cache=False, **options).phases[0].cached
    for one, other in zip(watched[1].weights, watch.weights, strict=True):
        for name, value in one.items():
            np.testing.assert_allclose(value, other[name], atol=1e-6)


@pytest.mark.one_backend
def test_pixels_are_looked_at_where_a_backbone_takes_them() -> None:
    inputs = keras.Input((4, 4, 3), name="pixels")
    outputs = keras.layers.Flatten()(keras.layers.Conv2D(2, 3, name="body")(inputs))
    outputs = keras.layers.Dense(2, "softmax", name="head")(outputs)
    model = keras.Model(inputs, outputs)
    with pytest.raises(ValueError, match=r"check_pixels: .* scaled to \[0, 1\]"):
        fine_tune(model, np.full((4, 4, 4, 3), 0.5), np.zeros(4, "int32"), epochs=1)
    assert not model.compiled


def test_a_compiled_model_keeps_its_loss_and_metrics_in_files(tmp_path) -> None:
    model = pretrained()
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    tuned(model, epochs=1, optimizer="adam")
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    history = loaded.fit(INPUTS, LABELS, verbose=0).history
    assert isinstance(loaded.optimizer, keras.optimizers.Adam)
    assert set(history) == {"loss", "accuracy"}
