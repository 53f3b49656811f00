"""Averages of the weights along training, exponential or uniform."""

import contextlib
import math
import warnings
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import (
    checked_bool,
    checked_count,
    checked_float,
    is_integer,
    known_elsewhere_as,
    message,
)
from keras_deeptools.callbacks._training_feature import TrainingFeature
from keras_deeptools.callbacks._weight_averaging.running_average import (
    RunningAverage,
    State,
    put_back,
    written,
)
from keras_deeptools.engine import Leaf
from keras_deeptools.engine._graph.layers import layers_of
from keras_deeptools.engine._passes.batch_norm_statistics import BatchStatistics
from keras_deeptools.engine._retraining.checkpointed_state import ResumableArrays
from keras_deeptools.engine._state.temporary_weights import StandIns
from keras_deeptools.engine._update.attachment import attached_features
from keras_deeptools.engine._update.model_optimizers import OptimizerChoice
from keras_deeptools.engine._update.train_step import running_fit


def checked_decay(owner: str, value: Any) -> float | None:
    """None, or a float in [0, 1)."""
    if value is None:
        return None
    remedy = "Give 0.99 to 0.9999, or None for the mean of all weights."
    rule = "in [0, 1) or None"
    return checked_float(
        owner, "decay", value, at_least=0, below=1, rule=rule, remedy=remedy
    )


def checked_start(owner: str, value: Any) -> int | float:
    """An int >= 0, or a float in [0, 1)."""
    rule = "an epoch, an int >= 0, or a part of all epochs, a float in [0, 1)"
    if is_integer(value):
        return checked_count(owner, "start", value, 0, rule=rule)
    return checked_float(owner, "start", value, at_least=0, below=1, rule=rule)


def checked_warmup(owner: str, value: Any) -> float | None:
    """None, or a float >= 0."""
    if value is None:
        return None
    return checked_float(owner, "warmup", value, at_least=0)


def first_epoch(owner: str, start: int | float, params: dict[str, Any] | None) -> int:
    """The epoch from which on updates count.

    Args:
        owner: Str. Name of the caller, for errors.
        start: As in `WeightAveraging`.
        params: Dict that Keras gives callbacks; None or empty if a `CallbackList` was
            made without it.

    Raises:
        ValueError: If `start` is a fraction of the epochs and their number is not
            known.
    """
    if isinstance(start, int) or start == 0:
        return int(start)
    epochs = (params or {}).get("epochs")
    if epochs is None:
        rule = "an epoch, an int >= 0, where the number of epochs is not known"
        remedy = (
            "Give an int, or tell the list of callbacks: "
            "`keras.callbacks.CallbackList(callbacks, model=model, epochs=...)`."
        )
        raise ValueError(message(owner, "start", rule, start, remedy))
    return math.ceil(start * epochs)


def check_alone(owner: str, averaging: Any, model: keras.Model) -> None:
    """Raises if two averages would replace the same weights."""
    for other in attached_features(model):
        if not isinstance(other, type(averaging)):
            continue
        for name in ("validated", "kept"):
            if getattr(averaging, name) and getattr(other, name):
                raise ValueError(
                    f"{owner}: `{name}` can be True for one average in a `fit`. "
                    f"Received: {name}=True twice. Give {name}=False to one of them, "
                    "and read it with `shown()`; for several optimizers of a model, "
                    'give one average `optimizer=["g_optimizer", "d_optimizer"]`.'
                )
    if not (averaging.validated or averaging.kept):
        return
    running = running_fit(model)
    for callback in running.callbacks if running else ():
        if isinstance(callback, keras.callbacks.SwapEMAWeights):
            raise ValueError(
                f"{owner}: one callback in a `fit` can put averages in place of the "
                "weights, as the other would take them for the weights. Received: "
                "SwapEMAWeights among the callbacks. Leave one of them out, or give "
                "validated=False and kept=False and read this average with `shown()`."
            )


def warn_of_statistics(owner: str, model: keras.Model) -> None:
    """Warns if batch normalization would have statistics of other weights."""
    # This looks only at layers, because the model may not be built yet.
    layers = [layer for layer, _ in layers_of(model)]
    if any(
        isinstance(x, keras.layers.BatchNormalization) and x.trainable for x in layers
    ):
        warnings.warn(
            f"{owner}: the mean of weights needs statistics of its own in "
            "BatchNormalization layers. Received: batch_norm_data=None. Give inputs, "
            "or call `layers.update_batch_norm(model, x)` after `fit`.",
            stacklevel=4,
        )


OWNER = "WeightAveraging"


@keras.saving.register_keras_serializable(package="keras_deeptools")
class WeightAveraging(TrainingFeature):
    """Averages the weights along training, for a model that generalizes better.

    At the end of training, the weights jump around a good solution; their average is
    closer to it, without a smaller learning rate. The average is updated after every
    update of the optimizer, inside the compiled step, after all projections and
    constraints, in float32, and once per update also with gradient accumulation.
    Training itself is not changed.

    With a `decay` it is an exponential moving average. With None it is the mean of all
    weights from `start` on: stochastic weight averaging (SWA), for a learning rate that
    stays high until the end.

    From the beginning of validation to the end of an epoch the model has the averages
    as its weights: `val_loss` belongs to them, and they are the weights that
    `ModelCheckpoint` saves and `EarlyStopping` restores. Without validation, only
    callbacks after this one in the list see them. The next epoch continues with the
    model's own weights. After `fit` the model holds the averages; after an error or
    Ctrl-C it holds its own weights. `BackupAndRestore` resumes both, bit for bit; in
    any other `fit` averaging starts again.

    Statistics of BatchNormalization belong to the weights that were trained, not to
    their average. With `batch_norm_data` they are computed for the average whenever the
    model shows it (see `layers.update_batch_norm`), which SWA may need.

    Args:
        decay: Float in [0, 1) or None. Fraction of the average that is kept at each
            update; 0.999 looks back about 1000 updates. None: the mean of all.
        start: Int >= 0, or float in [0, 1). The epoch, or the fraction of all epochs,
            at which averaging begins; about 0.75 for SWA.
        every: Int >= 1. The weights are added to the average after every so many
            updates; the number of updates in an epoch gives SWA as in the paper.
        warmup: Float >= 0 or None. The n-th average keeps `(n - 1) / (n + warmup)`
            while that is less than `decay`: it looks back over a part of the training
            so far, and forgets its beginning. None: `decay` from the start.
        validated: Bool. Whether validation and the end of an epoch see the averages.
        kept: Bool. Whether the model holds the averages after `fit`.
        batch_norm_data: Data as `predict` takes them, or None: inputs from which the
            statistics of BatchNormalization are computed (a few thousand samples are
            enough).
        optimizer: Which optimizers of the model to act after, as for
            `TrainingFeature`: None for those that the train step uses, or
            `"g_optimizer"`, a list, or `"all"`. The weights that they train are
            averaged.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If an argument is out of range; in `fit`, if another average or
            `keras.callbacks.SwapEMAWeights` would replace the same weights.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.callbacks import WeightAveraging
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    >>> model.compile(keras.optimizers.SGD(0.1), loss="mse")
    >>> averaging = WeightAveraging(0.99)
    >>> x, y = np.ones((8, 3)), np.ones((8, 1))
    >>> history = model.fit(
    ...     x, y, batch_size=2, epochs=3, callbacks=[averaging], verbose=0
    ... )
    >>> averaging.num_averaged
    12

    Reference:
        Izmailov et al., 2018. https://arxiv.org/abs/1803.05407. `warmup` is the
        polynomial decay of Shamir and Zhang, 2013, section 4.
        https://arxiv.org/abs/1212.1824
    """

    @known_elsewhere_as(
        decay="momentum ema_momentum beta",
        start="start_averaging",
        every="average_period",
    )
    def __init__(
        self,
        decay: float | None = 0.999,
        *,
        start: int | float = 0,
        every: int = 1,
        warmup: float | None = 9.0,
        validated: bool = True,
        kept: bool = True,
        batch_norm_data: Any = None,
        optimizer: OptimizerChoice = None,
    ) -> None:
        super().__init__(optimizer)
        self.decay = checked_decay(OWNER, decay)
        self.start = checked_start(OWNER, start)
        self.every = checked_count(OWNER, "every", every)
        self.warmup = checked_warmup(OWNER, warmup)
        self.validated = checked_bool(OWNER, "validated", validated)
        self.kept = checked_bool(OWNER, "kept", kept)
        self.batch_norm_data = batch_norm_data
        self._num_averaged = 0
        self._reset()

    def _reset(self) -> None:
        """Sets the state of a running `fit` to its initial values."""
        self._note = ResumableArrays(OWNER, self._written, self._restore)
        self._resumed: State | None = None
        self._stand_ins = StandIns(None)
        self._statistics: BatchStatistics | None = None
        self._first = self._epoch = 0
        self._guard = contextlib.ExitStack()

    @property
    def num_averaged(self) -> int:
        """Int, number of weights in the average, in the running `fit` or the last one.

        With several optimizers, it is the number of the one that made most updates.
        """
        counts = [state.num_averaged(self.every) for _, state in self._live]
        self._num_averaged = max(counts, default=self._num_averaged)
        return self._num_averaged

    # In the step

    def begin(self, leaf: Leaf) -> RunningAverage:
        """Starts the averages at the weights."""
        if not self._live:
            if self._stand_ins.model is not leaf.model:
                self._stand_ins = StandIns(leaf.model)
            self._num_averaged = 0
        return RunningAverage.of(leaf, is_on=self._epoch >= self._first)

    def adapt(self, state: RunningAverage, leaf: Leaf) -> RunningAverage:
        """Continues; averages of newly trained weights start at their values."""
        state.follow()
        self._statistics = None
        return state

    def observe_weights(self, state: RunningAverage, leaf: Leaf) -> None:
        """Adds the weights after the update to the average."""
        state.update(self.decay, self.warmup, self.every)

    def traced(self, state: RunningAverage, leaf: Leaf) -> Any:
        """The settings of the averages in the compiled step; see `Feature`."""
        return (self.decay, self.warmup, self.every)

    def finish(self, state: RunningAverage, leaf: Leaf) -> None:
        """Gives the model its own weights back, unless it should keep the averages."""
        with contextlib.suppress(RuntimeError):
            self._num_averaged = max(self._num_averaged, state.num_averaged(self.every))
        self._stand_ins.hide()
        self._guard.close()

    # Around the steps

    def set_model(self, model: keras.Model) -> None:
        """Registers the averages, so that a resumed `fit` finds them from the start."""
        super().set_model(model)
        self._resumed = None
        self._note.hold(model)

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Attaches."""
        self._detach()
        self.check_model()
        check_alone(OWNER, self, self.model)
        self._first = first_epoch(OWNER, self.start, self.params)
        self._epoch = 0
        # `evaluate` is guarded from the beginning, also if nothing is built yet.
        self._stand_ins = StandIns(self.model)
        # If the list of callbacks was made before `fit`, the model was set outside it.
        self._note.hold(self.model)
        super().on_train_begin(logs)
        self._statistics = None
        self._guard.enter_context(self._stand_ins.guarded())
        if self.decay is None and self.batch_norm_data is None:
            warn_of_statistics(OWNER, self.model)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Continues with the model's own weights."""
        self._stand_ins.hide()
        self._epoch = epoch
        if self._live:
            self._resume()
        if epoch >= self._first:
            for _, state in self._live:
                state.begin()

    def begin_late(self) -> None:
        """Restores a file's averages if the first step has built the optimizer."""
        self._resume()

    def on_test_begin(self, logs: dict | None = None) -> None:
        """Lets validation see the averages."""
        if self.validated:
            self._show()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Lets the callbacks after this one see the averages."""
        super().on_epoch_end(epoch, logs)
        if self.validated:
            self._show()

    def on_train_end(self, logs: dict | None = None) -> None:
        """Leaves the averages in the model, and detaches."""
        if self.kept:
            self._show()
            self._stand_ins.keep()
        self._note.release()
        super().on_train_end(logs)
        self._first = self._epoch = 0

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Gives the model the averages inside a `with` block.

        It is meant for your own loop with `attach`, and for callbacks in mid-epoch. The
        model keeps its own weights if nothing has been averaged yet.
        """
        was_shown = bool(self._stand_ins.own)
        self._show()
        try:
            yield
        finally:
            if not was_shown:
                self._stand_ins.hide()

    def _show(self) -> None:
        if self._stand_ins.own or not self.num_averaged:
            return
        for _, state in self._live:
            # An optimizer that has made no update has no average to show.
            if state.num_averaged(self.every):
                self._stand_ins.show(state.values())
        if self.batch_norm_data is not None:
            model = self._live[0][0].model
            self._statistics = self._statistics or BatchStatistics(model)
            self._stand_ins.show(self._statistics(self.batch_norm_data, owner=OWNER))

    def _written(self) -> State | None:
        states = [state for _, state in self._live]
        return written(self.model, states, self._stand_ins.own) if states else None

    def _restore(self, found: dict[str, Any], arrays: list[np.ndarray]) -> None:
        # The loaded weights replace those that would be given back.
        self._stand_ins.keep()
        self._resumed = (found, arrays)

    def _resume(self) -> None:
        """Restores the averages from a file, once all of it has been loaded."""
        states = [state for _, state in self._live]
        # With several optimizers, one may be built, and begin, after another.
        if self._resumed is None or len(states) < len(self._resumed[0]["seen"]):
            return
        put_back(self.model, states, *self._resumed)
        self._resumed = None

    def __getstate__(self) -> dict[str, Any]:
        """Leaves out what belongs to a running `fit`."""
        running = ("_note", "_resumed", "_stand_ins", "_statistics", "_guard")
        return super().__getstate__() | dict.fromkeys(running)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()
