"""Variables that the train step sets for itself, by functions of the step.

A KL weight or a dropout rate is read in the forward pass, before the optimizer has its
turn, and on JAX the optimizer's update cannot write what is the model's. So these are
set at the beginning of the train step, from the count of updates that the optimizer has
made by then. What such functions read, and how the compiled step can compute them, is
found here, too.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras

from keras_deeptools.engine._backends.active import tensors, training
from keras_deeptools.engine._keras_private.layers import (
    flat_layers,
    held_states,
    held_weights,
)
from keras_deeptools.engine._keras_private.optimizers import counted_batches
from keras_deeptools.engine._update.leaf import Leaf

SEED_DTYPE = "uint32"
"""The type of the variables of `keras.random.SeedGenerator`."""


class ScheduledVariable:
    """A scalar variable of the model that follows a function of the step.

    Files and `get_weights` hold the value that it had before, as they do for the
    optimizer's hyperparameters.
    """

    def __init__(
        self, leaf: Leaf, name: str, variable: Any, function: Callable
    ) -> None:
        self.name = name
        self.target = variable
        self.active = True
        self._leaf = leaf
        self._function = function
        self._base = leaf.read(variable)
        initial = float(self._base.reshape(()))
        self.variable = leaf.add_state("scheduled_value", initial=initial)

    def value(self) -> Any:
        """The value for the step that begins."""
        return self._function(self._leaf.step)

    def enter(self) -> None:
        """Keeps the value among the optimizer's variables, where it can be recorded."""
        tensors.set_scalar(self.variable, self.value())

    def exit(self) -> None:
        """Nothing to undo: the variable keeps the value in effect."""

    def hide(self) -> None:
        """Nothing to hide: files of the optimizer do not hold it."""

    def show(self, reloaded: bool) -> None:
        """Nothing was hidden."""

    def withdraw(self) -> None:
        """Does nothing: the optimizer can be built again as it is."""

    def follow(self) -> None:
        """Does nothing: no state belongs to single variables."""

    def detach(self) -> None:
        """Puts the original value back."""
        self.active = False
        self._leaf.assign(self.target, self._base)

    @contextlib.contextmanager
    def hidden(self, loading: bool) -> Iterator[None]:
        """Shows the original value; what is loaded meanwhile becomes the original."""
        in_effect = self._leaf.read(self.target)
        self.target.assign(self._base)
        try:
            yield
        finally:
            if loading:
                self._base = self._leaf.read(self.target)
            self.target.assign(in_effect)


def join_model(site: Any, item: ScheduledVariable) -> None:
    """Wraps the methods that train with the variable, and those that store it."""
    model = site.model
    joined = [each.name for each in site.replaced if each.holder is model]
    if "train_step" not in joined:

        def values() -> list[tuple[Any, Any]]:
            items = [i for s in site.sessions for i in s.hyperparameters]
            return [
                (i.target, i.value()) for i in items if isinstance(i, ScheduledVariable)
            ]

        values = training.uncompiled(values, model)
        step = tensors.set_before(model.train_step, model, values)
        site.replace(model, step, "train_step")
    owner = _owner(model, item.target)
    for holder, name, loading in (
        (owner, "save_own_variables", False),
        (owner, "load_own_variables", True),
        (model, "get_weights", False),
        (model, "set_weights", True),
    ):
        site.replace(holder, _hiding(item, getattr(holder, name), loading), name)


def _hiding(item: ScheduledVariable, method: Callable, loading: bool) -> Callable:
    def hiding(*args: Any, **kwargs: Any) -> Any:
        if not item.active:
            return method(*args, **kwargs)
        with item.hidden(loading):
            return method(*args, **kwargs)

    return hiding


def model_variable(owner: str, leaf: Leaf, key: Any) -> Any:
    """The variable of the model that a key names, checked to be one to schedule.

    Args:
        owner: Str. Name of the caller, for errors.
        leaf: `Leaf` of the optimizer whose updates are counted.
        key: `keras.Variable`, or a str: its path, its name, the name of the attribute
            of the model or of a layer that holds it, or `"layer/attribute"`.

    Returns:
        `keras.Variable`, or None where a str names none.

    Raises:
        ValueError: If the variable does not belong to the model, is trained or is not a
            scalar, or if a name fits several.

    Example:

    >>> import keras
    >>> from keras_deeptools import attach
    >>> from keras_deeptools.engine import Feature
    >>> from keras_deeptools.engine._update.scheduled_variables import model_variable
    >>> class Find(Feature):
    ...     def prepare(self, leaf):
    ...         print(model_variable("Find", leaf, "kl_weight").path)
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.kl_weight = keras.Variable(0.0, trainable=False, name="beta")
    >>> model.compile("sgd", loss="mse")
    >>> with attach(model, Find()):
    ...     pass
    beta
    """
    model = leaf.model
    if model is None:
        if isinstance(key, str):
            return None
        raise ValueError(
            f"{owner}: a variable can be scheduled where a model is trained. Received: "
            f"{key.path!r} and an optimizer alone. Pass the model to `attach`."
        )
    if isinstance(key, str):
        found = _named(model, key)
        if not found:
            return None
        if len(found) > 1:
            raise ValueError(
                f"{owner}: a name must fit one variable of the model. Received: "
                f"{key!r}, which fits several. Choose from "
                f"{', '.join(_full_name(model, v) for v in found)}."
            )
        key = found[0]
    if not any(key is variable for variable in model.variables):
        raise ValueError(
            f"{owner}: a scheduled variable must be held by the model, so that its "
            f"train step can set it. Received: {key.path!r}, which {model.name!r} does "
            "not hold. Make it an attribute of the model or of a layer, for instance "
            "`model.kl_weight = variable`."
        )
    if key.trainable:
        raise ValueError(
            f"{owner}: a scheduled variable must not be trained. Received: "
            f"{key.path!r}, which is trainable. Make it with `trainable=False`."
        )
    if key.shape not in ((), (1,)):
        raise ValueError(
            f"{owner}: a scheduled variable must be a scalar. Received: {key.path!r} "
            f"of shape {tuple(key.shape)}. Use a variable for each number."
        )
    if not tensors.readable([counted_batches(leaf.optimizer)], model.optimizer):
        raise ValueError(
            f"{owner}: variables are scheduled by the updates of the optimizer that "
            f"the model was compiled with. Received: {key.path!r} and the optimizer "
            f"{leaf.optimizer.name!r}, which is another. Compile the model with it."
        )
    return key


def schedulable_variables(leaf: Leaf) -> list[str]:
    """The names of the model's variables that `model_variable` accepts."""
    if leaf.model is None:
        return []
    return [
        _full_name(leaf.model, v)
        for v in leaf.model.non_trainable_variables
        if v.shape in ((), (1,)) and not v.trainable
    ]


def _named(model: Any, key: str) -> list[Any]:
    """The variables of the model that a key fits, by the strictest kind of name."""
    variables = list(model.variables)
    attributes = _attributes(model)
    kinds = (
        [(v.path, v) for v in variables],
        [(v.name, v) for v in variables],
        [(name, v) for _, name, v in attributes],
        [(f"{layer}/{name}", v) for layer, name, v in attributes],
        [(f"{layer}/{v.name}", v) for layer, _, v in attributes],
    )
    for kind in kinds:
        found = {id(v): v for name, v in kind if name == key}
        if found:
            return list(found.values())
    return []


def _attributes(model: Any) -> list[tuple[str, str, Any]]:
    """Name of the layer, of the attribute, and the variable, for all the model's."""
    known = {id(variable) for variable in model.variables}
    return [
        (layer.name, name, value)
        for layer in flat_layers(model, include_self=True, recursive=True)
        for name, value in vars(layer).items()
        if isinstance(value, keras.Variable) and id(value) in known
    ]


def _full_name(model: Any, variable: Any) -> str:
    """A name that `_named` finds, also where the path alone fits several."""
    if [id(v) for v in _named(model, variable.path)] == [id(variable)]:
        return variable.path
    for layer, name, value in _attributes(model):
        if value is variable:
            return f"{layer}/{name}"
    return variable.path


def _owner(model: Any, variable: Any) -> Any:
    for layer in flat_layers(model, include_self=True, recursive=True):
        own = [*held_weights(layer), *held_states(layer)]
        if any(variable is v for v in own):
            return layer
    return model


class _Reads(keras.StatelessScope):
    """Notes the variables that are read inside."""

    def __init__(self) -> None:
        super().__init__()
        self.variables: list[Any] = []

    def get_current_value(self, variable: Any) -> Any:
        self.variables.append(variable)
        return super().get_current_value(variable)


def call_with_reads(function: Callable, step: int) -> tuple[Any, list[Any]]:
    """Calls a function of the step at once, also while a step is being traced.

    Args:
        function: Function of an int.
        step: Int.

    Returns:
        Tuple of what it returns, and the list of `keras.Variable` that it reads, those
        of random seeds left out.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._update.scheduled_variables import call_with_reads
    >>> rate = keras.Variable(0.5, trainable=False, name="rate")
    >>> value, variables = call_with_reads(lambda step: rate * step, 4)
    >>> float(value), [variable.name for variable in variables]
    (2.0, ['rate'])
    """
    with tensors.eagerly():
        with _Reads() as reads:
            value = function(step)
            if isinstance(value, keras.Variable):
                value = value.value
        seeds = [v for v in reads.variables if v.dtype == SEED_DTYPE]
        variables = [v for v in reads.variables if v.dtype != SEED_DTYPE]
        if seeds and not variables:
            # Random numbers are drawn, by seeds that move on from call to call.
            value = function(step)
    return value, variables


def operations_of(function: Callable) -> Callable:
    """The operations of a function of the step, to be run if the step is a tensor.

    Ordinary arithmetic and `keras.ops` are recorded with Keras' rules for types, which
    are the same on all backends: TensorFlow itself adds no float to an integer.

    Args:
        function: Function of an int32 scalar.

    Returns:
        Function of an int tensor that returns a tensor, or a number.

    Raises:
        Exception: Whatever `function` raises where it needs a number.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._update.scheduled_variables import operations_of
    >>> decay = operations_of(lambda step: 0.5 ** (step // 2))
    >>> float(decay(keras.ops.convert_to_tensor(5, dtype="int32")))
    0.25
    """
    step = keras.KerasTensor((), dtype="int32", name="step")
    with tensors.eagerly(), _single_precision():
        value = function(step)
        if not isinstance(value, keras.KerasTensor):
            return lambda step: value
        operations = keras.Function(step, value)

    def run(step: Any) -> Any:
        with _single_precision():
            return operations(step)

    return run


@contextlib.contextmanager
def _single_precision() -> Iterator[None]:
    """A context in which an int times a float is a float32, not the global type."""
    before = keras.config.floatx()
    keras.config.set_floatx("float32")
    try:
        yield
    finally:
        keras.config.set_floatx(before)


def check_traceable(function: Callable) -> None:
    """Raises what a function of the step raises when a compiled step traces it.

    Args:
        function: Function of an int32 scalar tensor.

    Example:

    >>> from keras_deeptools.engine._update.scheduled_variables import check_traceable
    >>> check_traceable(lambda step: step * step)
    """
    tensors.trace(function)
