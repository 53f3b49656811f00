"""Mistakes that are easily made: each is answered with what to do instead."""

import inspect

import keras
import numpy as np
import pytest

import keras_deeptools
from keras_deeptools import callbacks, diagnosis, layers, transfer, tuning, uncertainty

pytestmark = pytest.mark.one_backend

X = np.random.default_rng(0).normal(size=(30, 6)).astype("float32")
Y = np.arange(30) % 3


def network(**options):
    model = keras.Sequential([keras.layers.Dense(4), keras.layers.Dense(3, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", **options)
    return model


def find(*args, **options):
    return keras_deeptools.find_learning_rate(network(), *args, verbose=0, **options)


MISTAKES = {
    "one-hot labels for a sparse loss": (
        lambda: find(X, np.eye(3)[Y]),
        "find_learning_rate: `y` must be integer classes",
        "np.argmax(y, axis=-1)",
    ),
    "no labels": (
        lambda: find(X),
        "find_learning_rate: `y` must be given",
        "Pass the targets as `y`",
    ),
    "lists": (
        lambda: find(X.tolist(), Y),
        "find_learning_rate: `x` must be arrays",
        "np.array(x)",
    ),
    "fastai's and torch's name of a limit": (
        lambda: find(X, Y, end_lr=1.0),
        "find_learning_rate: `end_lr` must be given as",
        "`max_learning_rate` here",
    ),
    "torch's name of the peak": (
        lambda: callbacks.OneCycleScheduler(max_lr=0.1),
        "OneCycleScheduler: `max_lr` must be given as",
        "`max_learning_rate` here",
    ),
    "a peak below zero": (
        lambda: callbacks.OneCycleScheduler(-1),
        "OneCycleScheduler: `max_learning_rate` must be a finite float > 0",
        "max_learning_rate=-1",
    ),
    "a momentum for 1cycle above 1": (
        lambda: callbacks.OneCycleScheduler(0.1, momentum_range=(0.9, 1.2)),
        "OneCycleScheduler: `momentum_range` must be",
        "1.2",
    ),
    "Keras' name of a clipping norm": (
        lambda: callbacks.GradientClipper(clipnorm=1.0),
        "GradientClipper: `clipnorm` must be given as",
        "`norm` here",
    ),
    "a clipper without a limit": (
        lambda: callbacks.GradientClipper(),
        "GradientClipper: `norm`, `global_norm` or `value` must be a number",
        "A common choice is global_norm=1.0",
    ),
    "Keras' name of the max-norm": (
        lambda: callbacks.MaxNormEnforcer(max_value=2),
        "MaxNormEnforcer: `max_value` must be given as",
        "`max_norm` here",
    ),
    "a max-norm of 0": (
        lambda: callbacks.MaxNormEnforcer(0),
        "MaxNormEnforcer: `max_norm` must be",
        "Values from 2 to 4 are common",
    ),
    "a decay above 1": (
        lambda: callbacks.WeightAveraging(1.5),
        "WeightAveraging: `decay` must be in [0, 1)",
        "Give 0.99 to 0.9999",
    ),
    "the paper's name of SAM's radius": (
        lambda: callbacks.SharpnessAwareMinimization(rho=0.05),
        "SharpnessAwareMinimization: `rho` must be given as",
        "`radius` here",
    ),
    "a plot before anything was trained": (
        lambda: callbacks.GradientMonitor().plot(),
        "GradientMonitor.plot: there must be recorded norms",
        "Train with `statistics`",
    ),
    "an unknown way to answer problems": (
        lambda: diagnosis.TrainingDoctor(on_problem="fix"),
        "TrainingDoctor: `on_problem` must be one of",
        "'repair'",
    ),
    "a class in the place of a model": (
        lambda: keras_deeptools.audit(keras.Model),
        "audit: `model` must be a keras.Model",
        "keras.src.models.model.Model",
    ),
    "an initializer in the place of an activation": (
        lambda: keras_deeptools.initialize(network(), "he"),
        "initialize: `activation` must be one that Keras knows",
        "`keras.activations`",
    ),
    "another library's name of the number of samples": (
        lambda: keras_deeptools.mc_predict(network(), X, n_samples=3),
        "mc_predict: `n_samples` must be given as",
        "`num_samples` here",
    ),
    "no samples": (
        lambda: keras_deeptools.mc_predict(network(), X, num_samples=0),
        "mc_predict: `num_samples` must be an integer >= 1",
        "num_samples=0",
    ),
    "a dropout rate in percent": (
        lambda: layers.MCDropout(20),
        "MCDropout: `rate` must be in [0, 1)",
        "such as 0.1",
    ),
    "names in the place of labels": (
        lambda: uncertainty.reliability_diagram(np.full((4, 2), 0.5), list("abab")),
        "reliability_diagram: `labels` must be class indices",
        "np.unique(labels, return_inverse=True)[1]",
    ),
    "the name of a network in the place of the network": (
        lambda: transfer.classifier("MobileNetV2", 3),
        "classifier: `backbone` must be a `keras.Model`",
        "Give what `transfer.backbone(name)` returns",
    ),
    "a name with a letter of another case": (
        lambda: transfer.backbone("MobilenetV2"),
        "backbone: `model` must be one of",
        "Did you mean 'MobileNetV2'?",
    ),
    "freezing what is not built": (
        lambda: transfer.freeze(network(), "dense"),
        "freeze: `model` must be built",
        "Give it an Input",
    ),
    "fastai's name of a learning rate": (
        lambda: keras_deeptools.fine_tune(network(), X, Y, epochs=1, base_lr=0.1),
        "fine_tune: `base_lr` must be given as",
        "`learning_rate` here",
    ),
    "a component that is not there": (
        lambda: tuning.searched(None, "gradientclipper"),
        "`component` must be a component of this package",
        "gradient_clipper",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_is_answered_with_owner_argument_value_and_remedy(mistake):
    make, beginning, remedy = MISTAKES[mistake]
    with pytest.raises((TypeError, ValueError)) as caught:
        make()
    assert beginning in str(caught.value)
    assert remedy in str(caught.value)


def test_names_from_elsewhere_leave_the_signature_as_it_is():
    parameters = inspect.signature(callbacks.OneCycleScheduler).parameters
    assert next(iter(parameters)) == "max_learning_rate"
    assert "kwargs" not in parameters
