"""Selects the variables of an optimizer by the layers that hold them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from keras_deeptools.engine import Leaf
from keras_deeptools.engine._graph.layers import (
    Layers,
    checked_choices,
    layer_fits,
    layers_of,
    listed,
    parent_fits,
    path_fits,
)
from keras_deeptools.engine._graph.output_tails import output_tails_of
from keras_deeptools.engine._update.leaf import trained_variables

Walk = list[tuple[keras.Layer, dict[str, Any]]]


@dataclass(frozen=True)
class Held:
    """A variable that is trained, and the layer that made it."""

    variable: Any
    position: int
    layer: keras.Layer | None
    role: str

    @property
    def group(self) -> str:
        """Path of the layer, or of the variable's parent if there is no layer."""
        return self.variable.path.rpartition("/")[0]


class LayerSelection:
    """The trained variables of the layers that a user has chosen.

    A choice is one of these, or a sequence of them:

    - a name, or a pattern with `*`, `?` and `[...]` as in file names (`fnmatch`, case
      counts), compared with the names of layers: `"dense_1"`, `"block3_*"`; one with
      a `/` in it is compared with the ends of the paths of layers and variables:
      `"encoder/dense_1"`, `"lstm*/recurrent_kernel"`, `"*/kernel"`,
    - a layer of the model,
    - a function of a layer that returns whether it is chosen.

    Choosing a layer that contains layers (a nested model, a wrapper, an LSTM with its
    cell, MultiHeadAttention) chooses all layers in it. A function that returns true for
    the model itself chooses only the weights that the model holds directly.

    Args:
        layers: None for all layers, or a choice as above.
        owner: Str. Name of the caller, for errors.
        argument: Str. Name of the argument, for errors.

    Raises:
        TypeError: If `layers` is none of these.
        ValueError: If `layers` is empty.
    """

    def __init__(self, layers: Layers, owner: str, argument: str = "layers") -> None:
        self.owner = owner
        self.argument = argument
        self.choices = checked_choices(owner, layers)

    def of(self, leaf: Leaf) -> list[Held]:
        """The chosen variables among `leaf.variables`.

        Args:
            leaf: `Leaf`.

        Returns:
            List of `Held`, in the order of `leaf.variables`; empty if all chosen
            variables are trained by another part of a MultiOptimizer.

        Raises:
            ValueError: If a choice matches nothing, or nothing that is trained.
        """
        chosen = {id(held.variable) for held in self.everywhere(leaf)}
        every = held_by(leaf.model, leaf.variables)
        return [held for held in every if id(held.variable) in chosen]

    def everywhere(self, leaf: Leaf) -> list[Held]:
        """Like `of`, among all variables that the outermost optimizers train."""
        every = held_by(leaf.model, trained_variables(leaf))
        # Variables of optimizers that are not built yet may be chosen, too.
        is_all = all(root.built for root in leaf.roots)
        if self.choices is None:
            return every
        walk = [] if leaf.model is None else layers_of(leaf.model)
        chosen: set[int] = set()
        for choice in self.choices:
            found = self._matching(choice, walk, every, leaf.model)
            if not found:
                raise ValueError(self._unmatched(choice, walk, every))
            chosen |= found
        selected = [held for held in every if id(held.variable) in chosen]
        if not selected and is_all:
            raise ValueError(
                f"{self.owner}: `{self.argument}` must choose layers that are trained. "
                f"Received: layers={self.choices!r}, whose weights are all frozen. "
                f"{_available(every)}"
            )
        return selected

    def _matching(
        self, choice: Any, walk: Walk, every: list[Held], model: Any
    ) -> set[int]:
        """Identities of the variables that a choice matches, with the frozen ones."""
        if isinstance(choice, keras.Layer):
            known = {id(held.variable) for held in every}
            known |= {id(v) for _, held in walk for v in held.values()}
            return known & _below(choice)
        if isinstance(choice, str):
            inner = [layer for layer, _ in walk if layer is not model]
            named = [_below(layer) for layer in inner if layer_fits(layer, choice)]
            variables = [v for _, held in walk for v in held.values()]
            variables += [held.variable for held in every]
            fitting = {id(v) for v in variables if path_fits(v.path, choice)}
            if not walk:
                fitting |= {id(v) for v in variables if parent_fits(v.path, choice)}
            return fitting.union(*named)
        if not walk:
            raise ValueError(
                f"{self.owner}: `layers` must be names or layers where the model is "
                f"not known. Received: layers={choice!r}, attached to an optimizer. "
                "Attach to the compiled model instead."
            )
        own = {id(v) for v in walk[0][1].values()} if choice(model) else set()
        return own.union(*(_below(layer) for layer, _ in walk[1:] if choice(layer)))

    def _unmatched(self, choice: Any, walk: Walk, every: list[Held]) -> str:
        received = choice.name if isinstance(choice, keras.Layer) else choice
        return (
            f"{self.owner}: `{self.argument}` must match layers that have weights. "
            f"Received: {received!r}, which matches none. "
            f"{_available(every, [layer for layer, held in walk if held])}"
        )


def names_of(layers: Layers) -> Any:
    """The choice with names in place of layers, for a config."""
    if isinstance(layers, (list, tuple)):
        return [names_of(choice) for choice in layers]
    return layers.name if isinstance(layers, keras.Layer) else layers


def held_by(model: Any, variables: Iterable[Any]) -> list[Held]:
    """Each variable with the layer that made it, and its role in that layer.

    Args:
        model: `keras.Model`, or None when it is not known.
        variables: `keras.Variable` objects.

    Returns:
        List of `Held`. If several layers hold a variable (a wrapper, a tied weight),
        the layer is the one under whose path the variable was made.
    """
    makers: dict[int, tuple[keras.Layer, str]] = {}
    for layer, held in [] if model is None else layers_of(model):
        for role, variable in held.items():
            made = variable.path == f"{layer.path}/{variable.name}"
            if made or id(variable) not in makers:
                makers[id(variable)] = (layer, role)
    return [
        Held(variable, position, *makers.get(id(variable), (None, variable.name)))
        for position, variable in enumerate(variables)
    ]


def output_variables(model: Any) -> set[int]:
    """Identities of the variables of the layers that a model's outputs come from.

    For each output, that is the last layer with weights. If the outputs of a model
    cannot be followed back, it is the last of its layers with weights.

    Args:
        model: `keras.Model`.
    """
    walk = layers_of(model)
    holders = {id(layer) for layer, _ in walk}
    last: list[Any] = []
    for tail in output_tails_of(model):
        for operation, _ in tail.operations:
            if id(operation) in holders and operation.weights:
                last.append(operation)
                break
    if not last:
        last = [layer for layer, held in walk if held and layer is not model][-1:]
    return set().union(*map(_below, last))


def united(these: list[Held], those: list[Held], model: Any) -> list[Held]:
    """Variables of two selections, in the order of the model where it is known."""
    every = {id(held.variable): held for held in [*these, *those]}
    weights = [] if model is None else model.weights
    order = {id(variable): position for position, variable in enumerate(weights)}
    return sorted(every.values(), key=lambda held: order.get(id(held.variable), -1))


def _below(layer: keras.Layer) -> set[int]:
    return {id(v) for _, held in layers_of(layer) for v in held.values()}


def _available(every: list[Held], layers: Sequence[keras.Layer] = ()) -> str:
    names = [layer.name for layer in layers] or [held.group for held in every]
    return listed(names)
