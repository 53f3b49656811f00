"""Schedules for any hyperparameter of the optimizer, followed inside the step."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_deeptools._axes import new_axes
from keras_deeptools.callbacks._lookahead import Lookahead
from keras_deeptools.callbacks._run_position import first_update
from keras_deeptools.callbacks._training_feature import TrainingFeature
from keras_deeptools.engine import Leaf, Recorder, tensors


@keras.saving.register_keras_serializable(package="keras_deeptools")
class HyperparameterScheduler(TrainingFeature):
    """Makes hyperparameters of the optimizer functions of the update, in the graph.

    Setting `optimizer.momentum` or `beta_1` from a callback has no effect on
    TensorFlow and JAX, and a rate set per batch costs a host round trip. Here the
    compiled step computes the values itself, at every update, also with
    `steps_per_execution` and gradient accumulation.

    Every `fit` follows the schedules from their beginning; one that is resumed
    (`initial_epoch`, `BackupAndRestore`) goes on where it was. The values in effect
    go to the logs of every epoch, under their names. What another callback assigns to
    `optimizer.learning_rate` (Keras' `ReduceLROnPlateau`) multiplies the schedule's
    values from then on. After training, the optimizer has its own values again.

    Args:
        schedules: Dict from the name of a number on the optimizer (`"learning_rate"`,
            `"momentum"`, `"beta_1"`, `"weight_decay"`, ...) to a schedule of
            `keras_deeptools.schedules` or `keras.optimizers.schedules`, or a function
            of the step (int tensor, updates since the beginning) made of `keras.ops`.

    Raises:
        TypeError: If `schedules` is not a dict of callables.
        ValueError: If it is empty, or, at the start of training, if the optimizer has
            no such number.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.callbacks import HyperparameterScheduler
    >>> from keras_deeptools.schedules import LinearRamp
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile(keras.optimizers.AdamW(weight_decay=0.01), loss="mse")
    >>> scheduler = HyperparameterScheduler(
    ...     {"weight_decay": LinearRamp(0.0, 0.1, num_steps=4)}
    ... )
    >>> x, y = np.ones((8, 2)), np.ones((8, 1))
    >>> history = model.fit(x, y, batch_size=2, callbacks=[scheduler], verbose=0)
    >>> [round(float(value), 3) for value in scheduler.history["weight_decay"]]
    [0.0, 0.033, 0.067, 0.1]
    """

    first_epoch = 0

    def __init__(self, schedules: dict[str, Callable]) -> None:
        super().__init__()
        owner = type(self).__name__
        if not isinstance(schedules, dict) or not schedules:
            error = ValueError if schedules == {} else TypeError
            raise error(
                f"{owner}: `schedules` must be a dict with at least one schedule. "
                f"Received: schedules={schedules!r}. Pass for instance "
                '`{"learning_rate": OneCycle(0.1, total_steps=1000)}`.'
            )
        for name, schedule in schedules.items():
            if not isinstance(name, str) or not callable(schedule):
                raise TypeError(
                    f"{owner}: `schedules` must map names to callables. Received: "
                    f"{name!r} -> {schedule!r}. Use a schedule, or a function of the "
                    "step; for a constant use `Constant(value)`."
                )
        self.schedules = dict(schedules)
        self._steps: list[np.ndarray] = []
        self._rows: list[np.ndarray] = []
        self._names: list[str] = []
        self._watched: dict[str, Any] | None = None
        self._positioned = False
        self._next_read = self._room = 0

    # In the graph

    def schedules_for(self, leaf: Leaf) -> dict[str, Callable]:
        """The schedules that one optimizer follows."""
        return self.schedules

    def begin(self, leaf: Leaf) -> dict[str, Any]:
        """Creates the step offset and the record of values."""
        schedules = self.schedules_for(leaf)
        self._names = list(schedules)
        start = self._start(leaf)
        state = {
            "schedules": schedules,
            "offset": leaf.add_state("schedule_offset", dtype="int32", initial=start),
            "recorder": Recorder(leaf, width=len(schedules)),
            "idle": False,
        }
        if not self._live:
            self._steps, self._rows, self._watched = [], [], state
        return state

    def adapt(self, state: dict[str, Any], leaf: Leaf) -> dict[str, Any]:
        """Goes on where it is: schedules are the same for all variables."""
        self._read()
        for _, other in self._live:
            other["recorder"].read()
        if state["idle"] and leaf.variables:
            leaf.assign(state["offset"], self._start(leaf))
        state["idle"] = not leaf.variables
        active = [other for _, other in self._live if not other["idle"]]
        self._watched = active[0] if active else self._watched
        return state

    def _start(self, leaf: Leaf) -> int:
        """The count at which the run began, for what begins to train in mid-run."""
        for other, state in self._live:
            if not state["idle"]:
                position = other.num_updates - int(other.read(state["offset"]))
                return leaf.num_updates - position
        return leaf.num_updates

    def hyperparameters(self, state: dict, leaf: Leaf) -> dict[str, Callable]:
        """Each schedule as a function of the optimizer's own count of updates."""
        state["values"] = {}

        def follow(name: str) -> Callable:
            schedule, offset = state["schedules"][name], state["offset"]
            known = Lookahead(schedule)

            def value(step: Any) -> Any:
                if isinstance(step, int):
                    return known(step - tensors.scalar(offset))
                return schedule(ops.cast(step, "int32") - offset)

            return value

        return {name: follow(name) for name in state["schedules"]}

    def observe_gradients(self, state: dict, leaf: Leaf, gradients: list) -> None:
        """Records the values in effect."""

        def values() -> Any:
            found = [leaf.value_of(name) for name in state["schedules"]]
            return found if isinstance(found[0], float) else ops.stack(found)

        state["recorder"].write(values)

    # On the host

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Attaches; the position in the run is settled when its first epoch begins."""
        super().on_train_begin(logs)
        self._positioned = False

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Settles the position, now that every callback has restored what it does."""
        # Asked once: on some backends every look at the model copies its state.
        at_once = self.model.steps_per_execution
        room = [state["recorder"].capacity for _, state in self._live[:1]]
        self._next_read = self._room = max(min(room, default=1) - at_once, 1)
        if self._positioned:
            return
        self._positioned = True
        for leaf, state in self._live:
            since = epoch - self.first_epoch
            leaf.assign(state["offset"], first_update(leaf, self.params, since))

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Reads the record before it overflows, in epochs of very many steps."""
        if batch >= self._next_read:
            self._next_read = batch + self._room
            self._read()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Adds the values in effect to the logs."""
        self._read()
        if logs is not None and self._rows:
            last = self._rows[-1][-1]
            logs.update(zip(self._names, map(float, last), strict=True))

    def finish(self, state: dict, leaf: Leaf) -> None:
        """Reads the rest of the record."""
        if state is self._watched:
            self._read()
            self._watched = None

    def _read(self) -> None:
        if self._watched is None:
            return
        steps, rows = self._watched["recorder"].read()
        if len(steps):
            self._steps.append(steps)
            self._rows.append(rows)

    @property
    def steps(self) -> np.ndarray:
        """Int64 array `(n,)`: the optimizer's count of updates before each update."""
        self._read()
        return np.concatenate([np.zeros(0, "int64"), *self._steps])

    @property
    def history(self) -> dict[str, np.ndarray]:
        """Dict from name to a float32 array `(n,)`: the value in effect per update.

        Covers the latest `fit`. With a `MultiOptimizer`, of its first optimizer.
        """
        self._read()
        rows = np.concatenate([np.zeros((0, len(self._names)), "f4"), *self._rows])
        return {name: rows[:, i] for i, name in enumerate(self._names)}

    def __getstate__(self) -> dict[str, Any]:
        """Leaves out what belongs to a running `fit`."""
        return super().__getstate__() | {"_watched": None}

    def plot(self, ax: Any = None) -> Any:
        """Draws the recorded values over the updates, one curve per hyperparameter.

        Args:
            ax: Matplotlib axes for the first; the others get a scale of their own.
                Default: those of a new figure.

        Returns:
            The matplotlib axes.

        Raises:
            ImportError: If matplotlib is not installed.
        """
        if ax is None:
            ax = new_axes(f"{type(self).__name__}.plot")
        ax.set_xlabel("step (optimizer update)")
        for i, (name, values) in enumerate(self.history.items()):
            axes = ax if i == 0 else ax.twinx()
            if i > 1:
                axes.spines["right"].set_position(("axes", 1 + 0.15 * (i - 1)))
            axes.plot(self.steps, values, color=f"C{i}")
            axes.set_ylabel(name.replace("_", " "), color=f"C{i}")
        return ax
