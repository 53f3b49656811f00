"""What an optimizer remembers and what is attached to it, kept while it is rebuilt."""

import contextlib
from typing import Any

import keras
import numpy as np

from keras_deeptools.engine._backends.active import training
from keras_deeptools.engine._backends.common import on_host
from keras_deeptools.engine._keras_private.optimizers import (
    built_for,
    counted_batches,
    forget_built_for,
    mapped_anew,
    mapped_when_built,
    rate_of,
    slot_lists,
    tracked,
    untrack,
    weight_averages,
)
from keras_deeptools.engine._keras_private.versions import multi_optimizers
from keras_deeptools.engine._retraining.checkpointed_state import Births, settle
from keras_deeptools.engine._state.snapshot import Structure
from keras_deeptools.engine._update.leaf import Leaf, leaf_optimizers, optimizer_parts
from keras_deeptools.engine._update.optimizer_hooks import SITE, Session, Site
from keras_deeptools.engine._update.step_counts import births_of, set_births
from keras_deeptools.engine._update.train_step import is_fitting

Slots = dict[int, tuple[Any, Any]]
"""Identity of a trained variable -> that variable and its slot."""


class OptimizerMemory:
    """The slots (momenta, averages, accumulated gradients) of a model's optimizer.

    What else building the optimizer creates (loss scale, Nadam's product) is remembered
    by name.

    Args:
        optimizer: Keras optimizer, or None.
    """

    def __init__(self, optimizer: Any) -> None:
        self.optimizer = optimizer
        self.births = Births(optimizer)
        self._slots: list[tuple[Any, str, Slots]] = []
        self._scalars: list[tuple[Any, str, Any]] = []
        for part in optimizer_parts(optimizer):
            if part.built:
                self._remember(part)

    def _remember(self, part: Any) -> None:
        own = {id(variable) for variable in tracked(part)}
        own -= {id(variable) for variable in _permanent(part)}
        for name, value in vars(part).items():
            if isinstance(value, keras.Variable) and id(value) in own:
                self._scalars.append((part, name, value))
        for name, listed in slot_lists(part).items():
            pairs = zip(built_for(part), listed, strict=True)
            slots = {id(v): (v, s) for v, s in pairs if s is not None}
            self._slots.append((part, name, slots))

    def forget(self, variables: list[Any]) -> None:
        """Drops what is remembered of variables whose slots live on elsewhere."""
        gone = {id(variable) for variable in variables}
        self._scalars = []
        self._slots = [
            (part, name, {key: pair for key, pair in slots.items() if key not in gone})
            for part, name, slots in self._slots
        ]

    def put_back(self) -> None:
        """Copies what is remembered into the slots that the optimizer has now.

        Copies also where values are immutable: JAX refuses a step in which two
        variables share one buffer, as averages and weights do after a `fit`.
        """
        for part, name, old in self._scalars:
            vars(part)[name].assign(keras.ops.copy(old))
        for part, name, slots in self._slots:
            if not part.built:
                continue
            listed = slot_lists(part).get(name, [])
            for variable, slot in zip(built_for(part), listed, strict=False):
                if id(variable) in slots and slot is not None:
                    slot.assign(keras.ops.copy(slots[id(variable)][1]))


def rebuild(optimizer: Any, variables: list[Any], earlier: Any = None) -> None:
    """Builds the optimizer again for `variables`, with the slots of those it knew.

    New slots are as in a fresh optimizer, and so is the count of updates that it uses
    for their variables; new moving averages start at the weights.

    Args:
        optimizer: Built Keras optimizer.
        variables: List of `keras.Variable`.
        earlier: `OptimizerMemory` of variables that left it, if they come back.
    """
    memory = OptimizerMemory(optimizer)
    parts = optimizer_parts(optimizer)
    before = [(part, dict(vars(part)), list(tracked(part))) for part in parts]
    for part in parts:
        _reset(part)
    with training.variable_scope(leaf_optimizers(optimizer)[0]):
        optimizer.build(variables)
    for part, attributes, known in before:
        _check_rebuilt(part, attributes, known)
        if part.built and part.use_ema:
            averages = weight_averages(part)
            for variable, average in zip(built_for(part), averages, strict=True):
                if average is not None:
                    average.assign(keras.ops.copy(variable))
    past = earlier if earlier and earlier.optimizer is optimizer else None
    if past is not None:
        past.put_back()
    memory.put_back()
    memory.births.put_back(past and past.births)


def check_rebuildable(optimizer: Any, owner: str) -> None:
    """Raises if building the optimizer again would not lead to the same parts."""
    for part in optimizer_parts(optimizer):
        if isinstance(part, multi_optimizers()):
            _check_map(part, owner)


def _check_map(optimizer: Any, owner: str) -> None:
    for variable in built_for(optimizer):
        kept = mapped_when_built(optimizer, variable)
        if mapped_anew(optimizer, variable) is not kept:
            raise ValueError(
                f"{owner}: the map of a MultiOptimizer must give a variable the same "
                f"optimizer each time. Received: {variable.path!r} got another one. "
                "Create the optimizers first and let the function choose among them, "
                "or use `keras.optimizers.OptimizerMap`."
            )


def _permanent(part: Any) -> list[Any]:
    """The variables that an optimizer has before it is built."""
    return [counted_batches(part), rate_of(part)]


def _reset(part: Any) -> None:
    """Takes an optimizer back to where it was before it was built."""
    permanent = {id(variable) for variable in _permanent(part)}
    for variable in list(tracked(part)):
        if id(variable) not in permanent:
            untrack(part, variable)
    part.built = False
    forget_built_for(part)


def _check_rebuilt(part: Any, attributes: dict[str, Any], before: list[Any]) -> None:
    """Raises if a variable was lost that `build` does not create."""
    known = {id(variable) for variable in before}
    now = {id(variable) for variable in tracked(part)}
    for name, value in attributes.items():
        lost = id(value) in known and id(value) not in now
        if lost and vars(part).get(name) is value and part.built:
            raise ValueError(
                "retrain: an optimizer must create its variables in `build`, so that "
                f"it can be built again. Received: {type(part).__name__}, whose "
                f"{name!r} is created elsewhere. Compile the model again instead; the "
                "optimizer then starts afresh."
            )


def optimizer_state(optimizer: Any) -> tuple[list[np.ndarray], list[list[int]]]:
    """Copies of an optimizer's variables, and when it began to train each weight.

    Without what is attached to it, also while it is attached, and with the learning
    rate that it has without it.

    Args:
        optimizer: Built Keras optimizer.

    Returns:
        List of arrays, and a list of ints for each optimizer inside that updates
        variables itself.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._retraining.optimizer_slots import optimizer_state
    >>> optimizer = keras.optimizers.SGD(0.5)
    >>> optimizer.build([keras.Variable(1.0)])
    >>> values, births = optimizer_state(optimizer)
    >>> [value.tolist() for value in values], births
    ([0, 0.5], [[0]])
    """
    site = site_of(optimizer)
    with contextlib.nullcontext() if site is None else site.hidden():
        values = [on_host(variable) for variable in _variables(optimizer)]
    births = [
        [births_of(leaf).get(id(v), 0) for v in built_for(leaf)]
        for leaf in leaf_optimizers(optimizer)
    ]
    return values, births


def set_optimizer_state(
    optimizer: Any, values: list[np.ndarray], births: list[list[int]]
) -> None:
    """Gives an optimizer what `optimizer_state` returned; nothing may be attached.

    Args:
        optimizer: Keras optimizer, built for as many variables of the same shapes.
        values: List of arrays.
        births: List of lists of ints.

    Raises:
        ValueError: If they do not fit.
    """
    variables, leaves = _variables(optimizer), leaf_optimizers(optimizer)
    shapes = [tuple(variable.shape) for variable in variables]
    if shapes != [value.shape for value in values] or len(leaves) != len(births):
        raise ValueError(
            "set_optimizer_state: `values` must be those of an optimizer that was "
            f"built for the same weights. Received: {len(values)} arrays for "
            f"{len(variables)} variables of {type(optimizer).__name__}."
        )
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
    for leaf, counts in zip(leaves, births, strict=True):
        trained = built_for(leaf)
        pairs = zip(trained, counts, strict=True)
        set_births(leaf, {id(variable): count for variable, count in pairs})
    settle(optimizer)


def _variables(optimizer: Any) -> list[Any]:
    """All variables of an optimizer and those inside it, each once."""
    parts = optimizer_parts(optimizer)
    found = {id(v): v for part in parts for v in part.variables}
    return list(found.values())


def site_of(optimizer: Any) -> Site | None:
    """What is attached to an optimizer, after taking off what is left over."""
    site = vars(optimizer).get(SITE) if optimizer is not None else None
    if site is not None:
        site.detach_stale()
        site = vars(optimizer).get(SITE)
    return site


def site_structures(site: Site) -> list[Structure]:
    """The structure of all that `take_out` and `bring_back` change."""
    items = [item for session in site.sessions for item in session.hyperparameters]
    features = [session.feature for session in site.sessions]
    owners = [site, *site.attachments, *site.leaves, *site.sessions, *items, *features]
    return [Structure(each) for each in {id(each): each for each in owners}.values()]


def take_out(site: Site) -> None:
    """Takes the features' variables out of the optimizer, so that it can be rebuilt."""
    for session in site.sessions:
        for item in session.hyperparameters:
            item.withdraw()
    for leaf in site.leaves:
        for variable in leaf.state:
            training.untrack(leaf.optimizer, variable)


def bring_back(site: Site) -> None:
    """Brings them back, and lets every feature follow to the variables there are now.

    What a part of a MultiOptimizer starts to train, which trained nothing before, is
    joined by every feature.
    """
    site.is_steady = False
    for leaf in site.leaves:
        for variable in leaf.state:
            training.track(leaf.optimizer, variable)
        leaf.follow()
    for session in list(site.sessions):
        _follow(session, site.model)
    known = {id(leaf.optimizer) for leaf in site.leaves}
    for optimizer in leaf_optimizers(site.optimizer):
        if optimizer.built and id(optimizer) not in known:
            leaf = Leaf(optimizer, site.model, root=site.optimizer)
            site.join(leaf)
            for attachment in site.attachments:
                attachment.extend(leaf)


def _follow(session: Session, model: Any) -> None:
    leaf = session.leaf
    before = {id(variable) for variable in leaf.state}
    for item in session.hyperparameters:
        item.follow()
    if not session.feature.follows:
        name = type(session.feature).__name__
        when = "during this `fit`" if is_fitting(model) else "now"
        raise ValueError(
            f"{name}: what is attached to an optimizer must be able to follow when "
            f"layers are frozen or unfrozen. Received: {name} attached {when}, which "
            "prepares state for the variables and has no `follow`. Detach it first, or "
            "give it that method."
        )
    session.state = session.feature.follow(session.state, leaf)
    kept = {id(variable) for variable in leaf.state}
    new = [variable for variable in leaf.state if id(variable) not in before]
    session.variables = [v for v in session.variables if id(v) in kept] + new
