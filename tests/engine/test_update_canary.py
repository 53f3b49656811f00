"""Canaries of updates: a Keras that updates weights differently is noticed by name."""

import re

import keras
import numpy as np
import pytest

from keras_deeptools import attach
from keras_deeptools.engine import Feature
from keras_deeptools.engine._backends.active import programs
from keras_deeptools.engine._keras_private.seam import KerasSeamError
from keras_deeptools.engine._update import update_canary


@pytest.fixture(autouse=True)
def looks_anew():
    update_canary._changed.cache_clear()
    yield
    update_canary._changed.cache_clear()


def make_model():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile("sgd", loss="mse")
    return model


def test_all_numbers_are_as_expected():
    assert update_canary._changed() == ()


def method_of_sgd(name):
    """The class that has a method, and the method."""
    owner = next(cls for cls in keras.optimizers.SGD.__mro__ if name in vars(cls))
    return owner, vars(owner)[name]


def test_an_update_that_no_longer_clips_where_it_did_is_named(monkeypatch):
    owner, _ = method_of_sgd("_clip_gradients")
    monkeypatch.setattr(owner, "_clip_gradients", lambda self, gradients: gradients)
    with pytest.raises(KerasSeamError) as raised:
        attach(make_model(), Feature())
    message = str(raised.value)
    assert "Optimizer._clip_gradients, Optimizer._backend_update_step" in message
    assert "(1.0, 0.5) expected, [8.0, 0.5] found" in message
    assert keras.__version__ in message and "these still work" in message


def test_weights_that_decay_twice_are_named(monkeypatch):
    owner, decay = method_of_sgd("_apply_weight_decay")

    def twice(self, variables):
        decay(self, variables)
        decay(self, variables)

    monkeypatch.setattr(owner, "_apply_weight_decay", twice)
    with pytest.raises(KerasSeamError, match=r"Optimizer\._apply_weight_decay"):
        update_canary.check_update("attach")


def test_averages_that_are_taken_before_weights_are_corrected_are_named(monkeypatch):
    owner, average = method_of_sgd("_update_model_variables_moving_average")
    _, update = method_of_sgd("_backend_update_step")
    step, _ = method_of_sgd("_backend_update_step")

    def average_first(self, gradients, variables, learning_rate):
        update(self, gradients, variables, learning_rate)
        if self.use_ema:
            average(self, variables)

    monkeypatch.setattr(step, "_backend_update_step", average_first)
    monkeypatch.setattr(
        owner, "_update_model_variables_moving_average", lambda self, variables: None
    )
    with pytest.raises(KerasSeamError, match="before their averages are taken"):
        update_canary.check_update("attach")


def test_an_update_that_ends_in_an_error_names_the_seam_and_the_error(monkeypatch):
    owner, _ = method_of_sgd("_clip_gradients")

    def gone(self, gradients):
        raise TypeError("takes a list of pairs")

    monkeypatch.setattr(owner, "_clip_gradients", gone)
    with pytest.raises(KerasSeamError) as raised:
        update_canary.check_update("attach")
    assert "TypeError: takes a list of pairs" in str(raised.value)


def test_it_is_looked_at_once(monkeypatch):
    looks = []
    update = programs.make_updates

    def counted(*arguments):
        looks.append(1)
        update(*arguments)

    monkeypatch.setattr(programs, "make_updates", counted)
    update_canary.check_update("attach")
    update_canary.check_update("attach")
    assert len(looks) == 3


def test_it_draws_nothing_and_names_nothing():
    keras.utils.set_random_seed(3)
    number = int(re.sub(r"\D", "", keras.layers.Dense(1).name) or 0)
    numpy = np.random.get_state()[1].copy()
    update_canary.check_update("attach")
    assert (np.random.get_state()[1] == numpy).all()
    assert keras.layers.Dense(1).name == f"dense_{number + 1}"


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="compiles nothing")
def test_nothing_is_compiled_for_it_on_jax(monkeypatch):
    import jax

    def refuse(*args, **kwargs):
        raise AssertionError("compiles a program")

    monkeypatch.setattr(jax, "jit", refuse)
    update_canary.check_update("attach")
