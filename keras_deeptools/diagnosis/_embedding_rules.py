"""A trap of embeddings on one of the backends."""

from collections.abc import Iterator

from keras_deeptools._finding import Finding
from keras_deeptools.diagnosis._audit_subject import (
    Subject,
    listing,
    training_optimizers,
)
from keras_deeptools.engine._keras_private.versions import layer_classes
from keras_deeptools.engine._update.repeated_rows import rows_taken_apart

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


RULES = (rows_used_several_times,)
"""The rules of this file."""
