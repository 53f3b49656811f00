"""When each variable began to train, kept while the optimizer is rebuilt and saved."""

import itertools
from typing import Any

from keras_deeptools.engine._file_notes import Note, hold_note, release_note
from keras_deeptools.engine._layers import models_alive
from keras_deeptools.engine._leaf import leaf_optimizers
from keras_deeptools.engine._own_steps import births_of, num_updates, set_births
from keras_deeptools.engine._rate_multipliers import hold_seam, release_seam
from keras_deeptools.engine._retracing import trace_again
from keras_deeptools.engine._saved_slots import scale_saved, unscale_loaded
from keras_deeptools.engine._site import SITE
from keras_deeptools.engine._traces import traces

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
            known = {id(v): births.get(id(v), 0) for v in leaf._trainable_variables}
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
            for variable in leaf._trainable_variables:
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
        trained = optimizer._trainable_variables
        counts = [births.get(id(variable), 0) for variable in trained]
        runs = [(birth, len(list(run))) for birth, run in itertools.groupby(counts)]
        return {"runs": runs, "scaled": scale_saved(store, optimizer)}

    def after(found: dict[str, Any] | None) -> None:
        if not optimizer.built:
            return
        runs = [] if found is None else found["runs"]
        counts = [birth for birth, length in runs for _ in range(length)]
        trained = optimizer._trainable_variables
        births = {id(v): birth for v, birth in zip(trained, counts, strict=False)}
        changed = False
        for leaf in leaf_optimizers(optimizer):
            before = births_of(leaf)
            own = {id(v): births.get(id(v), 0) for v in leaf._trainable_variables}
            set_births(leaf, own)
            changed = changed or births_of(leaf) != before
        if changed:
            _trace_anew(optimizer)
        if found is not None and found["scaled"]:
            unscale_loaded(optimizer)
        settle(optimizer)

    return Note("births", write, after=after)


def _trace_anew(optimizer: Any) -> None:
    """Forgets the steps that were compiled with other births, of any model."""
    leaves = {id(leaf) for leaf in leaf_optimizers(optimizer)}
    for model in models_alive():
        root = getattr(model, "optimizer", None)
        if root is not None and leaves & {id(leaf) for leaf in leaf_optimizers(root)}:
            traces.forget(model)
            if SITE in vars(root):
                trace_again(model)
