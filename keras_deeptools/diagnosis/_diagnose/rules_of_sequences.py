"""Faults of models that read ids and sequences."""

from collections.abc import Iterator

import keras
import numpy as np

from keras_deeptools._finding import Finding
from keras_deeptools.diagnosis._audit_subject import activation_of, listing
from keras_deeptools.diagnosis._diagnose.facts import Facts

PADDED = 0.3
"""Part of a sequence that may be padding."""


def small_vocabulary(facts: Facts) -> Iterator[Finding]:
    """Embeddings with fewer rows than there are ids."""
    if len(facts.inputs) != 1 or not facts.inputs[0].is_integer:
        return
    calls = facts.subject.calls
    for call in calls:
        layer = call.operation
        if not isinstance(layer, keras.layers.Embedding):
            continue
        parents = [calls[parent].operation for parent in call.parents]
        if parents and not all(isinstance(p, keras.layers.InputLayer) for p in parents):
            continue
        most, least = facts.inputs[0].most, facts.inputs[0].least
        if most >= layer.input_dim or least < 0:
            yield Finding(
                "ids outside the embedding",
                layer.name,
                f"The inputs hold ids from {least:g} to {most:g}, and it has rows for "
                f"0 to {layer.input_dim - 1}: some backends read other rows without a "
                "word.",
                "Give it a row for each id, or look words up with an unknown token.",
                evidence={"most": most, "rows": layer.input_dim},
                code=f"keras.layers.Embedding({int(most) + 1}, {layer.output_dim})",
                confidence=0.97,
                reference="measured",
            )


def padding_without_mask(facts: Facts) -> Iterator[Finding]:
    """Zeros at the end of sequences that a recurrent layer runs over."""
    if len(facts.inputs) != 1 or facts.rows is None or not facts.inputs[0].is_integer:
        return
    tables = [
        layer
        for layer, _ in facts.subject.layers
        if isinstance(layer, keras.layers.Embedding)
    ]
    recurrent = [
        layer
        for layer, _ in facts.subject.layers
        if isinstance(layer, keras.layers.RNN) and not layer.return_sequences
    ]
    [array] = [np.asarray(v) for v in keras.tree.flatten(facts.rows.x)][:1]
    if not tables or not recurrent or array.ndim != 2:
        return
    tail = np.cumprod((array == 0)[:, ::-1], axis=1).sum(axis=1) / array.shape[1]
    share = float(tail.mean())
    if share > PADDED and not any(table.mask_zero for table in tables):
        yield Finding(
            "padding without mask",
            tables[0].name,
            f"On average the last {share:.0%} of a sequence are zeros, and "
            f"{recurrent[0].name} runs over them after the last word.",
            "Mask them, or pad in front.",
            severity="warning",
            evidence={"padding": share, "most": PADDED},
            code="keras.layers.Embedding(..., mask_zero=True)",
            confidence=0.7,
            reference="Keras' guide on masking and padding",
        )


def rectified_recurrence(facts: Facts) -> Iterator[Finding]:
    """ReLU as the activation of recurrent layers, which has no bound."""
    kinds = (keras.layers.LSTM, keras.layers.GRU, keras.layers.SimpleRNN)
    names = [
        layer.name
        for layer, _ in facts.subject.layers
        if isinstance(layer, kinds)
        and activation_of(layer) == "relu"
        and not isinstance(layer.recurrent_initializer, keras.initializers.Identity)
    ]
    if names:
        yield Finding(
            "ReLU in recurrent layers",
            listing(names),
            "Its state is multiplied by the same kernel in each step, and ReLU has no "
            "bound: states and gradients can explode.",
            "Use tanh, the default, or start from the identity and clip gradients.",
            severity="warning",
            evidence={"layers": len(names)},
            code='activation="tanh"',
            confidence=0.55,
            reference="Le et al., 2015. https://arxiv.org/abs/1504.00941",
        )


RULES = (small_vocabulary, padding_without_mask, rectified_recurrence)
"""The rules of this file."""
