"""Where a graph can be cut in two: the calls that everything passes through."""

from collections.abc import Sequence

from keras_deeptools.engine import Call

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

    >>> from keras_deeptools.transfer._graph_cuts import cut_points
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

    >>> from keras_deeptools.transfer._graph_cuts import pieces_between
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
