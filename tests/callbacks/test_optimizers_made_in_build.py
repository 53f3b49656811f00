"""An optimizer that the model makes for itself when it is built."""

import keras
import numpy as np
import pytest

from keras_deeptools import attach, find_learning_rate
from keras_deeptools.callbacks import (
    GradientClipper,
    GradientMonitor,
    LearningRateFinder,
    MaxNormEnforcer,
)
from two_networks import BACKEND, LEFT, TwoNetworks, X, Y, fit, network, trajectory


class MadeInBuild(keras.Model):
    """Compiled without an optimizer of its own choice, which `build` makes."""

    right_updates, way = 0, "scope"
    train_step = TwoNetworks.train_step

    def __init__(self):
        super().__init__(name="late")
        self.part = network("left", LEFT)
        self.tracker = keras.metrics.Mean(name="error")
        self.compile()
        if BACKEND != "tensorflow":
            # `fit` itself builds models there before the callbacks begin.
            self.build(X.shape)

    def build(self, input_shape):
        self.own_optimizer = keras.optimizers.SGD(0.1)
        self.own_optimizer.build(self.part.trainable_variables)
        if BACKEND == "jax":
            self.states = list(self.own_optimizer.variables)
        self.built = True

    def call(self, inputs):
        return self.part(inputs)

    def updates(self):
        if BACKEND == "tensorflow":
            self(X[:1])
        yield self.part, self.own_optimizer


def test_callbacks_act_on_it_from_the_first_update_on():
    model, monitor = MadeInBuild(), GradientMonitor(on_problem="ignore")
    clipper = GradientClipper(global_norm=0.5)
    fit(model, monitor, clipper)
    assert monitor.steps.tolist() == list(range(8))
    within = lambda g: g * min(1, 0.5 / np.linalg.norm(g))  # noqa: E731
    expected = trajectory(LEFT, 8 * [0.1], within)[-1]
    np.testing.assert_allclose(model.part.get_weights()[0], expected, rtol=1e-4)


def test_it_can_be_named():
    model = MadeInBuild()
    fit(model, MaxNormEnforcer(0.3, optimizer="own_optimizer"))
    assert np.linalg.norm(model.part.get_weights()[0]) <= 0.3 + 1e-6


def test_the_range_test_takes_it_and_leaves_the_weights():
    model = MadeInBuild()
    result = find_learning_rate(model, X, Y, batch_size=4, num_steps=10, verbose=0)
    assert len(result.losses) > 2
    np.testing.assert_array_equal(model.part.get_weights()[0], LEFT)


def test_the_finder_sets_its_rate():
    model = MadeInBuild()
    finder = LearningRateFinder(X, Y, batch_size=16, num_steps=60, verbose=0)
    fit(model, finder, epochs=1)
    rate = float(model.own_optimizer.learning_rate)
    assert rate == pytest.approx(float(finder.result), rel=1e-6)


def test_attaching_by_hand_says_which_optimizer_trains():
    model = MadeInBuild()
    with pytest.warns(UserWarning, match='optimizer="own_optimizer"'):
        with attach(model, GradientClipper(value=1.0), optimizer=model.optimizer):
            model.train_on_batch(X[:4], Y[:4])
