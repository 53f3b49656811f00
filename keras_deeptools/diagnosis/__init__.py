"""What is wrong with a model, where, and what to change."""

from keras_deeptools.diagnosis._audit import audit
from keras_deeptools.diagnosis._audit_report import Audit, AuditFinding
from keras_deeptools.diagnosis._check_self_normalizing import check_self_normalizing
from keras_deeptools.diagnosis._self_normalizing_report import (
    SelfNormalizingLayer,
    SelfNormalizingProblem,
    SelfNormalizingReport,
)

__all__ = [
    "Audit",
    "AuditFinding",
    "SelfNormalizingLayer",
    "SelfNormalizingProblem",
    "SelfNormalizingReport",
    "audit",
    "check_self_normalizing",
]
