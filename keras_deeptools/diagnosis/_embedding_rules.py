"""A trap of embeddings on one backend."""

from collections.abc import Iterator
from typing import Any

import keras

from keras_deeptools.diagnosis._audit_report import AuditFinding
from keras_deeptools.diagnosis._audit_subject import Subject, listing
from keras_deeptools.engine import layers_of
from keras_deeptools.engine._leaf import leaf_optimizers, optimizer_parts

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
TABLES = (keras.layers.Embedding, keras.layers.ReversibleEmbedding)


def rows_used_several_times(subject: Subject) -> Iterator[AuditFinding]:
    """Embeddings whose rows an optimizer takes apart that are used several times."""
    if keras.backend.backend() != "tensorflow":
        return
    optimizer = getattr(subject.model, "optimizer", None)
    names = [name for name in SQUARING if hasattr(keras.optimizers, name)]
    kinds = tuple(getattr(keras.optimizers, name) for name in names)
    adaptive = [o for o in leaf_optimizers(optimizer) if isinstance(o, kinds)]
    tables = [
        layer.name
        for layer, _ in layers_of(subject.model)
        if isinstance(layer, TABLES) and layer.trainable
    ]
    if not tables or not adaptive or any(map(_dense, optimizer_parts(optimizer))):
        return
    name = type(adaptive[0]).__name__
    yield AuditFinding(
        "embedding rows used several times",
        listing(tables),
        f"On TensorFlow {name} takes each use of a row in a batch for a row of its own "
        "and squares their gradients one by one instead of their sum: Adam's first "
        "step for a row used 16 times is 0.04 at a learning rate of 0.01; on the other "
        "backends it is 0.01. Frequent tokens and padding move too far.",
        "Make the optimizer with global_clipnorm=1e9, which never acts but has Keras "
        "add the rows up first; SGD and Lion are right as they are.",
        "measured on Keras 3.15 for every optimizer, against a dense gradient",
    )


def _dense(optimizer: Any) -> bool:
    """Whether the gradient is made dense before the update."""
    clips = optimizer.global_clipnorm and not optimizer.clipnorm
    steps = optimizer.gradient_accumulation_steps or 1
    return bool(clips) or steps > 1


RULES = (rows_used_several_times,)
"""The rules of this file."""
