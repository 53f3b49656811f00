"""Unfreezing layer group by layer group inside one `fit`."""

import warnings
import weakref
from collections.abc import Iterable, Sequence
from typing import Any

import keras

from keras_deeptools._arguments import (
    checked_count,
    checked_float,
    checked_option,
    is_integer,
    message,
)
from keras_deeptools.callbacks._training_feature import ConfiguredCallback
from keras_deeptools.engine._building.first_step import build_for_fit
from keras_deeptools.engine._retraining.checkpointed_state import Resumable
from keras_deeptools.engine._retraining.retrain import retrain
from keras_deeptools.engine._update.model_optimizers import check_one_optimizer
from keras_deeptools.statistics._metric_direction import checked_direction
from keras_deeptools.transfer._freezing.freeze import BATCH_NORM
from keras_deeptools.transfer._freezing.freeze_to import checked_position, states_after
from keras_deeptools.transfer._freezing.unfreezing_phase import (
    UnfreezingPhase,
    UnfreezingProgress,
    due_by_epoch,
)
from keras_deeptools.transfer._layer_groups.groups import LayerGroups, layer_groups


def checked_epochs(owner: str, epochs: Any) -> int | list[int] | None:
    """Return None, an int >= 1 or a list of increasing ones, or raise."""
    if epochs is None or not isinstance(epochs, (list, tuple)):
        return epochs if epochs is None else checked_count(owner, "epochs", epochs)
    rule = "an integer >= 1, or a list of increasing ones"
    if not all(map(is_integer, epochs)):
        raise TypeError(message(owner, "epochs", rule, epochs))
    listed = [int(epoch) for epoch in epochs]
    if not listed or listed[0] < 1 or listed != sorted(set(listed)):
        raise ValueError(message(owner, "epochs", rule, epochs))
    return listed


def checked_count_or_none(owner: str, argument: str, value: Any) -> int | None:
    """Return None, or an int >= 1, or raise."""
    return None if value is None else checked_count(owner, argument, value)


def checked_monitor(owner: str, monitor: Any) -> str:
    """Return a string, or raise."""
    if not isinstance(monitor, str):
        raise TypeError(message(owner, "monitor", "a string", monitor))
    return monitor


def checked_start(owner: str, start: Any) -> int | str:
    """Return an int or a string, or raise."""
    if not isinstance(start, str) and not is_integer(start):
        raise TypeError(message(owner, "start", "an int or a string", start))
    return start


def check_one_given(owner: str, epochs: Any, patience: Any) -> None:
    """Raises unless one of the two says when to unfreeze."""
    if (epochs is None) == (patience is None):
        rule = "given, or else `patience`, and not both"
        remedy = "For instance `epochs=[2, 4]`, or `patience=2`."
        raise ValueError(message(owner, "epochs", rule, epochs, remedy))


def check_enough(owner: str, epochs: Any, groups: LayerGroups, most: int) -> None:
    """Raises if more unfreezes are asked for than there are groups."""
    if isinstance(epochs, list) and len(epochs) > most:
        rule = f"at most {most}, one for each group before {groups[most].name!r}"
        remedy = f"The model has {len(groups)} groups: {', '.join(groups.names)}."
        raise ValueError(message(owner, "epochs", rule, epochs, remedy))


def check_same_groups(owner: str, groups: LayerGroups, names: list[str]) -> None:
    """Raises if a backup was made with other groups."""
    if names != groups.names:
        raise ValueError(
            f"{owner}: a `fit` must be resumed with the layer groups that it began "
            f"with. Received: {groups.names}, but the backup has {names}. Give the "
            "same model and `num_groups`, or delete the backup."
        )


def warn_not_logged(owner: str, monitor: str, epoch: int, logs: Iterable[str]) -> None:
    """Says that what is watched was not there in an epoch."""
    warnings.warn(
        f"{owner}: {monitor!r} is not in the logs of epoch {epoch}, which is not "
        "counted then. Validate in every epoch, or watch another of: "
        f"{', '.join(logs)}.",
        stacklevel=3,
    )


OWNER = "GradualUnfreezing"


@keras.saving.register_keras_serializable(package="keras_deeptools")
class GradualUnfreezing(ConfiguredCallback):
    """Trains the last layer group first, and unfreezes the others one after another.

    If all of a pretrained model is trained at once, the large gradients of a new head
    destroy what the model has learned. With this callback, `fit` begins with the head
    alone; the groups before it (see `layer_groups`) follow from the outputs to the
    inputs, at given epochs or whenever validation stops improving. Nothing is compiled
    again: layers that were trained before keep their state in the optimizer. Newly
    trained ones begin as in a fresh optimizer, with bias correction by their own count
    of updates and with moving averages (`use_ema`) that start at the weights. Callbacks
    of this package that act on updates continue, too.

    Every `fit` begins at `start` again, unless it is resumed: by `initial_epoch`, with
    the same model, or by `BackupAndRestore`, before or after this callback in the list.
    A resumed `fit` trains the groups that it would have trained without the
    interruption. The state of this callback is stored in the file that holds the
    optimizer's variables, so the two always match. After `fit`, the groups that were
    trained last stay trainable.

    Args:
        epochs: Int >= 1, or a list of increasing ints >= 1, or None. The epochs,
            counted from 0 as Keras does, at which one more group is unfrozen: an int
            for every so many epochs, or a list of the epochs.
        monitor: Str. Name in the logs of the quantity to watch, with `patience`. A name
            that begins with `"val_"` is judged when validation ends; for others this
            callback must come before `BackupAndRestore` in the list.
        patience: Int >= 1 or None. Number of epochs without improvement after which one
            more group is unfrozen. Give this or `epochs`.
        min_delta: Float >= 0. The smallest change that counts as an improvement.
        mode: `"min"`, `"max"`, or `"auto"` to decide by the name.
        num_groups: Int >= 1 or None. As in `layer_groups`.
        start: Int or str. The first group to train at the start, as in `freeze_to`.
        batch_norm: What BatchNormalization layers do in groups that train, as in
            `freeze_to`; those of the last group, the head, always train.
        verbose: 0 or 1. Whether to print each phase as it begins.

    Attributes:
        history: List of `UnfreezingPhase` of the latest `fit`.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If an argument is out of range, or, when training starts, if the
            model cannot be cut into such groups or has fewer than `epochs` requires.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.transfer import GradualUnfreezing
    >>> model = keras.Sequential(
    ...     [
    ...         keras.Input((4,)),
    ...         keras.layers.Dense(4, name="body"),
    ...         keras.layers.Dense(2, name="head"),
    ...     ]
    ... )
    >>> model.compile("adam", loss="mse")
    >>> unfreezing = GradualUnfreezing(epochs=[2])
    >>> x, y = np.ones((8, 4)), np.ones((8, 2))
    >>> history = model.fit(x, y, epochs=4, callbacks=[unfreezing], verbose=0)
    >>> print(unfreezing.table())
    from epoch 0, update 0: 1 group trains, from head on (10 parameters)
    from epoch 2, update 2: 2 groups train, from body on (30 parameters)

    Reference:
        Howard and Ruder, 2018, section 3.3. https://arxiv.org/abs/1801.06146
    """

    def __init__(
        self,
        epochs: int | Sequence[int] | None = None,
        *,
        monitor: str = "val_loss",
        patience: int | None = None,
        min_delta: float = 0.0,
        mode: str = "auto",
        num_groups: int | None = None,
        start: Any = -1,
        batch_norm: str = "frozen",
        verbose: int = 0,
    ) -> None:
        super().__init__()
        check_one_given(OWNER, epochs, patience)
        self.epochs = checked_epochs(OWNER, epochs)
        self.monitor = checked_monitor(OWNER, monitor)
        self.patience = checked_count_or_none(OWNER, "patience", patience)
        self.min_delta = checked_float(OWNER, "min_delta", min_delta, at_least=0)
        self.mode = mode
        watches = patience is not None
        self._direction = checked_direction(OWNER, mode, monitor) if watches else "min"
        self.num_groups = checked_count_or_none(OWNER, "num_groups", num_groups)
        self.start = checked_start(OWNER, start)
        self.batch_norm = checked_option(OWNER, "batch_norm", batch_norm, BATCH_NORM)
        self.verbose = verbose
        self._progress = UnfreezingProgress()
        self._note = Resumable(OWNER, self._written, self._restore)
        self._trained: Any = None
        self._resumed = self._begun = self._judged = self._told = False

    # When

    def set_model(self, model: keras.Model) -> None:
        """Lets callbacks that resume a `fit` find the state before they begin."""
        super().set_model(model)
        self._resumed = self._begun = self._told = False
        self._note.hold(model)

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Checks that the model has the groups, before anything is changed."""
        check_one_optimizer(OWNER, self.model)
        build_for_fit(self.model)
        self._most(self._groups())
        # A list of callbacks that was made before `fit` set the model outside of it.
        self._note.hold(self.model)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Freezes or unfreezes the groups that are due."""
        self._judged = False
        if not self._begun and not self._resumed:
            same = self._trained is not None and self._trained() is self.model
            if epoch == 0 or not same:
                self._progress = UnfreezingProgress()
        progress = self._progress
        due = progress.num_due
        if self.epochs is not None:
            due = due_by_epoch(self.epochs, epoch)
        if not self._begun or due != progress.num_unfrozen:
            self._enter(due, epoch)

    def on_test_end(self, logs: dict | None = None) -> None:
        """Judges the result of the validation."""
        if self.monitor.startswith("val_") and logs:
            self._judge(logs.get(self.monitor.removeprefix("val_")))

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Judges the logs of the epoch, if validation has not been judged already."""
        self._judge((logs or {}).get(self.monitor))
        if self.patience is not None and not self._judged and not self._told:
            self._told = True
            warn_not_logged(OWNER, self.monitor, epoch, logs or {})

    def on_train_end(self, logs: dict | None = None) -> None:
        """Leaves the model as it is."""
        self._note.release()
        self._begun = self._resumed = self._told = False

    def _judge(self, value: float | None) -> None:
        running = self._begun and not self._judged
        if self.patience is None or value is None or not running:
            return
        self._judged = True
        self._progress.judge(
            float(value), self._direction, self.min_delta, self.patience
        )

    # What

    def _groups(self) -> LayerGroups:
        return layer_groups(self.model, self.num_groups)

    def _most(self, groups: LayerGroups) -> int:
        """How many groups can be unfrozen."""
        most = checked_position(OWNER, "start", groups, self.start)
        check_enough(OWNER, self.epochs, groups, most)
        return most

    def _enter(self, due: int, epoch: int) -> None:
        """Trains the groups from `start` on, and as many before it as are due."""
        groups, progress = self._groups(), self._progress
        due = min(due, self._most(groups))
        first = self._freeze(groups, due)
        if progress.num_unfrozen != due or not progress.history:
            trained = groups.groups[first:]
            update = int(keras.ops.convert_to_numpy(self.model.optimizer.iterations))
            size = sum(group.num_trainable for group in trained)
            name = groups[first].name
            phase = UnfreezingPhase(epoch, update, name, len(trained), size)
            progress.history.append(phase)
            if self.verbose:
                print(f"{OWNER}: {phase}.")
        progress.num_unfrozen = progress.num_due = due
        self._begun, self._trained = True, weakref.ref(self.model)

    def _freeze(self, groups: LayerGroups, num_unfrozen: int) -> int:
        first = self._most(groups) - num_unfrozen
        before = [layer for group in groups.groups[:first] for layer in group.layers]
        states = states_after(self.model, before, groups[-1], self.batch_norm)
        retrain(self.model, states, OWNER)
        return first

    def _written(self) -> dict[str, Any]:
        return self._progress.as_json() | {"groups": self._groups().names}

    def _restore(self, found: dict[str, Any]) -> None:
        groups = self._groups()
        check_same_groups(OWNER, groups, found.pop("groups"))
        self._progress = UnfreezingProgress.from_json(found)
        self._freeze(groups, self._progress.num_unfrozen)
        self._resumed = True

    @property
    def history(self) -> list[UnfreezingPhase]:
        """List of `UnfreezingPhase` of the latest `fit`."""
        return list(self._progress.history)

    def table(self) -> str:
        """The phases of the latest `fit`, one line each."""
        return "\n".join(map(str, self._progress.history))

    def __getstate__(self) -> dict[str, Any]:
        """Leaves out the model: a copy belongs to none."""
        return super().__getstate__() | {"_note": None, "_trained": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._note = Resumable(OWNER, self._written, self._restore)
