"""What is replaced for a pass or a build is replaced for the running thread alone."""

import threading

import keras
import numpy as np
import pytest

from keras_deeptools.engine._building.first_call import initialize_later
from keras_deeptools.engine._building.first_step import _initial_values
from keras_deeptools.engine._dropout.mask_sampling import Draws
from keras_deeptools.engine._dropout.monte_carlo_pass import _SameSeed
from keras_deeptools.engine._dropout.stochastic_layers import dropping
from keras_deeptools.engine._keras_private.random import DRAWING, random_module
from keras_deeptools.engine._passes.compiled_with import row_losses
from keras_deeptools.uncertainty import mc_predict

X = np.linspace(-1, 1, 64, dtype="float32").reshape(16, 4)


def make_model(rate=0.5):
    keras.utils.set_random_seed(5)
    return keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(32, "relu"),
            keras.layers.Dropout(rate),
            keras.layers.GaussianDropout(rate),
            keras.layers.Dense(3),
        ]
    )


def in_other_thread(function):
    found, errors = [], []

    def run():
        try:
            found.append(function())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert not errors
    return found[0]


def sampled(model):
    found = mc_predict(model, X, num_samples=8, seed=1, return_samples=True)
    return found.samples


def pass_of(model):
    return dropping(model, Draws([_SameSeed()], 1, 1, False, 1))


def test_predict_beside_mc_predict_is_the_same_to_the_bit():
    model, other = make_model(), make_model(0.3)
    expected = other.predict(X, verbose=0)
    stop, wrong, runs = threading.Event(), [], []

    def predict():
        while not stop.is_set():
            found = other.predict(X, verbose=0)
            runs.append(1)
            if not np.array_equal(found, expected):
                wrong.append(found)

    thread = threading.Thread(target=predict)
    thread.start()
    try:
        for seed in range(6):
            mc_predict(model, X, num_samples=8, seed=seed)
    finally:
        stop.set()
        thread.join()
    assert runs
    assert not wrong


def test_mc_predict_beside_predict_is_the_same_to_the_bit():
    model, other = make_model(), make_model(0.3)
    expected = sampled(model)
    stop = threading.Event()

    def predict():
        while not stop.is_set():
            other.predict(X, verbose=0)

    thread = threading.Thread(target=predict)
    thread.start()
    try:
        found = [sampled(model) for _ in range(4)]
    finally:
        stop.set()
        thread.join()
    assert all(np.array_equal(each, expected) for each in found)


def test_another_thread_predicts_with_the_same_layers_inside_of_a_pass():
    model = make_model()
    expected = model.predict(X, verbose=0)
    with pass_of(model):
        found = in_other_thread(lambda: model.predict(X, verbose=0))
    assert np.array_equal(found, expected)


def test_another_thread_trains_inside_of_a_pass():
    def trained():
        model = make_model(0.3)
        model.compile("sgd", loss="mse")
        model.fit(X, X[:, :3], batch_size=8, shuffle=False, verbose=0)
        return model.get_weights()

    model = make_model()
    expected = trained()
    with pass_of(model):
        found = in_other_thread(trained)
    assert all(map(np.array_equal, found, expected))


@pytest.mark.parametrize("name", DRAWING)
def test_another_thread_draws_from_keras_inside_of_a_pass(name):
    def drawing():
        return getattr(random_module(), name)

    own = drawing()
    with pass_of(make_model()):
        # While something is replaced a function stands there that chooses by thread.
        assert drawing() is not own
        assert drawing().__wrapped__ is own
    assert drawing() is own


def test_two_threads_drop_at_once_and_leave_the_layers_as_they_were():
    model = make_model()
    before = [set(vars(layer)) for layer in model.layers]
    entered, leave = threading.Event(), threading.Event()

    def run():
        with pass_of(model):
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=run)
    with pass_of(model):
        thread.start()
        entered.wait(10)
    leave.set()
    thread.join()
    assert [set(vars(layer)) for layer in model.layers] == before


def test_another_thread_builds_its_own_weights_while_weights_are_chosen():
    built = []

    class Outer(keras.layers.Layer):
        def build(self, shape):
            def other():
                layer = keras.layers.Dense(2, kernel_initializer="zeros")
                layer.build((None, 3))
                return keras.ops.convert_to_numpy(layer.kernel)

            built.append(in_other_thread(other))
            self.kernel = self.add_weight(shape=(2,), name="kernel")

    layer = Outer()
    initialize_later(layer, lambda *given: lambda: np.ones(given[2]))
    layer.build((None, 3))
    assert (built[0] == 0).all()
    assert (keras.ops.convert_to_numpy(layer.kernel) == 1).all()


def test_first_values_of_another_thread_are_not_noted():
    created = []
    with _initial_values(created):
        mine = keras.Variable(1.0)
        in_other_thread(lambda: keras.Variable(2.0))
    assert [variable is mine for variable, _ in created] == [True]


@pytest.mark.one_backend  # Only torch needs it.
def test_losses_by_rows_are_for_the_running_thread():
    masks, odds = np.zeros((1, 2, 2)), np.full((1, 2, 2, 3), 1 / 3, "float32")

    def losses():
        found = keras.losses.sparse_categorical_crossentropy(masks, odds)
        return keras.ops.convert_to_numpy(found)

    expected = losses()
    with row_losses():
        found = in_other_thread(losses)
    assert np.array_equal(found, expected)
