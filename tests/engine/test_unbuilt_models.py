"""Models whose variables, or whose optimizer's, come into being in the first step."""

import keras
import numpy as np
import pytest
from keras import layers, ops

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


class AttachInFit(keras.callbacks.Callback):
    def __init__(self, *features):
        super().__init__()
        self.features = features

    def on_train_begin(self, logs=None):
        self.attachment = attach(self.model, *self.features)

    def on_train_end(self, logs=None):
        self.attachment.detach()


def sequential():
    return keras.Sequential(
        [layers.Dense(4, activation="relu"), layers.Dropout(0.2), layers.Dense(1)]
    )


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.first = layers.Dense(4, activation="relu")
        self.never_called = layers.Dense(2)
        self.last = layers.Dense(1)

    def build(self, input_shape):
        self.built = True

    def call(self, inputs):
        return self.last(self.first(inputs))


class ClaimsToBeBuilt(Subclassed):
    def __init__(self):
        super().__init__()
        self.built = True


class WithoutCall(keras.Model):
    """A trainer that wraps a network, as in Keras' examples of generative models."""

    def __init__(self):
        super().__init__()
        self.network = keras.Sequential([layers.Dense(4), layers.Dense(1)])
        self.loss_tracker = keras.metrics.Mean(name="loss")
        if BACKEND != "tensorflow":
            # There `fit` itself asks for it.
            self.network.build((None, 3))
            self.built = True

    def error(self, data):
        return ops.mean(ops.square(self.network(data[0]) - data[1]))

    @property
    def metrics(self):
        return [self.loss_tracker]

    if BACKEND == "tensorflow":

        def train_step(self, data):
            import tensorflow as tf

            weights = self.network.trainable_variables
            with tf.GradientTape() as tape:
                loss = self.error(data)
                scaled = self.optimizer.scale_loss(loss)
            weights = self.network.trainable_variables
            self.optimizer.apply(tape.gradient(scaled, weights), weights)
            self.loss_tracker.update_state(loss)
            return {"loss": self.loss_tracker.result()}

    elif BACKEND == "torch":

        def train_step(self, data):
            import torch

            self.zero_grad()
            loss = self.error(data)
            loss.backward()
            weights = self.network.trainable_variables
            gradients = [v.value.grad for v in weights]
            with torch.no_grad():
                self.optimizer.apply(gradients, weights)
            self.loss_tracker.update_state(loss)
            return {"loss": self.loss_tracker.result()}

    else:

        def train_step(self, state, data):
            import jax

            trained, others, optimizer_state, metrics = state

            def loss_of(trained):
                mapping = list(zip(self.trainable_variables, trained, strict=True))
                with keras.StatelessScope(mapping):
                    return self.error(data)

            loss, gradients = jax.value_and_grad(loss_of)(trained)
            trained, optimizer_state = self.optimizer.stateless_apply(
                optimizer_state, gradients, trained
            )
            metrics = self.loss_tracker.stateless_update_state(metrics, loss)
            logs = {"loss": self.loss_tracker.stateless_result(metrics)}
            return logs, (trained, others, optimizer_state, metrics)


MODELS = {
    "sequential": sequential,
    "subclassed": Subclassed,
    "claims to be built": ClaimsToBeBuilt,
    "without call": WithoutCall,
}


def trained(make, *callbacks, optimizer=None, **compiled):
    keras.utils.set_random_seed(3)
    model = make()
    optimizer = keras.optimizers.Adam(0.01) if optimizer is None else optimizer()
    loss = None if make is WithoutCall else "mse"
    model.compile(optimizer, loss=loss, **compiled)
    model.fit(X, Y, batch_size=8, epochs=2, verbose=0, callbacks=list(callbacks))
    return model.get_weights()


def assert_watching_changes_nothing(make, updates=4, **kwargs):
    count = Count()
    plain = trained(make, **kwargs)
    watched = trained(make, AttachInFit(count), **kwargs)
    assert len(plain) == len(watched)
    assert all((a == b).all() for a, b in zip(plain, watched, strict=True))
    assert count.count == updates


@pytest.mark.filterwarnings("ignore:`build\\(\\)` was called on layer")
@pytest.mark.parametrize("name", MODELS)
def test_watching_changes_nothing_in_any_model(name):
    assert_watching_changes_nothing(MODELS[name])


@pytest.mark.parametrize("name", ["sequential", "without call"])
def test_watching_changes_nothing_where_steps_run_eagerly(name):
    assert_watching_changes_nothing(MODELS[name], run_eagerly=True)


if BACKEND != "torch":  # Keras refuses it on torch

    def test_watching_changes_nothing_where_one_call_makes_several_steps():
        assert_watching_changes_nothing(sequential, steps_per_execution=2)


def multi_optimizer():
    adam, sgd = keras.optimizers.Adam(0.01), keras.optimizers.SGD(0.1)
    return keras.optimizers.MultiOptimizer(
        lambda variable: adam if "kernel" in variable.path else sgd
    )


OPTIMIZERS = {
    "without slots": lambda: keras.optimizers.SGD(0.1),
    "averaging": lambda: keras.optimizers.SGD(0.1, use_ema=True),
    "accumulating": lambda: keras.optimizers.Adam(gradient_accumulation_steps=2),
    "scaling the loss": lambda: keras.optimizers.LossScaleOptimizer(
        keras.optimizers.Adam(0.01)
    ),
    "several": multi_optimizer,
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_watching_changes_nothing_with_any_optimizer(name):
    updates = {"accumulating": 2, "several": 8}.get(name, 4)
    count = Count()
    count_of = trained(sequential, AttachInFit(count), optimizer=OPTIMIZERS[name])
    plain = trained(sequential, optimizer=OPTIMIZERS[name])
    assert all((a == b).all() for a, b in zip(plain, count_of, strict=True))
    assert count.count == updates


def test_mixed_precision_is_served():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        count = Count()
        trained(sequential, AttachInFit(count))
    finally:
        keras.config.set_dtype_policy("float32")
    assert count.count >= 2


def test_a_batch_by_hand_is_the_first_step_too():
    model = sequential()
    model.compile("adam", loss="mse")
    count = Count()
    with attach(model, count) as attachment:
        assert attachment.active
        for _ in range(3):
            model.train_on_batch(X[:8], Y[:8])
        assert len(attachment.leaves) == 1
    assert count.count == 3
    assert not {"fit", "train_step", "compile"} & set(vars(model))
    assert not {"apply", "build"} & set(vars(model.optimizer))


def test_features_of_several_attachments_begin_in_their_order():
    order = []

    class Note(Feature):
        def __init__(self, name):
            self.name = name

        def prepare(self, leaf):
            order.append(self.name)

    model = sequential()
    model.compile("adam", loss="mse")
    with attach(model, Note("a"), Note("b")), attach(model, Note("c")):
        model.train_on_batch(X[:8], Y[:8])
    assert order == ["a", "b", "c"]


if BACKEND != "jax":  # an update on JAX needs an optimizer that is built

    def test_an_optimizer_alone_is_attached_when_its_first_update_builds_it():
        weights = [keras.Variable([1.0, 2.0])]
        optimizer = keras.optimizers.Adam(0.1)
        count = Count()
        with attach(optimizer, count):
            for _ in range(2):
                optimizer.apply([ops.ones((2,))], weights)
        assert count.count == 2
        assert "apply" not in vars(optimizer)


if BACKEND == "tensorflow":  # the function is TensorFlow's

    def test_a_loop_that_is_compiled_by_hand_is_served():
        import tensorflow as tf

        model, count = sequential(), Count()
        optimizer = keras.optimizers.Adam(0.1)

        @tf.function
        def step(x, y):
            with tf.GradientTape() as tape:
                loss = ops.mean(ops.square(model(x, training=True) - y))
            weights = model.trainable_variables
            optimizer.apply(tape.gradient(loss, weights), weights)
            return loss

        with attach(optimizer, count):
            for _ in range(3):
                step(X, Y)
        assert count.count == 3


class Fails(Feature):
    def prepare(self, leaf):
        leaf.add_state("lost")
        raise ValueError("no such layer")


def test_an_error_in_the_first_step_leaves_a_model_that_trains():
    model, count = sequential(), Count()
    model.compile("adam", loss="mse")
    before = len(keras.optimizers.Adam().variables)
    with pytest.raises(ValueError, match="no such layer"):
        model.fit(X, Y, verbose=0, callbacks=[AttachInFit(count), AttachInFit(Fails())])
    assert int(ops.convert_to_numpy(model.optimizer.iterations)) == 0
    model.fit(X, Y, verbose=0, callbacks=[AttachInFit(count)])
    assert count.count == 1
    assert not {"fit", "train_step", "compile"} & set(vars(model))
    assert len(model.optimizer.variables) == before + 8


class Stop(keras.callbacks.Callback):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def on_train_batch_begin(self, batch, logs=None):
        raise self.error


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt()])
def test_what_is_broken_off_before_the_first_step_is_gone_at_the_next_fit(error):
    keras.utils.set_random_seed(3)
    model, count = sequential(), Count()
    model.compile("adam", loss="mse")
    with pytest.raises(type(error)):
        model.fit(X, Y, verbose=0, callbacks=[AttachInFit(count), Stop(error)])
    model.fit(X, Y, verbose=0)
    assert not {"fit", "train_step", "compile"} & set(vars(model))
    assert not {"apply", "build"} & set(vars(model.optimizer))


def test_later_fits_and_compiling_again_are_served():
    model, count = sequential(), Count()
    for optimizer in ("adam", "sgd"):
        model.compile(optimizer, loss="mse")
        for _ in range(2):
            model.fit(X, Y, batch_size=8, verbose=0, callbacks=[AttachInFit(count)])
            assert count.count == 2


def test_a_plain_fit_after_one_that_was_watched_is_plain():
    def twice(*callbacks):
        keras.utils.set_random_seed(3)
        model = sequential()
        model.compile("adam", loss="mse")
        model.fit(X, Y, verbose=0, callbacks=list(callbacks))
        model.fit(X, Y, verbose=0)
        return model.get_weights()

    plain, watched = twice(), twice(AttachInFit(Count()))
    assert all((a == b).all() for a, b in zip(plain, watched, strict=True))


def test_a_file_written_in_the_first_epoch_loads_with_all_state(tmp_path):
    path = str(tmp_path / "model.keras")
    model = sequential()
    model.compile("adam", loss="mse")
    files = keras.callbacks.ModelCheckpoint(path)
    model.fit(X, Y, verbose=0, callbacks=[AttachInFit(Count()), files])
    loaded = keras.models.load_model(path)
    ours, theirs = model.optimizer.variables, loaded.optimizer.variables
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert np.array_equal(*map(ops.convert_to_numpy, (one.value, other.value)))
