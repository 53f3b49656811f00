"""What is wrong with a model, where, and what to change."""

from keras_deeptools.diagnosis._audit import audit
from keras_deeptools.diagnosis._audit_report import Audit, AuditFinding

__all__ = ["Audit", "AuditFinding", "audit"]
