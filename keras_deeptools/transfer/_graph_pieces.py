"""A model, cut everywhere it can be cut without cutting through a block."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import keras

from keras_deeptools.engine import Call, calls_of, output_calls_of
from keras_deeptools.transfer._block_names import block_name, ends_cell
from keras_deeptools.transfer._graph_cuts import (
    cut_points,
    pieces_between,
    value_parents,
)


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
    >>> from keras_deeptools.transfer._graph_pieces import graph_pieces
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
