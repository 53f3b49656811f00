"""Ending trials of a search that cannot become good."""

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import keras

from keras_deeptools._arguments import checked_bool, checked_count, checked_float
from keras_deeptools._finding import Finding
from keras_deeptools.callbacks import GradientMonitor
from keras_deeptools.callbacks._training_feature import ConfiguredCallback
from keras_deeptools.tuning._trials.hopeless_rules import (
    below_median,
    constant_loss_of,
    is_less,
    no_learning,
)
from keras_deeptools.tuning._trials.searched_trial import GRADIENTS, NON_FINITE

OWNER = "HopelessTrialStopper"
HOPELESS_GRADIENTS = ("non-finite", "exploding", "vanishing", "dead")


@keras.saving.register_keras_serializable(package="keras_deeptools")
class HopelessTrialStopper(ConfiguredCallback):
    """Ends a trial early when it has no prospect, and says why.

    Pass it to `search` with the callbacks. After each epoch it asks, in this order:

    - Is the loss not finite?
    - Have the gradients vanished, exploded or died (`GradientMonitor`), and is the loss
      no longer falling?
    - Has nothing been learned in `patience` epochs? The loss is no better than that of
      predicting the same for every sample, and no longer falling; or it is no better
      than in the first epoch, which was no better than its first batch. The former is
      known for crossentropies and squared or absolute errors without penalties, if the
      targets are an array and its samples have no weights.
    - Is the best value of the search's objective so far worse than the median of the
      running averages of the trials completed before, up to the same epoch? This is
      the median stopping rule.

    A trial that is ended counts for the tuner with the best value it had; one whose
    loss is not finite fails. `DeepHyperModel`, `TransferHyperModel` and `fit_trial`
    write the finding and the time saved into the trial's record, see `search_report`.
    The median rule reads the curves there, so with another `HyperModel`, train with
    `fit_trial`. A trial that Hyperband has promoted is compared with those that began
    at the same epoch.

    Args:
        patience: Int >= 2. Epochs after which a trial that has learned nothing ends.
        min_improvement: Float in [0, 1). Fraction by which a loss must be below another
            to count as better.
        gradients: Bool. Whether to watch the gradients.
        median: Bool. Whether to compare with trials completed before.
        min_trials: Int >= 1. Completed trials that the median rule needs.
        warmup_epochs: Int >= 0. Epochs of a trial before it is compared with others.

    Attributes:
        finding: None, or the `Finding` for which the latest `fit` was ended.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.tuning import HopelessTrialStopper
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile(keras.optimizers.SGD(0.0), loss="mse")  # a rate of 0
    >>> stopper = HopelessTrialStopper(patience=3)
    >>> x, y = np.ones((8, 2)), np.ones((8, 1))
    >>> history = model.fit(x, y, epochs=10, callbacks=[stopper], verbose=0)
    >>> len(history.history["loss"]), stopper.finding.kind
    (3, 'no learning')

    Reference:
        Golovin et al., 2017, section 3.2.2: the median stopping rule.
        https://doi.org/10.1145/3097983.3098043
    """

    async_safe = True
    """Lets Keras train on while the logs of a batch are handed on."""

    def __init__(
        self,
        patience: int = 5,
        min_improvement: float = 0.01,
        gradients: bool = True,
        median: bool = True,
        min_trials: int = 5,
        warmup_epochs: int = 3,
    ) -> None:
        super().__init__()
        self.patience = checked_count(OWNER, "patience", patience, 2)
        self.min_improvement = checked_float(
            OWNER, "min_improvement", min_improvement, at_least=0, at_most=0.999
        )
        self.gradients = checked_bool(OWNER, "gradients", gradients)
        self.median = checked_bool(OWNER, "median", median)
        self.min_trials = checked_count(OWNER, "min_trials", min_trials)
        self.warmup_epochs = checked_count(OWNER, "warmup_epochs", warmup_epochs, 0)
        self.finding: Finding | None = None
        self._objective: Any = None
        self._others: list[list[float]] = []
        self._targets: Any = None
        self._begin_run()

    def _begin_run(self) -> None:
        self.finding = None
        self._monitor: GradientMonitor | None = None
        self._constant_loss: float | None = None
        self._start: float | None = None
        self._has_started = False
        self._losses: list[float] = []
        self._values: list[float] = []

    def compare_with(
        self,
        objective: Any,
        others: list[list[float]],
        targets: Any = None,
    ) -> None:
        """Receives what the search knows; `fit_trial` calls it.

        Args:
            objective: `keras_tuner.Objective` or None.
            others: For each completed trial, its objective after each epoch.
            targets: Array of the training targets, or None.
        """
        self._objective = objective
        self._others = others
        self._targets = targets

    def go_on_from(self, logs: Iterable[dict[str, Any]]) -> None:
        """Takes over the epochs before a backup; `fit_trial` calls it.

        Args:
            logs: The logs at the end of each of these epochs.
        """
        for each in logs:
            self._losses.append(float(each.get("loss", math.nan)))
            if self._objective is not None and self._objective.has_value(each):
                self._values.append(float(self._objective.get_value(each)))

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Begins to watch."""
        self._begin_run()
        self._constant_loss = constant_loss_of(self.model, self._targets)
        if self.gradients:
            self._monitor = GradientMonitor("norm", on_problem="ignore")
            self._monitor.set_params(self.params)
            self._monitor.set_model(self.model)
            self._monitor.on_train_begin()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Informs the monitor, and notes whether the model was trained before."""
        if self._monitor is not None:
            self._monitor.on_epoch_begin(epoch)
        if epoch > 0:
            self._has_started = True

    def on_train_batch_begin(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Informs the monitor."""
        if self._monitor is not None:
            self._monitor.on_train_batch_begin(batch)

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Notes the loss of the first batch."""
        if not self._has_started:
            self._has_started = True
            if logs and "loss" in logs:
                self._start = float(logs["loss"])

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Ends training if the trial has no prospect."""
        logs = logs or {}
        if self._monitor is not None:
            self._monitor.on_epoch_end(epoch, dict(logs))
        self._losses.append(float(logs.get("loss", math.nan)))
        if self._objective is not None and self._objective.has_value(logs):
            self._values.append(float(self._objective.get_value(logs)))
        found = (
            self._non_finite()
            or self._bad_gradients()
            or self._no_learning()
            or self._below_median()
        )
        if found:
            self.finding = replace(found, epoch=epoch + 1)
            self.model.stop_training = True

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Ends watching."""
        if self._monitor is not None:
            self._monitor.on_train_end()

    def _non_finite(self) -> Finding | None:
        if math.isfinite(self._losses[-1]):
            return None
        loss = self._losses[-1]
        return Finding(
            NON_FINITE, "loss", f"The loss is {loss}.", evidence={"loss": loss}
        )

    def _bad_gradients(self) -> Finding | None:
        found = self._monitor.findings if self._monitor is not None else []
        found = [one for one in found if one.kind in HOPELESS_GRADIENTS]
        if not found or self._is_falling():
            return None
        first = found[0]
        return replace(first, kind=GRADIENTS, message=f"{first.kind}: {first.message}")

    def _no_learning(self) -> Finding | None:
        if len(self._losses) < self.patience or self._is_falling():
            return None
        start, constant = self._start, self._constant_loss
        return no_learning(self._losses, start, constant, self.min_improvement)

    def _below_median(self) -> Finding | None:
        if not self.median or len(self._values) <= self.warmup_epochs:
            return None
        return below_median(
            self._values, self._others, self._objective, self.min_trials
        )

    def _is_falling(self) -> bool:
        """Whether the last epoch's loss is better than all before."""
        last, before = self._losses[-1], self._losses[:-1]
        return not before or is_less(last, min(before), self.min_improvement)
