"""The silent traps of Keras, looked for in a given model."""

from collections.abc import Callable, Iterator

import keras

from keras_deeptools.diagnosis import (
    _dropout_rules,
    _embedding_rules,
    _initializer_rules,
    _loss_rules,
    _normalization_rules,
    _optimizer_rules,
    _selu_rules,
    _weight_rules,
)
from keras_deeptools.diagnosis._audit_report import Audit, AuditFinding
from keras_deeptools.diagnosis._audit_subject import Subject, subject_of

Rule = Callable[[Subject], Iterator[AuditFinding]]

RULES: tuple[Rule, ...] = (
    *_weight_rules.RULES,
    *_dropout_rules.RULES,
    *_normalization_rules.RULES,
    *_initializer_rules.RULES,
    *_selu_rules.RULES,
    *_loss_rules.RULES,
    *_optimizer_rules.RULES,
    *_embedding_rules.RULES,
)
"""Every rule, in the order of the report."""


def audit(model: keras.Model) -> Audit:
    """Look for what is silently wrong in a model: settings that do nothing, or harm.

    Reads the layers, their weights, the graph, the loss and the optimizer; runs nothing
    and changes nothing. A finding says what was seen, what follows and what to change;
    what could not be looked at is said too. Call it on the model that you are about to
    train, after `compile`.

    Found are: dropout with training=True that inference overrides; layers that share a
    random stream; kernels that are equal; fans that are not the layer's; a dropout rate
    of 1; dropout before BatchNormalization; BatchNormalization that drifts although it
    was called with training=False; biases before it; with SELU plain dropout, other
    initializers and unscaled skips; constraints and regularizers set too late; frozen
    models; non-finite weights; losses and last activations that do not fit; clipping,
    momentum, weight decay, schedules and averages that do not do what was set;
    optimizers that take apart embedding rows which a batch uses several times.

    Args:
        model: `keras.Model`, functional, Sequential or subclassed, with others nested.

    Returns:
        `Audit` with `.findings`; print it.

    Raises:
        TypeError: If `model` is no `keras.Model`.

    Example:

    >>> import keras
    >>> from keras_deeptools.diagnosis import audit
    >>> inputs = keras.Input((4,))
    >>> x = keras.layers.Dense(8, "relu")(inputs)
    >>> x = keras.layers.Dropout(0.5, name="mc")(x, training=True)
    >>> model = keras.Model(inputs, keras.layers.Dense(1)(x))
    >>> audit(model).kinds
    ('disabled MC dropout',)
    """
    if not isinstance(model, keras.Model):
        raise TypeError(
            f"audit: `model` must be a keras.Model. Received: model={model!r}."
        )
    subject = subject_of(model)
    found = [finding for rule in RULES for finding in rule(subject)]
    return Audit(model.name, tuple(found), tuple(_not_seen(subject)))


def _not_seen(subject: Subject) -> Iterator[str]:
    """What the rules could not look at."""
    model = subject.model
    if not model.variables:
        yield "The model has no weights yet: build it, or call it once."
    if not subject.outputs:
        yield (
            "The model has no graph (it is subclassed, or not built): how its layers "
            "follow one another cannot be seen, except inside of functional parts."
        )
    opaque = [
        call.operation.name
        for call in subject.calls
        if isinstance(call.operation, keras.Model)
    ]
    if opaque:
        yield (
            f"{', '.join(dict.fromkeys(opaque))}: a subclassed model, whose calls "
            "cannot be seen."
        )
    if getattr(model, "optimizer", None) is None:
        yield "The model is not compiled: it has no loss and no optimizer."
    elif not model.optimizer.built:
        yield "The optimizer is not built: its variables cannot be seen."
    else:
        yield (
            "Whether settings of the optimizer were changed after a first fit, which "
            "compiled backends ignore, cannot be seen."
        )
