"""Rules that tell from the numbers of all layers what is wrong, and the remedy."""

import math
from collections.abc import Sequence

from keras_deeptools._finding import Finding
from keras_deeptools.diagnosis._layer_signal import LayerSignal

UNEVEN = 5.0
"""Ratio between the ends of a network from which on signals or gradients are uneven."""

MOST_SATURATED = 0.5
MOST_DEAD = 0.5
REFERENCE = "Glorot & Bengio, 2010, section 4"


def find(layers: Sequence[LayerSignal]) -> tuple[Finding, ...]:
    """What is wrong, the most severe first.

    The kinds are `"non-finite"`, `"vanishing signal"`, `"exploding signal"`,
    `"vanishing gradient"`, `"exploding gradient"`, `"saturated"` and `"dead"`; `where`
    is the layer where it shows most.

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
    found = [*_signals(hidden), *_gradients(hidden)]
    found += [finding for finding in (_saturated(layers), _dead(layers)) if finding]
    return tuple(found)


def _signals(hidden: list[LayerSignal]) -> list[Finding]:
    if len(hidden) < 2:
        return []
    first, last = hidden[0], hidden[-1]
    kind, factor = _direction(first.std, last.std)
    if kind is None:
        return []
    return [
        Finding(
            f"{kind} signal",
            last.name,
            f"The standard deviation of outputs goes from {first.std:.3g} at "
            f"{first.name} to {last.std:.3g}, {factor} over {len(hidden)} layers.",
            "Initialize for the activation (`initializers.initializer_for`), or let "
            "`initializers.lsuv` measure; or normalize (BatchNormalization).",
            evidence={
                "first_std": first.std,
                "last_std": last.std,
                "ratio": last.std / first.std,
                "layers": len(hidden),
                "most_ratio": UNEVEN,
            },
            code="keras_deeptools.initializers.lsuv(model, x)",
            reference=REFERENCE,
        )
    ]


def _gradients(hidden: list[LayerSignal]) -> list[Finding]:
    known = [layer for layer in hidden if math.isfinite(layer.gradient_std)]
    if len(known) < 2:
        return []
    first, last = known[0], known[-1]
    kind, factor = _direction(last.gradient_std, first.gradient_std)
    if kind is None:
        return []
    return [
        Finding(
            f"{kind} gradient",
            first.name,
            f"On the way back from {last.name} the gradient of the pre-activations "
            f"goes from {last.gradient_std:.3g} to {first.gradient_std:.3g}, {factor} "
            f"over {len(known)} layers.",
            "Let `initializers.rebalance` scale the weights for both directions; or "
            "add skip connections, or normalize.",
            evidence={
                "last_gradient": last.gradient_std,
                "first_gradient": first.gradient_std,
                "ratio": first.gradient_std / last.gradient_std,
                "layers": len(known),
                "most_ratio": UNEVEN,
            },
            code="keras_deeptools.initializers.rebalance(model, x, y)",
            reference=REFERENCE,
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


def _saturated(layers: Sequence[LayerSignal]) -> Finding | None:
    known = [layer for layer in layers if layer.saturated > MOST_SATURATED]
    if not known:
        return None
    worst = max(known, key=lambda layer: layer.saturated)
    return Finding(
        "saturated",
        worst.name,
        f"{worst.saturated:.0%} of its outputs are next to a limit of its activation, "
        "where the gradient is nearly zero.",
        "Scale the inputs to standard deviation 1 and the weights with "
        "`initializers.lsuv`, or take an activation without limits.",
        severity="warning",
        evidence={"saturated": worst.saturated, "most_saturated": MOST_SATURATED},
        code="keras_deeptools.initializers.lsuv(model, x)",
        reference=REFERENCE,
    )


def _dead(layers: Sequence[LayerSignal]) -> Finding | None:
    known = [layer for layer in layers if layer.dead > MOST_DEAD]
    if not known:
        return None
    worst = max(known, key=lambda layer: layer.dead)
    return Finding(
        "dead",
        worst.name,
        f"{worst.dead:.0%} of its units put out the same for every row.",
        "Center the inputs, lower biases that are far below zero, or take an "
        "activation that leaks; check that the kernel is not zero.",
        severity="warning",
        evidence={"dead": worst.dead, "most_dead": MOST_DEAD},
    )
