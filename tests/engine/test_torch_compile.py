"""torch: what `torch.compile` traces trains as what it does not."""

import functools
import logging

import keras
import numpy as np
import pytest
from packaging.version import Version

from keras_deeptools import attach
from keras_deeptools.callbacks import (
    GradientClipper,
    GradientMonitor,
    HyperparameterScheduler,
    MaxNormEnforcer,
    OneCycleScheduler,
    WeightAveraging,
)
from keras_deeptools.transfer import freeze, unfreeze

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(32, 4)).astype("float32")
Y = RANDOM.normal(size=(32, 2)).astype("float32")
QUIET = {"batch_size": 8, "shuffle": False, "verbose": 0}

pytestmark = [
    pytest.mark.skipif(
        Version(keras.version()) < Version("3.12"),
        reason="needs Keras >= 3.12: Dynamo fails in the losses of older ones",
    ),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    # Dynamo's own, of gradients that it looks at.
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning"),
]


class Scaled(keras.layers.Layer):
    """Multiplies by a variable that is not trained."""

    def build(self, shape):
        self.scale = self.add_weight((), initializer="ones", trainable=False)

    def call(self, inputs):
        return inputs * self.scale


def make_model(jit_compile):
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(8, "tanh", name="first"), Scaled(name="scaled")]
    model = keras.Sequential([keras.Input((4,)), *layers, keras.layers.Dense(2)])
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    model.compile(optimizer, "mse", jit_compile=jit_compile)
    return model


def together(model):
    monitor = GradientMonitor()
    callbacks = [
        monitor,
        OneCycleScheduler(0.2),
        HyperparameterScheduler({"scaled/scale": lambda step: 1.0 + step / 10}),
        GradientClipper(norm=0.2),
        MaxNormEnforcer(0.7),
        WeightAveraging(0.9, every=2),
    ]
    history = model.fit(X, Y, epochs=2, callbacks=callbacks, **QUIET)
    return [*history.history.values(), monitor.global_norms]


def one_after_another(model):
    for callbacks in ([], [MaxNormEnforcer(0.7)], [], [GradientClipper(norm=0.1)], []):
        model.fit(X, Y, callbacks=callbacks, **QUIET)
    return []


def frozen_for_a_while(model):
    model.fit(X, Y, **QUIET)
    freeze(model, "first")
    model.fit(X, Y, callbacks=[WeightAveraging(0.9)], **QUIET)
    unfreeze(model, "first")
    model.fit(X, Y, callbacks=[MaxNormEnforcer(0.7)], **QUIET)
    return []


if keras.backend.backend() == "torch":
    import torch

    @pytest.fixture(autouse=True)
    def traced_only(monkeypatch):
        """Dynamo without a compiler of machine code, whose work is not at stake."""
        quick = functools.partial(torch.compile, backend="eager")
        monkeypatch.setattr(torch, "compile", quick)
        # pytest listens to all that is logged, of which Dynamo makes much.
        monkeypatch.setattr(logging.getLogger("torch.__trace"), "disabled", True)
        torch.compiler.reset()

    @pytest.mark.parametrize("train", [together, one_after_another, frozen_for_a_while])
    def test_a_model_that_torch_compiles_trains_as_one_that_it_does_not(train):
        results = []
        for jit_compile in (False, True):
            model = make_model(jit_compile)
            numbers = train(model)
            results.append([*model.get_weights(), *numbers])
        for found, expected in zip(*results, strict=True):
            np.testing.assert_allclose(found, expected, atol=1e-6)

    def test_updates_with_schedules_are_not_compiled_anew_step_by_step():
        frames = torch._dynamo.utils.counters["frames"]
        model = make_model(jit_compile=True)
        with attach(model, OneCycleScheduler(0.2, total_steps=40), WeightAveraging()):
            model.train_on_batch(X, Y)
            model.train_on_batch(X, Y)
            before = frames["total"]
            for _ in range(4):
                model.train_on_batch(X, Y)
        assert 0 < before == frames["total"]

    def test_loops_may_compile_the_network():
        results = []
        for compiles in (False, True):
            model = make_model(jit_compile=False)
            network = torch.compile(model) if compiles else model
            optimizer, variables = model.optimizer, model.trainable_variables
            optimizer.build(variables)
            with attach(
                model, OneCycleScheduler(0.2, total_steps=3), GradientMonitor()
            ):
                for _ in range(3):
                    model.zero_grad()
                    error = network(torch.tensor(X)) - torch.tensor(Y)
                    error.square().mean().backward()
                    with torch.no_grad():
                        optimizer.apply([v.value.grad for v in variables], variables)
            results.append(model.get_weights())
        for found, expected in zip(*results, strict=True):
            np.testing.assert_allclose(found, expected, atol=1e-6)
