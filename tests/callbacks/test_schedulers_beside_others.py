"""Schedulers beside other people's callbacks, optimizers and callback lists."""

import warnings

import keras
import numpy as np
import pytest
import torch

from keras_deeptools import attach
from keras_deeptools.callbacks import HyperparameterScheduler, OneCycleScheduler
from keras_deeptools.schedules import Constant

BACKEND = keras.backend.backend()
X = np.random.default_rng(0).normal(size=(40, 3)).astype("float32")
Y = X[:, :1].copy()


def linear_model(optimizer=None, **options):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(optimizer or keras.optimizers.SGD(0.0625), loss="mse", **options)
    return model


def one_cycle(**options):
    return OneCycleScheduler(0.1, cycle_momentum=False, **options)


def constant():
    return HyperparameterScheduler({"learning_rate": Constant(0.08)})


def fit(model, *callbacks, **options):
    options = {"batch_size": 10, "epochs": 4, "verbose": 0} | options
    return model.fit(X, Y, callbacks=list(callbacks), **options)


def cycle(total_steps=16):
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 0.1, total_steps=total_steps, cycle_momentum=False
    )
    rates = []
    for _ in range(total_steps):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        if len(rates) < total_steps:
            schedule.step()
    return np.array(rates)


def assert_is_cycle(scheduler, expected=None):
    expected = cycle() if expected is None else expected
    found = scheduler.history["learning_rate"]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def ours(told):
    """The number of warnings of this package; torch and Keras have some of theirs."""
    return sum("Scheduler: " in str(each.message) for each in told)


def by_epoch():
    return keras.callbacks.LearningRateScheduler(lambda epoch: 0.02 * 0.5**epoch)


def plateau():
    return keras.callbacks.ReduceLROnPlateau(
        monitor="loss", factor=0.5, patience=1, min_delta=1e9
    )


class Assign(keras.callbacks.Callback):
    """Sets the learning rate, as code written for one model does."""

    def __init__(self, function, at="end"):
        super().__init__()
        self.function = function
        self.at = at

    def _assign(self, epoch):
        optimizer = self.model.optimizer
        rate = float(keras.ops.convert_to_numpy(optimizer.learning_rate))
        optimizer.learning_rate = self.function(epoch, rate)

    def on_epoch_begin(self, epoch, logs=None):
        if self.at == "begin":
            self._assign(epoch)

    def on_epoch_end(self, epoch, logs=None):
        if self.at == "end":
            self._assign(epoch)


# Keras' LearningRateScheduler


@pytest.mark.alternates("order")
@pytest.mark.parametrize("order", ["first", "last"])
def test_one_cycle_wins_over_keras_learning_rate_scheduler_and_says_so(order):
    scheduler = one_cycle()
    callbacks = [scheduler, by_epoch()]
    model = linear_model()
    with pytest.warns(UserWarning, match="RateScheduler.*OneCycleScheduler win"):
        fit(model, *(callbacks if order == "first" else callbacks[::-1]))
    assert_is_cycle(scheduler)
    # What it set before the first update is the optimizer's own.
    assert float(model.optimizer.learning_rate) == pytest.approx(0.02)


@pytest.mark.one_backend
def test_the_learning_rate_scheduler_of_another_fit_has_its_say():
    scheduler = constant()
    model = linear_model()
    with pytest.warns(UserWarning, match="HyperparameterScheduler wins"):
        fit(model, scheduler, by_epoch())
    np.testing.assert_allclose(scheduler.history["learning_rate"], 0.08, rtol=1e-6)
    fit(model, scheduler, Assign(lambda epoch, rate: rate / 2))
    np.testing.assert_allclose(
        scheduler.history["learning_rate"][::4], [0.08, 0.04, 0.02, 0.01], rtol=1e-6
    )


@pytest.mark.one_backend
def test_one_object_warns_once():
    scheduler = constant()
    model = linear_model()
    with pytest.warns(UserWarning) as told:
        for _ in range(3):
            fit(model, scheduler, by_epoch())
    assert ours(told) == 1


@pytest.mark.one_backend
def test_a_schedule_for_something_else_leaves_the_learning_rate_to_others():
    optimizer = keras.optimizers.SGD(0.0625, momentum=0.9)
    scheduler = HyperparameterScheduler({"momentum": Constant(0.5)})
    model = linear_model(optimizer)
    fit(model, scheduler, by_epoch())
    assert float(model.optimizer.learning_rate) == pytest.approx(0.02 / 8)


# ReduceLROnPlateau


@pytest.mark.alternates("order")
@pytest.mark.parametrize("order", ["first", "last"])
def test_reductions_on_a_plateau_multiply_one_cycle_and_it_says_so(order):
    scheduler = one_cycle()
    callbacks = [scheduler, plateau()]
    with pytest.warns(UserWarning, match="ReduceLROnPlateau.*each of its reductions"):
        fit(linear_model(), *(callbacks if order == "first" else callbacks[::-1]))
    assert_is_cycle(scheduler, cycle() * np.repeat([1, 1, 0.5, 0.25], 4))


def test_reductions_on_a_plateau_multiply_other_schedules_without_a_word():
    scheduler = constant()
    fit(linear_model(), scheduler, plateau())
    np.testing.assert_allclose(
        scheduler.history["learning_rate"],
        np.repeat([0.08, 0.08, 0.04, 0.02], 4),
        rtol=1e-6,
    )


# Callbacks of one's own


@pytest.mark.one_backend
def test_one_cycle_tells_that_its_values_are_multiplied():
    scheduler = one_cycle()
    with pytest.warns(UserWarning, match="multiplied by 0.5,") as told:
        fit(linear_model(), scheduler, Assign(lambda epoch, rate: rate / 2))
    assert ours(told) == 1
    assert_is_cycle(scheduler, cycle() * np.repeat([1, 0.5, 0.25, 0.125], 4))


@pytest.mark.one_backend
def test_a_raised_learning_rate_is_told_beside_any_schedule():
    scheduler = constant()
    with pytest.warns(UserWarning, match="multiplied by 2,"):
        fit(linear_model(), scheduler, Assign(lambda epoch, rate: 0.16))


def test_what_is_set_before_the_first_update_changes_no_schedule():
    scheduler = one_cycle()
    once = Assign(lambda epoch, rate: 0.5 if epoch == 0 else rate, at="begin")
    model = linear_model()
    fit(model, scheduler, once)
    assert_is_cycle(scheduler)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.5)


def test_a_warmup_from_zero_keeps_the_optimizers_own_learning_rate():
    scheduler = HyperparameterScheduler({"learning_rate": lambda step: 0.01 * step})
    model = linear_model()
    fit(model, scheduler)
    assert float(model.optimizer.learning_rate) == 0.0625
    np.testing.assert_allclose(
        scheduler.history["learning_rate"], 0.01 * np.arange(16), rtol=1e-6
    )


@pytest.mark.one_backend
def test_plain_use_gives_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        for scheduler in (one_cycle(), constant()):
            model = linear_model()
            logger = keras.callbacks.EarlyStopping(monitor="loss", patience=9)
            for epochs in (2, 3, 1):
                fit(model, scheduler, logger, epochs=epochs, validation_split=0.25)


# A schedule in the optimizer


@pytest.mark.alternates("make")
@pytest.mark.parametrize("make", [one_cycle, constant])
def test_a_schedule_in_the_optimizer_is_told_who_wins(make):
    decay = keras.optimizers.schedules.ExponentialDecay(0.5, 10, 0.9)
    model = linear_model(keras.optimizers.SGD(decay))
    scheduler = make()
    name = type(scheduler).__name__
    with pytest.warns(UserWarning, match=f"SGD was built with.*{name} wins") as told:
        fit(model, scheduler)
        fit(model, scheduler)
    assert ours(told) == 1
    values = cycle() if make is one_cycle else 0.08
    np.testing.assert_allclose(
        scheduler.history["learning_rate"], values, rtol=1e-5, atol=1e-7
    )


# Callback lists that the user has made


def test_a_callback_list_passed_to_fit_needs_no_total_steps():
    scheduler = one_cycle()
    other = HyperparameterScheduler(
        {"weight_decay": lambda step: 0.1 if step < 8 else 0.01}
    )
    model = linear_model(keras.optimizers.SGD(0.0625, weight_decay=0.1))
    callbacks = keras.callbacks.CallbackList(
        [scheduler, other], add_history=True, model=model
    )
    model.fit(X, Y, batch_size=10, epochs=4, callbacks=callbacks, verbose=0)
    assert_is_cycle(scheduler)
    expected = np.repeat([0.1, 0.01], 8)
    np.testing.assert_allclose(other.history["weight_decay"], expected, rtol=1e-6)


@pytest.mark.one_backend
def test_one_passed_to_a_resumed_fit_goes_on_where_it_was():
    scheduler = one_cycle()
    model = linear_model()
    callbacks = keras.callbacks.CallbackList([scheduler], add_history=True, model=model)
    model.fit(
        X, Y, batch_size=10, initial_epoch=3, epochs=4, callbacks=callbacks, verbose=0
    )
    assert_is_cycle(scheduler, cycle()[12:])


def drive(model, callbacks, epochs=4):
    """A training loop of the user's own, with the hooks that Keras documents."""
    callbacks.on_train_begin()
    for epoch in range(epochs):
        callbacks.on_epoch_begin(epoch)
        for batch, start in enumerate(range(0, 40, 10)):
            callbacks.on_train_batch_begin(batch)
            rows = slice(start, start + 10)
            logs = model.train_on_batch(X[rows], Y[rows], return_dict=True)
            callbacks.on_train_batch_end(batch, logs)
        callbacks.on_epoch_end(epoch, logs)
    callbacks.on_train_end()


def test_a_callback_list_driven_by_hand_takes_epochs_and_steps():
    scheduler = one_cycle()
    model = linear_model()
    drive(
        model,
        keras.callbacks.CallbackList([scheduler], model=model, epochs=4, steps=4),
    )
    assert_is_cycle(scheduler)
    assert float(model.optimizer.learning_rate) == 0.0625


@pytest.mark.one_backend
@pytest.mark.parametrize("total_steps", [None, 16])
def test_a_callback_list_driven_by_hand_asks_for_what_it_lacks(total_steps):
    scheduler = one_cycle(total_steps=total_steps)
    model = linear_model()
    callbacks = keras.callbacks.CallbackList([scheduler], model=model)
    if total_steps is None:
        with pytest.raises(ValueError, match="`total_steps` must be given.*Callback"):
            drive(model, callbacks)
    else:
        drive(model, callbacks)
        assert_is_cycle(scheduler)


@pytest.mark.one_backend
def test_the_length_of_an_earlier_fit_is_not_taken_for_a_loop_of_ones_own():
    scheduler = one_cycle()
    model = linear_model()
    fit(model, scheduler)
    with pytest.raises(ValueError, match="`total_steps` must be given"):
        attach(model, scheduler)


# The length of the cycle


def test_the_cycle_counts_updates_under_accumulation():
    optimizer = keras.optimizers.SGD(0.0625, gradient_accumulation_steps=2)
    scheduler = one_cycle()
    fit(linear_model(optimizer), scheduler)
    assert_is_cycle(scheduler, cycle(8))


def test_the_cycle_counts_updates_of_several_steps_in_one_execution():
    # Keras has no steps_per_execution on torch.
    at_once = 1 if BACKEND == "torch" else 3
    scheduler = one_cycle()
    fit(linear_model(steps_per_execution=at_once), scheduler)
    assert_is_cycle(scheduler)


@pytest.mark.one_backend
def test_a_generator_with_steps_per_epoch_has_a_known_length():
    def batches():
        while True:
            yield X[:10], Y[:10]

    scheduler = one_cycle()
    linear_model().fit(
        batches(),
        steps_per_epoch=4,
        epochs=4,
        callbacks=[scheduler],
        shuffle=False,
        verbose=0,
    )
    assert_is_cycle(scheduler)


@pytest.mark.one_backend
def test_a_fit_that_stops_early_has_run_the_first_part_of_the_cycle():
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 1

    scheduler = one_cycle()
    model = linear_model()
    fit(model, scheduler, Stop())
    assert_is_cycle(scheduler, cycle()[:8])
    assert float(model.optimizer.learning_rate) == 0.0625


@pytest.mark.one_backend
def test_fits_of_one_epoch_in_a_row_are_told_to_be_cycles_each():
    scheduler = one_cycle()
    model = linear_model()
    fit(model, scheduler, epochs=1)
    with pytest.warns(UserWarning, match="second `fit` of one epoch") as told:
        for _ in range(3):
            fit(model, scheduler, epochs=1)
    assert ours(told) == 1


@pytest.mark.one_backend
def test_numbered_fits_of_one_epoch_make_one_cycle():
    scheduler = one_cycle(total_steps=16)
    model = linear_model()
    rates = []
    for epoch in range(4):
        fit(model, scheduler, initial_epoch=epoch, epochs=epoch + 1)
        rates.extend(scheduler.history["learning_rate"])
    np.testing.assert_allclose(rates, cycle(), rtol=1e-5, atol=1e-7)
