"""What is said where callbacks act on an optimizer that does not train."""

import re
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
    OneCycleScheduler,
    TrainingFeature,
    WeightAveraging,
)
from keras_deeptools.schedules import Constant
from two_networks import TwoNetworks, X, Y, fit

SGD = keras.optimizers.SGD

CALLBACKS = {
    "monitor": lambda **o: GradientMonitor(on_problem="ignore", **o),
    "clipper": lambda **o: GradientClipper(value=1.0, **o),
    "enforcer": lambda **o: MaxNormEnforcer(1.0, **o),
    "scheduler": lambda **o: HyperparameterScheduler(
        {"learning_rate": Constant(0.1)}, **o
    ),
    "one cycle": lambda **o: OneCycleScheduler(0.1, cycle_momentum=False, **o),
    "averaging": lambda **o: WeightAveraging(0.9, **o),
    "of a user": lambda **o: TrainingFeature(**o),
}


class Hidden(TwoNetworks):
    """Finds its optimizers by computed names, which no reading of its code tells."""

    def updates(self):
        for name in ("left", "right"):
            yield getattr(self, name), vars(self)[name + "_optimizer"]


def of_ours(told):
    messages = [str(each.message) for each in told if each.category is UserWarning]
    return [message for message in messages if not message.startswith("`")]


def test_each_callback_tells_of_an_optimizer_that_rests_and_of_those_that_train():
    model = Hidden(SGD(0.1), SGD(0.1))
    callbacks = [CALLBACKS[name]() for name in CALLBACKS if name != "one cycle"]
    with pytest.warns(UserWarning, match="no update") as told:
        fit(model, *callbacks)
    messages = of_ours(told)
    assert len(messages) == len(callbacks)
    for callback, message in zip(callbacks, messages, strict=True):
        assert re.fullmatch(
            rf"{type(callback).__name__}: `optimizer` of 'two' has made no update in "
            "the first epoch, so nothing was recorded or changed there. "
            "`left_optimizer` and `right_optimizer` made updates: pass "
            '`optimizer="left_optimizer"`, or `optimizer="all"`.',
            message,
        )


@pytest.mark.one_backend
def test_one_cycle_tells_it_alone():
    with pytest.warns(UserWarning, match="OneCycleScheduler: .* no update") as told:
        fit(Hidden(SGD(0.1), SGD(0.1)), CALLBACKS["one cycle"]())
    assert len(of_ours(told)) == 1


@pytest.mark.one_backend
def test_the_remedy_that_is_told_is_one():
    model = Hidden(SGD(0.1), SGD(0.1))
    chosen = {"optimizer": "left_optimizer"}
    made = [CALLBACKS[name](**chosen) for name in CALLBACKS if name != "one cycle"]
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        fit(model, *made)


@pytest.mark.one_backend
def test_it_is_told_once():
    model = Hidden(SGD(0.1), SGD(0.1))
    with pytest.warns(UserWarning, match="no update") as told:
        fit(model, GradientClipper(1.0), epochs=3)
    assert len(of_ours(told)) == 1


@pytest.mark.one_backend
def test_a_monitor_says_so_in_place_of_nan():
    model = Hidden(SGD(0.1), SGD(0.1))
    monitor = GradientMonitor()
    with pytest.warns(UserWarning, match="no update"):
        logs = fit(model, monitor).history
    assert "gradient_norm" not in logs
    assert "0 recorded updates" in monitor.table()


@pytest.mark.one_backend
def test_a_named_optimizer_that_rests_is_told_beside_one_that_trains():
    model = TwoNetworks(SGD(0.1), SGD(0.1), right_updates=0)
    names = ["left_optimizer", "right_optimizer"]
    with pytest.warns(UserWarning, match="`right_optimizer` of 'two' has made no"):
        fit(model, GradientClipper(1.0, optimizer=names))


@pytest.mark.one_backend
def test_one_that_trains_is_enough_where_none_was_named():
    model = TwoNetworks(SGD(0.1), SGD(0.1), right_updates=0)
    monitor = GradientMonitor(on_problem="ignore")
    logs = fit(model, monitor).history
    assert np.isfinite(logs["left_optimizer_gradient_norm"]).all()
    assert "right_optimizer_gradient_norm" not in logs


def regression(optimizer, **options):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(optimizer, "mse", **options)
    return model


@pytest.mark.one_backend
def test_an_ordinary_model_is_not_warned_of():
    model = regression(SGD(0.1))
    model.later = SGD(0.1)
    callbacks = [CALLBACKS[name]() for name in CALLBACKS if name != "one cycle"]
    model.fit(X, Y, batch_size=4, epochs=2, callbacks=callbacks, verbose=0)


def test_updates_that_loss_scaling_skips_are_no_reason_to_warn():
    optimizer = keras.optimizers.LossScaleOptimizer(SGD(0.1), initial_scale=4.0)
    model = regression(optimizer)
    x = np.full((4, 3), np.inf, "float32")
    model.fit(x, Y[:4], callbacks=[GradientClipper(value=1.0)], verbose=0)
    assert int(optimizer.inner_optimizer.iterations) == 0


def test_an_update_that_is_still_accumulating_is_no_reason_to_warn():
    model = regression(SGD(0.1, gradient_accumulation_steps=8))
    model.fit(X[:4], Y[:4], callbacks=[GradientClipper(value=1.0)], verbose=0)


def test_where_there_is_no_other_the_optimizer_itself_is_the_remedy():
    class Outside(TwoNetworks):
        def updates(self):
            yield self.left, outside[0]

    model = Outside(SGD(0.1), SGD(0.1))
    outside = [model.left_optimizer]
    del model.left_optimizer, model.right_optimizer
    with pytest.warns(UserWarning, match="no other optimizer.*pass it as `optimizer=`"):
        fit(model, GradientClipper(1.0))
    clipper = GradientClipper(1e-3, optimizer=outside[0])
    fit(model, clipper)
    assert clipper.num_updates == 8


def test_attaching_by_hand_says_so_when_others_train_meanwhile():
    model = Hidden(SGD(0.1), SGD(0.1))
    with pytest.warns(
        UserWarning, match="attach: `optimizer`.*while this was attached"
    ):
        with attach(model, GradientClipper(1.0)):
            model.train_on_batch(X, Y)
    with attach(model, GradientClipper(1.0)):
        pass
    with attach(model, GradientClipper(1.0), optimizer="left_optimizer"):
        model.train_on_batch(X, Y)


class Passing(keras.optimizers.SGD):
    """An optimizer of a user's, which leaves all updates to another one."""

    def __init__(self, worker):
        super().__init__(0.1)
        self.worker = worker

    @property
    def variables(self):
        return [
            *super().variables,
            *getattr(self, "worker", self).__dict__["_variables"],
        ]

    def build(self, variables):
        super().build(variables)
        self.worker.build(variables)

    def apply(self, grads, trainable_variables=None):
        self.worker.apply(grads, trainable_variables)


def test_an_optimizer_that_passes_its_updates_on_is_told_with_the_one_that_has_them():
    model = regression(Passing(SGD(0.1)))
    with pytest.warns(UserWarning, match="`optimizer.worker` made updates"):
        model.fit(X, Y, callbacks=[GradientClipper(1.0)], verbose=0)
    clipper = GradientClipper(1e-3, optimizer="optimizer.worker")
    model.fit(X, Y, callbacks=[clipper], verbose=0)
    assert clipper.fractions["optimizer_worker_norm"] == 1.0


@pytest.mark.one_backend
def test_what_was_read_of_an_interrupted_fit_warns_of_nothing():
    class Break(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise KeyboardInterrupt

    model = Hidden(SGD(0.1), SGD(0.1))
    with pytest.raises(KeyboardInterrupt):
        fit(model, GradientClipper(1.0), Break())
