"""What the exam does to every program, one feature at a time."""

import inspect
import os
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

import keras_deeptools
from keras_deeptools.callbacks import (
    GradientClipper,
    GradientMonitor,
    HyperparameterScheduler,
    LearningRateFinder,
    MaxNormEnforcer,
    OneCycleScheduler,
    WeightAveraging,
)
from keras_deeptools.diagnosis import audit, signal_propagation
from keras_deeptools.schedules import LinearRamp
from keras_deeptools.transfer import GradualUnfreezing, layer_groups
from keras_deeptools.uncertainty import mc_predict

from .program import ALL, PROGRAMS, Program, Script

PASSED = "passed"
NOT_APPLICABLE = "-"
ONLY_IN_FIT = ("LearningRateFinder", "GradualUnfreezing")
"""Callbacks that have nothing to do in a loop of the author's own."""

EXPECTED = {
    "mc_predict": ("must have a layer that drops at random",),
    "GradualUnfreezing": (
        "must have a graph",
        "must use the optimizer that the model was compiled with",
    ),
    "layer_groups": ("must have a graph",),
    "MaxNormEnforcer": ("axes are not known",),
    "OneCycleScheduler": (
        "has no momentum to cycle",
        "Leave out one",
        "wins",
        "the cycle has total_steps",
    ),
    "HyperparameterScheduler": ("Leave out one", "wins"),
    "all together": (
        "axes are not known",
        "has no momentum to cycle",
        "Leave out one",
        "wins",
        "the cycle has total_steps",
    ),
}
"""Feature -> what it says where anybody would expect that it can't, or in part only."""


def train(script: Script, callbacks: list[Any] | None = None) -> None:
    """Trains as the author does, with callbacks or attached features beside."""
    ours = callbacks or []
    if script.loop is None:
        given = dict(script.fit)
        given["callbacks"] = [*ours, *given.get("callbacks", [])]
        script.model.fit(**given, verbose=0)
        return
    if not ours:
        script.loop()
        return
    with keras_deeptools.attach(script.model, *ours):
        script.loop()


def weights(script: Script) -> list[np.ndarray]:
    """All values of the model, its states and its optimizer's among them."""
    return [np.array(value) for value in script.model.get_weights()]


def _chosen(script: Script) -> dict[str, Any]:
    return {} if script.optimizer is None else {"optimizer": script.optimizer}


def _data(script: Script) -> dict[str, Any]:
    taken = ("x", "y", "sample_weight", "class_weight", "batch_size")
    return {name: script.fit[name] for name in taken if name in script.fit}


def _sample(script: Script) -> Any:
    return script.fit["x"] if script.sample is None else script.sample


def _predictor(script: Script) -> keras.Model:
    return script.model if script.network is None else script.network


def plain(script: Script) -> None:
    """The author's own run, and another after it."""
    train(script)


def monitor(script: Script) -> None:
    """`GradientMonitor` sees every update and leaves every bit as it was."""
    watching = GradientMonitor(**_chosen(script))
    train(script, [watching])
    norms = watching.history["norm"]
    # What the loss doesn't depend on has no gradient: a column of nan.
    assert norms.size and np.isfinite(norms).any(axis=1).all(), "no gradients seen"


def clipper(script: Script) -> None:
    """`GradientClipper` by global norm."""
    train(script, [GradientClipper(global_norm=1.0, **_chosen(script))])


def max_norm(script: Script) -> None:
    """`MaxNormEnforcer` at its default radius."""
    train(script, [MaxNormEnforcer(2.0, **_chosen(script))])


def _steps(script: Script) -> dict[str, int]:
    return {} if script.loop is None else {"total_steps": 8}


def one_cycle(script: Script) -> None:
    """`OneCycleScheduler` over the run."""
    train(script, [OneCycleScheduler(0.01, **_steps(script), **_chosen(script))])


def scheduler(script: Script) -> None:
    """`HyperparameterScheduler` on the learning rate."""
    ramp = LinearRamp(0.001, 0.01, num_steps=4)
    schedules = {"learning_rate": ramp}
    train(script, [HyperparameterScheduler(schedules, **_chosen(script))])


def averaging(script: Script) -> None:
    """`WeightAveraging` at its defaults."""
    train(script, [WeightAveraging(0.9, **_chosen(script))])


def finder(script: Script) -> None:
    """`LearningRateFinder` as the first callback of `fit`."""
    train(script, [LearningRateFinder(**_tested(script), num_steps=10, verbose=0)])


def gradual_unfreezing(script: Script) -> None:
    """`GradualUnfreezing`, a group more at each epoch."""
    train(script, [GradualUnfreezing(epochs=1)])


def together(script: Script) -> None:
    """All callbacks that act in updates, at once."""
    chosen = _chosen(script)
    callbacks = [
        GradientMonitor(**chosen),
        OneCycleScheduler(0.01, **_steps(script), **chosen),
        GradientClipper(global_norm=1.0, **chosen),
        MaxNormEnforcer(2.0, **chosen),
        WeightAveraging(0.9, **chosen),
    ]
    train(script, callbacks)


def _tested(script: Script) -> dict[str, Any]:
    named = {} if script.loss_name is None else {"loss_name": script.loss_name}
    return _data(script) | named | _chosen(script)


def find_learning_rate(script: Script) -> None:
    """`find_learning_rate`, which leaves the model as it was."""
    keras_deeptools.find_learning_rate(
        script.model, **_tested(script), num_steps=10, verbose=0
    )


def audited(script: Script) -> None:
    """`audit` of the model as compiled."""
    str(audit(script.model))


def signals(script: Script) -> None:
    """`signal_propagation` on the author's data."""
    str(signal_propagation(_predictor(script), _sample(script)))


def sampled(script: Script) -> None:
    """`mc_predict` after training."""
    train(script)
    mc_predict(_predictor(script), _sample(script), num_samples=2, verbose=0)


def grouped(script: Script) -> None:
    """`layer_groups` after training."""
    train(script)
    assert len(layer_groups(_predictor(script))) >= 1


def saved(script: Script) -> None:
    """Training with callbacks, then a file that loads without them."""
    train(script, [GradientMonitor(**_chosen(script))])
    model = _predictor(script)
    path = Path(tempfile.mkdtemp()) / "model.keras"
    before = [np.array(value) for value in model.get_weights()]
    if script.loads and not _without_config(model):
        model.save(path)
        loaded = keras.saving.load_model(
            path, custom_objects=script.custom_objects, compile=False, safe_mode=False
        )
    else:
        path = path.with_suffix(".weights.h5")
        model.save_weights(path)
        model.load_weights(path)
        loaded = model
    if any(getattr(layer, "lora_enabled", False) for layer in model.layers):
        # Keras saves such kernels merged.
        given = _sample(script)
        before, after = [model.predict(given)], [loaded.predict(given)]
        np.testing.assert_allclose(before, after, rtol=1e-5, atol=1e-6)
        return
    for old, new in zip(before, loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def _without_config(model: keras.Model) -> bool:
    """Whether the author's class takes arguments that it does not store."""
    plain = isinstance(model, keras.Sequential) or hasattr(model, "_functional")
    if plain or type(model).get_config is not keras.Model.get_config:
        return False
    return len(inspect.signature(type(model).__init__).parameters) > 1


FEATURES: dict[str, Callable[[Script], None]] = {
    "plain": plain,
    "GradientMonitor": monitor,
    "GradientClipper": clipper,
    "MaxNormEnforcer": max_norm,
    "OneCycleScheduler": one_cycle,
    "HyperparameterScheduler": scheduler,
    "WeightAveraging": averaging,
    "LearningRateFinder": finder,
    "GradualUnfreezing": gradual_unfreezing,
    "all together": together,
    "find_learning_rate": find_learning_rate,
    "audit": audited,
    "signal_propagation": signals,
    "mc_predict": sampled,
    "layer_groups": grouped,
    "save and load": saved,
}
QUICK = ("GradientMonitor", "all together")
"""What is tried first, on programs for some backends on each of them."""


def in_turn(program: Program, backend: str) -> list[str]:
    """What the test suite tries; the command tries everything.

    On torch, where nothing is compiled, that is every feature. A program for all
    backends meets one on TensorFlow and another on JAX, so that each backend sees every
    program and every feature.
    """
    if backend == "torch":
        return list(FEATURES)
    if program.backends != ALL:
        return list(QUICK)
    others = [feature for feature in FEATURES if feature not in QUICK]
    programs = [name for name, each in PROGRAMS.items() if each.backends == ALL]
    place = programs.index(program.name) + ("tensorflow", "jax").index(backend)
    turn = place % 3
    return [QUICK[turn] if turn < 2 else others[place // 3 % len(others)]]


def judged(program: Program, feature: str) -> str:
    """`outcome`, or `refused: ...` where that was to be expected."""
    text = outcome(program, feature)
    expected = [
        *EXPECTED.get(feature, ()),
        *program.refused.get(feature, "").splitlines(),
    ]
    return f"refused: {text}" if any(part in text for part in expected) else text


def fresh(program: Program) -> Script:
    """The program from its start, as a new process would run it."""
    keras.utils.set_random_seed(0)
    return program.make()


def outcome(program: Program, feature: str) -> str:
    """`passed`, or the kind and the first words of the error or of our warning."""
    if feature in ONLY_IN_FIT and fresh(program).loop is not None:
        return NOT_APPLICABLE
    directory = os.getcwd()
    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        os.chdir(scratch)
        try:
            return _tried(program, feature)
        finally:
            os.chdir(directory)


def _tried(program: Program, feature: str) -> str:
    try:
        script = fresh(program)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            FEATURES[feature](script)
        if feature == "GradientMonitor":
            watched = weights(script)
            script = fresh(program)
            train(script)
            for old, new in zip(weights(script), watched, strict=True):
                np.testing.assert_array_equal(new, old)
    except Exception as error:
        if os.environ.get("STRANGERS_TRACEBACK"):
            traceback.print_exc()
        return f"{type(error).__name__}: {error}"
    ours = [str(each.message) for each in _of_this_package(told)]
    return f"warned: {ours[0]}" if ours else PASSED


def _of_this_package(told: list[warnings.WarningMessage]) -> Iterator[Any]:
    package = str(Path(inspect.getfile(keras_deeptools)).parent)
    for each in told:
        kind = type(each.message).__module__
        if kind.startswith("keras_deeptools") or each.filename.startswith(package):
            yield each
