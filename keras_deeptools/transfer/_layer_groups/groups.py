"""Layers of a model that are frozen, unfrozen and trained together."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras

from keras_deeptools._text_table import text_table
from keras_deeptools.engine._graph.layers import layers_of


@dataclass(frozen=True, eq=False)
class LayerGroup:
    """Layers next to one another in a model's graph; made by `layer_groups`.

    The layers are the model's own, so that the counts follow when they are frozen.

    Attributes:
        name: Str, the first and last block in the group, or layer.
        layers: Tuple of `keras.Layer`, those with weights, in the order of computation.

    Example:

    >>> import keras
    >>> from keras_deeptools.transfer import layer_groups
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="a")])
    >>> group = layer_groups(model)[0]
    >>> group.num_parameters, group.state
    (15, 'trainable')
    >>> group.layers[0].trainable = False
    >>> group.num_trainable, group.state
    (0, 'frozen')
    """

    name: str
    layers: tuple[keras.Layer, ...]

    @property
    def num_parameters(self) -> int:
        """Int, number of weights, moving statistics among them."""
        return sum(_size(variable) for _, variable in self._held())

    @property
    def num_trainable(self) -> int:
        """Int, number of weights that training changes."""
        return sum(_size(variable) for _, variable in self._held() if _trains(variable))

    @property
    def state(self) -> str:
        """`"trainable"`, `"frozen"`, or `"partly frozen"`."""
        if not self.num_trainable:
            return "frozen"
        flags = {bool(layer.trainable) for layer, _ in self._held()}
        return "trainable" if flags == {True} else "partly frozen"

    def _held(self) -> list[tuple[keras.Layer, Any]]:
        """The layers inside that hold weights, each with every weight of its own."""
        found: dict[int, tuple[keras.Layer, Any]] = {}
        for outer in self.layers:
            own = {id(variable) for variable in outer.weights}
            for layer, variables in layers_of(outer):
                for variable in variables.values():
                    if id(variable) in own:
                        found.setdefault(id(variable), (layer, variable))
        return list(found.values())


@dataclass(frozen=True, eq=False)
class LayerGroups:
    """The layer groups of a model, from the inputs on; made by `layer_groups`.

    A sequence of `LayerGroup`; a group is also found by its name.

    Attributes:
        model_name: Str.
        groups: Tuple of `LayerGroup`.

    Example:

    >>> import keras
    >>> from keras_deeptools.transfer import layer_groups
    >>> model = keras.Sequential(
    ...     [
    ...         keras.Input((4,)),
    ...         keras.layers.Dense(3, name="hidden"),
    ...         keras.layers.Dense(2, name="outputs"),
    ...     ],
    ...     name="small",
    ... )
    >>> model.get_layer("hidden").trainable = False
    >>> groups = layer_groups(model)
    >>> print(groups)
    small: 2 layer groups, 8 of 23 parameters train.
    group       layers  parameters  trainable  state
    0  hidden        1          15          0  frozen
    1  outputs       1           8          8  trainable
    >>> groups["outputs"] is groups[-1], len(groups)
    (True, 2)
    """

    model_name: str
    groups: tuple[LayerGroup, ...]

    def __len__(self) -> int:
        return len(self.groups)

    def __iter__(self) -> Iterator[LayerGroup]:
        return iter(self.groups)

    def __getitem__(self, key: int | str) -> LayerGroup:
        if not isinstance(key, str):
            return self.groups[key]
        for group in self.groups:
            if group.name == key:
                return group
        raise KeyError(
            f"LayerGroups: no group is named {key!r}. Choose from: {self.names}."
        )

    @property
    def names(self) -> list[str]:
        """List of str, the names of the groups in order."""
        return [group.name for group in self.groups]

    def table(self) -> str:
        """Parameters and state of each group as lines of text, columns aligned."""
        titles = ["group", "layers", "parameters", "trainable", "state"]
        rows = []
        digits = len(str(len(self) - 1))
        for number, group in enumerate(self.groups):
            counts = (len(group.layers), group.num_parameters, group.num_trainable)
            title = f"{number:>{digits}}  {group.name}"
            rows.append([title, *(f"{count:,}" for count in counts), group.state])
        return text_table(titles, rows, text=(0, -1))

    def __str__(self) -> str:
        """What trains now, in one line, and the table."""
        total = sum(group.num_parameters for group in self.groups)
        trainable = sum(group.num_trainable for group in self.groups)
        count = f"{len(self)} layer group{'s' * (len(self) != 1)}"
        weights = f"{trainable:,} of {total:,} parameters train"
        return f"{self.model_name}: {count}, {weights}.\n{self.table()}"


def _size(variable: Any) -> int:
    size = 1
    for length in variable.shape:
        size *= length
    return size


def _trains(variable: Any) -> bool:
    return bool(variable.trainable)
