"""Loops of a user's own, with features attached to their optimizers."""

import warnings

import keras
import numpy as np
import pytest

from keras_deeptools import attach
from keras_deeptools.callbacks import (
    GradientClipper,
    GradientMonitor,
    HyperparameterScheduler,
    MaxNormEnforcer,
    WeightAveraging,
)
from own_loops import BACKEND, Loop, X, Y, kernel, network

SGD, Adam = keras.optimizers.SGD, keras.optimizers.Adam


def gradient(weights):
    return 2 / len(X) * X.T @ (X @ weights - Y)


def test_every_update_of_a_loop_is_seen():
    loop, monitor = Loop(network(), Adam(0.01)), GradientMonitor()
    expected = np.linalg.norm(gradient(kernel(loop.model)))
    with attach(loop.optimizer, monitor):
        loop.run(3)
    assert len(monitor.global_norms) == 3
    assert abs(monitor.global_norms[0] / expected - 1) < 1e-5


def test_a_loop_is_clipped_scheduled_and_projected():
    loop = Loop(network(), SGD(7.0))
    weights = kernel(loop.model)
    with attach(
        loop.optimizer,
        GradientClipper(global_norm=0.5),
        HyperparameterScheduler({"learning_rate": lambda step: 0.1 * (step + 1)}),
        MaxNormEnforcer(0.6),
    ):
        loop.run(3)
    for rate in (0.1, 0.2, 0.3):
        slope = gradient(weights)
        weights = weights - rate * slope * min(1, 0.5 / np.linalg.norm(slope))
        weights = weights * min(1, 0.6 / np.linalg.norm(weights))
    np.testing.assert_allclose(kernel(loop.model), weights, rtol=1e-5)


def test_the_averages_of_a_loop_can_be_shown_and_taken():
    loop, averaging = Loop(network(), SGD(0.1)), WeightAveraging(None)
    weights = [kernel(loop.model)]
    with attach(loop.optimizer, averaging):
        loop.run(3)
        with averaging.shown():
            shown = kernel(loop.model)
    for _ in range(3):
        weights.append(weights[-1] - 0.1 * gradient(weights[-1]))
    np.testing.assert_allclose(shown, np.mean(weights[1:], axis=0), rtol=1e-5)
    np.testing.assert_allclose(kernel(loop.model), weights[-1], rtol=1e-5)


def test_each_optimizer_of_a_loop_has_features_of_its_own():
    left = Loop(network("left"), SGD(0.1))
    right = Loop(network("right"), Adam(0.1))
    monitors = GradientMonitor(), GradientMonitor()
    clipper = GradientClipper(global_norm=0.01)
    with (
        attach(left.optimizer, monitors[0], clipper),
        attach(right.optimizer, monitors[1]),
    ):
        left.run(2)
        right.run(4)
    assert [len(monitor.global_norms) for monitor in monitors] == [2, 4]
    moved = np.linalg.norm(kernel(left.model) - kernel(network()))
    assert moved < 2 * 0.1 * 0.01 * 1.0001


def test_after_the_block_a_loop_goes_on_as_if_nothing_had_been_attached():
    loop, plain = Loop(network(), SGD(0.1)), Loop(network(), SGD(0.1))
    with attach(loop.optimizer, GradientClipper(global_norm=1e-6)):
        loop.run(2)
    loop.model.set_weights(plain.model.get_weights())
    loop.run(2)
    plain.run(2)
    np.testing.assert_allclose(kernel(loop.model), kernel(plain.model), rtol=1e-6)


def test_features_can_be_attached_to_a_loop_again():
    loop, monitor = Loop(network(), SGD(0.1)), GradientMonitor()
    for _ in range(2):
        with attach(loop.optimizer, monitor):
            loop.run(2)
        assert len(monitor.global_norms) == 2
        loop.run(1)


def test_the_optimizer_of_a_compiled_model_is_served_in_a_loop():
    model, monitor = network(), GradientMonitor()
    model.compile(SGD(0.1), "mse")
    with attach(model, monitor):
        Loop(model, model.optimizer).run(2)
    assert len(monitor.global_norms) == 2


def test_callbacks_can_be_driven_by_a_loop():
    model, monitor = network(), GradientMonitor()
    model.compile(SGD(0.1), "mse")
    loop = Loop(model, model.optimizer)
    callbacks = keras.callbacks.CallbackList([monitor], model=model)
    callbacks.on_train_begin()
    for epoch in range(2):
        callbacks.on_epoch_begin(epoch)
        loop.run(2)
        callbacks.on_epoch_end(epoch, {})
    callbacks.on_train_end()
    assert len(monitor.global_norms) == 4


# What cannot be seen is said


def test_a_model_that_another_optimizer_trains_is_told():
    model = network()
    model.compile(SGD(0.1), "mse")
    loop = Loop(model, Adam(0.01))
    with (
        pytest.warns(UserWarning, match=r"`optimizer` of 'net' made no update"),
        attach(model, GradientMonitor()),
    ):
        loop.run(2)


def test_an_optimizer_that_a_loop_never_calls_is_told():
    loop = Loop(network(), Adam(0.01))
    with (
        pytest.warns(UserWarning, match=r"`idle` made no update.*attach\(optimizer"),
        attach(SGD(0.1, name="idle"), GradientMonitor()),
    ):
        loop.run(2)


def test_a_block_in_which_nothing_trains_is_silent():
    model = network()
    model.compile(SGD(0.1), "mse")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        with attach(model, GradientMonitor()):
            model.predict(X, verbose=0)


def test_an_error_in_a_loop_is_not_followed_by_a_warning():
    loop = Loop(network(), Adam(0.01))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        with (
            pytest.raises(KeyError),
            attach(SGD(0.1), GradientMonitor()),
        ):
            loop.run(1)
            raise KeyError


def test_what_is_no_optimizer_of_keras_is_refused_with_what_to_pass():
    with pytest.raises(TypeError, match="pass the Keras optimizer whose `apply`"):
        attach(object(), GradientMonitor())


if BACKEND != "torch":  # nothing is compiled there

    def test_a_function_that_was_compiled_before_is_told():
        loop = Loop(network(), SGD(0.1))
        state = loop.run(1)
        with (
            pytest.warns(UserWarning, match="compiled before.*inside of the block"),
            attach(loop.optimizer, GradientMonitor()),
        ):
            loop.run(2, state)


if BACKEND == "jax":  # elsewhere a loop holds no state

    def test_state_that_was_read_before_attaching_is_refused():
        loop = Loop(network(), SGD(0.1))
        state = loop.state()
        with (
            attach(loop.optimizer, GradientMonitor()),
            pytest.raises(ValueError, match="state must be read after attaching"),
        ):
            loop.run(1, state)

    def test_state_that_does_not_come_back_is_told_with_the_line_to_write():
        loop = Loop(network(), SGD(0.1))
        with (
            pytest.warns(UserWarning, match="not come back.*variable.assign"),
            attach(loop.optimizer, GradientMonitor()),
        ):
            loop.run(2, assign=False)

    def test_a_callback_tells_of_state_that_does_not_come_back():
        model = network()
        model.compile(SGD(0.1), "mse")
        loop = Loop(model, model.optimizer)
        callbacks = keras.callbacks.CallbackList([GradientMonitor()], model=model)
        callbacks.on_train_begin()
        loop.run(2, assign=False)
        with pytest.warns(
            UserWarning, match="GradientMonitor: the state of `optimizer`"
        ):
            callbacks.on_epoch_end(0, {})
        callbacks.on_train_end()
