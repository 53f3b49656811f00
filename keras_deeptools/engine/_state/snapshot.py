"""Snapshots of a model, with what Keras does not count among its variables."""

import contextlib
import types
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from keras_deeptools.engine._backends.active import tensors, training
from keras_deeptools.engine._backends.common import FOREIGN, on_host
from keras_deeptools.engine._data.batch_loss import (
    reset_running_metrics,
    running_metrics,
)
from keras_deeptools.engine._keras_private.layers import (
    flat_layers,
    tracker_of,
    value_of,
)
from keras_deeptools.engine._keras_private.optimizers import maps_by_table
from keras_deeptools.engine._keras_private.training import (
    KEPT_BY_SNAPSHOTS,
    end_jax_step,
    knows_jax_state,
)
from keras_deeptools.engine._keras_private.versions import multi_optimizers
from keras_deeptools.engine._state.random_state import RandomState
from keras_deeptools.engine._update.leaf import optimizer_parts
from keras_deeptools.engine._update.model_optimizers import model_optimizers
from keras_deeptools.engine._update.optimizer_hooks import SITE
from keras_deeptools.engine._update.update_watch import note_undone

NUMBERS = (int, float, complex, np.number)
DEPTH = 6


class UntrackedState:
    """A copy of what layers hold in attributes; `restore` puts it back.

    Keras forgets some variables (on TensorFlow the states of stateful recurrent
    layers), users hold others in containers and objects of their own, and eager steps
    count in plain numbers and arrays. All are found by looking at the attributes of
    each layer.

    Args:
        model: `keras.Model`.
        known: Identities of variables that are kept elsewhere.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._state.snapshot import UntrackedState
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.calls = 3
    >>> state = UntrackedState(model, known=set())
    >>> model.calls += 1
    >>> state.restore()
    >>> model.calls
    3
    """

    def __init__(self, model: keras.Model, known: set[int]) -> None:
        self._restorers: list[Callable[[], None]] = []
        self._seen = set(known)
        for layer in flat_layers(model):
            self._note_attributes(layer, DEPTH)

    def restore(self) -> None:
        """Puts everything back."""
        for restore in self._restorers:
            restore()

    def _note_attributes(self, owner: Any, depth: int) -> None:
        self._seen.add(id(owner))
        held = vars(owner)
        for name, value in list(held.items()):
            if isinstance(value, NUMBERS) and not isinstance(value, bool):
                self._restorers.append(_attribute(held, name, value))
            elif isinstance(value, np.ndarray) or _is_plain_tensor(value):
                self._restorers.append(_attribute(held, name, value))
                self._note(value, depth)
            else:
                self._note(value, depth)

    def _note(self, value: Any, depth: int) -> None:
        if depth < 0 or value is None or id(value) in self._seen:
            return
        if isinstance(value, (str, bytes, type, types.ModuleType, keras.Layer)):
            return
        if isinstance(value, keras.optimizers.Optimizer):
            return
        self._seen.add(id(value))
        if isinstance(value, np.ndarray):
            self._restorers.append(_contents(value, value.copy()))
        elif _is_variable(value):
            self._restorers.append(_assigned(value))
        elif tensors.is_mutable(value):
            self._restorers.append(_tensor_contents(value))
        elif isinstance(value, (list, tuple, dict, set, frozenset)):
            for each in _elements(value):
                self._note(each, depth - 1)
        elif isinstance(value, (keras.metrics.Metric, keras.random.SeedGenerator)):
            state = getattr(value, "state", None)
            for variable in [state] if state is not None else value.variables:
                self._note(variable, depth)
        elif hasattr(value, "__dict__") and not callable(value):
            package = type(value).__module__.partition(".")[0]
            if package not in FOREIGN:
                self._note_attributes(value, depth - 1)


def _elements(container: Any) -> Iterator[Any]:
    values = container.values() if isinstance(container, dict) else container
    return iter(list(values))


def _is_variable(value: Any) -> bool:
    if isinstance(value, keras.Variable):
        return value_of(value) is not None
    return hasattr(value, "assign") and hasattr(value, "read_value")


def _is_plain_tensor(value: Any) -> bool:
    """Whether it is a tensor of the backend with a value, not one in a trace."""
    if isinstance(value, keras.Variable) or not keras.ops.is_tensor(value):
        return False
    return not hasattr(value, "assign")


def _attribute(held: dict[str, Any], name: str, value: Any) -> Callable[[], None]:
    def restore() -> None:
        if held.get(name) is not value:
            held[name] = value

    return restore


def _contents(array: np.ndarray, value: np.ndarray) -> Callable[[], None]:
    def restore() -> None:
        if array.flags.writeable:
            np.copyto(array, value)

    return restore


def _tensor_contents(tensor: Any) -> Callable[[], None]:
    value = tensor.detach().clone()

    def restore() -> None:
        tensor.data.copy_(value)

    return restore


def _assigned(variable: Any) -> Callable[[], None]:
    value = on_host(variable)
    return lambda: variable.assign(value)


class ModuleState:
    """Buffers, gradients and modes of the torch modules in a model.

    A Keras model on the torch backend is a `torch.nn.Module`; custom modules inside it
    keep buffers (running averages) that are not Keras variables. On other backends
    there is nothing to keep.

    Args:
        model: `keras.Model`.
    """

    def __init__(self, model: keras.Model) -> None:
        modules, parameters, buffers = tensors.modules_in(model)
        self._modes: list[tuple[Any, bool]] = [(m, m.training) for m in modules]
        self._gradients: list[tuple[Any, Any]] = [(p, p.grad) for p in parameters]
        self._buffers = [(b, b.detach().clone()) for b in buffers]

    def restore(self) -> None:
        """Restores everything."""
        for module, is_training in self._modes:
            module.training = is_training
        for parameter, gradient in self._gradients:
            parameter.grad = gradient
        for buffer, value in self._buffers:
            buffer.detach().copy_(value)


MISSING = object()


class Snapshot:
    """A copy of all state of a compiled model and of the random states.

    It covers the variables of the model, its metrics and its optimizer, whether the
    optimizer is built, the compiled functions, and the random states of Python, numpy,
    Keras, TensorFlow and torch. Values are copied to the host, because compiled steps
    reuse the memory of variables.

    Args:
        model: `keras.Model`, compiled. Its variables should exist: if variables are
            created later, metrics are reset to zero and others keep their values.
        *generators: Objects with `get_state` and `set_state` that belong to the data.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.engine import Snapshot
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", loss="mse")
    >>> before = model.get_weights()
    >>> snapshot = Snapshot(model)
    >>> loss = model.train_on_batch(np.ones((4, 2)), np.ones((4, 1)))
    >>> snapshot.restore()
    >>> bool((model.get_weights()[0] == before[0]).all())
    True
    """

    def __init__(self, model: keras.Model, *generators: Any) -> None:
        training.synchronize(model)
        self._model = model
        self._structures = optimizer_structures(model)
        self._values = [(v, on_host(v)) for v in _variables(model)]
        self._attributes = {
            name: getattr(model, name, MISSING) for name in KEPT_BY_SNAPSHOTS
        }
        self._untracked = UntrackedState(model, {id(v) for v, _ in self._values})
        self._modules = ModuleState(model)
        self._random = RandomState(*generators)

    def restore(self) -> None:
        """Restores everything; may be called more than once."""
        if knows_jax_state(self._model):
            # The values that the last step handed over are as old as that step.
            end_jax_step(self._model, None)
        for structure in self._structures:
            structure.restore()
        for optimizer in _optimizers(self._model):
            note_undone(optimizer)
        reset_running_metrics(self._model)
        for variable, value in self._values:
            variable.assign(value)
        for name, attribute in self._attributes.items():
            if attribute is not MISSING:
                setattr(self._model, name, attribute)
            elif hasattr(self._model, name):
                delattr(self._model, name)
        self._untracked.restore()
        self._modules.restore()
        self._random.restore()


@contextlib.contextmanager
def preserved(
    model: keras.Model, *generators: Any, build: Callable[[], None] | None = None
) -> Iterator[None]:
    """Undoes, at the end of the block, all changes by training inside the block.

    It does so also after an exception or Ctrl-C.

    Args:
        model: `keras.Model`, compiled.
        *generators: Objects with `get_state` and `set_state` that belong to the data.
        build: Function that builds what `fit` would build before its first step. It is
            called first; only its building of the optimizer is undone.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.engine import preserved
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile("adam", loss="mse")
    >>> with preserved(model):
    ...     loss = model.train_on_batch(np.ones((4, 2)), np.ones((4, 1)))
    >>> int(model.optimizer.iterations), model.optimizer.built
    (0, False)
    """
    structures = optimizer_structures(model)
    try:
        if build is not None:
            build()
        snapshot = Snapshot(model, *generators)
        try:
            yield
        finally:
            snapshot.restore()
    finally:
        for structure in structures:
            structure.restore()


class Structure:
    """The attributes of an object, and what its containers among them contain.

    TensorFlow wraps containers that are assigned to an attribute; such a wrapper is
    put back from inside, because its own methods take note of every change.
    """

    def __init__(self, owner: Any) -> None:
        self._owner = owner
        self._attributes = dict(vars(owner))
        self._parts: list[Structure] = []
        self._contents: list[tuple[Any, Any, Any]] = []
        tracker = tracker_of(owner)
        ids = [] if tracker is None else tracker.stored_ids.values()
        for value in [*self._attributes.values(), *ids]:
            if tensors.keeps_contents_apart(value):
                self._parts.append(Structure(value))
                continue
            container = getattr(value, "__wrapped__", value)
            for plain in (list, dict, set):
                if isinstance(container, plain):
                    self._contents.append((container, plain, plain(container)))

    def restore(self) -> None:
        """Puts attributes and contents back, past any tracking of assignments."""
        vars(self._owner).clear()
        vars(self._owner).update(self._attributes)
        for container, plain, content in self._contents:
            plain.clear(container)
            (list.extend if plain is list else plain.update)(container, content)
        for part in self._parts:
            part.restore()


def optimizer_structures(model: keras.Model) -> list[Structure]:
    """The structure of the model's optimizers and of those inside them.

    Empty where the optimizers inside are only known once it is built.
    """
    parts = [p for optimizer in _optimizers(model) for p in optimizer_parts(optimizer)]
    for part in parts:
        if isinstance(part, multi_optimizers()) and not part.built:
            if not maps_by_table(part):
                return []
    return [Structure(part) for part in parts]


def _optimizers(model: keras.Model) -> list[Any]:
    """The optimizer of `compile`, and those that a model keeps for its `train_step`."""
    return [found.optimizer for found in model_optimizers(model)]


def _variables(model: keras.Model) -> list[Any]:
    """All variables, each once."""
    found = [*model.variables, *model.metrics_variables]
    for metric in running_metrics(model):
        found += metric.variables
    for optimizer in _optimizers(model):
        for part in optimizer_parts(optimizer):
            found += part.variables
    return list({id(variable): variable for variable in found}.values())


@contextlib.contextmanager
def kept_values(model: keras.Model) -> Iterator[None]:
    """Leaves a model usable whatever ends the training in the block.

    A compiled step may reuse the memory of the variables that it is given. On JAX an
    error or Ctrl-C inside a step, between its start and its end, hence leaves the model
    without values: it then gets those that it had when the block began, and so does its
    optimizer. In every other case it keeps the values of the moment.

    Args:
        model: `keras.Model`, compiled. A copy of all values is held on the host where
            they can be lost.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.engine._state.snapshot import kept_values
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", loss="mse")
    >>> with kept_values(model):
    ...     loss = model.train_on_batch(np.ones((4, 2)), np.ones((4, 1)))
    """
    snapshot = Snapshot(model) if training.LOSES_VALUES else None
    try:
        yield
    except BaseException:
        training.synchronize(model)
        if snapshot is not None and _lost(model):
            _detach_all(model)
            snapshot.restore()
        raise


def _lost(model: keras.Model) -> bool:
    """Whether the memory of a variable has been reused."""
    return training.are_lost([*model.variables, *model.optimizer.variables])


def _detach_all(model: keras.Model) -> None:
    """Takes off what is attached, although its variables have no values either."""
    site = vars(model.optimizer).get(SITE)
    for attachment in [] if site is None else list(site.attachments):
        with contextlib.suppress(RuntimeError, TypeError, ValueError):
            attachment.detach()
