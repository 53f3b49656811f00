"""What is said where a 1cycle has not ended with the training."""

import keras
import numpy as np
import pytest

from keras_deeptools.callbacks import HyperparameterScheduler, OneCycleScheduler
from keras_deeptools.schedules import OneCycle
from two_networks import BACKEND, TwoNetworks, X, Y, fit

SGD = keras.optimizers.SGD


def cycle(**options):
    return OneCycleScheduler(0.05, cycle_momentum=False, **options)


def regression(optimizer=None, **options):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(optimizer or SGD(0.1), "mse", **options)
    return model


def train(model, *callbacks, **options):
    options = {"batch_size": 4, "epochs": 2, "verbose": 0} | options
    return model.fit(X, Y, callbacks=list(callbacks), **options)


@pytest.mark.one_backend
def test_two_updates_a_batch_are_told_with_both_numbers_and_the_remedy():
    model = TwoNetworks(SGD(0.1), SGD(0.1), right_updates=2)
    told = (
        r"OneCycleScheduler: `right_optimizer` has made 16 updates \(one for each "
        r"batch would be 8\), but the cycle has total_steps=8: it ended "
        r"early.*total_steps=16"
    )
    with pytest.warns(UserWarning, match=told):
        fit(model, cycle(optimizer="right_optimizer"))
    fit(model, cycle(optimizer="right_optimizer", total_steps=16))


@pytest.mark.one_backend
def test_a_cycle_object_in_a_scheduler_is_told_of_too():
    model = TwoNetworks(SGD(0.1), SGD(0.1), right_updates=2)
    scheduler = HyperparameterScheduler(
        {"learning_rate": OneCycle(0.05, 8)}, optimizer="right_optimizer"
    )
    with pytest.warns(UserWarning, match="16 updates.*total_steps=8: it ended early"):
        fit(model, scheduler)


def test_fewer_updates_than_batches_are_told():
    model = TwoNetworks(SGD(0.1), SGD(0.1))
    # What an accumulation of the step's own does to the count.
    count = model.left_optimizer

    class Rest(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            count.iterations.assign(count.iterations - 2)

    with pytest.warns(UserWarning, match="made 4 updates.*did not reach its end"):
        fit(model, cycle(optimizer="left_optimizer"), Rest())


class StopAfter(keras.callbacks.Callback):
    def __init__(self, batch):
        super().__init__()
        self.batch = batch

    def on_train_batch_end(self, batch, logs=None):
        if batch == self.batch:
            self.model.stop_training = True


def generator(batches):
    while True:
        for i in range(batches):
            yield X[4 * (i % 4) :][:4], Y[4 * (i % 4) :][:4]


@pytest.mark.one_backend
def test_ordinary_trainings_are_told_nothing():
    train(regression(), cycle())
    train(regression(), cycle(), validation_data=(X, Y), batch_size=5)
    train(regression(), cycle(), initial_epoch=1)
    train(regression(SGD(0.1, gradient_accumulation_steps=3)), cycle(), epochs=3)
    train(regression(), cycle(first_epoch=2), initial_epoch=2, epochs=4)
    regression().fit(
        generator(4),
        steps_per_epoch=4,
        epochs=2,
        shuffle=False,
        callbacks=[cycle()],
        verbose=0,
    )


if BACKEND != "torch":  # Keras has no steps_per_execution there.

    def test_several_steps_in_one_execution_are_told_nothing():
        train(regression(steps_per_execution=3), cycle())


@pytest.mark.one_backend
def test_a_training_that_was_stopped_is_told_nothing():
    train(regression(), cycle(), StopAfter(1), epochs=4)
    stopping = keras.callbacks.EarlyStopping("loss", min_delta=100, patience=0)
    train(regression(), cycle(), stopping, epochs=5)


@pytest.mark.one_backend
def test_a_training_that_was_broken_off_is_told_nothing():
    class Break(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise KeyboardInterrupt

    model = regression()
    with pytest.raises(KeyboardInterrupt):
        train(model, cycle(), Break(), epochs=4)
    train(model, cycle())


def test_updates_that_loss_scaling_skips_count():
    optimizer = keras.optimizers.LossScaleOptimizer(SGD(0.01), initial_scale=4.0)
    model = regression(optimizer)
    bad = np.where(np.arange(16)[:, None] < 8, np.inf, X).astype("float32")
    model.fit(
        bad, Y, batch_size=4, epochs=2, shuffle=False, callbacks=[cycle()], verbose=0
    )
    assert int(optimizer.inner_optimizer.iterations) == 4


@pytest.mark.one_backend
def test_one_cycle_over_several_fits_is_told_nothing():
    model, callback = regression(), cycle(total_steps=16)
    for epoch in range(4):
        train(model, callback, initial_epoch=epoch, epochs=epoch + 1)


@pytest.mark.one_backend
@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_data_of_unknown_length_may_end_before_the_cycle():
    def few():
        for _ in range(3):
            yield X[:4], Y[:4]

    callbacks = [cycle(total_steps=8)]
    regression().fit(few(), callbacks=callbacks, shuffle=False, verbose=0)


@pytest.mark.one_backend
def test_a_cycle_that_is_shorter_than_the_training_is_told():
    # The steps of one epoch, where those of all were meant.
    with pytest.warns(UserWarning, match="made 12 updates, but .*total_steps=4"):
        train(regression(), cycle(total_steps=4), epochs=3)
