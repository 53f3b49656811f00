"""Traps in weights: equal kernels, fans of another layer, NaN, what cannot train."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_deeptools._finding import Finding
from keras_deeptools.diagnosis._audit.subject import (
    MEASURED,
    Subject,
    listing,
    setting_of,
)
from keras_deeptools.diagnosis._signal_propagation.findings import UNEVEN
from keras_deeptools.engine._graph.layers import layers_of
from keras_deeptools.initializers import FanScaling, fans
from keras_deeptools.statistics._incoming_axes import NORMALIZERS, TRANSPOSED

ROLES = ("kernel", "recurrent_kernel", "depthwise_kernel", "pointwise_kernel")
"""What weights can be to a layer for these rules to look at them."""

GIVEN = "were given the same values"

FAR_OFF = 4.0
"""A variance this many times too large or small is a finding; a fused LSTM kernel is
at most 2.5 times off."""


def equal_kernels(subject: Subject) -> Iterator[Finding]:
    """Kernels of two layers with the same random numbers."""
    groups: dict[tuple[Any, ...], list[tuple[Any, str, Any]]] = {}
    for layer, held in subject.layers:
        for role, variable in held.items():
            value = subject.value(variable)
            known = role in ROLES and variable.trainable and value.size >= 4
            if not known or not _is_random(value):
                continue
            key = (value.shape, hash(value.tobytes()))
            groups.setdefault(key, []).append((layer, role, variable))
    copies = _layers_of_copies(subject)
    for group in groups.values():
        if len({id(variable) for _, _, variable in group}) > 1:
            used = [setting_of(it, role, "initializer") for it, role, _ in group]
            why = _why_equal(used)
            if why == GIVEN and all(id(layer) in copies for layer, _, _ in group):
                # A target network or a moving teacher, which begins as a copy.
                continue
            yield Finding(
                "equal kernels",
                listing(layer.name for layer, _, _ in group),
                f"Their kernels of shape {tuple(group[0][2].shape)} are equal to the "
                f"last bit: they {why}.",
                "Give each layer its own seed, or use `initialize(model)`.",
                evidence={"equal": len(group), "shape": list(group[0][2].shape)},
                code="keras_deeptools.initializers.initialize(model)",
                reference=MEASURED,
            )


def _why_equal(initializers: list[Any]) -> str:
    """How kernels came to be equal, as far as their initializers tell."""
    if len({id(it) for it in initializers}) == 1:
        return "share one initializer object"
    seeds = [getattr(it, "seed", None) for it in initializers]
    if seeds[0] is not None and len(set(map(str, seeds))) == 1:
        return "have initializers with the same seed"
    return GIVEN


def _layers_of_copies(subject: Subject) -> set[int]:
    """Identities of layers in networks whose weights are all equal to another's."""
    found: dict[Any, list[Any]] = {}
    for network, _ in subject.layers[1:]:
        weights = network.weights if isinstance(network, keras.Model) else []
        if weights:
            values = [subject.value(weight) for weight in weights]
            key = tuple((value.shape, hash(value.tobytes())) for value in values)
            found.setdefault(key, []).append(network)
    copies = [network for same in found.values() if len(same) > 1 for network in same]
    return {id(layer) for network in copies for layer, _ in layers_of(network)}


def _is_random(value: np.ndarray) -> bool:
    """False for constants, identities and the like, which are equal on purpose."""
    return np.unique(value.ravel()[:1000]).size > min(value.size, 1000) / 2


def wrong_fans(subject: Subject) -> Iterator[Finding]:
    """Kernels that still have the variance of a fan that the layer does not have."""
    found: dict[str, list[tuple[str, float]]] = {}
    restored = _before_normalizations(subject)
    # What is left of the scale of signals, where nothing restores it.
    scale = 1.0
    for layer, held in subject.layers:
        for role, variable in held.items():
            ratio = variance_ratio(subject, layer, role, variable)
            if ratio is not None and not 1 / FAR_OFF < ratio < FAR_OFF:
                kind = type(layer).__name__
                found.setdefault(kind, []).append((layer.name, ratio))
                if id(layer) not in restored:
                    scale *= ratio**0.5
    harms = not 1 / UNEVEN < scale < UNEVEN
    for kind, pairs in found.items():
        ratios = sorted(ratio for _, ratio in pairs)
        span = f"{ratios[0]:.2g}"
        if len(ratios) > 1:
            span += f" to {ratios[-1]:.2g}"
        yield Finding(
            "wrong fans",
            listing(name for name, _ in pairs),
            f"The fans that Keras reads from the shape of a {kind} kernel are not the "
            f"layer's: its variance is {span} times what the initializer is meant to "
            "give. A normalization after it restores the scale of signals in training.",
            "Use `initializer_for(activation, layer)`, or `initialize(model)` before "
            "training.",
            severity="warning" if harms else "note",
            evidence={
                "variance_ratios": [ratios[0], ratios[-1]],
                "most_ratio": FAR_OFF,
            },
            code="keras_deeptools.initializers.initialize(model)",
            reference=MEASURED,
        )


def _before_normalizations(subject: Subject) -> set[int]:
    """Identities of layers whose outputs all go into normalizations."""
    return {
        id(call.operation)
        for position, call in enumerate(subject.calls)
        if subject.children.get(position)
        and all(
            isinstance(child.operation, NORMALIZERS)
            for child in subject.children_of(position)
        )
    }


def variance_ratio(
    subject: Subject, layer: keras.Layer, role: str, variable: Any
) -> float | None:
    """Variance of an untrained kernel over what its initializer means to give.

    None where the initializer is none of Keras' that scale by fans, where the kernel is
    not what that initializer draws (it was trained or loaded), or where the fans of
    the layer are not known.
    """
    initializer = setting_of(layer, role, "initializer") if role in ROLES else None
    scaling = keras.initializers.VarianceScaling
    if not isinstance(initializer, scaling) or isinstance(initializer, FanScaling):
        return None
    axes = getattr(initializer, "input_axes", None)  # From Keras 3.15 on.
    if axes is not None or isinstance(layer, keras.layers.EinsumDense):
        return None
    # That strides make gradients smaller is not what an initializer is meant to know.
    strides = None if isinstance(layer, TRANSPOSED) else 1
    try:
        both = fans(tuple(variable.shape), layer, role=role, strides=strides)
    except ValueError:
        return None
    right = _fan(initializer.mode, both)
    assumed = _fan(initializer.mode, _fans_of_keras(tuple(variable.shape)))
    return right / assumed if is_untrained(subject, initializer, variable) else None


def is_untrained(subject: Subject, initializer: Any, variable: Any) -> bool:
    """Whether a kernel has the variance that Keras' `VarianceScaling` gave it."""
    assumed = _fan(initializer.mode, _fans_of_keras(tuple(variable.shape)))
    measured = float(np.mean(np.square(subject.value(variable), dtype="float64")))
    # An estimate from n normal numbers is off by sqrt(2 / n), its standard deviation.
    tolerance = min(0.9, 0.05 + 5 * np.sqrt(2 / np.prod(variable.shape)))
    return bool(abs(measured * assumed / initializer.scale - 1) < tolerance)


def _fan(mode: str, both: tuple[float, float]) -> float:
    named = {"fan_in": both[0], "fan_out": both[1], "fan_avg": sum(both) / 2}
    return max(1.0, named[mode])


def _fans_of_keras(shape: tuple[int, ...]) -> tuple[float, float]:
    """Fan-in and fan-out as Keras reads them from a shape."""
    window = float(np.prod(shape[:-2], dtype=float))
    return window * shape[-2], window * shape[-1]


RULES = (equal_kernels, wrong_fans)
"""The rules about what initializers have drawn."""


def non_finite(subject: Subject) -> Iterator[Finding]:
    """NaN and infinity."""
    bad = [
        variable.path
        for variable in subject.model.variables
        if not np.isfinite(subject.value(variable).astype("float64")).all()
    ]
    if bad:
        yield Finding(
            "non-finite weights",
            listing(bad),
            f"{len(bad)} of {len(subject.model.variables)} variables have NaN or "
            "infinite values: outputs, and all weights after one update, will too.",
            "Go back to an earlier checkpoint, and train with a lower learning "
            "rate or clipping; `GradientMonitor` names the first layer and update.",
            evidence={
                "non_finite_variables": len(bad),
                "variables": len(subject.model.variables),
            },
            reference="IEEE 754 arithmetic",
        )


def nothing_trains(subject: Subject) -> Iterator[Finding]:
    """A compiled model without trainable weights."""
    model = subject.model
    compiled = getattr(model, "optimizer", None) is not None
    built = all(layer.built for layer, _ in subject.layers if layer is not model)
    if compiled and built and model.weights and not model.trainable_variables:
        yield Finding(
            "everything is frozen",
            model.name,
            f"None of its {len(model.weights)} variables is trainable: fit changes "
            "nothing.",
            "Set trainable = True on the layers that should learn, then compile again.",
            evidence={"variables": len(model.weights), "trainable": 0},
            reference=MEASURED,
        )


def late_constraints(subject: Subject) -> Iterator[Finding]:
    """A constraint or regularizer that was set when the weights existed already."""
    for kind in ("constraint", "regularizer"):
        names = [
            f"{layer.name}.{role}"
            for layer, held in subject.layers
            for role, variable in held.items()
            if setting_of(layer, role, kind) is not None
            and getattr(variable, kind, None) is None
        ]
        if names:
            yield Finding(
                f"{kind} without effect",
                listing(names),
                f"The layer has a {kind}, its weights have none: it was set after the "
                "layer had been built, which does nothing.",
                f"Give the {kind} when the layer is made"
                + (", or use `MaxNormEnforcer`." if kind == "constraint" else "."),
                reference=MEASURED,
            )


WEIGHT_RULES = (non_finite, nothing_trains, late_constraints)
"""The rules about weights, however they came to be."""
