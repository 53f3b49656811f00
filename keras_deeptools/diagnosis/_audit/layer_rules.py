"""Traps of single kinds of layers: dropout, normalization and embeddings."""

from collections.abc import Iterator
from typing import Any

import keras

from keras_deeptools._finding import Finding
from keras_deeptools.diagnosis._audit.subject import (
    DROPOUTS,
    MEASURED,
    MERGES,
    Subject,
    activation_of,
    listing,
    training_optimizers,
)
from keras_deeptools.engine._backends.active import tensors
from keras_deeptools.engine._graph.layers import layers_of
from keras_deeptools.engine._keras_private.versions import layer_classes
from keras_deeptools.engine._update.leaf import leaf_optimizers, optimizer_parts
from keras_deeptools.statistics._incoming_axes import NORMALIZERS

UNIT_DROPOUTS = tuple(it for it in DROPOUTS if it is not keras.layers.AlphaDropout)
"""What drops units and keeps their mean; AlphaDropout keeps the variance too."""


def is_called_with(call: Any, *, training: bool) -> bool:
    """Whether a call, or one around it, was given `training`."""
    return any(each.training is training for each in (*call.enclosing, call))


def forced_dropout(subject: Subject) -> Iterator[Finding]:
    """`Dropout(...)(x, training=True)`, which inference overrides."""
    names = [
        call.operation.name
        for call in subject.calls
        if rate_of(call.operation) > 0 and is_called_with(call, training=True)
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
    """AlphaDropout and GaussianDropout with a dropout rate that divides by zero."""
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
    """The largest dropout rate of a layer; 0 for a layer that does not drop."""
    names = ("rate", "dropout", "recurrent_dropout") if _may_drop(layer) else ()
    rates = [getattr(layer, name, 0) for name in names]
    return max([float(r) for r in rates if isinstance(r, int | float)], default=0.0)


def _may_drop(layer: Any) -> bool:
    return isinstance(layer, DROPOUTS) or hasattr(layer, "dropout")


def drops_whole_samples(layer: Any) -> bool:
    """Whether a mask has one number for each sample, as in stochastic depth."""
    shape = getattr(layer, "noise_shape", None)
    return shape is not None and all(size == 1 for size in tuple(shape)[1:])


def drifting(subject: Subject) -> Iterator[Finding]:
    """BatchNormalization that was called with training=False, and trains."""
    names = [
        call.operation.name
        for _, call in subject.calls_to(keras.layers.BatchNormalization)
        if call.operation.trainable and is_called_with(call, training=False)
    ]
    if names:
        yield Finding(
            "BatchNormalization that will drift",
            listing(names),
            "Called with training=False in a functional model, which fit overrides: "
            "its moving statistics follow the new data (a mean moved by 0.3).",
            "Freeze these layers (`trainable = False`), or call the base inside a "
            "layer of your own with training=False.",
            severity="warning",
            reference=MEASURED,
        )


def bias_before(subject: Subject) -> Iterator[Finding]:
    """A bias whose only reader subtracts the mean."""
    found = []
    for position, call in enumerate(subject.calls):
        layer = call.operation
        biased = getattr(layer, "use_bias", False) and activation_of(layer) is None
        if not biased or not isinstance(layer, keras.Layer):
            continue
        if not hasattr(layer, "kernel") and not hasattr(layer, "pointwise_kernel"):
            continue
        after = [child.operation for child in subject.children_of(position)]
        normalized = all(_normalizes(it, len(call.shape)) for it in after)
        if after and normalized and getattr(layer, "bias", None) is not None:
            found.append((layer.name, int(layer.bias.shape[0])))
    if found:
        yield Finding(
            "bias before BatchNormalization",
            listing(name for name, _ in found),
            "Training subtracts the mean right after it: the bias gets no gradient but "
            f"rounding noise. It does no harm and wastes {sum(n for _, n in found)} "
            "parameters.",
            "Give the layer use_bias=False.",
            severity="note",
            evidence={"wasted_parameters": sum(n for _, n in found)},
            code="use_bias=False",
            reference="Ioffe & Szegedy, 2015, section 3.2. https://arxiv.org/abs/1502.03167",
        )


def _normalizes(operation: Any, rank: int) -> bool:
    """Whether it subtracts the mean of each of the last axis' features in training."""
    return (
        isinstance(operation, keras.layers.BatchNormalization)
        and operation.trainable
        and operation.axis in (-1, rank - 1)
    )


SQUARING = (
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "Adamax",
    "Ftrl",
    "Lamb",
    "Muon",
    "Nadam",
    "RMSprop",
    "ScheduleFreeAdamW",
)


"""Optimizers whose step is not proportional to the gradient; Muon updates embeddings as
Adam does. SGD and Lion are right."""


def rows_taken_apart(optimizer: Any) -> str | None:
    """The optimizer that squares the gradients of repeated ids one by one, if any.

    On TensorFlow the gradient of an embedding is a list of rows of the table, in which
    each occurs as often as it was used. If the gradient is added to others or clipped
    by its global norm, Keras adds these up; otherwise it squares each by itself.

    Args:
        optimizer: Keras optimizer.

    Returns:
        Str, the class of the optimizer, or None.

    Example:

    >>> import keras
    >>> from keras_deeptools.diagnosis._audit.layer_rules import rows_taken_apart
    >>> rows_taken_apart(keras.optimizers.SGD())
    """
    if not tensors.LISTS_ROWS:
        return None
    if any(map(_sums_rows, optimizer_parts(optimizer))):
        return None
    names = [name for name in SQUARING if hasattr(keras.optimizers, name)]
    kinds = tuple(getattr(keras.optimizers, name) for name in names)
    for leaf in leaf_optimizers(optimizer):
        if isinstance(leaf, kinds):
            return type(leaf).__name__
    return None


def _sums_rows(optimizer: Any) -> bool:
    clips = optimizer.global_clipnorm and not optimizer.clipnorm
    return bool(clips) or (optimizer.gradient_accumulation_steps or 1) > 1


TABLES = layer_classes("Embedding", "ReversibleEmbedding")


def rows_used_several_times(subject: Subject) -> Iterator[Finding]:
    """Embeddings of repeated ids whose gradients an optimizer squares one by one."""
    tables = [
        layer.name
        for layer, _ in subject.layers
        if isinstance(layer, TABLES) and layer.trainable
    ]
    optimizers = [each.optimizer for each in training_optimizers(subject.model)]
    names = list(dict.fromkeys(filter(None, map(rows_taken_apart, optimizers))))
    for name in names if tables else []:
        yield Finding(
            "embedding rows used several times",
            listing(tables),
            f"On this backend {name} takes each use of a row in a batch for a row of "
            "its own and squares their gradients one by one instead of their sum: the "
            "first step of Adam for a row used 16 times is 0.04 at a learning rate of "
            "0.01; on the other backends it is 0.01. Frequent tokens and padding move "
            "too far.",
            "Make the optimizer with global_clipnorm=1e9, which never acts but has "
            "Keras add the rows up first; SGD and Lion are right as they are.",
            severity="warning",
            evidence={"first_step": 0.04, "dense_first_step": 0.01, "uses": 16},
            code=f"keras.optimizers.{name}(global_clipnorm=1e9)",
            reference="measured on Keras 3.15 for every optimizer, against a dense "
            "gradient",
        )


EMBEDDING_RULES = (rows_used_several_times,)


RULES = (
    forced_dropout,
    shared_seeds,
    dropout_of_everything,
    dropout_before_batch_normalization,
    drifting,
    bias_before,
)
"""The rules of this file."""
