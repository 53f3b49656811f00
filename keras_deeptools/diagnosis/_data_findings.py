"""What an audit finds in data, and in what the first layers receive of them."""

from typing import Any

import keras

from keras_deeptools.diagnosis._audit_report import AuditFinding
from keras_deeptools.engine import Capture
from keras_deeptools.engine._checked_batch import checked_batch
from keras_deeptools.statistics._input_problems import (
    InputProblem,
    is_finite,
    problems_of_arrays,
    problems_of_received,
    received_by,
)

SOURCE = "the numbers of these inputs"


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
    return found


def _finding(problem: InputProblem, before: str) -> AuditFinding:
    where = before + problem.where
    return AuditFinding(problem.kind, where, problem.message, problem.remedy, SOURCE)
