"""The phases of fine-tuning, planned."""

import math
from dataclasses import dataclass
from typing import Any

import keras

from keras_deeptools._arguments import message
from keras_deeptools.callbacks import OneCycleScheduler
from keras_deeptools.engine._retraining.trainability import Trainability
from keras_deeptools.transfer._fine_tune.recipe import (
    ALL_LAYERS_CYCLE,
    HEAD_CYCLE,
    Cycle,
    group_factors,
)
from keras_deeptools.transfer._freezing.freeze_to import states_after
from keras_deeptools.transfer._layer_groups.groups import LayerGroup, LayerGroups

OWNER = "fine_tune"
HEAD, ALL_LAYERS = "head", "all layers"
"""The names of the phases."""


@dataclass(frozen=True, eq=False)
class PlannedPhase:
    """What trains in a phase, for how long and how fast.

    Attributes:
        name: Str.
        first_epoch: Int, counted through all phases.
        num_epochs: Int.
        learning_rate: Float, that of the whole recipe.
        cycle: `Cycle` of the phase.
        states: List of `Trainability` of all leaves.
        multipliers: Dict from the identity of a variable to what its rate is
            multiplied by.
    """

    name: str
    first_epoch: int
    num_epochs: int
    learning_rate: float
    cycle: Cycle
    states: list[Trainability]
    multipliers: dict[int, float]

    @property
    def end(self) -> int:
        """The epoch after its last."""
        return self.first_epoch + self.num_epochs

    @property
    def peak(self) -> float:
        """The largest rate of the head in it."""
        return self.cycle.peak(self.learning_rate)

    @property
    def freezes(self) -> bool:
        """Whether layers are frozen in it."""
        return self.name == HEAD

    @property
    def num_trainable(self) -> int:
        """Weights that the phase trains."""
        trained = [s.layer for s in self.states if s.weights]
        held = {id(v): v for layer in trained for v in layer.weights if v.trainable}
        return sum(math.prod(variable.shape) for variable in held.values())

    @property
    def constant(self) -> set[int]:
        """Identities of the variables that the phase leaves as they are.

        What a layer of the user's own does while it is frozen is not known.
        """
        still = [s.layer for s in self.states if not s.trains and not s.weights]
        known = [x for x in still if type(x).__module__.startswith("keras.")]
        return {id(variable) for layer in known for variable in layer.weights}

    def rate_multipliers(self, optimizer: Any, variables: list[Any]) -> list[float]:
        """What the rates of variables are multiplied by."""
        return [self.multipliers.get(id(variable), 1.0) for variable in variables]

    def scheduler(self, optimizer: Any) -> OneCycleScheduler:
        """The learning rate over the epochs, and momentum if there is any."""
        shape = self.cycle.arguments(optimizer, self.learning_rate)
        return OneCycleScheduler(**shape, first_epoch=self.first_epoch)


def first_of_head(groups: LayerGroups, head: int | str) -> int:
    """The position of the first group of the head, which must not be the first of all.

    Raises:
        TypeError: If `head` is neither an int nor a str.
        ValueError: If there is no such group, or nothing before it.
    """
    choices = ", ".join(f"{i} {name!r}" for i, name in enumerate(groups.names))
    rule = "the number or name of a layer group that is not the first"
    remedy = f"Available: {choices}."
    if isinstance(head, bool) or not isinstance(head, int | str):
        raise TypeError(message(OWNER, "head", rule, head, remedy))
    if isinstance(head, str):
        position = groups.names.index(head) if head in groups.names else 0
    else:
        position = head + len(groups) * (head < 0)
    if not 0 < position < len(groups):
        raise ValueError(message(OWNER, "head", rule, head, remedy))
    return position


def planned_phases(
    model: keras.Model,
    groups: LayerGroups,
    first: int,
    *,
    epochs: int,
    frozen_epochs: int,
    learning_rate: float,
    rate_ratio: float,
    batch_norm: str,
) -> list[PlannedPhase]:
    """First the head, then all layers with rates that grow towards the head.

    Args:
        model: `keras.Model`.
        groups: `LayerGroups` of it.
        first: Int, position of the first group of the head.
        epochs: Int, see `fine_tune`, as the others.
        frozen_epochs: Int.
        learning_rate: Float.
        rate_ratio: Float.
        batch_norm: Str.
    """
    body = [layer for group in groups.groups[:first] for layer in group.layers]
    head = LayerGroup(HEAD, tuple(x for g in groups.groups[first:] for x in g.layers))
    factors = group_factors(first + 1, rate_ratio)
    multipliers = {
        id(variable): factor
        for group, factor in zip(groups.groups[:first], factors[:-1], strict=True)
        for layer in group.layers
        for variable in layer.weights
    }
    phases = [
        PlannedPhase(
            HEAD,
            first_epoch=0,
            num_epochs=frozen_epochs,
            learning_rate=learning_rate,
            cycle=HEAD_CYCLE,
            states=states_after(model, body, head, batch_norm),
            multipliers={},
        ),
        PlannedPhase(
            ALL_LAYERS,
            first_epoch=frozen_epochs,
            num_epochs=epochs,
            learning_rate=learning_rate,
            cycle=ALL_LAYERS_CYCLE,
            states=states_after(model, [], head, batch_norm),
            multipliers=multipliers,
        ),
    ]
    return [phase for phase in phases if phase.num_epochs]
