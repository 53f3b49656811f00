"""What is wrong with a model, where, and what to change."""

from keras_deeptools._finding import Finding
from keras_deeptools.diagnosis._audit import audit
from keras_deeptools.diagnosis._audit_report import Audit, AuditFinding
from keras_deeptools.diagnosis._check_self_normalizing import check_self_normalizing
from keras_deeptools.diagnosis._layer_signal import LayerSignal
from keras_deeptools.diagnosis._self_normalizing_report import (
    SelfNormalizingLayer,
    SelfNormalizingProblem,
    SelfNormalizingReport,
)
from keras_deeptools.diagnosis._signal_findings import SignalFinding
from keras_deeptools.diagnosis._signal_propagation import signal_propagation
from keras_deeptools.diagnosis._signal_result import SignalPropagation

__all__ = [
    "Audit",
    "AuditFinding",
    "Finding",
    "LayerSignal",
    "SelfNormalizingLayer",
    "SelfNormalizingProblem",
    "SelfNormalizingReport",
    "SignalFinding",
    "SignalPropagation",
    "audit",
    "check_self_normalizing",
    "signal_propagation",
]
