"""The training of all phases, in a way that can go on after an interruption."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import message
from keras_deeptools.engine import RateMultipliers
from keras_deeptools.engine._keras_private.versions import forget_best
from keras_deeptools.engine._passes.compiled_with import row_losses
from keras_deeptools.engine._retraining.retrain import retrain
from keras_deeptools.engine._state.random_state import reseed
from keras_deeptools.engine._state.snapshot import kept_values
from keras_deeptools.engine._update.leaf import optimizer_parts
from keras_deeptools.transfer._epoch_batches import begin_epoch
from keras_deeptools.transfer._features.cache_features import (
    cache_features,
    caching_obstacle,
)
from keras_deeptools.transfer._features.cached_features import CachedFeatures
from keras_deeptools.transfer._fine_tune.data import FineTuningData
from keras_deeptools.transfer._fine_tune.plan import (
    OWNER,
    FineTuning,
    FineTuningPhase,
    PlannedPhase,
)
from keras_deeptools.transfer._fine_tune.progress import KeptProgress
from keras_deeptools.transfer._rates.discriminative_learning_rates import (
    DiscriminativeLearningRates,
)


class PhaseProgress(keras.callbacks.Callback):
    """Shows the epochs of all phases, each with a bar over its batches.

    Args:
        phase: Str, name of the phase.
        num_epochs: Int, epochs in all phases.
        num_steps: Int, batches in an epoch.
        verbose: Int, 1 for a bar, 2 for a line for each epoch.
    """

    async_safe = True
    """Like the bar of Keras, it moves in another thread while training continues."""

    def __init__(
        self, phase: str, num_epochs: int, num_steps: int, verbose: int
    ) -> None:
        super().__init__()
        self._phase = phase
        self._num_epochs = num_epochs
        self._num_steps = num_steps
        self._verbose = verbose
        self._bar: Any = None

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Begins a new bar."""
        print(f"Epoch {epoch + 1}/{self._num_epochs} ({self._phase})")
        self._bar = keras.utils.Progbar(self._num_steps, verbose=self._verbose)

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Moves the bar on."""
        if self._verbose == 1:
            self._show(batch + 1, logs, finalize=False)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Ends the bar, with what validation found."""
        self._show(self._num_steps, logs, finalize=True)

    def _show(self, step: int, logs: dict | None, finalize: bool) -> None:
        values = list((logs or {}).items())
        # They are means over the epoch already.
        self._bar.stateful_metrics.update(name for name, _ in values)
        self._bar.update(step, values, finalize=finalize)


class EpochKeeper(keras.callbacks.Callback):
    """Gives each epoch its own random numbers, and keeps what it ends with.

    Args:
        progress: `KeptProgress`.
        phase: `PlannedPhase`.
        feed: What `fit` reads.
        seed: Int.
        cached: `CachedFeatures` that `feed` is made of, or None.
    """

    def __init__(
        self,
        progress: KeptProgress,
        phase: PlannedPhase,
        feed: Any,
        seed: int,
        cached: CachedFeatures | None,
    ) -> None:
        super().__init__()
        self._progress = progress
        self._phase = phase
        self._feed = feed
        self._seed = seed
        self._cached = cached

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Makes what is drawn at random depend on seed and epoch alone."""
        if self._cached is not None and not self._cached.is_current():
            rule = "False where a callback changes layers that are frozen"
            raise ValueError(message(OWNER, "cache", rule, "auto"))
        reseed(int(np.random.SeedSequence([self._seed, epoch]).generate_state(1)[0]))
        begin_epoch(self._feed, epoch)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Takes note of the epoch."""
        stopped = bool(self.model.stop_training)
        self._progress.add(self._phase, epoch, dict(logs or {}), stopped)


@dataclass(frozen=True)
class FineTuningRun:
    """One call of `fine_tune`, checked.

    Attributes:
        model: `keras.Model`, compiled.
        phases: List of `PlannedPhase`.
        data: `FineTuningData`.
        progress: `KeptProgress`.
        seed: Int.
        shuffled: Bool.
        restore_best: Bool.
        cache: `"auto"` or Bool.
        callbacks: The user's callbacks.
        class_weight: As in `fit`.
        validation_steps: As in `fit`.
        verbose: Int.
    """

    model: keras.Model
    phases: list[PlannedPhase]
    data: FineTuningData
    progress: KeptProgress
    seed: int
    shuffled: bool
    restore_best: bool
    cache: str | bool
    callbacks: Sequence[keras.callbacks.Callback]
    class_weight: dict | None
    validation_steps: int | None
    verbose: int

    def train(self) -> FineTuning:
        """Trains what is left to train."""
        restored = False
        try:
            resumed = self.progress.now.phase if self.progress.resumed else -1
            for position, phase in enumerate(self.phases):
                with self._entered(phase):
                    self._train_phase(position, resumed)
        except BaseException as error:
            error.add_note(self._last_words())
            raise
        finally:
            if self.restore_best:
                restored = self.progress.restore_best()
        return self._result(restored)

    def _train_phase(self, position: int, resumed: int) -> None:
        """Trains what is left of a phase that has been entered."""
        if position == resumed:
            self.progress.take_up()
        elif position > resumed:
            self.progress.enter(position)
        if position < resumed or self.progress.now.left:
            return
        phase = self.phases[position]
        with kept_values(self.model):
            self._fit(phase)
        self.progress.leave(phase)

    @contextlib.contextmanager
    def _entered(self, phase: PlannedPhase) -> Iterator[None]:
        """Freezes and unfreezes, and sets the groups' learning rates in the block."""
        optimizer = self.model.optimizer
        retrain(self.model, phase.states, OWNER)
        if not optimizer.built:
            optimizer.build(self.model.trainable_variables)
        rates = RateMultipliers(phase.rate_multipliers)
        parts = optimizer_parts(optimizer)
        if any(isinstance(part, DiscriminativeLearningRates) for part in parts):
            yield
            return
        rates.join(optimizer, OWNER)
        try:
            yield
        finally:
            rates.leave(optimizer)
            self.model.train_function = None

    def _fit(self, phase: PlannedPhase) -> None:
        now = self.progress.now
        begun = phase.first_epoch + now.trained[-1]
        cached = self._features(phase)
        now.cached[-1] = cached is not None
        seed = self.seed if self.shuffled else None
        feed, arguments = self.data.fit_arguments(seed, cached)
        begin_epoch(feed, begun)
        keeper = EpochKeeper(self.progress, phase, feed, self.seed, cached)
        callbacks = [phase.scheduler(self.model.optimizer), *self.callbacks, keeper]
        if self.verbose:
            total, steps = self.phases[-1].end, self.data.steps
            callbacks.append(PhaseProgress(phase.name, total, steps, self.verbose))
        forget_best(list(self.callbacks))
        feeding = contextlib.nullcontext() if cached is None else cached.feeding()
        with feeding, row_losses():
            self.model.fit(
                feed,
                initial_epoch=begun,
                epochs=begun if now.stopped else phase.end,
                callbacks=callbacks,
                class_weight=self.class_weight,
                validation_steps=self.validation_steps,
                verbose=0,
                **arguments,
            )

    def _features(self, phase: PlannedPhase) -> CachedFeatures | None:
        """What the frozen layers make of the data, if it is to be computed once."""
        if self.cache is False or not phase.freezes or self.progress.now.stopped:
            return None
        arrays = self.data.arrays
        obstacle = self._obstacle()
        if obstacle:
            self._notice(obstacle)
            return None
        assert arrays is not None
        try:
            return cache_features(
                self.model,
                *arrays,
                batch_size=self.data.batch_size,
                verbose=min(self.verbose, 1),
            )
        except ValueError as error:
            if self.cache == "auto":
                self._notice(str(error))
                return None
            raise

    def _obstacle(self) -> str | None:
        """Why the frozen layers run in each epoch, with what to do, or None."""
        if self.data.arrays is None:
            kind = type(self.data.source).__name__
            first = (
                ""
                if self.data.one_pass
                else ", or first train the head on "
                "`cache_features(model, x)` and then give frozen_epochs=0"
            )
            return (
                f"`x` is a {kind}, which may give other samples in each epoch. Give "
                f"arrays where memory suffices{first}."
            )
        return caching_obstacle(self.model) if self.cache == "auto" else None

    def _notice(self, why: str) -> None:
        """Tells that nothing is cached, once."""
        text = f"Frozen layers compute their features in every epoch: {why}"
        if text not in self.progress.notices:
            self.progress.notices.append(text)
            if self.verbose:
                print(f"{OWNER}: {text}")

    def _last_words(self) -> str:
        now = self.progress.now
        phase = self.phases[now.phase]
        best = now.best_epoch
        has = "the weights of the moment"
        if self.restore_best and best is not None:
            has = f"those of the best epoch so far, {best + 1}"
        return (
            f"{OWNER}: ended in phase {phase.name!r} after {len(now.epoch)} complete "
            f"epochs. What trains is what trained in that phase, and the model has "
            f"{has}. {self.progress.way_on}"
        )

    def _result(self, restored: bool) -> FineTuning:
        now = self.progress.now
        phases = tuple(
            FineTuningPhase(
                phase.name,
                phase.first_epoch,
                trained,
                phase.peak,
                phase.num_trainable,
                cached,
            )
            for phase, trained, cached in zip(
                self.phases, now.trained, now.cached, strict=True
            )
        )
        return FineTuning(
            now.history,
            now.epoch,
            phases,
            self.progress.monitor,
            now.best_epoch,
            now.best_value,
            restored,
            self.seed,
            tuple(self.progress.notices),
        )
