"""Training that survives bad batches and steps that are too large."""

import contextlib
import math
import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_deeptools._arguments import checked_count, checked_float, checked_option
from keras_deeptools._text_table import text_table
from keras_deeptools.callbacks._clipping import joint_norms
from keras_deeptools.callbacks._spike_guard.judgement import (
    BATCHES,
    EVENTS,
    NUM_LOGGED,
    SEEN,
    STREAK,
    Guard,
    judged,
)
from keras_deeptools.callbacks._training_feature import TrainingFeature
from keras_deeptools.engine import Leaf, RateMultipliers, tensors
from keras_deeptools.engine._backends.captured_update import (
    Verdict,
    check_one_replica,
    with_judged_update,
)
from keras_deeptools.engine._update.leaf import leaf_optimizers
from keras_deeptools.engine._update.model_optimizers import OptimizerChoice

OWNER = "SpikeGuard"
KINDS = ("", "not finite", "gradient spike", "loss spike", "statistics spike")
ACTIONS = ("skip", "damp")


@keras.saving.register_keras_serializable(package="keras_deeptools")
class SpikeGuard(TrainingFeature):
    """Keeps bad batches from spoiling a training run, and rolls back if one has.

    In the compiled step, before the update, a batch is compared with the latest
    `window` good batches. It is bad if its loss or its gradients are not finite, or if
    it is a spike:

    - the norm of the gradients is over `threshold` times the largest of the latest,
    - the loss is over the largest of the latest by more than `threshold` times their
      range,
    - or the statistics of BatchNormalization move by more than `threshold` times the
      largest of the latest moves. With BatchNormalization, inputs that are much too
      large may show neither in the gradient nor in the loss, but they spoil the
      statistics that are used for prediction.

    A spike must also be over the median of the first `window` batches, so that a batch
    that is merely hard late in training is not a spike. The update of a bad batch is
    not made: weights, momentum and the count of updates stay, and so do metrics and the
    statistics of BatchNormalization. With `action="damp"` the gradient of a spike is
    scaled down to the limit and used; statistics and metrics still leave the batch out.

    If one update was too large and has spoiled the weights already, `patience` bad
    batches follow in a row: the weights and the optimizer are then reset to a copy that
    is known to be good, kept on the host, and training continues with a lower learning
    rate for a while. If this does not help, because the data have changed, the new
    level is accepted. Updates that loss scaling skips are not judged.

    The callback costs one read of the gradients in each step, a few numbers that are
    read every `check_every` batches, and the copies. With gradient accumulation, each
    batch is judged separately. Put it after `SharpnessAwareMinimization` in the list.

    Args:
        action: `"skip"` or `"damp"`. What happens to the gradient of a spike.
        threshold: Float > 1. How far a spike is from the latest batches.
        window: Int >= 2. Number of good batches that a batch is compared with. Until
            there are as many, only batches that are not finite are bad.
        patience: Int > 0. Number of bad batches in a row before training is rolled
            back.
        max_rollbacks: Int >= 0. Largest number of rollbacks in one `fit`; with 0 no
            copies are kept.
        rate_factor: Float in (0, 1]. Factor of the learning rate after a rollback, for
            `cooldown` batches. With 1, or for an optimizer whose updates do not depend
            on its learning rate, the learning rate stays.
        cooldown: Int > 0. Number of batches.
        check_every: Int > 0. Number of batches after which the counts are read.
        copy_every: Int > 0. Batches between two copies of the weights and the state of
            the optimizer. The latest two are kept.
        optimizer: None or the optimizer of `compile`; no other can be chosen.

    Attributes:
        events: List of a dict for each bad batch and each rollback in the last `fit`:
            `"epoch"` and `"batch"`, counted from 0 as in the hooks of Keras; `"kind"`:
            `"not finite"`, `"gradient spike"`, `"loss spike"`, `"statistics spike"`,
            `"rollback"` or `"new level accepted"`; `"norm"`, `"loss"` and the `"limit"`
            that was exceeded; and `"action"`. Without shuffling, `batch` says which
            samples they were.
        num_rollbacks: Int. Number of rollbacks in the last `fit`.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If an argument is out of range. When training starts: if the model
            is not known, trains by several optimizers or on several replicas of
            `tf.distribute`, or, in the first step, by several updates.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.callbacks import SpikeGuard
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile("adam", loss="mse")
    >>> x, y = np.ones((8, 2)), np.ones((8, 1))
    >>> x[5] = np.nan
    >>> guard = SpikeGuard()
    >>> history = model.fit(x, y, 2, callbacks=[guard], shuffle=False, verbose=0)
    >>> [(event["batch"], event["kind"]) for event in guard.events]
    [(2, 'not finite')]
    >>> bool(np.isfinite(history.history["loss"][0]))
    True

    Reference:
        Chowdhery et al., 2022, section 5.1, where training is rolled back and leaves
        out the batches. https://arxiv.org/abs/2204.02311
    """

    def __init__(
        self,
        action: str = "skip",
        threshold: float = 3.0,
        window: int = 50,
        patience: int = 3,
        max_rollbacks: int = 5,
        rate_factor: float = 0.5,
        cooldown: int = 100,
        check_every: int = 10,
        copy_every: int = 100,
        optimizer: OptimizerChoice = None,
    ) -> None:
        super().__init__(optimizer)
        self.action = checked_option(OWNER, "action", action, ACTIONS)
        self.threshold = checked_float(OWNER, "threshold", threshold, above=1)
        self.window = checked_count(OWNER, "window", window, 2)
        self.patience = checked_count(OWNER, "patience", patience)
        self.max_rollbacks = checked_count(OWNER, "max_rollbacks", max_rollbacks, 0)
        self.rate_factor = checked_float(
            OWNER, "rate_factor", rate_factor, above=0, at_most=1
        )
        self.cooldown = checked_count(OWNER, "cooldown", cooldown)
        self.check_every = checked_count(OWNER, "check_every", check_every)
        self.copy_every = checked_count(OWNER, "copy_every", copy_every)
        self._guard: Guard | None = None
        self._forget()

    def _forget(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.num_rollbacks = 0
        self._copies: list[tuple[int, Any]] = []
        self._epochs: list[tuple[int, int]] = []
        self._num_read = 0
        self._checked = 0
        self._copied = self._cool_at = 0
        self._returned_at = -1

    def table(self) -> str:
        """The bad batches, and what was done about them."""
        titles = ["epoch", "batch", "kind", "norm", "loss", "limit", "action"]
        rows = [
            [f"{e[t]:.3g}" if isinstance(e[t], float) else str(e[t]) for t in titles]
            for e in self.events
        ]
        return text_table(titles, rows, text=(2, 6))

    def begin(self, leaf: Leaf) -> Guard:
        """Checks that the model's step makes its update with this optimizer."""
        if leaf.model is None or leaf.root is not leaf.model.optimizer:
            raise ValueError(
                f"{OWNER}: the optimizer must be that of the model's `compile`, whose "
                f"step is judged. Received: {leaf.root.name!r}. Attach to the compiled "
                "model."
            )
        check_one_replica(OWNER, leaf.optimizer)
        begun = self._epochs
        self._forget()
        # TensorFlow may build the model only in the first step of an epoch.
        self._epochs = begun
        kinds: list[tuple[tuple[int, ...], str]] = [
            ((3, self.window), "float32"),
            ((3,), "float32"),
            ((4,), "int32"),
            ((NUM_LOGGED, 4), "float32"),
            ((NUM_LOGGED,), "int32"),
        ]
        memory = [leaf.add_state("guard", shape, dtype) for shape, dtype in kinds]
        rate = leaf.add_state("guard_rate", initial=1.0)
        guard = Guard(leaf, memory, rate, None)
        if self.rate_factor < 1:
            multipliers = RateMultipliers(
                lambda _, variables: [tensors.scalar(rate)] * len(variables)
            )
            with contextlib.suppress(ValueError):
                multipliers.join(leaf.optimizer, OWNER)
                guard.multipliers = multipliers
        self._guard = guard
        return guard

    def adapt(self, state: Guard, leaf: Leaf) -> Guard:
        """Continues with the weights that are trained now, without earlier copies."""
        self._copies = []
        return state

    def train_step(
        self, state: Guard, leaf: Leaf, train_step: Callable
    ) -> Callable | None:
        """The model's step with its update judged."""
        if leaf.optimizer is not leaf_optimizers(leaf.root)[0]:
            return None
        is_scaled = isinstance(leaf.root, keras.optimizers.LossScaleOptimizer)

        def judge(
            values: list[Any], gradients: list[Any], loss: Any, change: Any, scale: Any
        ) -> tuple[list[Any], Verdict]:
            norms, _ = tensors.norms(gradients)
            norm = joint_norms(norms, [0] * len(gradients), 1)[0]
            if not (isinstance(scale, float) and scale == 1.0):
                norm = norm / ops.cast(scale, norm.dtype)
            damps = self.action == "damp"
            measures = [norm, loss, change]
            return judged(values, measures, self.threshold, damps, is_scaled)

        guarded = with_judged_update(
            train_step, leaf.model, state.memory, judge, state.statistics
        )
        return lambda *args, **kwargs: (guarded if state.active else train_step)(
            *args, **kwargs
        )

    def finish(self, state: Guard, leaf: Leaf) -> None:
        """Lets the model's step run unchanged from now on."""
        state.active = False
        if state.multipliers is not None:
            state.multipliers.leave(leaf.optimizer)
        with contextlib.suppress(RuntimeError):
            self._read(state.counts)
        self._guard, self._copies = None, []

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Attaches the callback and forgets the events of an earlier `fit`."""
        self._forget()
        super().on_train_begin(logs)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Notes the number of the batch with which the epoch begins."""
        self._checked = 0
        batches = 0 if self._guard is None else int(self._guard.counts[BATCHES])
        self._epochs.append((epoch, batches))

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Checks, every `check_every` batches, what the steps have recorded."""
        if batch - self._checked >= self.check_every:
            self._checked = batch
            self._check()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Checks what the step has recorded."""
        super().on_epoch_end(epoch, logs)
        self._check()

    def _check(self) -> None:
        guard = self._guard
        if guard is None:
            return
        counts = guard.counts
        self._read(counts)
        if self._cool_at and counts[BATCHES] >= self._cool_at:
            self._cool_at = 0
            guard.leaf.assign(guard.rate, 1.0)
        if counts[STREAK] >= self.patience:
            self._go_back(guard, counts)
        elif not self.max_rollbacks or counts[STREAK]:
            return
        elif not self._copies or counts[BATCHES] - self._copied >= self.copy_every:
            self._copied = int(counts[BATCHES])
            self._copies = [*self._copies[-1:], (int(counts[SEEN]), guard.copied())]

    def _go_back(self, guard: Guard, counts: np.ndarray) -> None:
        """Restores the latest copy that a good batch has confirmed."""
        if counts[SEEN] == self._returned_at:
            # Rolling back has not helped, so the data have changed.
            self._accept(guard, counts)
            return
        confirmed = [copy for copy in self._copies if copy[0] < counts[SEEN]]
        if self.num_rollbacks >= self.max_rollbacks or not confirmed:
            self._accept(guard, counts)
            return
        self._copies = confirmed[-1:]
        for variable, value in confirmed[-1][1]:
            guard.leaf.assign(variable, value)
        action = "went back"
        if guard.multipliers is not None:
            guard.leaf.assign(guard.rate, self.rate_factor)
            self._cool_at = int(counts[BATCHES]) + self.cooldown
            action = f"went back, learning rate times {self.rate_factor:g}"
        self.num_rollbacks += 1
        self._returned_at = int(counts[SEEN])
        self._note(int(counts[BATCHES]) - 1, "rollback", action)
        counts[STREAK] = 0
        guard.leaf.assign(guard.memory[2], counts)

    def _accept(self, guard: Guard, counts: np.ndarray) -> None:
        if self.events[-1]["kind"] != KINDS[1]:
            self._note(int(counts[BATCHES]) - 1, "new level accepted", "looks anew")
            counts[SEEN] = 0
        else:
            warnings.warn(
                f"{OWNER}: {int(counts[STREAK])} batches in a row were not finite, and "
                f"going back has not helped or has been done {self.num_rollbacks} "
                "times. Their updates are skipped. Look at the data with "
                "`diagnosis.diagnose`, or lower the learning rate.",
                stacklevel=2,
            )
        counts[STREAK] = 0
        guard.leaf.assign(guard.memory[2], counts)

    def _read(self, counts: np.ndarray) -> None:
        """Adds the bad batches since the last reading to the events."""
        guard = self._guard
        new = int(counts[EVENTS]) - self._num_read
        if guard is None or not new:
            return
        log, batches = (np.array(guard.leaf.read(v)) for v in guard.memory[3:])
        last = self._num_read + new
        for number in range(max(self._num_read, last - NUM_LOGGED), last):
            kind, norm, loss, limit = log[number % NUM_LOGGED].tolist()
            damped = self.action == "damp" and int(kind) == 2
            self._note(
                int(batches[number % NUM_LOGGED]),
                KINDS[int(kind)],
                "damped" if damped else "skipped",
                norm,
                loss,
                math.nan if int(kind) == 1 else limit,
            )
        self._num_read = last

    def _note(
        self,
        batch: int,
        kind: str,
        action: str,
        norm: float = math.nan,
        loss: float = math.nan,
        limit: float = math.nan,
    ) -> None:
        epoch, first = [e for e in [(0, 0), *self._epochs] if e[1] <= batch][-1]
        self.events.append(
            {
                "epoch": epoch,
                "batch": batch - first,
                "kind": kind,
                "norm": norm,
                "loss": loss,
                "limit": limit,
                "action": action,
            }
        )

    def __getstate__(self) -> dict[str, Any]:
        """Leaves out what belongs to a running `fit`."""
        return super().__getstate__() | {"_guard": None, "_copies": []}
