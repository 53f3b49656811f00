"""What files keep beside an optimizer: ages of variables, states of callbacks."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_deeptools.engine._backends.active import training
from keras_deeptools.engine._graph.layers import models_alive
from keras_deeptools.engine._keras_private.optimizers import (
    CORRECTING,
    FIRST_MOMENTS,
    SECOND_MOMENTS,
    built_for,
    slot_lists,
)
from keras_deeptools.engine._keras_private.saving import group_of
from keras_deeptools.engine._update.checkpoint_notes import (
    Note,
    hold_note,
    release_note,
)
from keras_deeptools.engine._update.leaf import leaf_optimizers
from keras_deeptools.engine._update.model_optimizers import model_optimizers
from keras_deeptools.engine._update.optimizer_hooks import SITE
from keras_deeptools.engine._update.rate_multipliers import hold_seam, release_seam
from keras_deeptools.engine._update.step_counts import (
    births_of,
    num_updates,
    set_births,
)
from keras_deeptools.engine._update.train_step import is_fitting, trace_again


def scale_saved(store: Any, optimizer: Any) -> bool:
    """Scales what was written; False, and all as it was, if nothing or not finite.

    Args:
        store: What `save_own_variables` has written to.
        optimizer: Keras optimizer, or one around others.
    """
    scaled = {}
    for position, power in _powers(optimizer).items():
        if str(position) in store.keys():
            value = np.asarray(store[str(position)])
            scaled[str(position)] = value * np.asarray(2.0**power, value.dtype)
    finite = [np.isfinite(value.astype("float32")).all() for value in scaled.values()]
    if not scaled or not all(finite):
        return False
    for key, value in scaled.items():
        del store[key]
        store[key] = value
    return True


def unscale_loaded(optimizer: Any) -> None:
    """Gives the slots back the sizes that they had, births being known again."""
    variables = optimizer.variables
    for position, power in _powers(optimizer).items():
        variable = variables[position]
        variable.assign(keras.ops.multiply(variable, 2.0**-power))


def _powers(optimizer: Any) -> dict[int, int]:
    """Positions among the optimizer's variables -> exponents of two, if not 0."""
    found: dict[int, int] = {}
    for leaf in leaf_optimizers(optimizer):
        found |= exponents(leaf)
    listed = enumerate(optimizer.variables)
    return {i: found[id(v)] for i, v in listed if found.get(id(v))}


def exponents(leaf: Any) -> dict[int, int]:
    """Identity of each slot to be scaled -> the power of two to write it with."""
    births, count = births_of(leaf), num_updates(leaf)
    found: dict[int, int] = {}
    if not isinstance(leaf, CORRECTING):
        return found
    listed = slot_lists(leaf)
    # Muon updates some variables without averages that it corrects.
    second = listed.get("adam_velocities")
    for position, variable in enumerate(built_for(leaf)):
        own = count - births.get(id(variable), 0)
        if not 0 < own < count or (second and second[position] is None):
            continue
        # Rounded so that steps are rather shorter than longer.
        for slots, round_ in ((FIRST_MOMENTS, math.floor), (SECOND_MOMENTS, math.ceil)):
            for name, decay in slots.items():
                if name in listed and hasattr(leaf, decay):
                    power = _log2_correction(float(getattr(leaf, decay)), own, count)
                    found[id(listed[name][position])] = round_(power)
    return found


def _log2_correction(decay: float, own: int, count: int) -> float:
    return math.log2((1 - decay**count) / (1 - decay**own))


NOTE = "_keras_deeptools_birth_note"

OWN_STEPS = "own steps"
"""Who holds the wrapped update of an optimizer that counts some variables apart."""


class Births:
    """Counts of updates before which the variables of an optimizer did not train.

    Args:
        optimizer: Keras optimizer, or None.
    """

    def __init__(self, optimizer: Any) -> None:
        self.optimizer = optimizer
        self._known: dict[int, tuple[int, dict[int, int]]] = {}
        if optimizer is None or not optimizer.built:
            return
        for leaf in leaf_optimizers(optimizer):
            births = births_of(leaf)
            known = {id(v): births.get(id(v), 0) for v in built_for(leaf)}
            self._known[id(leaf)] = (num_updates(leaf), known)

    def put_back(self, earlier: "Births | None" = None) -> None:
        """Sets the births in the optimizer, built for other variables meanwhile.

        Args:
            earlier: `Births` of variables that left it, if they come back with what the
                optimizer remembers of them: the updates in between do not count.
        """
        for leaf in leaf_optimizers(self.optimizer):
            now, known = num_updates(leaf), self._of(leaf)[1]
            then, past = (now, {}) if earlier is None else earlier._of(leaf)
            births = {}
            for variable in built_for(leaf):
                key = id(variable)
                again = past[key] + now - then if key in past else now
                births[key] = known.get(key, again)
            set_births(leaf, births)
        settle(self.optimizer)

    def _of(self, leaf: Any) -> tuple[int, dict[int, int]]:
        return self._known.get(id(leaf), (0, {}))


def settle(optimizer: Any) -> None:
    """Wraps what is needed where some variables are counted apart, and only there."""
    for leaf in leaf_optimizers(optimizer):
        (hold_seam if births_of(leaf) else release_seam)(leaf, OWN_STEPS)
    for holder, note in birth_notes(optimizer):
        known = vars(holder).setdefault(NOTE, note)
        if any(births_of(leaf) for leaf in leaf_optimizers(holder)):
            hold_note(holder, known)
        else:
            release_note(holder, known)
            del vars(holder)[NOTE]


def birth_notes(optimizer: Any) -> list[tuple[Any, Note]]:
    """What is to be noted of births with each optimizer that is saved by itself.

    Args:
        optimizer: Keras optimizer, the outermost.

    Returns:
        List of tuples of an optimizer, that one or one inside, and its note.
    """
    holders = {id(each): each for each in [optimizer, *leaf_optimizers(optimizer)]}
    return [(holder, _note(holder)) for holder in holders.values()]


def _note(optimizer: Any) -> Note:
    def write(store: Any) -> dict[str, Any] | None:
        births: dict[int, int] = {}
        for leaf in leaf_optimizers(optimizer):
            births |= births_of(leaf)
        if not births:
            return None
        trained = built_for(optimizer)
        counts = [births.get(id(variable), 0) for variable in trained]
        runs = [(birth, len(list(run))) for birth, run in itertools.groupby(counts)]
        return {"runs": runs, "scaled": scale_saved(store, optimizer)}

    def after(found: dict[str, Any] | None) -> None:
        if not optimizer.built:
            return
        runs = [] if found is None else found["runs"]
        counts = [birth for birth, length in runs for _ in range(length)]
        trained = built_for(optimizer)
        births = {id(v): birth for v, birth in zip(trained, counts, strict=False)}
        changed = False
        for leaf in leaf_optimizers(optimizer):
            before = births_of(leaf)
            own = {id(v): births.get(id(v), 0) for v in built_for(leaf)}
            set_births(leaf, own)
            changed = changed or births_of(leaf) != before
        if changed:
            _trace_anew(optimizer)
        if found is not None and found["scaled"]:
            unscale_loaded(optimizer)
        settle(optimizer)

    return Note("births", write, after=after)


def _trace_anew(optimizer: Any) -> None:
    """Forgets the steps that were compiled with other births, of any model.

    They hold the births as constants. An optimizer that a file is loaded into does not
    know which models have compiled it into a step, so all models are looked at.
    """
    leaves = {id(leaf) for leaf in leaf_optimizers(optimizer)}
    for model in models_alive():
        root = getattr(model, "optimizer", None)
        if root is not None and leaves & {id(leaf) for leaf in leaf_optimizers(root)}:
            training.forget(model)
            if SITE in vars(root):
                trace_again(model)


class _HeldNotes:
    """Notes that are in the files which a `fit` writes and reads."""

    def __init__(
        self, name: str, write: Callable[[], Any], restore: Callable[..., None]
    ) -> None:
        self._name = name
        self._write = write
        self._restore = restore
        self._held: list[tuple[Any, Note]] = []

    def hold(self, model: keras.Model) -> None:
        """Takes part in what the running `fit` saves and loads; nothing outside one.

        Args:
            model: `keras.Model`, compiled.
        """
        self.release()
        if is_fitting(model):
            self._held = self._notes(model)
        for optimizer, note in self._held:
            hold_note(optimizer, note)

    def release(self) -> None:
        """Takes part no more."""
        for optimizer, note in self._held:
            release_note(optimizer, note)
        self._held = []

    def _notes(self, model: keras.Model) -> list[tuple[Any, Note]]:
        """Optimizers, and what is noted beside the variables of each."""
        raise NotImplementedError


class Resumable(_HeldNotes):
    """Notes the state of a callback in files, and restores it from them, during `fit`.

    A `fit` that `BackupAndRestore` resumes then has the state of the same moment. A
    callback that holds this object in `set_model` is called before any
    `on_train_begin`.

    Args:
        name: Str, unique among callbacks.
        write: Function that returns the state, as JSON has it.
        restore: Function of a state that was read, called before the optimizer's
            variables are loaded; it may freeze and unfreeze layers.
    """

    def __init__(
        self, name: str, write: Callable[[], Any], restore: Callable[[Any], None]
    ) -> None:
        super().__init__(name, write, restore)

    def _notes(self, model: keras.Model) -> list[tuple[Any, Note]]:
        def write(store: Any) -> Any:
            return self._write() if is_fitting(model) else None

        def restore(found: Any) -> None:
            if found is not None and is_fitting(model):
                self._restore(found)

        own = Note(self._name, write, before=restore)
        return [(model.optimizer, own), *birth_notes(model.optimizer)]


State = tuple[dict[str, Any], list[np.ndarray]]


class ResumableArrays(_HeldNotes):
    """Keeps a callback's arrays in files written in `fit`, and brings them back.

    They are stored beside the optimizer's variables, where no other code reads: code
    that does not know them loads the file like any other. As with `Resumable`, a
    callback holds this object in `set_model`, and is called whenever a file is loaded
    during `fit`.

    Args:
        name: Str, unique among callbacks.
        write: Function that returns a dict, as JSON has it, and a list of arrays; or
            None for nothing.
        restore: Function of the dict and the list that were read. The model's weights
            may be loaded only after it.
    """

    def __init__(
        self,
        name: str,
        write: Callable[[], State | None],
        restore: Callable[[dict[str, Any], list[np.ndarray]], None],
    ) -> None:
        super().__init__(name, write, restore)

    def _notes(self, model: keras.Model) -> list[tuple[Any, Note]]:
        def write(store: Any) -> dict[str, Any] | None:
            state = self._write() if is_fitting(model) else None
            group = None if state is None else _beside(store)
            if state is None or group is None:
                return None
            found, arrays = state
            place = group.create_group(self._name)
            for position, array in enumerate(arrays):
                place[str(position)] = array
            return found

        def read(found: dict[str, Any] | None, store: Any) -> None:
            if found is None or not is_fitting(model):
                return
            place = _beside(store)[self._name]
            arrays = [np.array(place[str(i)]) for i in range(len(place))]
            self._restore(found, arrays)

        # `compile(optimizer=None)` is for models that have others.
        optimizers = [each.optimizer for each in model_optimizers(model)]
        note = Note(self._name, write, read=read)
        return [(optimizer, note) for optimizer in optimizers[:1]]


def _beside(store: Any) -> Any:
    """The group in the file that holds the group of the variables; None elsewhere."""
    return getattr(group_of(store), "parent", None)
