"""A model, cut everywhere it can be cut without cutting through a block."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import keras

from keras_deeptools.engine._graph.calls import Call, calls_of, output_calls_of

MASKING = ("NotEqual", "Any", "LogicalAnd", "LogicalOr")
"""Operations by which Keras makes masks of inputs and of other masks."""


def cut_points(parents: Sequence[Sequence[int]], outputs: Sequence[int]) -> list[int]:
    """The calls that lie on every path from an input to an output.

    In an order of computation these are the calls that no connection jumps over.

    Args:
        parents: For each call the positions of the calls that it reads, all before it.
        outputs: Positions of the calls that give the outputs.

    Returns:
        List of ints, in order.

    Example:

    >>> from keras_deeptools.transfer._layer_groups.graph_cuts import cut_points
    >>> cut_points([(), (0,), (1,), (1, 2), (3,)], [4])  # a skip from 1 to 3
    [0, 1, 3, 4]
    """
    furthest = [-1] * len(parents)
    for position, read in enumerate(parents):
        for parent in read:
            furthest[parent] = max(furthest[parent], position)
    for position in outputs:
        furthest[position] = len(parents)
    reached = max(position for position, read in enumerate(parents) if not read)
    found = []
    for position, read_by in enumerate(furthest):
        if reached <= position:
            found.append(position)
        reached = max(reached, read_by)
    return found


def value_parents(calls: Sequence[Call]) -> list[tuple[int, ...]]:
    """For each call the calls that it reads values from, masks left out.

    A mask of padded places goes past every layer, and carries nothing of what these
    compute.

    Args:
        calls: What `calls_of` returned.
    """
    masks: set[int] = set()
    parents = []
    for position, call in enumerate(calls):
        kept = tuple(parent for parent in call.parents if parent not in masks)
        if type(call.operation).__name__ in MASKING:
            masks.add(position)
            kept = kept or tuple(call.parents[:1])
        parents.append(kept)
    return parents


def pieces_between(
    parents: Sequence[Sequence[int]], boundaries: Sequence[int]
) -> list[list[int]]:
    """What each boundary needs that no boundary before it needs.

    Args:
        parents: As in `cut_points`.
        boundaries: Positions of calls, in order.

    Returns:
        List of lists of positions, one for each boundary, in order; a last one where
        calls are left over.

    Example:

    >>> from keras_deeptools.transfer._layer_groups.graph_cuts import pieces_between
    >>> pieces_between([(), (0,), (1,), (1, 2), (3,)], [1, 4])
    [[0, 1], [2, 3, 4]]
    """
    taken: set[int] = set()
    pieces = []
    for boundary in boundaries:
        piece = []
        waiting = [boundary]
        while waiting:
            position = waiting.pop()
            if position not in taken:
                taken.add(position)
                piece.append(position)
                waiting.extend(parents[position])
        pieces.append(sorted(piece))
    left = [position for position in range(len(parents)) if position not in taken]
    return [*pieces, left] if left else pieces


# The numbered blocks of keras.applications: block_1_expand, conv2_block1_1_conv,
# block1a_se_reduce, convnext_tiny_stage_0_block_1_gelu, block35_4_mixed.
_NUMBERED = re.compile(r"(.*block(?:(?:8|17|35)_\d+|_?\d+[a-z]?))(?:_|$)")
_EXPANDED = re.compile(r"(expanded_conv(?:_\d+)?)(?:_|$)")  # MobileNetV2 and V3
_MIXED = re.compile(r"(mixed_?\d+[a-z]?)(?:_|$)")  # Inception
_DEPTHWISE = re.compile(r"conv_(?:dw|pw|pad)_(\d+)(?:_|$)")  # MobileNet
_CELL = re.compile(r"(?:normal|reduction)_concat_(.+)")  # NASNet


def block_name(name: str) -> str | None:
    """The block that the name of a layer says it is in, None where it names none.

    Args:
        name: Str, name of a layer.

    Example:

    >>> from keras_deeptools.transfer._layer_groups.graph_cuts import block_name
    >>> block_name("conv2_block1_1_conv"), block_name("block1a_dwconv")
    ('conv2_block1', 'block1a')
    >>> block_name("conv_dw_3_relu"), block_name("activation_17")
    ('conv_block_3', None)
    """
    for pattern in (_NUMBERED, _EXPANDED, _MIXED):
        if found := pattern.match(name):
            return found[1]
    if found := _DEPTHWISE.match(name):
        return f"conv_block_{found[1]}"
    if found := _CELL.match(name):
        return f"cell_{found[1]}"
    return None


def ends_cell(name: str) -> bool:
    """True for what ends a NASNet cell.

    A cell reads the two cells before it, so that no call lies on every path.

    Args:
        name: Str, name of a layer.

    Example:

    >>> from keras_deeptools.transfer._layer_groups.graph_cuts import ends_cell
    >>> ends_cell("normal_concat_3"), ends_cell("conv2_block1_concat")
    (True, False)
    """
    return _CELL.match(name) is not None


@dataclass(frozen=True, eq=False)
class Piece:
    """What lies between two cuts; made by `graph_pieces`.

    Attributes:
        layers: Tuple of `keras.Layer` with weights, at least one.
        blocks: Tuple of str, the blocks that its layers name, in order.
        level: Int, how often the image has been halved where the piece ends; None
            where that is not an image, or one of unknown size.
    """

    layers: tuple[keras.Layer, ...]
    blocks: tuple[str, ...]
    level: int | None


def graph_pieces(model: keras.Model) -> list[Piece]:
    """The smallest parts of a model that can be frozen from the inputs on.

    Args:
        model: `keras.Model` with a graph.

    Returns:
        List of `Piece`, in the order of computation.

    Raises:
        ValueError: If the model has no graph or no weights.

    Example:

    >>> import keras
    >>> from keras_deeptools.transfer._layer_groups.graph_cuts import graph_pieces
    >>> dense = [keras.layers.Dense(3), keras.layers.ReLU(), keras.layers.Dense(1)]
    >>> model = keras.Sequential([keras.Input((4,)), *dense])
    >>> [len(piece.layers) for piece in graph_pieces(model)]
    [1, 1]
    """
    calls, outputs = calls_of(model, wrapped=True), output_calls_of(model, wrapped=True)
    if calls is None or outputs is None:
        remedy = (
            "Give it an Input, or call it on a batch of data, first."
            if isinstance(model, keras.Sequential)
            else "Make its groups by hand, from its layers: "
            "`LayerGroups(name, (LayerGroup(name, layers), ...))`."
        )
        raise ValueError(
            "layer_groups: `model` must have a graph: be functional, or a Sequential "
            f"that is built. Received: {type(model).__name__} {model.name!r}. {remedy}"
        )
    if not model.weights:
        raise ValueError(
            "layer_groups: `model` must have weights. Received: "
            f"{type(model).__name__} {model.name!r} without any."
        )
    parents = value_parents(calls)
    blocks = [_block_of(call) for call in calls]
    cuts = set(cut_points(parents, outputs)) - _inside_blocks(blocks)
    cuts |= {i for i, call in enumerate(calls) if ends_cell(call.operation.name)}
    listed: set[int] = set()
    pieces: list[Piece] = []
    waiting: list[int] = []
    for members in pieces_between(parents, sorted(cuts)):
        waiting += members
        layers = []
        for position in waiting:
            operation = calls[position].operation
            weighted = isinstance(operation, keras.Layer) and operation.weights
            if weighted and id(operation) not in listed:
                listed.add(id(operation))
                layers.append(operation)
        if layers:
            found = [blocks[i] for i in waiting]
            named = dict.fromkeys(block for block in found if block is not None)
            end = calls[members[-1]].shape
            pieces.append(Piece(tuple(layers), tuple(named), _level(calls, end)))
            waiting = []
    return pieces


def _block_of(call: Call) -> str | None:
    """The block that the call or what it is enclosed in is named after."""
    for one in (call, *reversed(call.enclosing)):
        if (block := block_name(one.operation.name)) is not None:
            return block
    return None


def _inside_blocks(blocks: Sequence[str | None]) -> set[int]:
    """The positions after which a block that has begun goes on."""
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for position, block in enumerate(blocks):
        if block is not None:
            first.setdefault(block, position)
            last[block] = position
    return {i for block in first for i in range(first[block], last[block])}


def _level(calls: Sequence[Call], shape: tuple[int | None, ...]) -> int | None:
    """How often the sides of the first image in the graph have been halved."""
    start = next((s for call in calls if (s := _sides(call.shape))), None)
    sides = _sides(shape)
    if start is None or sides is None or len(start) != len(sides):
        return None
    return round(math.log2(math.prod(start) / math.prod(sides)) / len(sides))


def _sides(shape: tuple[int | None, ...]) -> tuple[int, ...] | None:
    """The spatial sides of an image, volume or sequence, if they are known."""
    if len(shape) < 3:
        return None
    first = keras.config.image_data_format() == "channels_first"
    sides = shape[2:] if first else shape[1:-1]
    known = tuple(side for side in sides if side)
    return known if len(known) == len(sides) else None
