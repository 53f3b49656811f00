"""Records the gradients of every variable at every update."""

import os
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import keras
import numpy as np

from keras_deeptools import _arguments
from keras_deeptools._arguments import checked_option, message
from keras_deeptools.callbacks._gradient_monitor.display import EventFile
from keras_deeptools.callbacks._gradient_monitor.history import GradientHistory
from keras_deeptools.callbacks._gradient_monitor.readings import (
    GradientReadings,
    nothing_trains,
    sound,
)
from keras_deeptools.callbacks._gradient_monitor.record import (
    STATISTICS,
    GradientRecord,
)
from keras_deeptools.callbacks._layer_selection import (
    Held,
    Layers,
    LayerSelection,
    names_of,
    united,
)
from keras_deeptools.engine import Leaf
from keras_deeptools.engine._data.fit_data import FitData
from keras_deeptools.engine._update.model_optimizers import OptimizerChoice
from keras_deeptools.statistics import GradientThresholds

OWNER = "GradientMonitor"
ACTIONS = ("ignore", "warn", "stop", "raise")
GROUPS = ("variable", "layer")
THRESHOLDS = tuple(asdict(GradientThresholds()))


def checked_statistics(statistics: str | Iterable[str]) -> tuple[str, ...]:
    """The names, in the order of the package."""
    names = (statistics,) if isinstance(statistics, str) else statistics
    if not isinstance(names, (list, tuple, set, frozenset)) or not names:
        rule = "a non-empty sequence of names"
        remedy = f"Choose from {list(STATISTICS)}."
        raise TypeError(message(OWNER, "statistics", rule, statistics, remedy))
    unknown = [name for name in names if name not in STATISTICS]
    if unknown:
        raise ValueError(
            f"{OWNER}: `statistics` must be names of known statistics. Received: "
            f"{unknown[0]!r} in statistics={statistics!r}. "
            f"Choose from {list(STATISTICS)}."
        )
    return tuple(name for name in STATISTICS if name in names)


def checked_choice(name: str, value: Any, choices: tuple[str, ...]) -> str:
    """`value`, if it is one of `choices`."""
    return checked_option(OWNER, name, value, choices)


def checked_count(name: str, value: Any, least: int, optional: bool = False) -> Any:
    """`value`, if it is an int of at least `least`, or None where that is allowed."""
    if optional and value is None:
        return None
    rule = f"an int >= {least}" + (", or None" if optional else "")
    return _arguments.checked_count(OWNER, name, value, least, rule=rule)


def checked_log_dir(log_dir: Any) -> str | None:
    """`log_dir` as a string, or None."""
    if log_dir is None:
        return None
    if not isinstance(log_dir, (str, os.PathLike)) or not os.fspath(log_dir):
        rule = "the path of a folder, or None"
        raise TypeError(message(OWNER, "log_dir", rule, log_dir))
    return os.fspath(log_dir)


def checked_thresholds(thresholds: Any) -> GradientThresholds:
    """`GradientThresholds`, made of a dict where one is given."""
    if thresholds is None:
        return GradientThresholds()
    if isinstance(thresholds, GradientThresholds):
        return thresholds
    if not isinstance(thresholds, dict):
        rule = "a GradientThresholds or a dict"
        raise TypeError(message(OWNER, "thresholds", rule, thresholds))
    unknown = [name for name in thresholds if name not in THRESHOLDS]
    if unknown:
        raise ValueError(
            f"{OWNER}: `thresholds` must have known names. Received: {unknown[0]!r} in "
            f"thresholds={thresholds!r}. Choose from {list(THRESHOLDS)}."
        )
    return GradientThresholds(**thresholds)


@keras.saving.register_keras_serializable(package="keras_deeptools")
class GradientMonitor(GradientReadings):
    """Records the gradients of every layer at every update, and says what is wrong.

    The statistics are computed inside the compiled step, from the gradients that
    training computes anyway, and stay on the device until they are read, once an epoch.
    The gradients are those of backpropagation before clipping: unscaled with mixed
    precision, and their mean with gradient accumulation. The history has one entry for
    each update.

    Whenever the record is read, the monitor looks for vanishing, exploding, dead
    (exactly zero) and non-finite gradients, for updates that are too large or too small
    for the weights, for learning rates and clipping with which the planned updates
    cannot move the weights far, and for models that are frozen as a whole. It reports
    each kind in one warning, with the layer's name, the numbers and a remedy. Where
    gradients are not finite, it first checks the data that `fit` was given, and names
    the array that contains NaN or infinity and how many there are. Updates that loss
    scaling skips are normal and are only counted.

    The L2 norm over all watched variables goes to the logs of each epoch as
    `gradient_norm`, the mean over its updates: callbacks that come later in the list,
    the progress bar and `History` show it. All records cover the latest `fit`, and
    remain available after it, also after an exception or Ctrl-C.

    Args:
        statistics: Names of what to record. `"norm"`: L2 norm; `"max_abs"`: largest
            magnitude; `"zero_fraction"`: fraction of elements that are exactly 0;
            `"update_ratio"`: L2 norm of the optimizer's step divided by that of the
            weights before it (decoupled weight decay comes earlier and is not part of
            the step). Norms and counts of non-finite elements are always recorded.
        every: Int >= 1. Record the updates whose number is a multiple of it.
        on_problem: `"warn"` (with `GradientWarning`), `"stop"` (warn and end training),
            `"raise"` (`GradientProblemError`) or `"ignore"` (only list it).
        log_dir: Str or None. Folder for TensorBoard: for each variable, once an epoch,
            the median of each statistic and a histogram of the norms of its updates.
        layers: None for all layers, or one or more names, patterns (`"block1_*"`),
            layers or functions of a layer that return whether to watch it.
        group: `"variable"` or `"layer"`: what a column of `history` is. A layer's
            variables are then taken as one long vector.
        thresholds: `GradientThresholds`, a dict of some of its fields, or None.
        max_history: Int >= 2 or None. Largest number of updates kept on the host: the
            latest half in full, and older ones more and more sparsely. None: 10,000,
            or fewer if they would fill more than 64 MiB.
        check_every: Int >= 1 or None. Batches between two readings; None: once an
            epoch. Problems are found at the next reading at the latest.
        optimizer: Which optimizers of the model to watch, as for `TrainingFeature`:
            None for those that the train step uses, or `"g_optimizer"`, a list, or
            `"all"`. Each is judged separately, and `steps` counts the updates of each.
            If an optimizer is named or there are several, the logs have entries such as
            `g_optimizer_gradient_norm`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is outside its range, or `layers` matches nothing.
        ImportError: If `log_dir` is given and tensorboard is not installed.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.callbacks import GradientMonitor
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="d")])
    >>> model.compile("sgd", loss="mse")
    >>> monitor = GradientMonitor()
    >>> x, y = np.ones((8, 2)), np.ones((8, 1))
    >>> history = model.fit(x, y, batch_size=2, callbacks=[monitor], verbose=0)
    >>> monitor.history["norm"].shape
    (4, 2)
    >>> [path.split("/")[-1] for path in monitor.variables]
    ['kernel', 'bias']
    >>> monitor.findings
    []

    Reference:
        Glorot and Bengio, 2010, on vanishing gradients.
        https://proceedings.mlr.press/v9/glorot10a. Pascanu et al., 2013, on exploding
        ones. https://arxiv.org/abs/1211.5063
    """

    num_first = 0
    """Number of first updates that are all recorded, whatever `every` is."""

    def __init__(
        self,
        statistics: str | Iterable[str] = STATISTICS,
        every: int = 1,
        on_problem: str = "warn",
        log_dir: str | None = None,
        layers: Layers = None,
        group: str = "variable",
        thresholds: GradientThresholds | dict[str, float] | None = None,
        max_history: int | None = None,
        check_every: int | None = None,
        optimizer: OptimizerChoice = None,
    ) -> None:
        super().__init__(optimizer)
        self.statistics = checked_statistics(statistics)
        self.every = checked_count("every", every, 1)
        self.on_problem = checked_choice("on_problem", on_problem, ACTIONS)
        self.log_dir = checked_log_dir(log_dir)
        LayerSelection(layers, OWNER)
        self.layers = layers
        self.group = checked_choice("group", group, GROUPS)
        self.thresholds = checked_thresholds(thresholds)
        self.max_history = checked_count("max_history", max_history, 2, True)
        self.check_every = checked_count("check_every", check_every, 1, True)
        self._is_idle = False
        self._begin_run([])

    def begin(self, leaf: Leaf) -> GradientRecord | None:
        """Chooses the variables and creates the record of one optimizer."""
        selection = LayerSelection(self.layers, OWNER)
        held = selection.of(leaf)
        if not self._records:
            board = self._history.board
            self._begin_run(selection.everywhere(leaf))
            self._history.board = board
        else:
            self._widen(selection.everywhere(leaf), leaf)
        if not held:
            return None
        record = self._new_record(leaf, held)
        self._records.append(record)
        return record

    def adapt(self, state: GradientRecord | None, leaf: Leaf) -> GradientRecord | None:
        """Continues with the variables that are trained now, in the same history."""
        selection = LayerSelection(self.layers, OWNER)
        held = selection.of(leaf)
        everywhere = selection.everywhere(leaf)
        self._read()
        self._widen(everywhere, leaf)
        self._detectors = {
            key: detector.restarted() for key, detector in self._detectors.items()
        }
        others = [record for record in self._records if record is not state]
        if state is not None:
            self._history.lost_before += state.recorder.lost
            state.recorder.end()
        new = None
        if held:
            new = self._new_record(leaf, held)
            others.append(new)
        self._records = others
        self._settle_room()
        self._next_read = 0
        return new

    def _new_record(self, leaf: Leaf, held: list[Held]) -> GradientRecord:
        rhythm = (self.every, self.num_first, self.update_sample)
        return GradientRecord(leaf, held, self.statistics, *rhythm)

    def _widen(self, everywhere: list[Held], leaf: Leaf) -> None:
        """Adds columns to the history for new variables."""
        every = united(self._history.held, everywhere, leaf.model)
        if len(every) > len(self._history.held):
            self._history = self._history.widened(every)

    def observe_gradients(
        self, state: GradientRecord | None, leaf: Leaf, gradients: list
    ) -> None:
        """Computes the statistics of the gradients."""
        if state is not None:
            state.observe_gradients(gradients)

    def wants_updates(self, state: GradientRecord | None, leaf: Leaf) -> bool:
        """Whether update-to-weight ratios are needed in this step."""
        return state is not None and state.with_updates and state.recorder.may_be_due

    def observe_updates(
        self,
        state: GradientRecord | None,
        leaf: Leaf,
        change_norms: Any,
        weight_norms: Any,
    ) -> None:
        """Records `change_norms` and `weight_norms`, see `Feature`."""
        if state is not None:
            state.observe_updates(change_norms, weight_norms)

    def traced(self, state: GradientRecord | None, leaf: Leaf) -> Any:
        """Which variables are watched, and what is recorded of them; see `Feature`."""
        if state is None:
            return ()
        positions = [held.position for held in state.held]
        recorder = state.recorder
        rhythm = (recorder.every, recorder.num_first, recorder.capacity)
        return (positions, state.blocks, *rhythm, self.update_sample)

    def finish(self, state: GradientRecord | None, leaf: Leaf) -> None:
        """Reads the rest of the record before it is removed."""
        self._read()
        self._records = [record for record in self._records if record is not state]

    def _begin_run(self, held: list) -> None:
        self._history = GradientHistory(
            held, self.statistics, self.group == "layer", self.max_history
        )
        self._detectors = {}
        self._of_settings = []
        self._told: set[str] = set()
        self._epoch_norms = {}
        self._next_read = 0
        self._room = 0

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Opens the TensorBoard file, and attaches."""
        self.check_model()
        frozen = list(nothing_trains(self.model))
        self._is_idle = bool(frozen)
        if frozen:
            # No update will be made, so there is nothing to attach to.
            self._begin_run([])
            self._of_settings = frozen
            sound(self._found(), self.on_problem, self._told, self)
            return
        board = None if self.log_dir is None else EventFile(self.log_dir)
        self._fit_data = FitData(self.model)
        super().on_train_begin(logs)
        if not self._records:
            self._begin_run([])
        self._history.board = board

    def begin_late(self) -> None:
        """Sets the size of the record after the first step built the optimizer."""
        self._settle_room()
        self._next_read = self._room

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Sets how many batches the record can hold."""
        self._settle_room()
        self._next_read = self._room
        self._epoch_norms = {}

    def _settle_room(self) -> None:
        room = [record.recorder.room for record in self._records]
        if self.check_every is not None:
            room.append(self.check_every)
        at_once = 1 if self.model is None else self.model.steps_per_execution
        self._room = max(min(room, default=1) - at_once, 1)

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Reads the record before it overflows, or every `check_every` batches."""
        if batch >= self._next_read:
            self._examine(None)
            self._settle_room()
            self._next_read = batch + self._room

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Reads the record, adds to the logs and says what is wrong."""
        if self._is_idle:
            return
        self._read((logs or {}).get("loss"))
        if logs is not None:
            self._add_norms(logs)
        super().on_epoch_end(epoch, logs)
        self._history.write_board()
        self._look_at_rates()
        self._examine((logs or {}).get("loss"))

    def _add_norms(self, logs: dict) -> None:
        """Adds the mean norm for each optimizer that has made updates."""
        idle = [] if self._update_watch is None else self._update_watch.idle()
        without = {id(each.optimizer) for each in idle}
        for key, records in self._by_optimizer().items():
            norms = np.concatenate([np.zeros(0), *self._epoch_norms.get(key, [])])
            name = f"{self.log_prefix(records[0].leaf)}gradient_norm"
            if len(norms) or key not in without:
                logs[name] = float(norms.mean()) if len(norms) else np.nan

    def on_train_end(self, logs: dict | None = None) -> None:
        """Detaches, and closes the TensorBoard file."""
        super().on_train_end(logs)
        self._history.close_board()
        self._fit_data = None

    def _examine(self, loss: float | None) -> None:
        self._read(loss)
        sound(self._found(), self.on_problem, self._told, self)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {
            "statistics": list(self.statistics),
            "layers": names_of(self.layers),
            "thresholds": asdict(self.thresholds),
        }

    def __getstate__(self) -> dict[str, Any]:
        """Leaves out what belongs to a running training."""
        return super().__getstate__() | {
            "_records": [],
            "_fit_data": None,
            "layers": names_of(self.layers),
        }
