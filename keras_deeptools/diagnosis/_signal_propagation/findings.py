"""Rules that tell from the numbers of all layers what is wrong, and the remedy."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from keras_deeptools._finding import Finding
from keras_deeptools.diagnosis._signal_propagation.measurement import LayerSignal

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

SEVERE = 100.0
"""Ratio between the ends from which on an unevenness is a problem by itself."""

MOST_SATURATED = 0.5
MOST_SATURATED_TRAINED = 0.9
"""Units of a trained network are sure of themselves."""

MOST_DEAD = 0.5
MOST_DEAD_TRAINED = 0.75
REFERENCE = "Glorot & Bengio, 2010, section 4"


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


def find(
    layers: Sequence[LayerSignal], is_trained: bool = False
) -> tuple[Finding, ...]:
    """What is wrong, the most severe first.

    The kinds are `"non-finite"`, `"vanishing signal"`, `"exploding signal"`,
    `"vanishing gradient"`, `"exploding gradient"`, `"saturated"` and `"dead"`; `where`
    is the layer where it shows most.

    Args:
        layers: The layers in order, from the inputs to the outputs.
        is_trained: Bool, whether weights are no longer what initializers have drawn.
            Training makes layers differ, so that more is needed for a finding.
    """
    for layer in layers:
        numbers = [layer.mean, layer.std]
        if not math.isnan(layer.gradient_std) or layer.gradient_std == math.inf:
            numbers.append(layer.gradient_std)
        if not all(map(math.isfinite, numbers)):
            return (
                Finding(
                    "non-finite",
                    layer.name,
                    "Its outputs or gradients are infinite or not a number.",
                    "Scale the inputs; scale the weights with `initializers.lsuv`.",
                    evidence={
                        "mean": layer.mean,
                        "std": layer.std,
                        "gradient_std": layer.gradient_std,
                    },
                ),
            )
    started = [each for each in layers if not _begins_at_zero(each, layers)]
    weighted = [layer for layer in hidden_of(layers) if layer.weighted]
    hidden = [each for each in weighted if each in started]
    return (
        *_signals(compared_signals(hidden, is_trained)),
        *_gradients(compared_gradients(hidden, is_trained)),
        *_saturated(hidden_of(layers) if is_trained else layers, is_trained),
        *_dead(started, is_trained),
    )


def hidden_of(layers: Sequence[LayerSignal]) -> Sequence[LayerSignal]:
    """The layers before the last that holds weights, whose limits may be the targets.

    Args:
        layers: The layers in order.
    """
    last = max((i for i, each in enumerate(layers) if each.weighted), default=0)
    return layers[:last]


def _begins_at_zero(layer: LayerSignal, layers: Sequence[LayerSignal]) -> bool:
    """Whether a layer whose kernel is zero will leave it with the first update.

    So begin outputs, and the last layers of residual branches (Fixup, LayerScale).
    """
    if not (layer.weighted and layer.zero == 1 and layer.pre_activation_std == 0):
        return False
    if not math.isnan(layer.weight_gradient_std):
        return layer.weight_gradient_std > 0
    after = [each for each in layers[layers.index(layer) + 1 :] if each.weighted]
    return not after or any(each.std > 0 for each in after)


def _severity(comparison: Comparison) -> str:
    return "problem" if comparison.factor > SEVERE else "warning"


def _told(comparison: Comparison) -> str:
    if math.isinf(comparison.factor):
        return "to nothing"
    how = "less" if comparison.ratio < 1 else "more"
    return f"{comparison.factor:.3g} times {how}"


def _signals(found: Comparison | None) -> Iterator[Finding]:
    if found is None:
        return
    first, last = found.start, found.end
    yield Finding(
        f"{found.kind} signal",
        last.name,
        f"The standard deviation of outputs goes from {first.std:.3g} at "
        f"{first.name} to {last.std:.3g}, {_told(found)} over {found.layers} "
        f"{first.kind} layers.",
        "Initialize for the activation (`initializers.initializer_for`), or let "
        "`initializers.lsuv` measure; or normalize (BatchNormalization).",
        severity=_severity(found),
        evidence={
            "first_std": first.std,
            "last_std": last.std,
            "ratio": found.ratio,
            "layers": found.layers,
            "most_ratio": found.limit,
        },
        code="keras_deeptools.initializers.lsuv(model, x)",
        reference=REFERENCE,
    )


def _gradients(found: Comparison | None) -> Iterator[Finding]:
    if found is None:
        return
    last, first = found.start, found.end
    yield Finding(
        f"{found.kind} gradient",
        first.name,
        f"On the way back from {last.name} the gradient of the pre-activations "
        f"goes from {last.gradient_std:.3g} to {first.gradient_std:.3g}, "
        f"{_told(found)} over {found.layers} {first.kind} layers.",
        "Let `initializers.rebalance` scale the weights for both directions; or "
        "add skip connections, or normalize.",
        severity=_severity(found),
        evidence={
            "last_gradient": last.gradient_std,
            "first_gradient": first.gradient_std,
            "ratio": found.ratio,
            "layers": found.layers,
            "most_ratio": found.limit,
        },
        code="keras_deeptools.initializers.rebalance(model, x, y)",
        reference=REFERENCE,
    )


def _saturated(layers: Sequence[LayerSignal], is_trained: bool) -> Iterator[Finding]:
    most = MOST_SATURATED_TRAINED if is_trained else MOST_SATURATED
    known = [layer for layer in layers if layer.saturated > most]
    if not known:
        return
    worst = max(known, key=lambda layer: layer.saturated)
    yield Finding(
        "saturated",
        worst.name,
        f"{worst.saturated:.0%} of its outputs are next to a limit of its activation, "
        "where the gradient is nearly zero.",
        "Scale the inputs to standard deviation 1 and the weights with "
        "`initializers.lsuv`, or take an activation without limits.",
        severity="warning",
        evidence={"saturated": worst.saturated, "most_saturated": most},
        code="keras_deeptools.initializers.lsuv(model, x)",
        reference=REFERENCE,
    )


def _dead(layers: Sequence[LayerSignal], is_trained: bool) -> Iterator[Finding]:
    most = MOST_DEAD_TRAINED if is_trained else MOST_DEAD
    known = [layer for layer in layers if layer.dead > most]
    if not known:
        return
    worst = max(known, key=lambda layer: layer.dead)
    yield Finding(
        "dead",
        worst.name,
        f"{worst.dead:.0%} of its units put out the same for every row.",
        "Center the inputs, lower biases that are far below zero, or take an "
        "activation that leaks; check that the kernel is not zero.",
        severity="warning",
        evidence={"dead": worst.dead, "most_dead": most},
    )
