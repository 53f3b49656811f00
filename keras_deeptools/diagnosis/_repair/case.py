"""What a remedy reads, and what it returns."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from keras_deeptools._finding import Finding
from keras_deeptools.diagnosis._diagnose.facts import Facts, OutputFacts
from keras_deeptools.diagnosis._repair.recipe import Recipe
from keras_deeptools.engine._keras_private.layers import flat_layers


@dataclass(frozen=True, eq=False)
class Case:
    """What a remedy reads.

    Attributes:
        facts: `Facts` of the model that it is for.
        finding: `Finding`, the cause.
        recipe: `Recipe` that the remedy goes on from.
        num_updates: Int, how many updates a training takes at most.
    """

    facts: Facts
    finding: Finding
    recipe: Recipe
    num_updates: int = 1000

    @property
    def model(self) -> keras.Model:
        """The model that is not changed."""
        return self.facts.model

    @property
    def layers(self) -> list[Any]:
        """All layers that are no models."""
        return [
            layer
            for layer in flat_layers(self.model)
            if not isinstance(layer, keras.Model)
        ]

    @property
    def hidden(self) -> list[Any]:
        """Dense and convolution layers, but for those that give outputs."""
        ends = {each.end.name for each in self.facts.outputs}
        return [
            layer
            for layer in self.layers
            if getattr(layer, "kernel_initializer", None) is not None
            and not isinstance(layer, keras.layers.RNN)
            and layer.name not in ends
        ]

    @property
    def output(self) -> tuple[int, OutputFacts] | None:
        """The output that the finding is about, with its position."""
        outputs = self.facts.outputs
        for position, each in enumerate(outputs):
            if each.end.name == self.finding.where:
                return position, each
        return (0, outputs[0]) if len(outputs) == 1 else None


Recipes = Sequence[Recipe | None]
Remedy = Callable[[Case], Recipes]
"""From a case to the recipes that may help, the likeliest first."""


def changed_or_none(recipe: Recipe, before: Recipe) -> Recipes:
    """A recipe, if it is another than the one before."""
    return [] if recipe is before else [recipe]
