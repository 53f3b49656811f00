"""One callback that watches gradients, activations and curves, and names causes."""

import contextlib
import math
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import checked_count, checked_option
from keras_deeptools._finding import Finding, FindingsError
from keras_deeptools.callbacks import GradientMonitor
from keras_deeptools.diagnosis._diagnose.baselines import constant_loss
from keras_deeptools.diagnosis._diagnose.diagnose import RULES, findings_of
from keras_deeptools.diagnosis._diagnose.facts import FitSettings, measure
from keras_deeptools.diagnosis._diagnose.ranking import ranked, with_causes
from keras_deeptools.diagnosis._diagnose.rules_of_data import few_or_repeated
from keras_deeptools.diagnosis._diagnose.target_facts import TargetFacts, target_facts
from keras_deeptools.diagnosis._output_ends import output_ends
from keras_deeptools.diagnosis._repair.repair import repair
from keras_deeptools.diagnosis._repair.result import Repair
from keras_deeptools.diagnosis._training_doctor import curves
from keras_deeptools.diagnosis._training_doctor.activation_monitor import (
    ActivationMonitor,
)
from keras_deeptools.diagnosis._training_doctor.probe_batch import (
    fit_arrays,
    probe_batch,
)
from keras_deeptools.diagnosis._training_doctor.samples import OddLabels, one_class
from keras_deeptools.engine._backends.common import on_host
from keras_deeptools.engine._keras_private.training import loss_given
from keras_deeptools.engine._state.temporary_weights import StandIns

OWNER = "TrainingDoctor"
ACTIONS = ("ignore", "warn", "stop", "raise", "repair")
READ_PER_EPOCH = 40
"""Batches of an epoch whose loss is read, each of which waits for the device."""

START_RULES = tuple(rule for rule in RULES if rule is not few_or_repeated)
"""Rules for a part of the data: how many samples there are is not known."""

RENAMED = {
    "dead": "dead units",
    "vanishing": "vanishing gradient",
    "exploding": "exploding gradient",
    "non-finite": "non-finite gradient",
}
"""What `GradientMonitor` finds, in the words of `diagnose`."""


class TrainingWarning(UserWarning):
    """Something is wrong with a training.

    Example:

    >>> import warnings
    >>> from keras_deeptools.diagnosis import TrainingWarning
    >>> warnings.filterwarnings("ignore", category=TrainingWarning)
    """


class TrainingProblemError(FindingsError):
    """Raised by `TrainingDoctor(on_problem="raise")`.

    Args:
        message: Str.
        findings: List of `Finding`, those that were found together.

    Example:

    >>> from keras_deeptools.diagnosis import TrainingProblemError
    >>> TrainingProblemError("does not learn", findings=[]).findings
    []
    """


@keras.saving.register_keras_serializable(package="keras_deeptools")
class TrainingDoctor(keras.callbacks.Callback):
    """Watches a training and says what is wrong, where and why, and what to change.

    Gradients and updates are measured in the compiled step (`GradientMonitor`),
    activations on the same samples after each epoch (`ActivationMonitor`), the loss of
    some batches, learning curves and predictions on the host. Where the model does not
    learn, its data and its layers are looked at as `diagnose` does, so that the cause
    is named and not the symptom alone.

    Args:
        on_problem: What to do about findings of severity `"problem"`: `"warn"` (with
            `TrainingWarning`), `"stop"` (warn and end training), `"raise"`
            (`TrainingProblemError`), `"repair"` (stop, and try remedies on a copy; the
            result is `.repaired`), or `"ignore"` (only list them).
        patience: Int >= 1. Epochs after which not to learn is a problem.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is outside its range.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.diagnosis import TrainingDoctor
    >>> hidden = keras.layers.Dense(8, "relu", kernel_initializer="zeros")
    >>> model = keras.Sequential([keras.Input((4,)), hidden, keras.layers.Dense(1)])
    >>> model.compile("sgd", loss="mse")
    >>> x = np.random.default_rng(0).normal(size=(256, 4))
    >>> doctor = TrainingDoctor(on_problem="ignore")
    >>> history = model.fit(x, x[:, 0], epochs=3, callbacks=[doctor], verbose=0)
    >>> doctor.findings[0].kind
    'symmetric units'
    """

    def __init__(self, on_problem: str = "warn", patience: int = 2) -> None:
        super().__init__()
        self.on_problem = checked_option(OWNER, "on_problem", on_problem, ACTIONS)
        self.patience = checked_count(OWNER, "patience", patience)
        self.gradients = GradientMonitor(on_problem="ignore")
        self.activations = ActivationMonitor()
        self.repaired: Repair | None = None
        self._forget()

    def _forget(self) -> None:
        self._curves: dict[str, list[float]] = {}
        self._batch_losses: list[float] = []
        self._total = 0.0
        self._told: set[str] = set()
        self._found: list[Finding] = []
        self._causes: list[Finding] = []
        self._labels = OddLabels()
        self._probe: tuple[Any, Any] | None = None
        self._targets: TargetFacts | None = None
        self._constant = math.nan
        self._every = 1
        self._arrays: tuple[Any, Any] | None = None
        self._start: dict[str, np.ndarray] = {}
        self._batch_size: int | None = None
        self._has_looked = False

    @property
    def findings(self) -> list[Finding]:
        """What is wrong, causes first."""
        return list(self._found)

    def set_model(self, model: keras.Model) -> None:
        """Hands the model on to the monitors."""
        super().set_model(model)
        self.gradients.set_model(model)
        self.activations.set_model(model)

    def set_params(self, params: dict[str, Any] | None) -> None:
        """Hands what `fit` says of itself on to the monitors."""
        super().set_params(params)
        self.gradients.set_params(params)
        self.activations.set_params(params)

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Takes samples of the data, and attaches the monitors."""
        self._forget()
        if self.model.trainable_variables or not self.model.built:
            self.gradients.on_train_begin(logs)
        self._probe = probe_batch(self.model)
        self._arrays = fit_arrays(self.model)
        self.activations.on_train_begin(logs)
        if self.model.built:
            self._start = {v.path: on_host(v) for v in self.model.variables}
        steps = (self.params or {}).get("steps") or 0
        if self._arrays is not None and steps:
            length = len(keras.tree.flatten(self._arrays[0])[0])
            self._batch_size = max(round(length / steps), 1)
        self._every = max(int(steps) // READ_PER_EPOCH, 1)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Begins an epoch."""
        self.gradients.on_epoch_begin(epoch, logs)
        self._total = 0.0
        self._last = -1

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Lets the monitor of gradients read its record in time."""
        self.gradients.on_train_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Reads the running mean of the loss, of some batches."""
        if batch % self._every and (batch + 1) % self._every:
            return
        mean = (logs or {}).get("loss")
        if mean is None:
            return
        mean = float(on_host(mean)) if keras.ops.is_tensor(mean) else float(mean)
        total = mean * (batch + 1)
        if self._last == batch - 1:
            self._batch_losses.append(total - self._total)
        self._total, self._last = total, batch

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Looks at everything, and acts on what is new."""
        logs = {} if logs is None else logs
        if self.gradients.model is not None:
            self.gradients.on_epoch_end(epoch, logs)
        self.activations.on_epoch_end(epoch, logs)
        for name, value in logs.items():
            with contextlib.suppress(TypeError, ValueError):
                self._curves.setdefault(name, []).append(float(value))
        self._found = self._examined()
        self._act()

    def on_train_end(self, logs: dict | None = None) -> None:
        """Detaches, and tries remedies where that was asked for."""
        self.gradients.on_train_end(logs)
        problems = [each for each in self._found if each.severity == "problem"]
        if self.on_problem == "repair" and problems and self._arrays is not None:
            x, y = self._arrays
            with self._shown_at_start():
                self.repaired = repair(
                    self.model, x, y, self._found, batch_size=self._batch_size
                )

    def _examined(self) -> list[Finding]:
        found = list(self._of_gradients())
        found += self.activations.findings
        for rule in curves.RULES:
            found += rule(self._curves)
        found += curves.oscillation(self._batch_losses)
        found += self._of_updates()
        found += self._of_samples()
        if len(self._curves.get("loss", [])) >= self.patience:
            found += curves.not_learning(self._curves, self._constant)
        stuck = {"does not learn", "non-finite loss", "divergence", "one class for all"}
        is_stuck = bool(stuck & {each.kind for each in found})
        if is_stuck and not self._has_looked:
            self._has_looked = True
            self._causes = self._statically(passes=True)
        elif len(self._curves.get("loss", [])) == 1 and not is_stuck:
            certain = self._statically(passes=False)
            self._causes = [each for each in certain if (each.confidence or 0) >= 0.85]
        return with_causes([*found, *self._causes])

    def _of_gradients(self) -> Iterable[Finding]:
        for each in self.gradients.findings:
            kind = RENAMED.get(each.kind, each.kind)
            yield replace(each, kind=kind, confidence=each.confidence or 0.6)

    def _of_updates(self) -> Iterable[Finding]:
        """What the sizes of updates say of the learning rate."""
        ratios = self.gradients.history.get("update_ratio")
        if ratios is None or len(self._curves.get("loss", [])) < self.patience:
            return ()
        names = self.gradients.variables
        kernels = [i for i, name in enumerate(names) if "bias" not in name]
        return curves.learning_rate(
            ratios[:, kernels], self._curves, self._constant, self._clips()
        )

    def _clips(self) -> str:
        """How plain gradient descent clips, as a setting to name."""
        optimizer = self.model.optimizer
        names = ("clipnorm", "global_clipnorm", "clipvalue")
        if not isinstance(optimizer, keras.optimizers.SGD):
            return ""
        given = {name: getattr(optimizer, name, None) for name in names}
        return next((f"{name}={value:g}" for name, value in given.items() if value), "")

    def _of_samples(self) -> list[Finding]:
        """What predictions for the samples show."""
        if self._probe is None or not self.model.built:
            return []
        x, y = self._probe
        if self._targets is None and y is not None:
            flat = keras.tree.flatten(y)
            if len(flat) == 1:
                self._targets = target_facts(flat[0])
                self._constant = self._constant_loss(flat[0])
        if self._targets is None or not self._targets.is_classes:
            return []
        try:
            [out] = keras.tree.flatten(self.model(x, training=False))
        except Exception:
            # A model whose own `train_step` calls it in another way.
            return []
        outputs = on_host(out)
        self._labels.add(outputs, self._targets)
        return [*one_class(outputs, self._targets), *self._labels.findings()]

    def _constant_loss(self, y: np.ndarray) -> float:
        """The loss of the best constant prediction, for one of Keras' losses."""
        with contextlib.suppress(Exception):
            [end] = output_ends(self.model)
            if end.loss is not None:
                return constant_loss(loss_given(self.model), end, y)
        return math.nan

    def _statically(self, passes: bool) -> list[Finding]:
        """What `diagnose` finds without training, of the weights at the start."""
        if self._probe is None:
            return []
        x, y = self._probe
        settings = FitSettings(batch_size=self._batch_size)
        try:
            with self._shown_at_start():
                facts = measure(
                    self.model, x, y, settings, trial_steps=0, passes=passes
                )
            found = ranked(findings_of(facts, START_RULES), facts)
        except Exception:
            # It is about what is wrong already, and training goes on.
            return []
        return [each for each in found if each.severity != "note"]

    @contextlib.contextmanager
    def _shown_at_start(self) -> Iterator[None]:
        """The weights from before the training, from which copies begin."""
        stand_ins = StandIns(self.model)
        try:
            stand_ins.show([(v, self._start[v.path]) for v in self._kept_variables()])
            yield
        finally:
            stand_ins.hide()

    def _kept_variables(self) -> list[Any]:
        return [v for v in self.model.variables if v.path in self._start]

    def _act(self) -> None:
        """Tells what is new, each kind once."""
        problems = [each for each in self._found if each.severity == "problem"]
        new = [
            each
            for each in problems
            if each.kind not in self._told and not each.caused_by
        ]
        if self.on_problem == "ignore" or not new:
            return
        self._told |= {each.kind for each in problems}
        message = "\n".join(f"{OWNER}: {each}" for each in new)
        if self.on_problem == "raise":
            raise TrainingProblemError(message, new)
        warnings.warn(TrainingWarning(message), stacklevel=2)
        if self.on_problem in ("stop", "repair"):
            self.model.stop_training = True

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"on_problem": self.on_problem, "patience": self.patience}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "TrainingDoctor":
        """Makes one from `config`, what `get_config` returns."""
        return cls(**config)

    def __getstate__(self) -> dict[str, Any]:
        """Leaves out what belongs to a running training."""
        return dict(vars(self)) | {"_model": None, "_probe": None, "_arrays": None}
