"""Traps in dropout: where it is off, correlated, or shifts a variance."""

from collections.abc import Iterator
from typing import Any

import keras

from keras_deeptools._finding import Finding
from keras_deeptools.diagnosis._audit_subject import (
    DROPOUTS,
    MEASURED,
    MERGES,
    Subject,
    listing,
)
from keras_deeptools.engine._graph.layers import layers_of
from keras_deeptools.statistics._incoming_axes import NORMALIZERS

UNIT_DROPOUTS = tuple(it for it in DROPOUTS if it is not keras.layers.AlphaDropout)
"""What drops units and keeps their mean; AlphaDropout keeps the variance too."""


def forced_dropout(subject: Subject) -> Iterator[Finding]:
    """`Dropout(...)(x, training=True)`, which inference overrides."""
    names = [
        call.operation.name
        for call in subject.calls
        if rate_of(call.operation) > 0
        and any(it.training is True for it in (*call.enclosing, call))
    ]
    if names:
        yield Finding(
            "disabled MC dropout",
            listing(names),
            "Called with training=True in a functional model, which predict, evaluate "
            "and model(x, training=False) override: their outputs are deterministic.",
            "Use `mc_predict`, or MC layers with stochastic_inference=True.",
            code="keras_deeptools.uncertainty.mc_predict(model, x)",
            reference=MEASURED,
        )


def shared_seeds(subject: Subject) -> Iterator[Finding]:
    """Layers whose random streams are in the same state."""
    groups: dict[tuple[int, ...], list[str]] = {}
    for layer, _ in subject.layers:
        ours = type(layer).__module__.partition(".")[0] == __name__.partition(".")[0]
        if rate_of(layer) == 0 or ours or _leaves_it_to_another(layer):
            continue
        for generator in vars(layer).values():
            if isinstance(generator, keras.random.SeedGenerator):
                numbers = subject.value(generator.state)
                key = tuple(int(number) for number in numbers)
                groups.setdefault(key, []).append(layer.name)
    for state, names in groups.items():
        if len(names) > 1:
            yield Finding(
                "shared seeds",
                listing(names),
                f"Their random streams are all in state {list(state)}: masks of equal "
                "shape are equal, which correlates what they drop.",
                "Leave the seed out, or give each layer another one.",
                severity="warning",
                evidence={"state": list(state), "layers": len(names)},
                reference=MEASURED,
            )


def _leaves_it_to_another(layer: keras.Layer) -> bool:
    """Whether it is a Dropout inside the layer that drops, as in attention layers."""
    inner = [it for it, _ in layers_of(layer) if it is not layer]
    return any(isinstance(it, DROPOUTS) for it in inner)


def dropout_of_everything(subject: Subject) -> Iterator[Finding]:
    """AlphaDropout and GaussianDropout with a rate that divides by zero."""
    for layer, _ in subject.layers:
        kinds = (keras.layers.AlphaDropout, keras.layers.GaussianDropout)
        if isinstance(layer, kinds) and rate_of(layer) >= 1:
            yield Finding(
                "dropout rate of 1",
                layer.name,
                f"{type(layer).__name__}({layer.rate}) passes validation, and the "
                "first training step divides by 1 - rate and fails.",
                "Give a rate in [0, 1).",
                evidence={"rate": rate_of(layer), "rate_below": 1.0},
                reference=MEASURED,
            )


def dropout_before_batch_normalization(subject: Subject) -> Iterator[Finding]:
    """Dropout that reaches a BatchNormalization with nothing between to settle it."""
    pairs = [
        (subject.calls[position].operation, after)
        for position, call in subject.calls_to(*UNIT_DROPOUTS)
        if 0 < rate_of(call.operation) < 1 and not drops_whole_samples(call.operation)
        for after in _next_normalizations(subject, position)
    ]
    if pairs:
        rate = max(rate_of(dropout) for dropout, _ in pairs)
        where = listing(f"{d.name} before {n.name}" for d, n in pairs)
        yield Finding(
            "dropout before BatchNormalization",
            where,
            f"With a rate of {rate:g} units have up to {1 / (1 - rate):.2f} times the "
            "second moment in training that they have in inference, where the moving "
            "variance of training is used.",
            "Put dropout after the last BatchNormalization, or leave it out.",
            severity="warning",
            evidence={"rate": rate, "second_moment_ratio": 1 / (1 - rate)},
            reference="Li et al., 2018, section 3. https://arxiv.org/abs/1801.05134",
        )


def _next_normalizations(subject: Subject, position: int) -> Iterator[Any]:
    """BatchNormalizations after a call, up to a merge or another normalization."""
    open_positions = list(subject.children.get(position, []))
    seen: set[int] = set()
    while open_positions:
        here = open_positions.pop()
        operation = subject.calls[here].operation
        if here in seen or type(operation).__name__ in MERGES:
            continue
        seen.add(here)
        if isinstance(operation, keras.layers.BatchNormalization):
            yield operation
        elif not isinstance(operation, NORMALIZERS):
            open_positions += subject.children.get(here, [])


def rate_of(layer: Any) -> float:
    """The largest rate at which a layer drops; 0 for one that does not."""
    names = ("rate", "dropout", "recurrent_dropout") if _may_drop(layer) else ()
    rates = [getattr(layer, name, 0) for name in names]
    return max([float(r) for r in rates if isinstance(r, int | float)], default=0.0)


def _may_drop(layer: Any) -> bool:
    return isinstance(layer, DROPOUTS) or hasattr(layer, "dropout")


def drops_whole_samples(layer: Any) -> bool:
    """Whether a mask has one number for each row, as in stochastic depth."""
    shape = getattr(layer, "noise_shape", None)
    return shape is not None and all(size == 1 for size in tuple(shape)[1:])


RULES = (
    forced_dropout,
    shared_seeds,
    dropout_of_everything,
    dropout_before_batch_normalization,
)
"""The rules of this file."""
