"""Layers that let too little through, and those for sequences."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_deeptools._finding import Finding
from keras_deeptools.diagnosis._audit.subject import (
    activation_name,
    activation_of,
    listing,
)
from keras_deeptools.diagnosis._diagnose.facts import Facts

FEW_UNITS = 2
MANY_CLASSES = 8
LEFT_BY_CONSTRAINT = 0.2
"""Part of the initial weights' norm under which a constraint is a tight one."""

MOST_OF_FLAGS = 16
MASKED = 0.1
"""Part of the steps that a mask may take out from between others."""

PADDED = 0.3
"""Part of a sequence that may be padding."""


def narrow_layers(facts: Facts) -> Iterator[Finding]:
    """Hidden layers of one or two units that everything has to pass."""
    classes = max((each.end.units or 1 for each in facts.outputs), default=1)
    found = []
    for position, call in enumerate(facts.subject.calls):
        layer = call.operation
        units = getattr(layer, "units", None)
        if not isinstance(layer, keras.layers.Dense) or not isinstance(units, int):
            continue
        least = FEW_UNITS if classes >= MANY_CLASSES else 1
        if units <= least < classes and _all_pass(facts, position):
            found.append((layer.name, units))
    if found:
        units = min(each for _, each in found)
        yield Finding(
            "narrow layer",
            listing(name for name, _ in found),
            f"All that the {classes} outputs are told passes {units} "
            f"unit{'s' * (units > 1)}.",
            f"Give it {4 * classes} units or more.",
            severity="warning",
            evidence={"units": units, "outputs": classes},
            code=f"keras.layers.Dense({max(32, 4 * classes)}, activation='relu')",
            confidence=0.75,
            reference="Goodfellow et al., 2016, Deep Learning, section 6.4",
        )


def _all_pass(facts: Facts, position: int) -> bool:
    """Whether a call is no output, and every way to the outputs leads through it."""
    subject = facts.subject
    outputs = set(subject.outputs)
    if position in outputs:
        return False
    starts = [p for p, call in enumerate(subject.calls) if not call.parents]
    reached, waiting = set(), [p for p in starts if p != position]
    while waiting:
        current = waiting.pop()
        if current in reached:
            continue
        reached.add(current)
        waiting += [p for p in subject.children.get(current, []) if p != position]
    return not outputs & reached and not _is_output_layer(facts, position)


def _is_output_layer(facts: Facts, position: int) -> bool:
    """Whether nothing with weights comes behind a call."""
    waiting, seen = list(facts.subject.children.get(position, [])), set()
    while waiting:
        child = waiting.pop()
        if child in seen:
            continue
        seen.add(child)
        operation = facts.subject.calls[child].operation
        if getattr(operation, "weights", None) and hasattr(operation, "kernel"):
            return False
        waiting += facts.subject.children.get(child, [])
    return True


def tight_constraints(facts: Facts) -> Iterator[Finding]:
    """Constraints that leave little of the initial weights."""
    found = []
    for layer, held in facts.subject.layers:
        for name, variable in held.items():
            constraint = getattr(layer, f"{name}_constraint", None)
            if constraint is None or not name.endswith("kernel"):
                continue
            value = facts.subject.value(variable)
            norm = float(np.linalg.norm(value))
            after = keras.ops.convert_to_numpy(constraint(value))
            left = float(np.linalg.norm(after)) / norm if norm > 0 else 1.0
            if left < LEFT_BY_CONSTRAINT:
                found.append((layer.name, left))
    if found:
        left = min(each for _, each in found)
        yield Finding(
            "weight constraint too tight",
            listing(name for name, _ in found),
            f"After the first update its constraint leaves {left:.1%} of the norm of "
            "the initial weights: signals shrink in each layer.",
            "Use MaxNorm with a limit from 2 to 4, or none.",
            evidence={"norm_left": left, "least": LEFT_BY_CONSTRAINT},
            code="keras.constraints.MaxNorm(3)",
            confidence=0.85,
            reference="Srivastava et al., 2014, section 5.1",
        )


def two_activations(facts: Facts) -> Iterator[Finding]:
    """ReLU in front of the softmax or sigmoid of an output, or on its logits."""
    names = {each.end.name: each.end for each in facts.outputs}
    for call in facts.subject.calls:
        layer = call.operation
        end = names.get(layer.name)
        if end is None:
            continue
        of_logits = end.from_logits and end.activation == "relu"
        behind = not _has_weights(layer) and activation_name(layer) in (
            "softmax",
            "sigmoid",
        )
        parents = [facts.subject.calls[p].operation for p in call.parents]
        relu = [p for p in parents if _has_weights(p) and activation_of(p) == "relu"]
        if not of_logits and not (behind and relu):
            continue
        where = layer if of_logits else relu[0]
        yield Finding(
            "ReLU on the logits",
            where.name,
            "It sets every negative logit to zero, where it also gets no gradient: "
            "classes cannot be ruled out, and units die.",
            "Leave out the activation of the last layer with weights.",
            severity="warning",
            evidence={},
            code="keras.layers.Dense(units, activation=None)",
            confidence=0.7,
            reference="Goodfellow et al., 2016, Deep Learning, section 6.2.2.3",
        )


def unused_units(facts: Facts) -> Iterator[Finding]:
    """Many more outputs than there are classes."""
    for each in facts.outputs:
        end, targets = each.end, each.targets
        if end.loss != "sparsecategoricalcrossentropy" or targets is None:
            continue
        units, used = end.units or 0, int(targets.most) + 1
        if targets.shape[-1:] != (units,) and units > 2 * used and units - used > 5:
            yield Finding(
                "output units without a class",
                end.name,
                f"The output has {units} units, and the labels go up to {used - 1}.",
                f"Use Dense({used}).",
                severity="note",
                evidence={"units": units, "classes": used},
                code=f"keras.layers.Dense({used})",
                confidence=0.5,
            )


def _has_weights(operation: Any) -> bool:
    return hasattr(operation, "kernel")


def softmax_over_samples(facts: Facts) -> Iterator[Finding]:
    """Softmax over the axis of samples, by `axis=0`."""
    for call in facts.subject.calls:
        layer = call.operation
        if isinstance(layer, keras.layers.Softmax) and layer.axis == 0:
            yield Finding(
                "softmax over samples",
                layer.name,
                "With axis=0 the probabilities of a class add up to 1 over the samples "
                "of a batch, and not those of a sample over the classes: what is "
                "predicted for a sample depends on the others.",
                "Use the last axis, the default.",
                evidence={"axis": 0},
                code="keras.layers.Softmax()",
                confidence=0.97,
                reference="the definition of softmax",
            )


def small_vocabulary(facts: Facts) -> Iterator[Finding]:
    """Embeddings of inputs that are no ids, or of more ids than they have vectors."""
    if len(facts.inputs) != 1:
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
        length = len(facts.inputs[0].feature_stds)
        if not facts.inputs[0].is_integer:
            yield Finding(
                "ids outside the embedding",
                layer.name,
                f"The inputs, from {least:.3g} to {most:.3g}, are no whole numbers, of "
                "which an embedding looks up a row for each: what stands behind the "
                "point is cut off.",
                "Feed the ids of words; frequencies and other quantities go into Dense "
                "as they are.",
                evidence={"least": least, "most": most},
                code="keras.layers.TextVectorization()",
                confidence=0.97,
                reference="the definition of the layer",
            )
            continue
        flags = least == 0 and most == 1 and layer.input_dim > MOST_OF_FLAGS
        if flags and length >= layer.input_dim / 2:
            yield Finding(
                "one-hot rows for an embedding",
                layer.name,
                "The inputs are zeros and ones, one for each of "
                f"{length} words: it looks up the same two of its "
                f"{layer.input_dim} rows for all of them.",
                "Feed the ids of the words, or the zeros and ones into Dense.",
                severity="warning",
                evidence={"ids": 2, "rows": layer.input_dim},
                code="ids = x.argmax(axis=-1)",
                confidence=0.8,
                reference="the definition of the layer",
            )
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


def masked_data(facts: Facts) -> Iterator[Finding]:
    """Masking that takes steps out of the middle of sequences for padding."""
    masks = [
        layer
        for layer, _ in facts.subject.layers
        if isinstance(layer, keras.layers.Masking)
    ]
    if len(masks) != 1 or len(facts.inputs) != 1 or facts.rows is None:
        return
    [array] = [np.asarray(v) for v in keras.tree.flatten(facts.rows.x)][:1]
    if array.ndim != 3:
        return
    kept = (array != masks[0].mask_value).any(axis=-1)
    before = np.maximum.accumulate(kept, axis=1)
    after = np.maximum.accumulate(kept[:, ::-1], axis=1)[:, ::-1]
    share = float((~kept & before & after).mean())
    if share > MASKED:
        yield Finding(
            "mask over data",
            masks[0].name,
            f"{share:.0%} of all steps equal {masks[0].mask_value:g} and lie between "
            "others: they are left out as if they were padding.",
            "Pad with a value that no step has, and give it as mask_value.",
            severity="warning",
            evidence={"masked_between": share, "most": MASKED},
            code="keras.layers.Masking(mask_value=-10.0)",
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


RULES = (
    narrow_layers,
    tight_constraints,
    two_activations,
    unused_units,
    softmax_over_samples,
    small_vocabulary,
    masked_data,
    padding_without_mask,
    rectified_recurrence,
)
"""The rules of this file."""
