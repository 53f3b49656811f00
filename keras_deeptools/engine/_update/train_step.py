"""Finds whether a model's `fit` is running, and has compiled steps traced again.

Keras notes nowhere that `fit` runs, and calls no hook when an exception or Ctrl-C
leaves it. A wrapper around `fit` would not see the call that runs already, and features
are attached inside of one. So the engine looks for the running call in the frames of
the interpreter, where it matters: before files are written, before the next `fit`,
`compile` or `train_on_batch`; never in a step.

Features that were attached while a step was traced are part of its trace forever. The
functions that a model's train step names are found in its code. Those that a custom
loop compiles are found while they are traced, as the optimizer does not know its
caller. Both are traced again when a feature is attached or detached.

Tracing costs more than many a short `fit`, so a compiled step is kept until the same
features are attached to the model again. What was traced with features stays valid for
others that would be traced to the same step: stages of the same kinds that depend on
the same numbers, the same state variables, and a model and an optimizer in which
nothing has changed.
"""

import sys
import types
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any, NamedTuple

import keras

from keras_deeptools.engine._backends.active import tensors, training
from keras_deeptools.engine._keras_private.layers import flat_layers
from keras_deeptools.engine._keras_private.optimizers import built_for, rate_of
from keras_deeptools.engine._keras_private.training import COMPILED, list_jax_shardings
from keras_deeptools.engine._update.leaf import optimizer_parts
from keras_deeptools.engine._update.rate_multipliers import SEAM, RateMultipliers
from keras_deeptools.engine._update.scheduled_variables import ScheduledVariable
from keras_deeptools.engine._update.step_counts import births_of
from keras_deeptools.engine._update.step_reads import (
    LIBRARIES,
    is_from_library,
    nested_codes,
    train_steps,
    undecorated,
)

_functions: weakref.WeakKeyDictionary[Any, weakref.WeakSet] = (
    weakref.WeakKeyDictionary()
)

KEPT = "_keras_deeptools_kept_trace"
SITES = "_keras_deeptools_sites"
PLAIN = (bool, int, float, str, type(None))
PASSING = ("stop_training", "stop_evaluating")
"""Attributes of a model that say where its training stands."""


def is_fitting(model: Any) -> bool:
    """Whether a call of `model.fit` is under way on any thread.

    Args:
        model: `keras.Model` or None.

    Returns:
        Bool.
    """
    if model is None:
        return False
    return any(True for _ in _variables_of_fits(model))


class RunningFit(NamedTuple):
    """What a running `fit` knows, whether or not it tells its callbacks.

    Attributes:
        params: Dict with `epochs` and `steps`, the batches per epoch or None.
        callbacks: List of all callbacks that it runs.
        epoch_iterator: What feeds it.
        arguments: Dict of the arguments of `fit` that say how it trains, as it goes by
            them: `validation_split` has become `validation_data`.
    """

    params: dict[str, Any]
    callbacks: list[Any]
    epoch_iterator: Any
    arguments: dict[str, Any]


ARGUMENTS = ("batch_size", "shuffle", "class_weight", "validation_data")


def running_fit(model: Any) -> RunningFit | None:
    """What the running `fit` of a model knows, or None where none runs.

    Keras tells callbacks nothing of the run when a user has made the `CallbackList`,
    and never shows them each other.

    Args:
        model: `keras.Model`.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._update.train_step import running_fit
    >>> running_fit(keras.Sequential()) is None
    True
    """
    for known in _variables_of_fits(model):
        if "epoch_iterator" in known:
            iterator = known["epoch_iterator"]
            steps = getattr(iterator, "num_batches", None)
            listed = getattr(known.get("callbacks"), "callbacks", None)
            params = {"epochs": known["epochs"], "steps": steps}
            given = {name: known.get(name) for name in ARGUMENTS}
            return RunningFit(params, list(listed or []), iterator, given)
    return None


def _variables_of_fits(model: Any) -> Iterator[dict[str, Any]]:
    """The local variables of each call of the model's `fit` that is running.

    All threads are looked at: Keras may run the hooks of callbacks in others.
    """
    for newest in sys._current_frames().values():
        frame: FrameType | None = newest
        while frame is not None:
            if frame.f_code.co_name == "fit" and frame.f_locals.get("self") is model:
                yield frame.f_locals
            frame = frame.f_back


def forget_compiled(model: Any) -> None:
    """Lets `tf.function` and `jax.jit` trace the user's functions again.

    Otherwise they would continue with an update that was traced before a feature was
    attached or detached. The functions are found among the methods and attributes of
    the model and the names that its train step uses.

    Args:
        model: `keras.Model`.
    """
    if not tensors.COMPILES:
        return
    for function in _compiled(model):
        tensors.forget_function(function)


def _compiled(model: Any) -> Iterator[Any]:
    for cls in type(model).__mro__:
        if cls.__module__.partition(".")[0] in LIBRARIES:
            continue
        for name, value in vars(cls).items():
            if tensors.is_compiled(value):
                # TensorFlow keeps another one for each object.
                yield getattr(model, name)
                yield value
    for value in list(vars(model).values()):
        if tensors.is_compiled(value):
            yield value
    seen: set[int] = set()
    for step in train_steps(model):
        yield from _named_in(step, model, seen)


def _named_in(function: Any, model: Any, seen: set[int]) -> Iterator[Any]:
    """Compiled functions among what the code of a function names."""
    code = getattr(function, "__code__", None)
    if code is None or id(code) in seen or is_from_library(function):
        return
    seen.add(id(code))
    names = {name for each in nested_codes(code) for name in each.co_names}
    values = [function.__globals__.get(name) for name in names]
    values += [getattr(type(model), name, None) for name in names]
    for cell in function.__closure__ or ():
        try:
            values.append(cell.cell_contents)
        except ValueError:
            continue
    for value in values:
        if tensors.is_compiled(value):
            yield value
            yield from _named_in(undecorated(value), model, seen)
        elif isinstance(value, types.FunctionType):
            yield from _named_in(value, model, seen)


def trace_again(model: Any) -> None:
    """Lets the model trace its train step again, if it has one, for its features."""
    if model is None:
        return
    forget_compiled(model)
    if not find_trace(model) and getattr(model, "train_function", None) is not None:
        training.fresh_step_function(model)


def forget_trace(model: Any) -> None:
    """Lets the model make its train step again when it next trains."""
    if model is None:
        return
    forget_compiled(model)
    if getattr(model, "train_function", None) is not None:
        model.train_function = None


def note_functions(optimizer: Any) -> None:
    """Notes the user's functions that are being traced, and update an optimizer.

    Args:
        optimizer: Keras optimizer, the outermost.
    """
    for function in training.functions_in_trace():
        if not is_from_library(undecorated(function)):
            _functions.setdefault(optimizer, weakref.WeakSet()).add(function)


def forget_functions(optimizer: Any) -> None:
    """Lets the functions that were noted be traced again at their next call.

    Args:
        optimizer: Keras optimizer, the outermost.
    """
    for function in list(_functions.get(optimizer, ())):
        training.forget_traced(function)


@dataclass(frozen=True)
class Key:
    """What a compiled step depends on: objects by identity, and values."""

    objects: tuple[Any, ...]
    values: tuple[Any, ...]

    def equals(self, other: "Key") -> bool:
        """Whether the other stands for the same step."""
        return (
            len(self.objects) == len(other.objects)
            and all(a is b for a, b in zip(self.objects, other.objects, strict=True))
            and self.values == other.values
        )


@dataclass(frozen=True)
class KeptTrace:
    """A compiled step with its state variables, by the identity of the optimizer."""

    key: Key
    train_function: Any
    variables: dict[int, list[Any]]


def enlist(site: Any) -> None:
    """Lets a model know of one more site."""
    if site.model is not None:
        sites = vars(site.model).get(SITES, [])
        vars(site.model)[SITES] = [*sites, site]


def delist(site: Any) -> None:
    """Undoes `enlist`; does nothing when it is undone."""
    if site.model is not None and SITES in vars(site.model):
        sites = [each for each in vars(site.model)[SITES] if each is not site]
        vars(site.model)[SITES] = sites
        if not sites:
            del vars(site.model)[SITES]


def keep_trace(model: Any) -> None:
    """Keeps the model's compiled step, if it has one that others may find again."""
    if not tensors.COMPILES or getattr(model, "train_function", None) is None:
        return
    sites = vars(model).get(SITES, [])
    leaves = [leaf for site in sites for leaf in site.leaves]
    if not leaves or not all(leaf.entered for leaf in leaves if leaf.variables):
        return
    key = _key(model)
    if key is not None:
        variables = {id(leaf.optimizer): list(leaf.state) for leaf in leaves}
        vars(model)[KEPT] = KeptTrace(key, model.train_function, variables)


def find_trace(model: Any) -> bool:
    """Gives the model the step that was kept for what is attached now, if any."""
    kept = vars(model).get(KEPT)
    if kept is None:
        return False
    key = _key(model)
    if key is None or not key.equals(kept.key):
        return False
    model.train_function = kept.train_function
    list_jax_shardings(model)
    for site in vars(model)[SITES]:
        for leaf in site.leaves:
            leaf.entered = True
    return True


def kept_variables(model: Any, optimizer: Any) -> list[Any]:
    """The state variables of an optimizer that the kept step holds, in their order."""
    kept = vars(model).get(KEPT) if model is not None else None
    return [] if kept is None else list(kept.variables.get(id(optimizer), []))


def drop_trace(model: Any) -> None:
    """Keeps no step any longer."""
    vars(model).pop(KEPT, None)


def _key(model: Any) -> Key | None:
    """What the step depends on that would be traced now; None where that is unknown."""
    sites = vars(model).get(SITES, [])
    if model.run_eagerly or not all(site.is_open and site.is_steady for site in sites):
        return None
    objects: list[Any] = []
    values: list[Any] = [model.jit_compile, model.steps_per_execution]
    for site in sites:
        for leaf in site.leaves:
            if leaf.guests is not None:
                return None
            seam = vars(leaf.optimizer).get(SEAM)
            users = () if seam is None else seam.users
            if births_of(leaf.optimizer) or any(
                isinstance(user, RateMultipliers) for user in users
            ):
                return None
            objects += [leaf.optimizer, *leaf.state]
        for session in site.sessions:
            traced = session.feature.traced(session.state, session.leaf)
            items = session.hyperparameters
            if traced is None or any(isinstance(i, ScheduledVariable) for i in items):
                return None
            named = [(type(i), i.name, i.overrules) for i in items]
            values.append((type(session.feature), traced, named))
        for part in optimizer_parts(site.optimizer):
            objects += [part, rate_of(part)]
            values.append(_plain_attributes(part))
            # No `+=`: TensorFlow wraps tuples, and adds them by its own rules.
            objects.extend(built_for(part))
    objects += [getattr(model, name, None) for name in COMPILED]
    objects += list(train_steps(model))
    objects.extend(model.variables)
    if model.optimizer is not None:
        objects.extend(model.optimizer.variables)
    for layer in flat_layers(model):
        objects.append(layer)
        values.append(_plain_attributes(layer))
    values += [v.trainable for v in model.variables]
    return Key(tuple(objects), tuple(values))


def _plain_attributes(owner: Any) -> dict[str, Any]:
    """Numbers, names and flags that a trace may have taken as constants."""
    found = {
        name: value
        for name, value in vars(owner).items()
        if isinstance(value, PLAIN) and name not in PASSING
    }
    if isinstance(owner, keras.Model):
        found = {name: v for name, v in found.items() if not name.startswith("_")}
    if isinstance(owner, keras.Layer):
        found["trainable"] = owner.trainable
    return found
