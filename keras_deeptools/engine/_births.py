"""When each variable began to train, kept while the optimizer is rebuilt and saved."""

from typing import Any

from keras_deeptools.engine._file_notes import Note, hold_note, release_note
from keras_deeptools.engine._grouped_update import hold_seam, release_seam
from keras_deeptools.engine._leaf import leaf_optimizers
from keras_deeptools.engine._own_steps import births_of, num_updates, set_births

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
    leaves = leaf_optimizers(optimizer)
    for leaf in leaves:
        (hold_seam if births_of(leaf) else release_seam)(leaf, OWN_STEPS)
    note = vars(optimizer).setdefault(NOTE, birth_note(optimizer))
    if any(births_of(leaf) for leaf in leaves):
        hold_note(optimizer, note)
    else:
        release_note(optimizer, note)
        del vars(optimizer)[NOTE]


def birth_note(optimizer: Any) -> Note:
    """The births as a note in files: count -> positions of the variables.

    Args:
        optimizer: Keras optimizer, the outermost.
    """

    def write() -> dict[str, list[int]] | None:
        births: dict[int, int] = {}
        for leaf in leaf_optimizers(optimizer):
            births |= births_of(leaf)
        found: dict[str, list[int]] = {}
        for position, variable in enumerate(optimizer._trainable_variables):
            if id(variable) in births:
                found.setdefault(str(births[id(variable)]), []).append(position)
        return found or None

    def after(found: dict[str, list[int]] | None) -> None:
        if not optimizer.built:
            return
        variables = optimizer._trainable_variables
        births = {
            id(variables[position]): int(birth)
            for birth, positions in (found or {}).items()
            for position in positions
            if position < len(variables)
        }
        for leaf in leaf_optimizers(optimizer):
            own = {id(v): births.get(id(v), 0) for v in leaf._trainable_variables}
            set_births(leaf, own)
        settle(optimizer)

    return Note("births", write, after=after)
