"""Rules that tell from the numbers of all layers what is wrong, and the remedy."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from keras_deeptools.diagnosis._layer_signal import LayerSignal

UNEVEN = 5.0
"""Ratio between the ends of a network from which on signals or gradients are uneven."""

MOST_SATURATED = 0.5
MOST_DEAD = 0.5


@dataclass(frozen=True)
class SignalFinding:
    """Something that keeps signals or gradients from passing, and what to change.

    Args:
        kind: Str: `"non-finite"`, `"vanishing signal"`, `"exploding signal"`,
            `"vanishing gradient"`, `"exploding gradient"`, `"saturated"` or `"dead"`.
        layer: Str, where it shows most.
        message: Str, what was seen, with numbers.
        remedy: Str, what to change.

    Example:

    >>> from keras_deeptools.diagnosis import SignalFinding
    >>> print(SignalFinding("dead", "dense", "All units are dead.", "Use lsuv."))
    dead at dense: All units are dead. Use lsuv.
    """

    kind: str
    layer: str
    message: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.kind} at {self.layer}: {self.message} {self.remedy}"


def find(layers: Sequence[LayerSignal]) -> tuple[SignalFinding, ...]:
    """What is wrong, the most severe first.

    Args:
        layers: The layers in order, from the inputs to the outputs.
    """
    weighted = [layer for layer in layers if layer.weighted]
    hidden = weighted[:-1]
    for layer in layers:
        numbers = [layer.mean, layer.std]
        if not math.isnan(layer.gradient_std) or layer.gradient_std == math.inf:
            numbers.append(layer.gradient_std)
        if not all(map(math.isfinite, numbers)):
            return (
                SignalFinding(
                    "non-finite",
                    layer.name,
                    "Its outputs or gradients are infinite or not a number.",
                    "Scale the inputs; scale the weights with `initializers.lsuv`.",
                ),
            )
    found = [*_signals(hidden), *_gradients(hidden)]
    found += [finding for finding in (_saturated(layers), _dead(layers)) if finding]
    return tuple(found)


def _signals(hidden: list[LayerSignal]) -> list[SignalFinding]:
    if len(hidden) < 2:
        return []
    first, last = hidden[0], hidden[-1]
    kind, factor = _direction(first.std, last.std)
    if kind is None:
        return []
    return [
        SignalFinding(
            f"{kind} signal",
            last.name,
            f"The standard deviation of outputs goes from {first.std:.3g} at "
            f"{first.name} to {last.std:.3g}, {factor} over {len(hidden)} layers.",
            "Initialize for the activation (`initializers.initializer_for`), or let "
            "`initializers.lsuv` measure; or normalize (BatchNormalization).",
        )
    ]


def _gradients(hidden: list[LayerSignal]) -> list[SignalFinding]:
    known = [layer for layer in hidden if math.isfinite(layer.gradient_std)]
    if len(known) < 2:
        return []
    first, last = known[0], known[-1]
    kind, factor = _direction(last.gradient_std, first.gradient_std)
    if kind is None:
        return []
    return [
        SignalFinding(
            f"{kind} gradient",
            first.name,
            f"On the way back from {last.name} the gradient of the pre-activations "
            f"goes from {last.gradient_std:.3g} to {first.gradient_std:.3g}, {factor} "
            f"over {len(known)} layers.",
            "Let `initializers.rebalance` scale the weights for both directions; or "
            "add skip connections, or normalize.",
        )
    ]


def _direction(start: float, end: float) -> tuple[str | None, str]:
    if start == 0 or end == 0:
        return ("vanishing", "to nothing") if end == 0 < start else (None, "")
    ratio = end / start
    if ratio < 1 / UNEVEN:
        return "vanishing", f"{1 / ratio:.3g} times less"
    if ratio > UNEVEN:
        return "exploding", f"{ratio:.3g} times more"
    return None, ""


def _saturated(layers: Sequence[LayerSignal]) -> SignalFinding | None:
    known = [layer for layer in layers if layer.saturated > MOST_SATURATED]
    if not known:
        return None
    worst = max(known, key=lambda layer: layer.saturated)
    return SignalFinding(
        "saturated",
        worst.name,
        f"{worst.saturated:.0%} of its outputs are next to a limit of its activation, "
        "where the gradient is nearly zero.",
        "Scale the inputs to standard deviation 1 and the weights with "
        "`initializers.lsuv`, or take an activation without limits.",
    )


def _dead(layers: Sequence[LayerSignal]) -> SignalFinding | None:
    known = [layer for layer in layers if layer.dead > MOST_DEAD]
    if not known:
        return None
    worst = max(known, key=lambda layer: layer.dead)
    return SignalFinding(
        "dead",
        worst.name,
        f"{worst.dead:.0%} of its units put out the same for every row.",
        "Center the inputs, lower biases that are far below zero, or take an "
        "activation that leaks; check that the kernel is not zero.",
    )
