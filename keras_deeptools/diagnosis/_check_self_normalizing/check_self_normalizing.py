"""A linter for self-normalizing nets."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from keras_deeptools._finding import Finding
from keras_deeptools.diagnosis._check_self_normalizing.report import (
    Measured,
    SelfNormalizingLayer,
    SelfNormalizingReport,
    measure,
)
from keras_deeptools.diagnosis._check_self_normalizing.rules import (
    FAR,
    REFERENCE,
    RULES,
    equal_kernels,
    moments,
    of_undefined_dropout,
)
from keras_deeptools.engine._data.checks import checked_batch
from keras_deeptools.engine._graph.layers import layers_of
from keras_deeptools.statistics._input_findings import findings_of_arrays, is_finite

OWNER = "check_self_normalizing"


def check_self_normalizing(model: keras.Model, x: Any) -> SelfNormalizingReport:
    """Names what keeps a net from being self-normalizing, with measurements.

    SELU pulls mean and variance back to 0 and 1 only if everything else is right.
    Faults are silent: the net still trains, but worse. One pass over `x` in training
    mode measures the outputs of every layer; rules look for the known faults: inputs
    that are not standardized; kernels that are not LeCun's (He; Glorot where widths
    change); kernels that share a seed; activations other than SELU; plain dropout;
    sums that add variances; zero padding; pooling; normalization layers. The first
    departure that none of them explains is reported as `"drift"`.

    Heads are exempt: layers that give the model's outputs, and the last layer with
    weights and the layers after it. The check is meant for untrained models, since
    training may well change the moments. The model stays as it is.

    Args:
        model: `keras.Model`. Functional and Sequential models are checked best; inside
            recurrent layers nothing is judged. A model that is not built is built from
            `x`. If a model has a `train_step` and no `call`, the networks in it that
            take `x` are checked.
        x: Some hundred samples of the training inputs, as `fit` takes them: arrays,
            lists or dicts of them, or a `tf.data.Dataset`, `PyDataset`, torch
            `DataLoader` or generator, of which some batches are taken (of a generator
            one, which is then lost to it).

    Returns:
        `SelfNormalizingReport`: `print(report)` shows what to change,
        `print(report.table())` what was measured.

    Raises:
        TypeError: If `model` is not a `keras.Model`.
        ValueError: If `x` does not fit the model or has fewer than two samples.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.diagnosis import check_self_normalizing
    >>> from keras_deeptools.layers import self_normalizing_mlp
    >>> x = np.random.default_rng(0).normal(size=(512, 64)).astype("float32")
    >>> print(check_self_normalizing(self_normalizing_mlp(64, 10, seed=0), x))
    Self-normalizing: nothing found that breaks it.
    >>> model = keras.Sequential([
    ...     keras.Input((64,)),
    ...     keras.layers.Dense(64, "selu", kernel_initializer="he_normal", name="one"),
    ...     keras.layers.Dropout(0.5, name="drop"),
    ...     keras.layers.Dense(10),
    ... ])
    >>> report = check_self_normalizing(model, x)
    >>> [(finding.where, finding.kind) for finding in report.findings]
    [('one', 'initializer'), ('drop', 'dropout')]

    Reference:
        Klambauer et al., 2017, section 2. https://arxiv.org/abs/1706.02515
    """
    batch = checked_batch(OWNER, model, x, finite=False)
    if batch.rows < 2:
        raise ValueError(
            f"{OWNER}: `x` must have at least two samples. Received: {batch.rows}. "
            "Some hundred samples of the training inputs will do."
        )
    mean, std = _moments_of(batch.x)
    if not is_finite(batch.x):
        return SelfNormalizingReport(tuple(_odd(batch.x)), (), mean, std)
    reports = [
        report if network is model else _under(network.name, report)
        for network in batch.networks
        for report in [_checked(network, batch.x)]
    ]
    return SelfNormalizingReport(
        tuple(finding for report in reports for finding in report.findings),
        tuple(layer for report in reports for layer in report.layers),
        reports[0].input_mean,
        reports[0].input_std,
    )


def _odd(x: Any) -> list[Finding]:
    return [replace(each, kind="inputs") for each in findings_of_arrays(x)]


def _under(name: str, report: SelfNormalizingReport) -> SelfNormalizingReport:
    """A report with the name of a network before those of its layers."""
    return replace(
        report,
        findings=tuple(
            replace(each, where=f"{name}/{each.where}") for each in report.findings
        ),
        layers=tuple(
            replace(each, name=f"{name}/{each.name}") for each in report.layers
        ),
    )


def _checked(model: keras.Model, x: Any) -> SelfNormalizingReport:
    undefined = [
        of_undefined_dropout(layer)
        for layer, _ in layers_of(model)
        if isinstance(layer, keras.layers.AlphaDropout) and layer.rate >= 1
    ]
    if undefined:
        return SelfNormalizingReport(tuple(undefined), (), *_moments_of(x))
    measured = measure(model, x)
    weighted = [i for i, found in enumerate(measured) if _has_weights(found)]
    if not weighted:
        raise ValueError(
            f"{OWNER}: `model` must have layers with weights. Received: "
            f"model={model!r}, which has none that this check sees."
        )
    mean, std = _received(measured[: weighted[0]], x)
    heads = set(getattr(model, "output_names", ()))
    body = [f for f in measured[: weighted[-1]] if f.layer.name not in heads]
    findings = [
        finding
        for found, following in zip(body, [*body[1:], None], strict=False)
        for rule in RULES
        for finding in rule(found, following)
    ]
    findings += equal_kernels(body)
    findings = _inputs(mean, std) + _in_order(findings, measured)
    findings += _drift(findings, body)
    return SelfNormalizingReport(tuple(findings), tuple(map(_row, measured)), mean, std)


def _row(found: Measured) -> SelfNormalizingLayer:
    return SelfNormalizingLayer(
        found.call.name,
        type(found.layer).__name__,
        found.mean,
        found.std,
        found.weight_gain,
        found.edge_ratio,
    )


def _has_weights(found: Measured) -> bool:
    return any(role.endswith("kernel") for role in found.call.variables)


def _received(before: Sequence[Measured], x: Any) -> tuple[float, float]:
    """Moments of what the first layer with weights gets."""
    if before:
        return before[-1].mean, before[-1].std
    return _moments_of(x)


def _moments_of(x: Any) -> tuple[float, float]:
    arrays = [
        np.asarray(array)
        for array in keras.tree.flatten(x)
        if array is not None and array.dtype.kind in "biuf"
    ]
    if not arrays:
        return math.nan, math.nan
    flat = np.concatenate([array.astype("float64").ravel() for array in arrays])
    return float(flat.mean()), float(flat.std())


def _inputs(mean: float, std: float) -> list[Finding]:
    if math.isnan(mean) or (abs(mean) <= FAR and abs(std - 1) <= FAR):
        return []
    return [
        Finding(
            "inputs",
            "inputs",
            "The first layer with weights receives inputs of mean "
            f"{mean:.3g} and standard deviation {std:.3g}.",
            "Standardize them: keras.layers.Normalization, adapted to the training "
            "inputs, in front.",
            evidence={
                "mean": mean,
                "std": std,
                "normal_mean": 0.0,
                "normal_std": 1.0,
                "tolerance": FAR,
            },
            reference=REFERENCE,
        )
    ]


def _in_order(findings: list[Finding], measured: Sequence[Measured]) -> list[Finding]:
    order = {found.call.name: i for i, found in enumerate(measured)}
    return sorted(findings, key=lambda finding: order[finding.where])


def _drift(findings: Sequence[Finding], body: Sequence[Measured]) -> list[Finding]:
    """The first departure of a net in which nothing else was found."""
    far = [
        found
        for found in body
        if _has_weights(found)
        and not (abs(found.mean) <= FAR and abs(found.std - 1) <= FAR)
    ]
    if findings or not far:
        return []
    return [
        Finding(
            "drift",
            far[0].call.name,
            f"Outputs of mean {far[0].mean:.2g} and standard deviation "
            f"{far[0].std:.3g}, and no known cause before it.",
            "Look at this layer and its inputs; narrow layers drift by chance.",
            severity="warning",
            evidence=moments(far[0]),
        )
    ]
