"""A plugin of pytest: what every test and every `fit` comes to, plain or attached.

`keras_exam.py` loads it into runs of Keras' own tests. One line of JSON is written for
each test, with its outcome, and one for each `fit`, with its history and the numbers
that its model's weights and its optimizer's variables come to.
"""

import json
import os
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

LINES, ATTACH = "KERAS_EXAM_LINES", "KERAS_EXAM_ATTACH"
# Callbacks of Keras that set what the scheduler would set too.
SET_LEARNING_RATE = (
    keras.callbacks.LearningRateScheduler,
    keras.callbacks.ReduceLROnPlateau,
)
ADDED = {"GradientMonitor": "gradient_norm", "HyperparameterScheduler": "learning_rate"}
"""What callbacks add to the history."""
plain_fit = keras.Model.fit
running: dict[str, Any] = {"test": "", "fits": 0}


def neutral(model: keras.Model, given: list[Any]) -> list[keras.callbacks.Callback]:
    """Callbacks of every stage of an update, which change nothing.

    Args:
        model: `keras.Model`, compiled.
        given: List of the callbacks that the test has.
    """
    from keras_deeptools.callbacks import (
        GradientMonitor,
        HyperparameterScheduler,
        MaxNormEnforcer,
        WeightAveraging,
    )

    found: list[Any] = [GradientMonitor(on_problem="ignore")]
    # A MultiOptimizer has several, which are not the same.
    rate = getattr(model.optimizer, "learning_rate", None)
    if isinstance(rate, keras.Variable) and not any(
        isinstance(each, SET_LEARNING_RATE) for each in given
    ):
        constant = float(keras.ops.convert_to_numpy(rate.value))
        found.append(HyperparameterScheduler({"learning_rate": lambda _: constant}))
    if not model.built or any(len(v.shape) > 1 for v in model.trainable_variables):
        # It refuses models that have nothing but biases, gains and the like.
        found.append(MaxNormEnforcer(1e9))
    # An average that keeps nothing is the weights as they are.
    return [*found, WeightAveraging(0.0)]


def fit(self: keras.Model, *args: Any, **kwargs: Any) -> Any:
    """Stands in for `Model.fit`: attaches in the second run, writes down in both."""
    given = kwargs.get("callbacks", args[5] if len(args) > 5 else None)
    as_list = list(given) if isinstance(given, list | tuple) else [given] * bool(given)
    # A `CallbackList` that a test made itself is as it wants it.
    attach = bool(os.environ.get(ATTACH)) and getattr(self, "compiled", False)
    ours: list[keras.callbacks.Callback] = []
    if attach and not isinstance(given, keras.callbacks.CallbackList):
        args, rest = args[:5], args[6:]
        assert not rest, "a `fit` with more than six positional arguments"
        ours = neutral(self, as_list)
        kwargs["callbacks"] = [*as_list, *ours]
    number = running["fits"]
    running["fits"] += 1
    history = plain_fit(self, *args, **kwargs)
    write(
        test=running["test"],
        fit=number,
        history={
            name: [float(np.mean(value)) for value in values]
            for name, values in getattr(history, "history", {}).items()
        },
        weights=[summary(v) for v in self.weights],
        optimizer=[summary(v) for v in getattr(self.optimizer, "variables", ())],
    )
    # Tests list the keys of the history, to which these callbacks add, rightly so.
    for callback in ours:
        getattr(history, "history", {}).pop(ADDED.get(type(callback).__name__), None)
    return history


def summary(variable: Any) -> list[float]:
    """The norm of a variable's values, and a sum that tells their places apart."""
    values = np.asarray(keras.ops.convert_to_numpy(variable.value))
    if values.dtype.kind not in "fiub":
        values = values.astype("float32")
    values = values.astype("float64").ravel()
    return [
        float(np.linalg.norm(values)),
        float(values @ np.cos(np.arange(len(values)))),
    ]


def write(**entries: Any) -> None:
    """Appends a line, so that what ran is known also where a process dies."""
    with Path(os.environ[LINES]).open("a", encoding="utf-8") as file:
        file.write(json.dumps(entries) + "\n")


def pytest_configure(config: Any) -> None:
    """Begins; pytest finds the hooks by their names."""
    for marker in ("requires_trainable_backend", "multi_device"):
        config.addinivalue_line("markers", f"{marker}: of Keras' tests")
    # Keras' own conftest is not in the wheel.
    conftest: Any = types.ModuleType("conftest")
    conftest.skip_if_backend = lambda name, reason: pytest.mark.skipif(
        keras.backend.backend() == name, reason=reason
    )
    sys.modules["conftest"] = conftest
    keras.Model.fit = fit


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: Any, nextitem: Any) -> Iterator[None]:
    """Lets every test begin from the same random numbers, whatever ran before it."""
    running.update(test=item.nodeid, fits=0)
    keras.utils.set_random_seed(0)
    return (yield)


def pytest_runtest_logreport(report: Any) -> None:
    """Writes what a test came to."""
    if report.when == "call" or report.outcome != "passed":
        crash = getattr(report.longrepr, "reprcrash", None)
        error = crash.message if crash and report.failed else ""
        write(test=report.nodeid, outcome=report.outcome, error=error)
