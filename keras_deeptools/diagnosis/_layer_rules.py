"""Traps of single kinds of layers: normalization and embeddings."""

from collections.abc import Iterator
from typing import Any

import keras

from keras_deeptools._finding import Finding
from keras_deeptools.diagnosis._audit_subject import (
    MEASURED,
    Subject,
    activation_of,
    listing,
    training_optimizers,
)
from keras_deeptools.engine._backends.active import tensors
from keras_deeptools.engine._keras_private.versions import layer_classes
from keras_deeptools.engine._update.leaf import leaf_optimizers, optimizer_parts


def drifting(subject: Subject) -> Iterator[Finding]:
    """BatchNormalization that was called with training=False, and trains."""
    names = [
        call.operation.name
        for _, call in subject.calls_to(keras.layers.BatchNormalization)
        if call.operation.trainable
        and any(it.training is False for it in (*call.enclosing, call))
    ]
    if names:
        yield Finding(
            "BatchNormalization that will drift",
            listing(names),
            "Called with training=False in a functional model, which fit overrides: "
            "its moving statistics follow the new data (a mean moved by .3).",
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


RULES = (drifting, bias_before)


"""The rules of this file."""


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
    """Which optimizer squares the gradients of a row's uses one by one, if any does.

    On TensorFlow the gradient of an embedding is a list of rows, in which one occurs as
    often as it was used. Keras adds them up where the gradient is added to others or
    clipped by its global norm, and else squares each.

    Args:
        optimizer: Keras optimizer.

    Returns:
        Str, the class of the optimizer, or None.

    Example:

    >>> import keras
    >>> from keras_deeptools.diagnosis._layer_rules import rows_taken_apart
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
    """Embeddings whose rows an optimizer takes apart that are used several times."""
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


"""The rules of this file."""
