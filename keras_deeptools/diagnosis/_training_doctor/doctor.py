"""One callback that watches gradients, activations and curves, and names causes."""

import contextlib
import math
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import keras

from keras_deeptools._arguments import checked_count, checked_option
from keras_deeptools._finding import Finding
from keras_deeptools.callbacks import GradientMonitor
from keras_deeptools.diagnosis._diagnose.ranking import (
    calibrated,
    with_causes,
)
from keras_deeptools.diagnosis._repair.repair import repair
from keras_deeptools.diagnosis._repair.result import Repair
from keras_deeptools.diagnosis._training_doctor import curves
from keras_deeptools.diagnosis._training_doctor.actions import (
    ACTIONS,
    OWNER,
    TrainingWarning,
    act,
)
from keras_deeptools.diagnosis._training_doctor.activation_monitor import (
    ActivationMonitor,
)
from keras_deeptools.diagnosis._training_doctor.causes import (
    CERTAIN,
    RENAMED,
    STUCK,
    clipping_of,
    is_finite,
    learning_rate,
    misfits,
    slow_convergence,
    static_causes,
    with_rate_first,
)
from keras_deeptools.diagnosis._training_doctor.curves import BatchLosses
from keras_deeptools.diagnosis._training_doctor.given import Given, given_to
from keras_deeptools.diagnosis._training_doctor.last_good import LastGood
from keras_deeptools.diagnosis._training_doctor.non_finite_findings import (
    finding_of,
    of_data,
)
from keras_deeptools.diagnosis._training_doctor.samples import SampleWatch
from keras_deeptools.engine._backends.common import on_host
from keras_deeptools.engine._update.step_reads import has_own_train_step

JUDGED, EVERY, FIRST = ("norm", "update_ratio"), 10, 100
"""What is recorded of the gradients, of each of the first updates and of one in ten."""

UPDATE_SAMPLE = 1024
"""Elements of each variable from which gradients and updates are measured."""


@keras.saving.register_keras_serializable(package="keras_deeptools")
class TrainingDoctor(keras.callbacks.Callback):
    """Watches a training and reports what is wrong, where, why, and what to change.

    Gradients and updates are measured in the compiled step (`GradientMonitor`), and
    activations on the same samples after each epoch (`ActivationMonitor`). The loss of
    some batches, learning curves and predictions are examined on the host. If the model
    does not learn, its data and its layers are examined as `diagnose` does, so that the
    report names the cause and not only the symptom.

    If a loss is not finite, the epoch is trained again from its start, up to the batch
    at which this happens, and that batch is run layer by layer. The finding names the
    layer and the operation, and the line if it is in a function of your own. The
    training itself continues as if nothing had been examined. Arrays are shuffled again
    for this; the batches of a generator cannot be run again.

    All results cover the latest `fit`, with this or another model.

    Args:
        on_problem: What to do about findings of severity `"problem"`: `"warn"` (with
            `TrainingWarning`), `"stop"` (warn and end training), `"raise"`
            (`TrainingProblemError`), `"repair"` (stop, and try remedies on a copy; the
            result is `.repaired`), or `"ignore"` (only list them).
        patience: Int >= 1. Epochs without learning after which this is a problem.

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

    async_safe = True
    """Lets Keras train on while the logs of a batch are handed on."""

    def __init__(self, on_problem: str = "warn", patience: int = 2) -> None:
        super().__init__()
        self.on_problem = checked_option(OWNER, "on_problem", on_problem, ACTIONS)
        self.patience = checked_count(OWNER, "patience", patience)
        self.gradients = GradientMonitor(JUDGED, EVERY, on_problem="ignore")
        self.gradients.num_first = FIRST
        self.gradients.update_sample = UPDATE_SAMPLE
        self.activations = ActivationMonitor()
        self._forget()

    def _forget(self) -> None:
        self.repaired: Repair | None = None
        self._curves: dict[str, list[float]] = {}
        self._told: set[str] = set()
        self._found: list[Finding] = []
        self._misfits: list[Finding] = []
        self._causes: list[Finding] = []
        self._broken: list[Finding] | None = None
        self._has_looked = False
        self._is_attached = False
        self._first_update: int | None = None
        self._given: Given | None = None
        self._good: LastGood | None = None
        self._samples: SampleWatch | None = None
        self._losses = BatchLosses(0, False)

    @property
    def findings(self) -> list[Finding]:
        """What is wrong, causes first."""
        return calibrated(self._found)

    def set_model(self, model: keras.Model) -> None:
        """Passes the model on to the monitors."""
        super().set_model(model)
        self.gradients.set_model(model)
        self.activations.set_model(model)

    def set_params(self, params: dict[str, Any] | None) -> None:
        """Passes the parameters of `fit` on to the monitors."""
        super().set_params(params)
        self.gradients.set_params(params)
        self.activations.set_params(params)

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Examines the data, and attaches the monitors."""
        self._forget()
        model = self.model
        # A model that is frozen as a whole has nothing to attach to.
        self._is_attached = bool(model.trainable_variables or not model.built)
        if self._is_attached:
            self.gradients.on_train_begin(logs)
        self._begin()

    def _begin(self) -> None:
        """Looks at the data, where gradients are watched already."""
        model = self.model
        self._given = given_to(model)
        given = self._given
        steps = 0 if given is None else given.num_steps
        at_once = getattr(model, "steps_per_execution", None) or 1
        self._losses = BatchLosses(steps, not has_own_train_step(model), at_once)
        self.activations.samples = None if given is None else given.x
        self.activations.on_train_begin()
        self._good = LastGood(model)
        if given is not None:
            self._samples = SampleWatch(model, given)
            self._misfits = misfits(model, given)
        if self._misfits:
            self._found = with_causes(self._misfits)
            self._act()

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Begins an epoch, and keeps the state if it is good."""
        if self._is_attached:
            self.gradients.on_epoch_begin(epoch, logs)
        self._losses.begin_epoch()
        if self._good is not None and self._broken is None and self.model.built:
            self._first_update = _updates_of(self.model)
            self._good.begin_epoch()

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Lets the monitor of gradients read its record, and reads losses in time."""
        if self._is_attached:
            self.gradients.on_train_batch_begin(batch, logs)
        if batch and self._good is not None and not self._good.start:
            self._keep_start()
        if self._losses.is_time(batch):
            self._read_losses()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Keeps the running mean of the loss; Keras may call this in another thread."""
        self._losses.add(batch, logs)

    def _keep_start(self) -> None:
        """Copies the state of a model that the first step has built."""
        self._good = LastGood(self.model)
        self._good.begin_epoch()

    def _read_losses(self, is_end: bool = False) -> None:
        """Looks for the first loss that is not finite."""
        before = self._losses.num_batches
        mean = self._losses.read(is_end)
        if self._good is not None:
            self._good.num_batches += self._losses.num_batches - before
        if mean is None or math.isfinite(mean) or self._broken is not None:
            return
        epoch = len(self._curves.get("loss", [])) + 1
        self._replay(epoch)
        losses = [*self._curves.get("loss", []), mean]
        self._found = self._examined(self._curves | {"loss": losses})
        self._act()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Examines everything, and acts on new findings."""
        logs = {} if logs is None else logs
        if self._is_attached:
            self.gradients.on_epoch_end(epoch, logs)
        self.activations.on_epoch_end(epoch, logs)
        if self._good is not None and not self._good.start:
            self._keep_start()
        self._read_losses(is_end=True)
        for name, value in logs.items():
            with contextlib.suppress(TypeError, ValueError):
                self._curves.setdefault(name, []).append(float(value))
        kinds = {each.kind for each in self.gradients.findings}
        loss = self._curves.get("loss", [0.0])[-1]
        if self._broken is None and ("non-finite" in kinds or not math.isfinite(loss)):
            self._replay(len(self._curves.get("loss", [0.0])))
        if self._samples is not None and self._broken is None:
            self._samples.look()
        self._found = self._examined(self._curves)
        self._act()

    def on_train_end(self, logs: dict | None = None) -> None:
        """Detaches the monitors, and tries remedies if asked to."""
        if self._is_attached:
            self.gradients.on_train_end(logs)
        self.activations.on_train_end(logs)
        problems = [each for each in self._found if each.severity == "problem"]
        if self.on_problem == "repair" and problems:
            self._repair()
        self._given = self._good = self._samples = None

    def _replay(self, epoch: int) -> None:
        """Looks for where something that is not finite arose, once."""
        self._broken = []
        given, good = self._given, self._good
        if given is None or good is None:
            return
        fault = given.data.fault()
        if fault:
            where = "y" if "`y`" in fault and "`x" not in fault else "x"
            self._broken = [of_data(fault, where, epoch)]
            return
        steps = [f.step or 0 for f in self.gradients.findings if "non-f" in f.kind]
        steps += self._first_bad_update()
        try:
            shown = good.replayed(given.data, given.batch_size, given.settings.shuffle)
        except Exception:
            # The finding is about a problem that is known, and training continues.
            return
        found = (
            None
            if shown is None
            else finding_of(shown, min(steps, default=None), epoch)
        )
        self._broken = [] if found is None else [found]

    def _first_bad_update(self) -> list[int]:
        """The update in which the loss was not finite first, where it is known."""
        batch, before = self._losses.first_bad, self._first_update
        if batch is None or before is None:
            return []
        at_once = self.model.optimizer.gradient_accumulation_steps or 1
        return [before + batch // at_once]

    def _examined(self, known: curves.Curves) -> list[Finding]:
        loss = known.get("loss", [])
        found = [*self._misfits, *self._of_gradients(), *self.activations.findings]
        found += self._broken or []
        for rule in curves.RULES:
            found += rule(known)
        if any(each.kind == "non-finite loss" for each in self._broken or []):
            # The replay says more about the same.
            found = [
                f for f in found if (f.kind, f.where) != ("non-finite loss", "loss")
            ]
        found += curves.oscillation(self._losses.values)
        found += self._of_updates(known)
        constant = math.nan
        if self._samples is not None:
            constant = self._samples.constant_loss
            found += self._samples.findings(known)
        if len(loss) >= self.patience:
            found += curves.not_learning(known, constant)
        is_stuck = bool(STUCK & {each.kind for each in found})
        if self._given is not None and is_stuck and not self._has_looked:
            self._has_looked = True
            self._causes = self._static(passes=True)
        elif self._given is not None and len(loss) == 1 and not is_stuck:
            self._causes = self._static(passes=False)
        if not is_stuck:
            # Also of a model that was stuck and learns all the same.
            self._causes = [f for f in self._causes if (f.confidence or 0) >= CERTAIN]
        return with_rate_first(with_causes([*found, *self._causes]))

    def _static(self, passes: bool) -> list[Finding]:
        start = {} if self._good is None else self._good.start
        found = static_causes(self.model, self._given, start, passes)
        if not self._broken:
            return found
        # The scale of what is not finite says nothing more.
        return [each for each in found if is_finite(each) or "non-f" in each.kind]

    def _of_gradients(self) -> Iterator[Finding]:
        for each in self.gradients.findings:
            kind = RENAMED.get(each.kind, each.kind)
            yield replace(each, kind=kind, confidence=each.confidence or 0.6)

    def _of_updates(self, known: curves.Curves) -> Iterable[Finding]:
        """What the sizes of updates say of the learning rate."""
        ratios = self.gradients.history.get("update_ratio")
        early = len(known.get("loss", [])) < self.patience
        if ratios is None or (early and self._broken is None):
            return ()
        names = self.gradients.variables
        kernels = [i for i, name in enumerate(names) if "bias" not in name]
        ratios = ratios[:, kernels]
        constant = self._samples.constant_loss if self._samples else math.nan
        clips = clipping_of(self.model)
        return [
            *learning_rate(ratios, known, constant, clips),
            *slow_convergence(ratios, known),
        ]

    def _act(self) -> None:
        act(self.model, self._found, self.on_problem, self._told)

    def _repair(self) -> None:
        given = self._given
        if given is None or given.arrays is None or given.arrays[1] is None:
            reason = "remedies are tried on arrays of inputs and targets only"
        else:
            reason = self._try_remedies(given)
        if reason:
            warnings.warn(
                TrainingWarning(
                    f"{OWNER}: nothing was repaired, because {reason}. Call "
                    "`keras_deeptools.diagnosis.repair(model, x, y, doctor.findings)`."
                ),
                stacklevel=3,
            )

    def _try_remedies(self, given: Given) -> str:
        x, y = given.arrays or (None, None)
        settings, good = given.settings, self._good
        if good is None:
            return "the weights from before the training are not known"
        try:
            with good.at_start():
                self.repaired = repair(
                    self.model,
                    x,
                    y,
                    self._found,
                    validation_data=given.validation_data,
                    batch_size=settings.batch_size,
                    epochs=settings.epochs,
                    shuffle=settings.shuffle,
                )
        except Exception as error:
            return f"{type(error).__name__} was raised: {error}"
        return ""

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"on_problem": self.on_problem, "patience": self.patience}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "TrainingDoctor":
        """Makes one from `config`, what `get_config` returns."""
        return cls(**config)

    def __getstate__(self) -> dict[str, Any]:
        """Leaves out what belongs to a running training."""
        running = dict.fromkeys(("_given", "_good", "_samples"))
        return dict(vars(self)) | running | {"_model": None}


def _updates_of(model: keras.Model) -> int | None:
    """How many updates the optimizer of `compile` has made; None without any."""
    count = getattr(model.optimizer, "iterations", None)
    return None if count is None else int(on_host(count))
