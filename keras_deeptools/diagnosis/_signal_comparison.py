"""Comparing the ends of a network: only layers that are of one kind."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from keras_deeptools.diagnosis._layer_signal import LayerSignal

UNEVEN = 5.0
"""Ratio between the ends of a line of layers of one kind and shape that is uneven.

Glorot and Bengio's standard initialization has 10 over five layers, their normalized
one 2."""

UNEVEN_MIXED = 30.0
"""The same where shapes differ, or a normalization is in between.

Wider layers and pooling change scales a little each. A normalization restores signals,
and divides gradients by what it divides signals by, which is different at each."""

UNEVEN_TRAINED = 100.0
"""The same once weights have been trained: by then layers differ."""

APART = {"EinsumDense", "Embedding", "ReversibleEmbedding"}
"""Layers that are in no line: the projections of attention, whose queries and keys get
other gradients than values, and tables, which multiply nothing."""


@dataclass(frozen=True)
class Comparison:
    """Two ends of a line of layers that differ too much.

    Attributes:
        start: `LayerSignal`, where signals, or gradients on their way back, come from.
        end: `LayerSignal`, where they arrive.
        ratio: Float, the end over the start.
        layers: Int, how many layers are in the line.
        limit: Float > 1, the ratio from which on it is a finding.
    """

    start: LayerSignal
    end: LayerSignal
    ratio: float
    layers: int
    limit: float

    @property
    def kind(self) -> str:
        """Str, `"vanishing"` or `"exploding"`."""
        return "vanishing" if self.ratio < 1 else "exploding"

    @property
    def factor(self) -> float:
        """Float >= 1, how many times more or less."""
        if self.ratio == 0:
            return math.inf
        return max(self.ratio, 1 / self.ratio)


def compared_signals(
    hidden: Sequence[LayerSignal], is_trained: bool
) -> Comparison | None:
    """The line of hidden layers along which outputs change most, if it is too much.

    Args:
        hidden: Layers that hold weights, in order, without the last.
        is_trained: Bool.
    """
    lines = list(_lines(hidden, is_trained))
    return _worst([_between(line, lambda x: x.std, limit) for line, limit in lines])


def compared_gradients(
    hidden: Sequence[LayerSignal], is_trained: bool
) -> Comparison | None:
    """The line of hidden layers along which gradients change most on their way back.

    Compared is the norm of a sample's gradient: weights of variance 2 / fan-in keep it
    through any widths and strides, and not its root mean square.

    Args:
        hidden: As for `compared_signals`.
        is_trained: Bool.
    """
    known = [layer for layer in hidden if math.isfinite(layer.gradient_std)]
    lines = list(_lines(known, is_trained))
    return _worst([_between(line[::-1], _norm, limit) for line, limit in lines])


def _norm(layer: LayerSignal) -> float:
    return layer.gradient_std * math.sqrt(math.prod(n or 1 for n in layer.shape))


def _lines(
    hidden: Sequence[LayerSignal], is_trained: bool
) -> Iterator[tuple[list[LayerSignal], float]]:
    """Layers that can be compared, and the ratio that is too much for them."""
    alike: dict[tuple, list[LayerSignal]] = {}
    for layer in hidden:
        if layer.kind not in APART:
            alike.setdefault((layer.kind, len(layer.shape)), []).append(layer)
    for line in alike.values():
        shapes: dict[tuple, list[LayerSignal]] = {}
        for layer in line:
            shapes.setdefault(layer.shape, []).append(layer)
        for same in [*shapes.values(), line]:
            if is_trained:
                yield same, UNEVEN_TRAINED
            elif len(shapes) > 1 and same is line or _is_normalized(same):
                yield same, UNEVEN_MIXED
            else:
                yield same, UNEVEN


def _is_normalized(line: Sequence[LayerSignal]) -> bool:
    return line[-1].normalizations > line[0].normalizations


def _between(
    line: Sequence[LayerSignal], measure: Callable[[LayerSignal], float], limit: float
) -> Comparison | None:
    start, end = line[0], line[-1]
    first, last = measure(start), measure(end)
    if len(line) < 2 or first == 0:
        return None
    found = Comparison(start, end, last / first, len(line), limit)
    return found if found.factor > limit else None


def _worst(found: Sequence[Comparison | None]) -> Comparison | None:
    known = [each for each in found if each is not None]
    return max(known, key=lambda each: each.factor / each.limit, default=None)
