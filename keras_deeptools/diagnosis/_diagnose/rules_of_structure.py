"""Faults of how layers follow one another."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_deeptools._finding import Finding
from keras_deeptools.diagnosis._audit.subject import DROPOUTS, activation_of, listing
from keras_deeptools.diagnosis._diagnose.facts import Facts
from keras_deeptools.engine._graph.calls import Call

AFFINE = (
    keras.layers.Add,
    keras.layers.Average,
    keras.layers.AveragePooling1D,
    keras.layers.AveragePooling2D,
    keras.layers.BatchNormalization,
    keras.layers.Concatenate,
    keras.layers.Cropping1D,
    keras.layers.Cropping2D,
    keras.layers.Flatten,
    keras.layers.GlobalAveragePooling1D,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.InputLayer,
    keras.layers.Normalization,
    keras.layers.Permute,
    keras.layers.Rescaling,
    keras.layers.Reshape,
    keras.layers.UpSampling1D,
    keras.layers.UpSampling2D,
    keras.layers.ZeroPadding1D,
    keras.layers.ZeroPadding2D,
    *DROPOUTS,
)
"""Layers that are linear in their inputs, but for a constant."""

ONLY_MOVES = (keras.layers.Flatten, keras.layers.InputLayer, keras.layers.Reshape)
POOLING = (
    keras.layers.AveragePooling1D,
    keras.layers.AveragePooling2D,
    keras.layers.BatchNormalization,
    keras.layers.MaxPooling1D,
    keras.layers.MaxPooling2D,
)
HIGH_RATE = 0.8
MOST_LOST = 0.1
"""Part of the inputs that an activation may set to zero."""

SMALL_BATCH = 4


def no_non_linearity(facts: Facts) -> Iterator[Finding]:
    """Several layers with kernels and nothing between them that is not linear."""
    calls, last = _calls(facts), set(facts.subject.outputs)
    kernels = [call for call in calls if _has_kernel(call.operation)]
    if len(kernels) < 2 or not all(_is_layer(call) for call in calls):
        return
    final = kernels[-1]
    between = [
        call
        for position, call in enumerate(calls)
        if call is not final and position not in last and not _after(calls, final, call)
    ]
    if all(_is_affine(call.operation) for call in between):
        names = listing(call.operation.name for call in kernels[:-1])
        yield Finding(
            "no non-linearity",
            names,
            f"The model has {len(kernels)} layers with kernels and no activation "
            "between them: together they are one linear layer.",
            "Give the hidden layers an activation.",
            evidence={"layers": len(kernels), "activations": 0},
            code='activation="relu"',
            confidence=0.85,
            reference="Goodfellow et al., 2016, Deep Learning, section 6.1",
        )
        return
    pairs = [
        (calls[parent].operation.name, call.operation.name)
        for call in calls
        if isinstance(call.operation, keras.layers.Dense)
        for parent in [_kernel_before(calls, call)]
        if parent is not None
        and isinstance(calls[parent].operation, keras.layers.Dense)
        and activation_of(calls[parent].operation) is None
        and calls[parent].operation.units >= call.operation.units
    ]
    if pairs and len(pairs) >= len(kernels) // 2:
        yield Finding(
            "linear layers in a row",
            listing(first for first, _ in pairs),
            "It has no activation, and the next layer with a kernel takes its outputs "
            "as they are: the two are one linear layer.",
            "Give it an activation.",
            severity="warning",
            evidence={"layers": len(pairs)},
            code='activation="relu"',
            confidence=0.5,
            reference="Goodfellow et al., 2016, Deep Learning, section 6.1",
        )


def softmax_between_layers(facts: Facts) -> Iterator[Finding]:
    """Softmax as the activation of hidden layers."""
    calls, ends = _calls(facts), {each.end.name for each in facts.outputs}
    found = []
    for position, call in enumerate(calls):
        layer = call.operation
        is_softmax = activation_of(layer) == "softmax"
        if not is_softmax or layer.name in ends or position in facts.subject.outputs:
            continue
        after = _next_operations(facts, position)
        if after and all(_has_kernel(each) or _is_affine(each) for each in after):
            if not any(isinstance(each, keras.layers.Dot) for each in after):
                found.append(layer.name)
    if not calls:
        # The calls of a subclassed model are not known: a gate would look the same.
        weighted = [layer for layer, held in facts.subject.layers if "kernel" in held]
        found = [
            layer.name
            for layer in weighted[:-1]
            if activation_of(layer) == "softmax" and layer.name not in ends
        ]
    if found:
        yield Finding(
            "softmax between layers",
            listing(found),
            "Its outputs add up to 1 over all units: signals and gradients shrink by "
            "the number of units, and units cannot be on together.",
            "Use relu in hidden layers.",
            severity="problem" if calls else "warning",
            evidence={"layers": len(found)},
            code='activation="relu"',
            confidence=0.9 if calls else 0.6,
            reference="measured",
        )


def sigmoid_in_depth(facts: Facts) -> Iterator[Finding]:
    """Many hidden layers with sigmoid, which shrinks gradients at each."""
    names = [
        layer.name
        for layer, held in facts.subject.layers
        if "kernel" in held
        and activation_of(layer) == "sigmoid"
        and layer.name not in {each.end.name for each in facts.outputs}
        and isinstance(layer, (keras.layers.Dense, keras.layers.Conv2D))
    ]
    if len(names) >= 3:
        yield Finding(
            "sigmoid in hidden layers",
            listing(names),
            f"{len(names)} hidden layers use sigmoid, whose slope is at most a "
            "quarter and whose outputs are not centered: gradients shrink at each.",
            "Use relu with HeNormal, or tanh.",
            severity="warning" if len(names) < 5 else "problem",
            evidence={"layers": len(names)},
            code='activation="relu", kernel_initializer="he_normal"',
            confidence=min(0.85, 0.4 + 0.1 * len(names)),
            reference="Glorot & Bengio, 2010, section 3.1",
        )


def dropout(facts: Facts) -> Iterator[Finding]:
    """Dropout on the outputs, or so much that little is left."""
    calls = _calls(facts)
    positions = set(facts.subject.outputs)
    for position, call in enumerate(calls):
        layer = call.operation
        rate = getattr(layer, "rate", None)
        if not isinstance(layer, DROPOUTS) or not isinstance(rate, float):
            continue
        follows = [calls[p].operation for p in _all_after(facts, position)]
        if position in positions or not any(map(_has_kernel, follows)):
            yield _on_the_output(layer, 0.9)
    if not calls:
        # Of a subclassed model it is known in which order its layers are called.
        order = list(facts.order)
        while order and isinstance(order[-1], (*ONLY_MOVES, keras.Model)):
            order.pop()
        if order and isinstance(order[-1], DROPOUTS) and order[-1].rate > 0:
            yield _on_the_output(order[-1], 0.85)
    high = [
        (layer.name, float(layer.rate))
        for layer, _ in facts.subject.layers
        if isinstance(layer, DROPOUTS)
        and isinstance(getattr(layer, "rate", None), float)
        and HIGH_RATE <= layer.rate < 1
    ]
    if high:
        yield Finding(
            "dropout rate too high",
            listing(name for name, _ in high),
            f"It drops {max(rate for _, rate in high):.0%} of its inputs: little is "
            "left to learn from.",
            "Use a rate from 0.1 to 0.5.",
            severity="problem",
            evidence={"rate": max(rate for _, rate in high), "most_rate": HIGH_RATE},
            code="keras.layers.Dropout(0.3)",
            confidence=min(0.9, 0.6 + 0.1 * len(high)),
            reference="Srivastava et al., 2014, section 7.3",
        )


def _on_the_output(layer: Any, confidence: float) -> Finding:
    return Finding(
        "dropout on the output",
        layer.name,
        f"No layer with a kernel follows it: {layer.rate:.0%} of the predictions "
        "themselves are set to zero in training.",
        "Put it before the last layer, or leave it out.",
        evidence={"rate": float(layer.rate)},
        confidence=confidence,
        reference="Srivastava et al., 2014, section 4",
    )


def activated_inputs(facts: Facts) -> Iterator[Finding]:
    """ReLU on inputs that are negative in part, before any layer with a kernel."""
    if len(facts.inputs) != 1 or not facts.inputs[0].least < 0 or facts.rows is None:
        return
    for call in _calls(facts):
        layer = call.operation
        if isinstance(layer, ONLY_MOVES):
            continue
        if _has_kernel(layer) or activation_of(layer) != "relu":
            return
        [array] = [np.asarray(v) for v in keras.tree.flatten(facts.rows.x)][:1]
        lost = float((array < 0).mean())
        if lost > MOST_LOST:
            yield Finding(
                "activation on the inputs",
                layer.name,
                f"It is applied to the inputs themselves and sets {lost:.0%} of them, "
                "the negative ones, to zero: what they tell is lost.",
                "Leave it out: the first layer with a kernel takes the inputs as they "
                "are.",
                severity="warning",
                evidence={"negative": lost, "most_negative": MOST_LOST},
                confidence=0.8,
                reference="the definition of the activation",
            )
        return


def tiny_batches(facts: Facts) -> Iterator[Finding]:
    """BatchNormalization over hardly any samples."""
    rows = facts.rows
    size = facts.settings.batch_size or 32
    if rows is not None and not rows.are_arrays and rows.batch_size:
        size = rows.batch_size
    names = [
        layer.name
        for layer, _ in facts.subject.layers
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
    ]
    if names and size <= SMALL_BATCH:
        yield Finding(
            "BatchNormalization with tiny batches",
            listing(names),
            f"It estimates means and variances from {size} "
            f"sample{'s' * (size > 1)}: training is noisy, and inference, which uses "
            "the running averages, differs from it.",
            "Use batches of 16 or more, or GroupNormalization or LayerNormalization.",
            severity="problem" if size <= 2 else "warning",
            evidence={"batch_size": size, "least": 2 * SMALL_BATCH},
            code="keras.layers.LayerNormalization()",
            confidence=0.9 if size <= 2 else 0.6,
            reference="Wu & He, 2018, Group normalization, figure 1",
        )


def strong_penalty(facts: Facts) -> Iterator[Finding]:
    """Regularization that outweighs the loss."""
    penalty = facts.penalty
    data = facts.loss if np.isfinite(facts.loss) else None
    only = facts.only
    if only is not None and np.isfinite(only.constant_loss):
        data = only.constant_loss
    if data is None or not penalty > 0:
        return
    ratio = penalty / max(abs(data), 1e-9)
    if ratio > 3:
        yield Finding(
            "regularization outweighs the loss",
            "kernel_regularizer",
            f"Penalties add {penalty:.3g} to a loss of {data:.3g}: the weights are "
            "pulled to zero more than towards the targets.",
            "Use a factor some hundred times smaller, such as 1e-5 to 1e-4.",
            severity="problem" if ratio > 10 else "warning",
            evidence={"penalty": penalty, "loss": data, "ratio": ratio},
            code="keras.regularizers.L2(1e-5)",
            confidence=0.9 if ratio > 10 else 0.4,
            reference="Goodfellow et al., 2016, Deep Learning, section 7.1",
        )


def _calls(facts: Facts) -> list[Call]:
    return facts.subject.calls


def _is_layer(call: Call) -> bool:
    return isinstance(call.operation, keras.Layer)


def _has_kernel(operation: Any) -> bool:
    weighted = any(
        getattr(operation, name, None) is not None
        for name in ("kernel", "depthwise_kernel", "pointwise_kernel")
    )
    return weighted or isinstance(operation, (keras.layers.RNN, keras.Model))


def _is_affine(operation: Any) -> bool:
    if isinstance(operation, (keras.layers.RNN, keras.Model)):
        return False
    if isinstance(operation, AFFINE):
        return True
    linear = isinstance(operation, keras.layers.Dense) or hasattr(
        operation, "kernel_size"
    )
    return linear and activation_of(operation) is None


def _after(calls: list[Call], final: Call, call: Call) -> bool:
    return calls.index(call) > calls.index(final)


def _kernel_before(calls: list[Call], call: Call) -> int | None:
    """The position of the kernel whose outputs a call gets as they are."""
    while len(call.parents) == 1:
        [parent] = call.parents
        call = calls[parent]
        if _has_kernel(call.operation):
            return parent
        if not isinstance(call.operation, (*ONLY_MOVES, *DROPOUTS)):
            return None
    return None


def _next_operations(facts: Facts, position: int) -> list[Any]:
    """What uses the outputs of a call, past layers that only move or drop them."""
    found = []
    for child in facts.subject.children.get(position, []):
        operation = facts.subject.calls[child].operation
        if isinstance(operation, (*ONLY_MOVES, *DROPOUTS, *POOLING)):
            found += _next_operations(facts, child)
        else:
            found.append(operation)
    return found


def _all_after(facts: Facts, position: int) -> set[int]:
    found: set[int] = set()
    waiting = list(facts.subject.children.get(position, []))
    while waiting:
        child = waiting.pop()
        if child not in found:
            found.add(child)
            waiting += facts.subject.children.get(child, [])
    return found


RULES = (
    no_non_linearity,
    softmax_between_layers,
    sigmoid_in_depth,
    dropout,
    activated_inputs,
    tiny_batches,
    strong_penalty,
)
"""The rules of this file."""
