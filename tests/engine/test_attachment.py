"""What attaching changes, and that detaching leaves nothing of it."""

import os
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
from keras import ops

from keras_deeptools.engine import Feature, Recorder, attach

BACKEND = keras.backend.backend()
X = np.random.default_rng(0).normal(size=(32, 3)).astype("float32")
Y = (X @ np.array([[1.0], [-2.0], [0.5]])).astype("float32")


class Count(Feature):
    """Counts updates in a variable that rides with the optimizer."""

    def prepare(self, leaf):
        self.leaf = leaf
        self.counter = leaf.add_state("counter", dtype="int32")

    def observe_gradients(self, state, leaf, gradients):
        self.counter.assign(self.counter + 1)

    @property
    def count(self):
        return int(self.leaf.read(self.counter))


class Scale(Feature):
    """Multiplies gradients; the plainest transformation."""

    def __init__(self, factor):
        self.factor = factor

    def transform_gradients(self, state, leaf, gradients):
        return [g * self.factor for g in gradients]


class Schedule(Feature):
    """Schedules the rate."""

    def hyperparameters(self, state, leaf):
        return {"learning_rate": lambda step: 0.5 / (1.0 + ops.cast(step, "float32"))}


class AttachInFit(keras.callbacks.Callback):
    def __init__(self, *features):
        super().__init__()
        self.features = features

    def on_train_begin(self, logs=None):
        self.attachment = attach(self.model, *self.features)

    def on_train_end(self, logs=None):
        self.attachment.detach()


class Raise(keras.callbacks.Callback):
    def __init__(self, error, epoch=0):
        super().__init__()
        self.error, self.epoch = error, epoch

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self.epoch:
            raise self.error


def make_model(optimizer=None, seed=0, **options):
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((3,)), layers.Dense(4, activation="tanh"), layers.Dense(1)]
    )
    model.compile(optimizer or keras.optimizers.Adam(0.01), loss="mse", **options)
    model.optimizer.build(model.trainable_variables)
    return model


def fit(model, *callbacks, epochs=1, **options):
    options = {"batch_size": 8, "shuffle": False, "verbose": 0} | options
    return model.fit(X, Y, epochs=epochs, callbacks=list(callbacks), **options)


def optimizer_attributes(optimizer):
    """The identity of every attribute but a cache that Keras fills when it trains."""
    cache = "_exclude_from_weight_decay_cache"
    return {k: id(v) for k, v in vars(optimizer).items() if k != cache}


OPTIMIZERS = {
    "Adadelta": lambda: keras.optimizers.Adadelta(0.01),
    "Adafactor": lambda: keras.optimizers.Adafactor(0.01),
    "Adagrad": lambda: keras.optimizers.Adagrad(0.01),
    "Adam": lambda: keras.optimizers.Adam(0.01),
    "AdamW": lambda: keras.optimizers.AdamW(0.01),
    "Adamax": lambda: keras.optimizers.Adamax(0.01),
    "Ftrl": lambda: keras.optimizers.Ftrl(0.01),
    "Lamb": lambda: keras.optimizers.Lamb(0.01),
    "Lion": lambda: keras.optimizers.Lion(0.01),
    "LossScale": lambda: keras.optimizers.LossScaleOptimizer(
        keras.optimizers.Adam(0.01)
    ),
    "Multi": lambda: keras.optimizers.MultiOptimizer(
        keras.optimizers.OptimizerMap(keras.optimizers.Adam(0.01))
    ),
    "Muon": lambda: keras.optimizers.Muon(0.01),
    "Nadam": lambda: keras.optimizers.Nadam(0.01),
    "RMSprop": lambda: keras.optimizers.RMSprop(0.01),
    "SGD": lambda: keras.optimizers.SGD(0.01, momentum=0.9),
    "ScheduleFreeAdamW": lambda: keras.optimizers.ScheduleFreeAdamW(0.01),
    "accumulating": lambda: keras.optimizers.Adam(0.01, gradient_accumulation_steps=2),
    "averaging": lambda: keras.optimizers.Adam(0.01, use_ema=True),
    "clipping": lambda: keras.optimizers.Adam(0.01, global_clipnorm=0.1),
}
SPECIAL = ["LossScale", "Multi", "Muon", "accumulating", "averaging", "clipping"]
"""What differs in more than the rule of its update, which Keras writes once for all."""


@pytest.mark.alternates("name", but=SPECIAL)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_watching_changes_nothing_in_what_any_optimizer_does(name):
    plain, watched = make_model(OPTIMIZERS[name]()), make_model(OPTIMIZERS[name]())
    counter = Count()
    fit(plain)
    fit(watched, AttachInFit(counter))
    for a, b in zip(plain.get_weights(), watched.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


@pytest.mark.alternates("name", but=SPECIAL)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_detaching_gives_every_optimizer_back_as_it_was(name):
    model = make_model(OPTIMIZERS[name]())
    before = optimizer_attributes(model.optimizer)
    variables = [v.path for v in model.optimizer.variables]
    with attach(model, Count(), Schedule(), Scale(0.5)):
        model.train_on_batch(X, Y)
    assert optimizer_attributes(model.optimizer) == before
    assert [v.path for v in model.optimizer.variables] == variables
    assert not {"fit", "compile", "train_on_batch"} & set(vars(model))


def test_counts_are_updates_not_micro_batches():
    model = make_model(OPTIMIZERS["accumulating"]())
    counter = Count()
    with attach(model, counter):
        for _ in range(6):
            model.train_on_batch(X, Y)
        assert counter.count == 3


def test_gradients_are_seen_unscaled_under_loss_scaling():
    norms = []
    for optimizer in (keras.optimizers.SGD(0.01), OPTIMIZERS["LossScale"]()):
        model = make_model(optimizer)
        record = Record()
        with attach(model, record):
            model.train_on_batch(X, Y)
            norms.append(record.recorder.read()[1])
    np.testing.assert_allclose(norms[0], norms[1], rtol=1e-4)


class Record(Feature):
    """Records the sum of squares of all gradients."""

    def __init__(self, every=1, capacity=None, num_first=0):
        self.every, self.capacity, self.num_first = every, capacity, num_first

    def prepare(self, leaf):
        self.recorder = Recorder(leaf, 1, self.every, self.capacity, self.num_first)

    def observe_gradients(self, state, leaf, gradients):
        self.recorder.write(lambda: ops.stack([sum(ops.sum(g * g) for g in gradients)]))


def test_the_accumulated_mean_is_seen_under_accumulation():
    whole = make_model(keras.optimizers.SGD(0.01))
    halves = make_model(keras.optimizers.SGD(0.01, gradient_accumulation_steps=2))
    first, second = Record(), Record()
    with attach(whole, first):
        whole.train_on_batch(X, Y)
        expected = first.recorder.read()[1]
    with attach(halves, second):
        halves.train_on_batch(X[:16], Y[:16])
        halves.train_on_batch(X[16:], Y[16:])
        actual = second.recorder.read()[1]
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_skipped_updates_are_counted_and_change_nothing():
    model = make_model(OPTIMIZERS["LossScale"]())
    counter = Count()
    with attach(model, counter) as attachment:
        model.train_on_batch(X, Y)
        model.train_on_batch(X * np.inf, Y)
        leaf = attachment.leaves[0]
        assert (counter.count, int(leaf.read(leaf.skipped))) == (1, 1)


def test_a_recorder_keeps_the_steps_that_are_multiples_of_every():
    model = make_model()
    record = Record(every=3)
    with attach(model, record):
        for _ in range(8):
            model.train_on_batch(X, Y)
        assert record.recorder.read()[0].tolist() == [0, 3, 6]


def test_a_recorder_keeps_the_first_steps_after_attaching_too():
    model = make_model()
    model.train_on_batch(X, Y)
    record = Record(every=3, capacity=4, num_first=4)
    with attach(model, record):
        for _ in range(4):
            model.train_on_batch(X, Y)
        assert record.recorder.room == 4
        assert record.recorder.read()[0].tolist() == [1, 2, 3, 4]
        assert record.recorder.room == 12
        for _ in range(6):
            model.train_on_batch(X, Y)
        assert record.recorder.read()[0].tolist() == [6, 9]


def test_a_recorder_counts_the_rows_that_were_overwritten_unread():
    model = make_model()
    record = Record(capacity=4)
    with attach(model, record):
        for _ in range(10):
            model.train_on_batch(X, Y)
        steps, _ = record.recorder.read()
    assert (steps.tolist(), record.recorder.lost) == ([6, 7, 8, 9], 6)


def test_features_transform_in_the_order_of_attachment():
    class Add(Feature):
        def transform_gradients(self, state, leaf, gradients):
            return [g + 1.0 for g in gradients]

    plain = make_model(keras.optimizers.SGD(1.0))
    weights = plain.get_weights()
    other = make_model(keras.optimizers.SGD(1.0))
    plain.train_on_batch(X, Y)
    gradients = [w - v for w, v in zip(weights, plain.get_weights(), strict=True)]
    with attach(other, Scale(2.0), Add()):
        other.train_on_batch(X, Y)
    for w, g, v in zip(weights, gradients, other.get_weights(), strict=True):
        np.testing.assert_allclose(v, w - (2 * g + 1), rtol=1e-4, atol=1e-5)


def test_a_file_saved_during_fit_loads_with_its_state_without_this_package(tmp_path):
    model = make_model(keras.optimizers.Adam(0.0625))
    checkpoint = keras.callbacks.ModelCheckpoint(str(tmp_path / "{epoch}.keras"))
    fit(model, AttachInFit(Count(), Schedule(), Scale(0.5)), checkpoint, epochs=2)
    script = f"""
        import warnings; warnings.simplefilter("error", UserWarning)
        import sys, keras
        model = keras.models.load_model({str(tmp_path / "1.keras")!r})
        optimizer = model.optimizer
        assert not any("keras_deeptools" in name for name in sys.modules)
        print(int(optimizer.iterations), float(optimizer.get_config()["learning_rate"]))
        print(sum(float(abs(v.numpy()).sum()) > 0 for v in optimizer.variables))
    """
    code = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": "", "KERAS_BACKEND": BACKEND},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert code.stdout.split("\n")[:2] == ["4 0.0625", "10"], code.stderr


@pytest.mark.alternates("error", "then")
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("then", ["fit", "compile", "get_config", "save", "batch"])
def test_what_a_broken_off_fit_leaves_is_gone_at_the_next_call(tmp_path, error, then):
    model = make_model()
    before = optimizer_attributes(model.optimizer)
    with pytest.raises(error):
        fit(model, AttachInFit(Count(), Schedule()), Raise(error))
    optimizer = model.optimizer
    {
        "fit": lambda: fit(model),
        "compile": lambda: model.compile(model.optimizer, loss="mse"),
        "get_config": model.optimizer.get_config,
        "save": lambda: model.save(tmp_path / "model.keras"),
        "batch": lambda: model.train_on_batch(X, Y),
    }[then]()
    assert optimizer_attributes(optimizer) == before


def test_training_after_a_broken_off_fit_equals_training_without_it():
    plain, broken = make_model(), make_model()
    fit(plain, epochs=1)
    fit(plain, epochs=1)
    with pytest.raises(KeyboardInterrupt):
        fit(broken, AttachInFit(Count()), Raise(KeyboardInterrupt))
    fit(broken, epochs=1)
    for a, b in zip(plain.get_weights(), broken.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


def test_one_trace_serves_a_whole_fit():
    traces = []

    class Trace(Feature):
        def observe_gradients(self, state, leaf, gradients):
            traces.append(1)

    model = make_model()
    fit(model, AttachInFit(Trace()), epochs=3)
    assert len(traces) == (12 if BACKEND == "torch" else traces.count(1))
    assert BACKEND == "torch" or len(traces) <= 2


def test_a_change_of_features_is_not_lost_to_an_earlier_trace():
    model = make_model(keras.optimizers.SGD(0.1))
    with attach(model, Scale(1.0)):
        model.train_on_batch(X, Y)
    weights = model.get_weights()
    with attach(model, Scale(0.0)):
        model.train_on_batch(X, Y)
    for a, b in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_custom_train_step_is_served_too():
    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(1)

        def call(self, x):
            return self.dense(x)

        def train_step(self, *args):
            return super().train_step(*args)

    model = Model()
    model.compile("adam", loss="mse")
    model(X)
    counter = Count()
    fit(model, AttachInFit(counter), epochs=2)
    assert counter.leaf.num_updates == 8


def test_an_optimizer_alone_can_be_attached_for_a_loop_by_hand():
    model = make_model(keras.optimizers.SGD(1.0))
    optimizer = model.optimizer
    variables = optimizer._trainable_variables
    weights = model.get_weights()
    gradients = [ops.ones(v.shape) for v in variables]
    with attach(optimizer, Scale(0.25)):
        optimizer.apply(gradients, variables)
    for w, v in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_allclose(v, w - 0.25, rtol=1e-6)


def test_a_moving_average_holds_projected_weights():
    class Zero(Feature):
        def project_weights(self, state, leaf):
            for variable in leaf.active:
                variable.assign(ops.zeros(variable.shape))

    model = make_model(keras.optimizers.SGD(0.1, use_ema=True))
    with attach(model, Zero()):
        model.train_on_batch(X, Y)
    for average in model.optimizer._model_variables_moving_average:
        assert not np.any(ops.convert_to_numpy(average))


def test_an_uncompiled_model_is_refused():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    with pytest.raises(ValueError, match="must be compiled with an optimizer"):
        attach(model, Count())


def test_a_model_with_nothing_to_train_is_refused():
    model = make_model()
    for layer in model.layers:
        layer.trainable = False
    model.compile("sgd", loss="mse")
    with pytest.raises(ValueError, match="must have trainable variables"):
        attach(model, Count())


def test_something_else_than_a_feature_is_refused():
    with pytest.raises(TypeError, match="must be a `keras_deeptools.engine.Feature`"):
        attach(make_model(), keras.callbacks.EarlyStopping())


def test_something_else_than_a_model_is_refused():
    with pytest.raises(TypeError, match="compiled keras.Model or a Keras"):
        attach("model", Count())


def test_a_feature_that_fails_to_prepare_leaves_no_trace():
    class Fail(Feature):
        def prepare(self, leaf):
            leaf.add_state("lost")
            raise ValueError("no")

    model = make_model()
    before = optimizer_attributes(model.optimizer)
    variables = len(model.optimizer.variables)
    with pytest.raises(ValueError, match="no"):
        attach(model, Count(), Schedule(), Fail())
    assert optimizer_attributes(model.optimizer) == before
    assert len(model.optimizer.variables) == variables


class WatchUpdates(Feature):
    def prepare(self, leaf):
        self.leaf = leaf

    def wants_updates(self, state, leaf):
        return True


@pytest.mark.one_backend
def test_the_copy_of_the_weights_is_given_back_at_detaching():
    feature, model = WatchUpdates(), make_model()
    with attach(model, feature):
        model.train_on_batch(X, Y)
        assert feature.leaf.snapshot is not None
    assert feature.leaf.snapshot is None
