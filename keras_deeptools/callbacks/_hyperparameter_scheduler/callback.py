"""Schedules for any hyperparameter of the optimizer, followed inside the step."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_deeptools._arguments import checked_count
from keras_deeptools._axes import new_axes
from keras_deeptools.callbacks._hyperparameter_scheduler.arguments import (
    checked_schedules,
    scheduled_variables,
)
from keras_deeptools.callbacks._hyperparameter_scheduler.run import (
    ScheduledValues,
    cycle_length,
    draw_values,
    first_update,
    params_of,
    run_start,
    set_by_epoch,
    tell_cycle_ends,
    tell_factor,
    tell_overruled,
    tell_replaced,
    updates_in_run,
)
from keras_deeptools.callbacks._hyperparameter_scheduler.step_functions import (
    FunctionsOfStep,
    traced_schedule,
)
from keras_deeptools.callbacks._training_feature import TrainingFeature
from keras_deeptools.engine import Leaf, Recorder, tensors
from keras_deeptools.engine._update.model_optimizers import OptimizerChoice


@keras.saving.register_keras_serializable(package="keras_deeptools")
class HyperparameterScheduler(TrainingFeature):
    """Schedules hyperparameters of the optimizer by update, in the compiled step.

    Setting `optimizer.momentum` or `beta_1` from a callback has no effect on
    TensorFlow and JAX, and setting the learning rate for each batch costs a round trip
    to the host. Here the compiled step computes the values itself, at every update,
    also with `steps_per_execution` and gradient accumulation.

    Every `fit` follows the schedules from their beginning; one that is resumed
    (`initial_epoch`, `BackupAndRestore`) continues where it was. The values of the last
    update of an epoch go to its logs, under their names. If another callback assigns to
    `optimizer.learning_rate` (Keras' `ReduceLROnPlateau`), the schedule's values are
    multiplied accordingly from then on; Keras' `LearningRateScheduler`, and a schedule
    that the optimizer was built with, are overruled, and a warning says so. After
    training, the optimizer has its own values again.

    A schedule can be any function of the step, an int that counts the updates since the
    beginning: `lambda step: 0.1 * 0.99**step`, with `if`, `math`, `numpy` or
    `keras.ops`. It is called before training, once for each step of the run in order,
    and the compiled step looks the values up, so that they are the same on all
    backends. After the last step of the run, functions made of ordinary arithmetic are
    evaluated further; other functions, and all functions after a given `total_steps`,
    hold their last value. Where the number of updates is not known (a generator without
    `steps_per_epoch`, or your own loop), functions made of ordinary arithmetic and
    `keras.ops` become part of the compiled step; any other function needs
    `total_steps`. A function that reads variables (`optimizer.iterations`) sees their
    values at each step, and must be written with `keras.ops`.

    A variable of the model that is not trained (a KL weight, a dropout rate) can have a
    schedule, too: it is set before the forward pass of each update, in `fit` and
    `train_on_batch`. Afterwards it has its own value again, and files that are saved
    during training hold that value.

    Args:
        schedules: Dict from a name to a schedule of `keras_deeptools.schedules` or
            `keras.optimizers.schedules`, or a function of the step. The name is that of
            a number on the optimizer (`"learning_rate"`, `"momentum"`, `"beta_1"`,
            `"weight_decay"`, ...), or else of a scalar variable of the model: its
            path, its name, the attribute of the model or of a layer that holds it, or
            `"layer/attribute"`. Keras' variables cannot be keys of a dict; to schedule
            them, pass a list of pairs `(variable, schedule)`.
        total_steps: Int >= 1 or None. Updates for which functions are called before
            training. None: epochs times batches per epoch, divided by
            `gradient_accumulation_steps`.
        optimizer: Which optimizers of the model to schedule, as for `TrainingFeature`:
            None for those that the train step uses, or `"g_optimizer"`, a list, or
            `"all"`. Each follows the schedules by its own count of updates. If an
            optimizer is named or there are several, logs and `history` have names such
            as `"g_optimizer_learning_rate"`.

    Raises:
        TypeError: If `schedules` is not a dict of callables, or if a function takes
            other arguments than the step or returns no number.
        ValueError: If `schedules` is empty, or, at the start of training, if neither
            the optimizer nor the model has the named number, or if a function fails.

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

    def __init__(
        self,
        schedules: dict[str, Callable] | list[tuple[Any, Callable]],
        total_steps: int | None = None,
        optimizer: OptimizerChoice = None,
    ) -> None:
        super().__init__(optimizer)
        owner = type(self).__name__
        self.schedules, self._variables = checked_schedules(owner, schedules)
        if total_steps is not None:
            total_steps = checked_count(owner, "total_steps", total_steps)
        self.total_steps = total_steps
        self._params: dict[str, Any] | None = None
        self._functions: dict[int | None, FunctionsOfStep] = {}
        self._warned: set[str] = set()
        # One entry for each of the model's optimizers that are scheduled.
        self._values: list[ScheduledValues] = []
        self._positioned = False
        self._next_read = self._room = self._first_seen = 0
        self._at_once = 1
        self._factor, self._last_epoch = 1.0, -1

    # In the graph

    def schedules_for(self, leaf: Leaf) -> dict[str, Callable]:
        """The schedules that one optimizer follows."""
        return self.schedules

    def begin(self, leaf: Leaf) -> dict[str, Any]:
        """Creates the step offset and the record of values."""
        schedules = self.schedules_for(leaf)
        owner = type(self).__name__
        if "learning_rate" in schedules:
            self._tell_once("replaced", tell_replaced, owner, leaf)
        variables = scheduled_variables(owner, leaf, schedules, self._variables)
        if self._live:
            # The model's variables follow the first of several optimizers.
            schedules = {k: s for k, s in schedules.items() if k not in variables}
            variables = {}
        else:
            self._functions, self._values = {}, []
        functions = self._functions_for(owner, leaf)
        start = run_start(leaf, self._live)
        state = {
            "functions": {
                name: functions.for_leaf(leaf, name, schedule)
                for name, schedule in schedules.items()
            },
            "expected": functions,
            "schedules": schedules,
            "variables": variables,
            "offset": leaf.add_state("schedule_offset", dtype="int32", initial=start),
            "recorder": Recorder(leaf, width=len(schedules)),
            "idle": False,
            "is_positioned": False,
            "total_steps": cycle_length(schedules),
        }
        if all(values.root is not leaf.root for values in self._values):
            prefix, names = self.log_prefix(leaf), list(schedules)
            self._values.append(ScheduledValues(prefix, names, state, leaf.root))
            # The order is that of the model, whichever optimizer is built first.
            order = {id(each.optimizer): i for i, each in enumerate(self._optimizers)}
            self._values.sort(key=lambda each: order.get(id(each.root), 0))
        return state

    def _functions_for(self, owner: str, leaf: Leaf) -> FunctionsOfStep:
        """The functions for a run, shared by optimizers that make as many updates."""
        given = self.total_steps
        count = given or updates_in_run(leaf, self._params or {}, self.first_epoch)
        return self._functions.setdefault(
            count, FunctionsOfStep(owner, count, holds=given is not None)
        )

    def _tell_once(self, what: str, tell: Callable, *arguments: Any) -> None:
        if what not in self._warned:
            self._warned.add(what)
            tell(*arguments)

    def adapt(self, state: dict[str, Any], leaf: Leaf) -> dict[str, Any]:
        """Continues without changes: schedules are the same for all variables."""
        self._read()
        for _, other in self._live:
            other["recorder"].read()
        if state["idle"] and leaf.variables:
            leaf.assign(state["offset"], run_start(leaf, self._live))
        state["idle"] = not leaf.variables
        for values in self._values:
            own = [other for part, other in self._live if part.root is values.root]
            active = [other for other in own if not other["idle"]]
            values.state = active[0] if active else values.state
        return state

    def hyperparameters(self, state: dict, leaf: Leaf) -> dict[str, Callable]:
        """Each schedule as a function of the optimizer's own count of updates."""
        names = [name for name in state["functions"] if name not in state["variables"]]
        return {name: self._follow(state, name) for name in names}

    def model_variables(self, state: dict, leaf: Leaf) -> dict[str, tuple]:
        """Each variable of the model with its schedule."""
        variables = state["variables"].items()
        return {name: (v, self._follow(state, name)) for name, v in variables}

    def _follow(self, state: dict, name: str) -> Callable:
        function, offset = state["functions"][name], state["offset"]

        def value(step: Any) -> Any:
            if isinstance(step, int):
                return function(step - tensors.scalar(offset))
            return function(ops.cast(step, "int32") - offset)

        return value

    def observe_gradients(self, state: dict, leaf: Leaf, gradients: list) -> None:
        """Records the values in effect."""
        if not state["functions"]:
            return

        def values() -> Any:
            found = [leaf.value_of(name) for name in state["functions"]]
            return found if isinstance(found[0], float) else ops.stack(found)

        state["recorder"].write(values)

    def traced(self, state: dict, leaf: Leaf) -> Any:
        """What identifies the schedules in the compiled step; see `Feature`."""
        if state["variables"]:
            return None
        described = [
            traced_schedule(state["schedules"][name], function)
            for name, function in state["functions"].items()
        ]
        if any(each is None for each in described):
            return None
        return list(zip(state["functions"], described, strict=True))

    # On the host

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Attaches; the position in the run is set when its first epoch begins."""
        self._params = params_of(self.model, self.params)
        self._positioned, self._factor, self._last_epoch = False, 1.0, -1
        self._look_for_others()
        super().on_train_begin(logs)

    def _look_for_others(self) -> None:
        """Warns if another callback sets the learning rate, and says which one wins."""
        other = set_by_epoch(self.model) if "learning_rate" in self.schedules else None
        self.overrules = other is not None
        if other is not None:
            self._tell_once("set by epoch", tell_overruled, type(self).__name__, other)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Sets the position, once every callback has restored its state."""
        # Read only once: on some backends every access to the model copies its state.
        self._at_once = self.model.steps_per_execution
        self._settle_room()
        if not self._positioned:
            self._positioned = True
            self._first_seen = epoch
            self._settle_position()

    def begin_late(self) -> None:
        """Sets the position if the very first step has built the optimizer."""
        if self._positioned:
            self._settle_room()
            self._settle_position()

    def _settle_room(self) -> None:
        room = [state["recorder"].capacity for _, state in self._live[:1]]
        self._next_read = self._room = max(min(room, default=1) - self._at_once, 1)

    def _settle_position(self) -> None:
        since = self._first_seen - self.first_epoch
        for leaf, state in self._live:
            # With several optimizers, one may be built, and begin, after another.
            if not state["is_positioned"]:
                first = first_update(leaf, self._params or {}, since)
                leaf.assign(state["offset"], first)
                state["is_positioned"] = True

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Reads the record before it overflows, in epochs of very many steps."""
        if batch >= self._next_read:
            self._next_read = batch + self._room
            self._read()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Adds the values in effect to the logs."""
        self._read()
        super().on_epoch_end(epoch, logs)
        if logs is not None:
            for values in self._values:
                logs.update(values.last)
        self._look_at_factor()
        self._last_epoch = epoch

    def _look_at_ends(self) -> None:
        """Checks the cycles of a run that was neither stopped nor interrupted."""
        params = self._params or {}
        is_whole = self._last_epoch + 1 == params.get("epochs")
        if not is_whole or self.model.stop_training:
            return
        tell_cycle_ends(
            type(self).__name__,
            self._live,
            lambda leaf: updates_in_run(leaf, params, self.first_epoch),
            self.optimizer_name,
        )

    expects_reductions = True
    """Whether lowering the learning rate in other callbacks works as documented."""

    def _look_at_factor(self) -> None:
        """Warns if an unknown callback has set the learning rate."""
        if "learning_rate" not in self.schedules or "factor" in self._warned:
            return
        for leaf, _ in self._live[:1]:
            factor = leaf.factor_of("learning_rate")
            lowered = factor < self._factor and self.expects_reductions
            if factor != self._factor and not lowered:
                self._tell_once("factor", tell_factor, type(self).__name__, factor)
            self._factor = factor

    def on_train_end(self, logs: dict | None = None) -> None:
        """Detaches, and warns if a cycle has not ended with the training."""
        self._look_at_ends()
        super().on_train_end(logs)
        self._params = None

    def finish(self, state: dict, leaf: Leaf) -> None:
        """Reads the rest of the record."""
        for values in self._values:
            if state is values.state:
                values.end()
                if len(values.steps):
                    begun = int(leaf.read(state["offset"]))
                    state["expected"].tell_held(int(values.steps[-1]) + 1 - begun)

    def _read(self) -> None:
        for values in self._values:
            values.read()

    @property
    def steps(self) -> np.ndarray:
        """Int64 array `(n,)`: the optimizer's count of updates before each update.

        With several optimizers, the count is that of the first.
        """
        self._read()
        return self._values[0].steps if self._values else np.zeros(0, "int64")

    @property
    def history(self) -> dict[str, np.ndarray]:
        """Dict from name to a float32 array `(n,)`: the value in effect per update.

        It covers the latest `fit`. With a `MultiOptimizer`, the values are those of its
        first optimizer. If the model has several optimizers, there is an array for
        each, with one value for each of its updates.
        """
        self._read()
        found: dict[str, np.ndarray] = {}
        for values in self._values:
            found |= values.history
        return found

    def __getstate__(self) -> dict[str, Any]:
        """Leaves out what belongs to a running `fit`."""
        own: dict[str, Any] = {"_variables": {}, "_params": None, "_functions": {}}
        return super().__getstate__() | own

    def plot(self, ax: Any = None) -> Any:
        """Draws the recorded values over the updates, one curve per hyperparameter.

        The first curve is drawn on the matplotlib axes `ax`, or on those of a new
        figure, which are returned; each other curve gets its own scale.
        """
        if ax is None:
            ax = new_axes(f"{type(self).__name__}.plot")
        self._read()
        draw_values(ax, self._values)
        return ax
