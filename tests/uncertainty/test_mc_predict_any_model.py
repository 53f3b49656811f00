"""Models and data the way others write them, before and after training."""

import keras
import numpy as np
import pytest

from keras_deeptools.uncertainty import (
    last_layer_predict,
    mc_predict,
    tune_dropout_rate,
)

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(20, 4)).astype("float32")
Y = RANDOM.integers(0, 2, (20, 1)).astype("float32")
layers = keras.layers


def sequential():
    return keras.Sequential(
        [layers.Dense(8, "relu"), layers.Dropout(0.5), layers.Dense(1, "sigmoid")]
    )


@keras.saving.register_keras_serializable(package="any_model")
class Subclassed(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.hidden = layers.Dense(8, "relu")
        self.drop = layers.Dropout(0.5)
        self.top = layers.Dense(1, "sigmoid")

    def call(self, x, training=False):
        return self.top(self.drop(self.hidden(x), training=training))


class Silent(Subclassed):
    """Passes no `training` on."""

    def call(self, x):
        return self.top(self.drop(self.hidden(x)))


class Late(keras.Model):
    """Makes its layers when it is built."""

    def build(self, shape):
        self.drop = layers.Dropout(0.5)
        self.top = layers.Dense(1, "sigmoid")
        self.drop.build(shape)
        self.top.build(shape)
        self.built = True

    def call(self, x, training=False):
        return self.top(self.drop(x, training=training))


class OfDicts(keras.Model):
    def __init__(self):
        super().__init__()
        self.drop = layers.Dropout(0.5)
        self.top = layers.Dense(1, "sigmoid")

    def call(self, x, training=False):
        hidden = self.drop(x["a"] + x["b"], training=training)
        return {"p": self.top(hidden), "hidden": hidden}


MODELS = [sequential, Subclassed, Silent, Late]
models = pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)


def sampled(model, x=X, num_samples=400):
    return mc_predict(model, x, num_samples, seed=0, verbose=0)


@pytest.mark.alternates("make")
@models
def test_a_model_is_built_by_the_data(make):
    model = make()
    found = sampled(model)
    assert found.mean.shape == (20, 1) and found.std.min() > 0
    np.testing.assert_allclose(found.mean, model.predict(X, verbose=0), atol=0.25)


@models
def test_a_model_that_was_built_by_its_training_is_sampled(make):
    model = make()
    model.compile("sgd", "binary_crossentropy")
    model.fit(X, Y, batch_size=8, verbose=0)
    found = sampled(model)
    assert found.std.min() > 0
    np.testing.assert_allclose(found.mean, model.predict(X, verbose=0), atol=0.25)


def test_a_model_goes_on_after_being_saved_and_loaded(tmp_path):
    model = Subclassed()
    model.compile("sgd", "binary_crossentropy")
    model.fit(X, Y, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        sampled(loaded, num_samples=20).mean,
        sampled(model, num_samples=20).mean,
        rtol=1e-5,
    )


def test_dicts_go_in_and_come_out():
    found = sampled(OfDicts(), {"a": X, "b": X}, 50)
    assert set(found.mean) == {"p", "hidden"}
    assert found.mean["hidden"].shape == (20, 4) and found.std["p"].min() > 0


@pytest.mark.alternates("has_input")
@pytest.mark.parametrize("has_input", [False, True])
def test_integer_images_are_taken_as_predict_takes_them(has_input):
    images = RANDOM.integers(0, 255, (6, 8, 8, 3)).astype("uint8")
    stack = [layers.Rescaling(1 / 255), layers.Conv2D(4, 3), layers.Flatten()]
    stack += [layers.Dropout(0.1), layers.Dense(3)]
    before = [keras.Input((8, 8, 3))] if has_input else []
    model = keras.Sequential([*before, *stack])
    found = sampled(model, images, 2_000)
    np.testing.assert_allclose(found.mean, model.predict(images, verbose=0), atol=0.05)


def test_a_generator_loses_no_batch_where_it_builds_the_model():
    found = sampled(sequential(), ((X[i : i + 5], Y[i : i + 5]) for i in (0, 5, 10)))
    assert found.mean.shape == (15, 1)


def test_the_last_layer_and_the_dropout_rate_build_the_model_too():
    assert last_layer_predict(sequential(), X).mean.shape == (20, 1)
    model = sequential()
    model.compile("sgd", "binary_crossentropy")
    options = {"validation_data": (X, Y), "rates": [0.1, 0.5], "num_samples": 5}
    found = tune_dropout_rate(model, X, Y, **options, epochs=1, verbose=0)
    assert np.isfinite(found.log_likelihood).all()


@pytest.mark.one_backend
def test_a_model_without_a_call_is_named():
    class Trainer(keras.Model):
        def __init__(self):
            super().__init__()
            self.network = sequential()

        def train_step(self, data):
            return {}

    with pytest.raises(ValueError, match="must have a method `call`.*inside it"):
        mc_predict(Trainer(), X)


def test_data_that_do_not_fit_are_named_before_the_model_is_built():
    model = keras.Sequential([layers.Conv2D(4, 3), layers.Dropout(0.5)])
    with pytest.raises(ValueError, match=r"^mc_predict: `x` must be data.*\(20, 4\)"):
        mc_predict(model, X)


# JAX has no float64 unless it is asked for, and says so.
@pytest.mark.filterwarnings("ignore:Explicitly requested dtype")
@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_other_global_types_are_sampled_and_judged(dtype):
    before = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx(dtype)
    keras.config.set_dtype_policy(dtype)
    try:
        model = sequential()
        found = sampled(model, num_samples=200)
        plain = np.asarray(model.predict(X, verbose=0)).astype("float32")
        np.testing.assert_allclose(found.mean, plain, atol=0.3)
        assert np.isfinite(last_layer_predict(model, X).std).all()
        model.compile("sgd", "binary_crossentropy")
        options = {"validation_data": (X, Y), "rates": [0.1], "retrain": False}
        tuned = tune_dropout_rate(model, **options, num_samples=5, verbose=0)
        assert np.isfinite(tuned.log_likelihood).all()
    finally:
        keras.config.set_floatx(before[0])
        keras.config.set_dtype_policy(before[1])


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (np.array(["a", "b"]), "no arrays of strings. Received: dtype <U1.*Dataset"),
        ((X for _ in range(2)), "Received: x of type generator, of which Keras says"),
    ],
    ids=["strings", "no tuples"],
)
def test_data_that_keras_refuses_are_refused_with_its_reason(x, words):
    with pytest.raises(ValueError, match=f"mc_predict: `x` must be .*{words}"):
        mc_predict(sequential(), x, num_samples=2, verbose=0)
