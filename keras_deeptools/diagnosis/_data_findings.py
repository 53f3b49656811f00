"""What an audit finds in data, and in what the first layers receive of them."""

from dataclasses import replace
from typing import Any

import keras
import numpy as np

from keras_deeptools._finding import Finding
from keras_deeptools.diagnosis._output_ends import OutputEnd, output_ends
from keras_deeptools.engine import Capture
from keras_deeptools.engine._data.checks import checked_batch
from keras_deeptools.statistics._input_findings import (
    findings_of_arrays,
    findings_of_received,
    is_finite,
    received_by,
)

SOURCE = "the numbers of these inputs"
OF_LABELS = "the numbers of these targets"


def data_findings(model: keras.Model, x: Any) -> list[Finding]:
    """What is odd about inputs; builds a model that is not built.

    Args:
        model: `keras.Model`.
        x: Data as `fit` takes them.
    """
    batch = checked_batch("audit", model, x, finite=False)
    found = findings_of_arrays(batch.x)
    if is_finite(batch.x):
        for network in batch.networks:
            captured = Capture(network, received=received_by)(batch.x)
            before = "" if network is model else f"{network.name}/"
            received = findings_of_received(captured, batch.x)
            found += [replace(each, where=before + each.where) for each in received]
    found = [replace(each, reference=SOURCE) for each in found]
    targets = [] if batch.y is None else keras.tree.flatten(batch.y)
    ends = output_ends(model)
    if len(targets) == len(ends) == 1:
        found += _of_labels(ends[0], np.asarray(targets[0]))
    return found


def _of_labels(end: OutputEnd, labels: np.ndarray) -> list[Finding]:
    """Labels that the loss cannot mean."""
    count = end.shape[-1] if end.shape else end.units
    if labels.dtype.kind not in "iuf" or end.ignored_class is not None:
        return []
    low, high = labels.min(), labels.max()
    if end.loss == "sparsecategoricalcrossentropy" and count:
        if labels.ndim > 1 and labels.shape[-1] == count > 1:
            return []
        rule, limit = f"classes from 0 to {count - 1}", count - 1
        fits = low >= 0 and high < count
        remedy = "Number the classes from 0, or give the output a unit for each."
    elif end.loss == "binarycrossentropy":
        rule, limit = "values from 0 to 1", 1
        fits = low >= 0 and high <= limit
        remedy = "Give 1 for yes and 0 for no."
    else:
        return []
    if fits:
        return []
    return [
        Finding(
            "labels out of range",
            end.name,
            f"{end.loss_name} takes {rule}, and the labels go from {low:g} to "
            f"{high:g}: some backends train on them without a word.",
            remedy,
            evidence={"least": low, "most": high, "limits": [0, limit]},
            reference=OF_LABELS,
        )
    ]
