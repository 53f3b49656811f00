"""The learning-rate range test."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import known_elsewhere_as
from keras_deeptools.callbacks._learning_rate_finder.arguments import (
    check_arguments,
    check_model,
    check_trainable,
    check_used,
    chosen_optimizer,
    refuse_fit_arguments,
)
from keras_deeptools.callbacks._learning_rate_finder.learning_rate_race import (
    LearningRateRace,
)
from keras_deeptools.callbacks._learning_rate_finder.race import (
    MOST_BYTES,
    RAMP_PERCENT,
    Race,
    Shape,
    built_optimizers,
    candidates_of,
    checked_race,
    winner_of,
)
from keras_deeptools.callbacks._learning_rate_finder.range_test import (
    LossLog,
    RangeTest,
)
from keras_deeptools.engine import Feature, Leaf, Snapshot, attach, preserved
from keras_deeptools.engine._data.batch_loss import batch_logs, train_by_batch
from keras_deeptools.engine._data.errors import advice
from keras_deeptools.engine._data.fit_batches import Batches
from keras_deeptools.engine._data.step_errors import (
    classes_outside,
    explained_step,
    without_loss,
)
from keras_deeptools.engine._update.model_optimizers import OptimizerChoice
from keras_deeptools.engine._update.step_reads import lacks_what_it_reads
from keras_deeptools.engine._update.update_watch import UpdateWatch
from keras_deeptools.schedules import ExponentialRamp, LinearRamp

OWNER = "find_learning_rate"
RAMPS = {"exponential": ExponentialRamp, "linear": LinearRamp}
Schedule = ExponentialRamp | LinearRamp


@known_elsewhere_as(
    min_learning_rate="min_lr start_lr init_value",
    max_learning_rate="max_lr end_lr final_value",
    num_steps="num_it num_iter num_training",
)
def find_learning_rate(
    model: keras.Model,
    x: Any,
    y: Any = None,
    *,
    sample_weight: Any = None,
    batch_size: int | None = None,
    min_learning_rate: float = 1e-7,
    max_learning_rate: float = 10.0,
    num_steps: int = 100,
    ramp: str = "exponential",
    stop_factor: float | None = 4.0,
    smoothing: float = 0.9,
    shuffle: bool = True,
    verbose: str | int = "auto",
    class_weight: dict[int, float] | None = None,
    loss_name: str | None = None,
    optimizer: OptimizerChoice = None,
    schedule: Any = None,
    method: str = "ramp",
    max_updates: int | None = None,
    **fit_arguments: Any,
) -> RangeTest:
    """Trains for a while with a growing learning rate, and suggests a learning rate.

    In this range test the learning rate grows from one update to the next, and the loss
    first stays, then falls, then diverges. The learning rate at which the loss falls
    fastest is a careful constant learning rate. A schedule that ends near 0 can begin
    with a larger one: pass its name as `schedule`, and the suggestion is 0.3 times the
    learning rate of the lowest loss. `method="race"` tries several peaks.

    Afterwards the model, its optimizer, its metrics, the random states and the order of
    the data are bit for bit what they were, also after an exception or Ctrl-C: "find,
    then fit" equals "fit". Only layers that were not built are built, as `fit` would
    build them. Data that keep their own state are the exception: a `tf.data.Dataset`
    that shuffles continues with its next order; the hooks of a PyDataset have been
    called; the batches that were drawn from a Python generator are in `result.data`.

    Args:
        model: `keras.Model`, compiled. Weights and optimizer may have been trained.
        x: Arrays (also lists and dicts of them), `tf.data.Dataset`, PyDataset, torch
            `DataLoader` or a Python generator, as for `fit`. When there are fewer
            batches than the test needs, they are drawn again.
        y: Targets, when `x` is arrays.
        sample_weight: Sample weights, when `x` is arrays.
        batch_size: Int or None, when `x` is arrays. Use the batch size of the training
            to come: a good learning rate depends on it.
        min_learning_rate: Float > 0, learning rate of the first update.
        max_learning_rate: Float > `min_learning_rate`, learning rate of the last
            update.
        num_steps: Int >= 10, number of updates (with gradient accumulation each of
            them takes several batches).
        ramp: `"exponential"` (equal ratios) or `"linear"` (equal differences).
        stop_factor: Float > 1 or None. The test ends when the smoothed loss exceeds
            this multiple of its minimum (a non-finite loss ends it too), or, with None,
            only after `num_steps`.
        smoothing: Float in [0, 1), weight of the past in the smoothed loss that
            `stop_factor` uses and the progress bar shows. The suggestions do not depend
            on it.
        shuffle: Bool, whether arrays and PyDatasets are drawn in random order.
        verbose: `"auto"`, 0 (silent) or 1 (progress bar).
        class_weight: Dict from class to weight or None, as for `fit`.
        loss_name: Str or None, the name of the loss among the logs that a custom
            `train_step` returns. None: `"loss"`, else the only log, or the only one
            that has "loss" in its name; if there are several, the one that falls.
        optimizer: For a model whose `train_step` uses several optimizers, the one whose
            learning rate grows: its name, such as `"g_optimizer"`, the optimizer, a
            list of these, or `"all"`. None: the one that the step uses.
        schedule: The schedule that training will follow, whose peak is to be found:
            `"constant"`, `"cosine"` (from the peak to 0), `"one_cycle"`,
            `"warmup_stable_decay"` (a tenth of the updates, then the last fifth), or an
            object of `keras_deeptools.schedules` that has an end, of which the shape
            counts. None: `"constant"`.
        method: `"ramp"` (the range test alone) or `"race"`: with four learning rates
            around the lowest loss of a range test, short trainings follow the schedule,
            all from the same state. The best one and the two below it are trained with
            for longer. The loss of batches that were held out then decides.
        max_updates: Int >= 50 or None, the updates of a race in all. At most 30% of
            them are the range test's. None: 200. The best peak falls with the number of
            updates, most of all with Muon: more updates are safer there.
        **fit_arguments: Other arguments of `fit` are refused, with an error that says
            what to do instead.

    Returns:
        `RangeTest`, or `LearningRateRace`, which is one too.

    Raises:
        TypeError: If `model` is no Keras model, or an argument is unknown.
        ValueError: If the model is not compiled or has nothing to train, the data are
            empty or do not fit the model and its loss, an argument is out of range, or
            the loss cannot be identified among the logs. The model is then unchanged.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools import find_learning_rate
    >>> from keras_deeptools.callbacks import OneCycleScheduler
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    >>> model.compile(keras.optimizers.SGD(momentum=0.9), loss="mse")
    >>> x = np.random.default_rng(0).normal(size=(256, 4))
    >>> found = find_learning_rate(
    ...     model, x, x[:, :1], batch_size=32, schedule="one_cycle", verbose=0
    ... )
    >>> one_cycle = OneCycleScheduler(max_learning_rate=found)
    >>> history = model.fit(
    ...     x, x[:, :1], batch_size=32, epochs=5, callbacks=[one_cycle], verbose=0
    ... )
    >>> history.history["loss"][-1] < 0.1 * history.history["loss"][0]
    True

    Reference:
        Smith, 2017, section 3.3. https://arxiv.org/abs/1506.01186. The stopping rule is
        fastai's; the suggestions are described at
        `keras_deeptools.statistics.suggest_learning_rate`.
    """
    refuse_fit_arguments(OWNER, fit_arguments)
    check_arguments(
        OWNER,
        min_learning_rate=min_learning_rate,
        max_learning_rate=max_learning_rate,
        num_steps=num_steps,
        ramp=ramp,
        stop_factor=stop_factor,
        smoothing=smoothing,
        verbose=verbose,
        loss_name=loss_name,
    )
    shape, budget = checked_race(OWNER, schedule, method, max_updates)
    check_model(OWNER, model)
    if model.built or not lacks_what_it_reads(model):
        chosen_optimizer(OWNER, model, optimizer)
    with explained_step(
        OWNER, model, lambda: keras.utils.pack_x_y_sample_weight(x, y, sample_weight)
    ):
        batches = Batches(
            model, x, y, sample_weight, batch_size, shuffle, class_weight, OWNER
        )
    if method == "race":
        num_steps = min(num_steps, max(10, budget * RAMP_PERCENT // 100))
    rates = RAMPS[ramp](
        float(min_learning_rate), float(max_learning_rate), int(num_steps)
    )
    log = LossLog(OWNER, loss_name, stop_factor, smoothing)
    run = _Run(model, batches, rates, log, optimizer, shape)
    with preserved(model, *batches.generators, build=run.build):
        check_trainable(OWNER, model)
        before = Snapshot(model) if method == "race" else None
        train_by_batch(model)
        run.train(verbose)
        if before is not None:
            with built_optimizers(model, before):
                return run.race(budget, verbose)
    return run.result()


class _Ramp(Feature):
    """The learning rate as a function of the updates since attaching."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._leaves: list[tuple[Leaf, int]] = []

    def prepare(self, leaf: Leaf) -> int:
        self._leaves.append((leaf, leaf.num_updates))
        return leaf.num_updates

    def hyperparameters(self, state: int, leaf: Leaf) -> dict[str, Callable]:
        return {"learning_rate": lambda step: self._schedule(step - state)}

    @property
    def num_updates(self) -> int:
        """Updates made since attaching."""
        made = [leaf.num_updates - first for leaf, first in self._leaves]
        return max(made, default=0)


class _Run:
    """A running range test: trains until the ramp is over or the loss diverges."""

    def __init__(
        self,
        model: keras.Model,
        batches: Batches,
        schedule: Schedule,
        log: LossLog,
        optimizer: OptimizerChoice,
        shape: Shape,
    ) -> None:
        self._shape = shape
        self._trained = model
        self._batches = batches
        self._schedule = schedule
        self._log = log
        self._optimizer = optimizer
        self._fault: str | None = None
        self._batches_drawn = 0

    def build(self) -> None:
        """Builds everything that `fit` would build before or in its first step."""
        with explained_step(OWNER, self._trained, self._batches.sample):
            self._batches.build()
        reason = classes_outside(self._trained, self._batches.sample, where_silent=True)
        if reason:
            raise ValueError(f"{OWNER}: {reason}")

    def train(self, verbose: str | int) -> None:
        """Trains with the ramp as the learning rate."""
        log, num_steps = self._log, self._schedule.num_steps
        bar = keras.utils.Progbar(
            num_steps,
            verbose=0 if verbose == 0 else 1,
            stateful_metrics=["learning_rate", "loss"],
            unit_name="step",
        )
        ramp = _Ramp(self._schedule)
        # The model's `build` may have made one.
        chosen = chosen_optimizer(OWNER, self._trained, self._optimizer)
        optimizers = [each.optimizer for each in chosen]
        watch = UpdateWatch(OWNER, self._trained, chosen, each=False)
        with (
            attach(self._trained, ramp, optimizer=optimizers),
            self._batches.endless() as endless,
        ):
            while ramp.num_updates < num_steps and not log.is_over:
                before, num_losses = ramp.num_updates, log.num_losses
                with explained_step(OWNER, self._trained, self._batches.sample):
                    batch = next(endless)
                self._batches_drawn += 1
                log.add(self._logs_of(batch), ramp.num_updates)
                if not ramp.num_updates:
                    check_used(watch)
                if log.num_losses > num_losses:
                    rate = self._schedule.values([before])[0]
                    values = [("learning_rate", rate), ("loss", log.shown)]
                    done = min(ramp.num_updates, num_steps)
                    bar.update(done, values, finalize=False)
            bar.update(min(ramp.num_updates, num_steps), finalize=True)

    def _logs_of(self, batch: Any) -> dict[str, float]:
        with explained_step(OWNER, self._trained, lambda: batch):
            logs = batch_logs(self._trained, batch)
        reason = logs.get("loss") == 0 and without_loss(self._trained)
        if reason:
            raise ValueError(f"{OWNER}: {reason}")
        if self._fault is None and not np.isfinite(list(logs.values())).all():
            found = advice(self._batches.non_finite(batch))
            self._fault = found or classes_outside(self._trained, lambda: batch)
        return logs

    def race(self, max_updates: int, verbose: str | int) -> LearningRateRace:
        """The result of short trainings with some of the ramp's learning rates."""
        found = self.result()
        name, _ = self._log.chosen(self._schedule.values)
        num_updates = max_updates - len(found.losses)
        bar = keras.utils.Progbar(
            num_updates,
            verbose=0 if verbose == 0 else 1,
            stateful_metrics=["learning_rate", "loss"],
            unit_name="step",
        )
        chosen = chosen_optimizer(OWNER, self._trained, self._optimizer)
        race = Race(
            self._trained,
            [each.optimizer for each in chosen],
            self._shape,
            self._batches.taken(num_updates, MOST_BYTES),
            name,
            lambda made, rate, loss: bar.update(
                made, [("learning_rate", rate), ("loss", loss)], finalize=False
            ),
        )
        heats = race.run(candidates_of(found), num_updates)
        bar.update(num_updates, finalize=True)
        return LearningRateRace(
            found,
            heats,
            winner_of(heats),
            race.num_held,
            self._batches.replay(),
        )

    def result(self) -> RangeTest:
        """The result, with the suggestions computed from the losses."""
        name, progress = self._log.chosen(self._schedule.values)
        remark = ""
        if name != "loss":
            remark = f"The loss was read from {name!r} of the logs of `train_step`."
        return RangeTest(
            self._schedule.values(np.array(progress.positions)),
            np.array(progress.losses),
            ending=progress.ending,
            batches_drawn=self._batches_drawn,
            data=self._batches.replay(),
            data_fault=self._fault or "",
            remark=remark,
            schedule=self._shape.name,
            falls=self._shape.falls,
        )
