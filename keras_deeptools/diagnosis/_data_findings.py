"""What an audit finds in data, and in what the first layers receive of them."""

from typing import Any

import keras
import numpy as np

from keras_deeptools.diagnosis._audit_report import AuditFinding
from keras_deeptools.diagnosis._output_ends import OutputEnd, output_ends
from keras_deeptools.engine import Capture
from keras_deeptools.engine._data.checks import checked_batch
from keras_deeptools.statistics._input_problems import (
    InputProblem,
    is_finite,
    problems_of_arrays,
    problems_of_received,
    received_by,
)

SOURCE = "the numbers of these inputs"
OF_LABELS = "the numbers of these targets"


def data_findings(model: keras.Model, x: Any) -> list[AuditFinding]:
    """What is odd about inputs; builds a model that is not built.

    Args:
        model: `keras.Model`.
        x: Data as `fit` takes them.
    """
    batch = checked_batch("audit", model, x, finite=False)
    found = [_finding(problem, "") for problem in problems_of_arrays(batch.x)]
    if is_finite(batch.x):
        for network in batch.networks:
            captured = Capture(network, received=received_by)(batch.x)
            before = "" if network is model else f"{network.name}/"
            problems = problems_of_received(captured, batch.x)
            found += [_finding(problem, before) for problem in problems]
    targets = [] if batch.y is None else keras.tree.flatten(batch.y)
    ends = output_ends(model)
    if len(targets) == len(ends) == 1:
        found += _of_labels(ends[0], np.asarray(targets[0]))
    return found


def _of_labels(end: OutputEnd, labels: np.ndarray) -> list[AuditFinding]:
    """Labels that the loss cannot mean."""
    count = end.shape[-1] if end.shape else end.units
    if labels.dtype.kind not in "iuf" or end.ignored_class is not None:
        return []
    low, high = labels.min(), labels.max()
    if end.loss == "sparsecategoricalcrossentropy" and count:
        if labels.ndim > 1 and labels.shape[-1] == count > 1:
            return []
        rule, fits = f"classes from 0 to {count - 1}", low >= 0 and high < count
        remedy = "Number the classes from 0, or give the output a unit for each."
    elif end.loss == "binarycrossentropy":
        rule, fits = "values from 0 to 1", low >= 0 and high <= 1
        remedy = "Give 1 for yes and 0 for no."
    else:
        return []
    if fits:
        return []
    return [
        AuditFinding(
            "labels out of range",
            end.name,
            f"{end.loss_name} takes {rule}, and the labels go from {low:g} to "
            f"{high:g}: some backends train on them without a word.",
            remedy,
            OF_LABELS,
        )
    ]


def _finding(problem: InputProblem, before: str) -> AuditFinding:
    where = before + problem.where
    return AuditFinding(problem.kind, where, problem.message, problem.remedy, SOURCE)
