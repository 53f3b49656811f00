"""Functions that users compile for themselves take part in attaching and detaching."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_deeptools.callbacks import GradientClipper
from keras_deeptools.engine import Feature, attach

BACKEND = keras.backend.backend()
X = np.random.default_rng(0).normal(size=(14, 3)).astype("float32")
Y = (X @ np.array([[1.0], [-2.0], [0.5]])).astype("float32")


class Count(Feature):
    """Counts updates in a variable, and keeps the count when it is detached."""

    def prepare(self, leaf):
        self.leaf = leaf
        self.counter = leaf.add_state("counter", dtype="int32")

    def observe_gradients(self, state, leaf, gradients):
        self.counter.assign(self.counter + 1)

    def release(self, state, leaf):
        self.count = int(leaf.read(self.counter))


def dense():
    return [layers.Dense(4), layers.Dense(1)]


if BACKEND == "tensorflow":
    import tensorflow as tf

    @tf.function
    def update(model, x, y):
        with tf.GradientTape() as tape:
            loss = ops.mean(ops.square(model(x, training=True) - y))
        weights = model.trainable_variables
        model.optimizer.apply(tape.gradient(loss, weights), weights)
        return loss

    class WholeStep(keras.Sequential):
        @tf.function
        def train_step(self, data):
            return {"loss": update.python_function(self, *data[:2])}

    class Method(keras.Sequential):
        @tf.function
        def update(self, x, y):
            return update.python_function(self, x, y)

        def train_step(self, data):
            return {"loss": self.update(*data[:2])}

    class Attribute(keras.Sequential):
        def __init__(self, *args):
            super().__init__(*args)
            self.update = tf.function(lambda x, y: update.python_function(self, x, y))

        def train_step(self, data):
            return {"loss": self.update(*data[:2])}

    class Global(keras.Sequential):
        def train_step(self, data):
            return {"loss": update(self, *data[:2])}

    STEPS = [WholeStep, Method, Attribute, Global]

    class Hidden(keras.Sequential):
        def __init__(self, *args):
            super().__init__(*args)
            self.functions = {"update": tf.function(update.python_function)}

        def train_step(self, data):
            return {"loss": self.functions["update"](self, *data[:2])}

elif BACKEND == "jax":
    import functools

    import jax

    def traced_update(model, state, x, y):
        trained, others, optimizer_state, metrics = state

        def loss_of(trained):
            y_pred, _ = model.stateless_call(trained, others, x, training=True)
            return ops.mean(ops.square(y_pred - y))

        loss, gradients = jax.value_and_grad(loss_of)(trained)
        trained, optimizer_state = model.optimizer.stateless_apply(
            optimizer_state, gradients, trained
        )
        return {"loss": loss}, (trained, others, optimizer_state, metrics)

    @functools.partial(jax.jit, static_argnums=0)
    def update(model, state, x, y):
        return traced_update(model, state, x, y)

    class WholeStep(keras.Sequential):
        @functools.partial(jax.jit, static_argnums=0)
        def train_step(self, state, data):
            return traced_update(self, state, *data[:2])

    class Method(keras.Sequential):
        @functools.partial(jax.jit, static_argnums=0)
        def update(self, state, x, y):
            return traced_update(self, state, x, y)

        def train_step(self, state, data):
            return self.update(state, *data[:2])

    class Global(keras.Sequential):
        def train_step(self, state, data):
            return update(self, state, *data[:2])

    STEPS = [WholeStep, Method, Global]

else:

    class Plain(keras.Sequential):
        """Nothing of the user's is compiled on torch."""

    STEPS = [Plain]


def compiled(make):
    keras.utils.set_random_seed(3)
    model = make(dense())
    model.build((None, 3))
    model.compile(keras.optimizers.Adam(0.01), loss="mse")
    return model


def fitted(model, *features):
    with attach(model, *features) if features else keras.name_scope("plain"):
        model.fit(X, Y, batch_size=8, shuffle=False, verbose=0)
    return model.get_weights()


@pytest.mark.parametrize("make", STEPS)
def test_what_was_traced_before_attaching_is_traced_anew(make):
    model, count = compiled(make), Count()
    fitted(model)
    fitted(model, count)
    assert count.count == 2


@pytest.mark.parametrize("make", STEPS)
def test_after_detaching_the_step_is_plain(make):
    model, plain = compiled(make), compiled(make)
    fitted(model, Count())
    fitted(plain)
    for one, other in zip(fitted(model), fitted(plain), strict=True):
        np.testing.assert_array_equal(one, other)


def test_features_act_through_a_step_of_the_users_that_was_traced_before():
    model = compiled(STEPS[0])
    model.compile(keras.optimizers.SGD(1.0), loss="mse")
    before = fitted(model)
    after = fitted(model, GradientClipper(value=1e-9))
    for one, other in zip(before, after, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_the_optimizer_of_a_model_that_has_trained_is_attached_with_the_model():
    model, count = compiled(keras.Sequential), Count()
    model.fit(X, Y, batch_size=8, shuffle=False, verbose=0)
    with attach(model.optimizer, count):
        model.fit(X, Y, batch_size=8, shuffle=False, verbose=0)
    assert count.count == 2
    assert count.leaf.model is model


def test_nothing_stays_compiled_in_after_detaching_from_the_optimizer_of_a_model():
    model, plain = compiled(keras.Sequential), compiled(keras.Sequential)
    with attach(model.optimizer, Count()):
        model.fit(X, Y, batch_size=8, shuffle=False, verbose=0)
    plain.fit(X, Y, batch_size=8, shuffle=False, verbose=0)
    for each in (model, plain):
        each.fit(X, Y, batch_size=8, shuffle=False, verbose=0)
    for one, other in zip(model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_optimizer_inside_that_of_a_model_stands_for_the_outer_one():
    inner = keras.optimizers.SGD(0.1)
    model, count = keras.Sequential(dense()), Count()
    model.build((None, 3))
    model.compile(keras.optimizers.LossScaleOptimizer(inner), loss="mse")
    with attach(inner, count):
        model.fit(X, Y, batch_size=8, shuffle=False, verbose=0)
    assert count.count == 2


def test_an_optimizer_of_several_models_is_refused_with_a_remedy():
    optimizer = keras.optimizers.SGD(0.1)
    models = [keras.Sequential(dense()) for _ in range(2)]
    for model in models:
        model.compile(optimizer, loss="mse")
    with pytest.raises(ValueError, match=r"Call `attach\(model"):
        attach(optimizer, Count())


if BACKEND == "tensorflow":  # elsewhere state of its own is another argument

    def test_a_callback_whose_optimizer_trains_in_a_trace_it_cannot_reach_warns():
        model = compiled(Hidden)
        model.fit(X, Y, verbose=0)
        with pytest.warns(UserWarning, match="could not take part in"):
            model.fit(X, Y, verbose=0, callbacks=[GradientClipper(norm=1.0)])
