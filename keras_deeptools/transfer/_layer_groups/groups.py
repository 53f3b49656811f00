"""Layers of a model that are frozen and trained together, and how they are found."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras

from keras_deeptools._arguments import checked_count, message
from keras_deeptools._text_table import NotebookText, text_table
from keras_deeptools.engine._graph.layers import layers_of
from keras_deeptools.transfer._layer_groups.graph_cuts import Piece, graph_pieces


@dataclass(frozen=True, eq=False)
class LayerGroup:
    """Layers next to one another in a model's graph; made by `layer_groups`.

    The layers are the model's own, so the counts follow when layers are frozen.

    Attributes:
        name: Str, the first and the last block or layer in the group.
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
        """Int, number of parameters, moving statistics among them."""
        return sum(_size(variable) for _, variable in self._held())

    @property
    def num_trainable(self) -> int:
        """Int, number of parameters that training changes."""
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
class LayerGroups(NotebookText):
    """The layer groups of a model, from the inputs on; made by `layer_groups`.

    The object is a sequence of `LayerGroup`; a group is also found by its name.

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


def layer_groups(model: keras.Model, num_groups: int | None = None) -> LayerGroups:
    """Divides a model into parts, from the inputs on, to freeze and unfreeze.

    A model is cut only at layers that everything passes through, and never inside a
    block; blocks are recognized by names such as `block_3_expand` or
    `conv4_block6_out`. Of these cuts, the last one before each halving of the image is
    taken, so that a group contains the layers that work at one resolution. The layers
    after pooling, the head, are the last group. A model without images, or whose image
    sizes are None, is cut everywhere it can be.

    Args:
        model: `keras.Model` with a graph: functional, a built Sequential, or these with
            others inside. A subclassed model or layer inside is never cut.
        num_groups: Int >= 1 or None. If this is fewer groups than found, the neighbours
            with the fewest layers are joined, the head last; if more, the group with
            the most layers is halved.

    Returns:
        `LayerGroups`. Layers that are used several times belong to the first group that
        uses them; layers without weights are not listed.

    Raises:
        ValueError: If the model has no graph or no weights, or fewer cuts than
            `num_groups` needs.
        TypeError: If an argument is of the wrong type.

    Example:

    >>> import keras
    >>> from keras_deeptools.transfer import layer_groups
    >>> conv = keras.layers.Conv2D
    >>> model = keras.Sequential(
    ...     [
    ...         keras.Input((32, 32, 3)),
    ...         conv(4, 3, padding="same", name="block1_conv1"),
    ...         conv(4, 3, 2, padding="same", name="block1_conv2"),
    ...         conv(4, 3, 2, padding="same", name="block2_conv1"),
    ...         keras.layers.GlobalAveragePooling2D(),
    ...         keras.layers.Dense(2, name="outputs"),
    ...     ],
    ...     name="small",
    ... )
    >>> print(layer_groups(model))
    small: 3 layer groups, 418 of 418 parameters train.
    group       layers  parameters  trainable  state
    0  block1        2         260        260  trainable
    1  block2        1         148        148  trainable
    2  outputs       1          10         10  trainable
    >>> layer_groups(model, num_groups=2).names
    ['block1 .. block2', 'outputs']

    Reference:
        Howard & Ruder, 2018, section 3.3 (what groups are for).
        https://arxiv.org/abs/1801.06146
    """
    if not isinstance(model, keras.Model):
        raise TypeError(message("layer_groups", "model", "a `keras.Model`", model))
    pieces = graph_pieces(model)
    groups = _stages(pieces)
    if num_groups is not None:
        count = checked_count("layer_groups", "num_groups", num_groups)
        if count > len(pieces):
            rule = f"at most {len(pieces)} for this model"
            remedy = "It can be cut at no more places without cutting through a block."
            raise ValueError(message("layer_groups", "num_groups", rule, count, remedy))
        groups = _regrouped(groups, count)
    names = [_name(number, group) for number, group in enumerate(groups)]
    return LayerGroups(
        model.name,
        tuple(
            LayerGroup(
                name if names.count(name) == 1 else f"{name} ({number})",
                tuple(layer for piece in group for layer in piece.layers),
            )
            for number, (name, group) in enumerate(zip(names, groups, strict=True))
        ),
    )


def _stages(pieces: list[Piece]) -> list[list[Piece]]:
    """Neighbours at one resolution together; alone where there is only one."""
    if len({piece.level for piece in pieces} - {None}) < 2:
        return [[piece] for piece in pieces]
    stages = [[pieces[0]]]
    for piece in pieces[1:]:
        if piece.level == stages[-1][-1].level:
            stages[-1].append(piece)
        else:
            stages.append([piece])
    return stages


def _regrouped(groups: list[list[Piece]], count: int) -> list[list[Piece]]:
    """As many groups as asked for."""
    groups = [list(group) for group in groups]
    while len(groups) > count:
        # The head, what comes last, is joined to another group last.
        joints = range(max(len(groups) - 2, 1))
        at = min(joints, key=lambda i: _num_layers(groups[i] + groups[i + 1]))
        groups[at : at + 2] = [groups[at] + groups[at + 1]]
    while len(groups) < count:
        divisible = [i for i, group in enumerate(groups) if len(group) > 1]
        at = max(divisible, key=lambda i: _num_layers(groups[i]))
        whole = groups[at]
        half = min(
            range(1, len(whole)),
            key=lambda cut: abs(_num_layers(whole[:cut]) - _num_layers(whole[cut:])),
        )
        groups[at : at + 1] = [whole[:half], whole[half:]]
    return groups


def _num_layers(group: list[Piece]) -> int:
    return sum(len(piece.layers) for piece in group)


def _name(number: int, group: list[Piece]) -> str:
    """The blocks from first to last, or the layers, or just a number."""
    layers = [layer for piece in group for layer in piece.layers]
    names = [block for piece in group for block in piece.blocks]
    if not names:
        if _is_named_by_keras(layers[0]) or _is_named_by_keras(layers[-1]):
            return f"group_{number}"
        names = [layer.name for layer in layers]
    return names[0] if names[0] == names[-1] else f"{names[0]} .. {names[-1]}"


def _is_named_by_keras(layer: keras.Layer) -> bool:
    """True for names such as `conv2d_17`, whose number depends on the session."""
    stem = re.sub(r"_\d+$", "", layer.name)
    return stem.replace("_", "") == type(layer).__name__.lower()
