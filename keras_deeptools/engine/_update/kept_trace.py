"""Keeping a compiled step until the same features are attached to the model again.

Tracing costs more than many a short `fit`. What was traced with features stays valid
for others that would be traced to the same step: stages of the same kinds that depend
on the same numbers, the same state variables, and a model and an optimizer in which
nothing has changed.
"""

from dataclasses import dataclass
from typing import Any

import keras

from keras_deeptools.engine._backends.active import tensors
from keras_deeptools.engine._keras_private.layers import flat_layers
from keras_deeptools.engine._keras_private.optimizers import built_for, rate_of
from keras_deeptools.engine._keras_private.training import COMPILED, list_jax_shardings
from keras_deeptools.engine._update.leaf import optimizer_parts
from keras_deeptools.engine._update.rate_multipliers import SEAM, RateMultipliers
from keras_deeptools.engine._update.scheduled_variables import ScheduledVariable
from keras_deeptools.engine._update.step_counts import births_of
from keras_deeptools.engine._update.step_reads import train_steps

KEPT = "_keras_deeptools_kept_trace"
SITES = "_keras_deeptools_sites"
PLAIN = (bool, int, float, str, type(None))
PASSING = ("stop_training", "stop_evaluating")
"""Attributes of a model that say where its training stands."""


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
