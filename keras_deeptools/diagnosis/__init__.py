"""What is wrong with a model, where, and what to change."""

from keras_deeptools import _keras_import  # noqa: F401
from keras_deeptools._finding import Finding
from keras_deeptools.diagnosis._audit.audit import Audit, audit
from keras_deeptools.diagnosis._check_self_normalizing.check_self_normalizing import (
    check_self_normalizing,
)
from keras_deeptools.diagnosis._check_self_normalizing.report import (
    SelfNormalizingLayer,
    SelfNormalizingReport,
)
from keras_deeptools.diagnosis._diagnose.diagnose import diagnose
from keras_deeptools.diagnosis._diagnose.diagnosis import Diagnosis
from keras_deeptools.diagnosis._repair.repair import repair
from keras_deeptools.diagnosis._repair.result import Repair, RepairStep
from keras_deeptools.diagnosis._signal_propagation.measurement import LayerSignal
from keras_deeptools.diagnosis._signal_propagation.signal_propagation import (
    SignalPropagation,
    signal_propagation,
)
from keras_deeptools.diagnosis._training_doctor.actions import (
    TrainingProblemError,
    TrainingWarning,
)
from keras_deeptools.diagnosis._training_doctor.activation_monitor import (
    ActivationMonitor,
)
from keras_deeptools.diagnosis._training_doctor.doctor import TrainingDoctor

__all__ = [
    "ActivationMonitor",
    "Audit",
    "Diagnosis",
    "Finding",
    "LayerSignal",
    "Repair",
    "RepairStep",
    "SelfNormalizingLayer",
    "SelfNormalizingReport",
    "SignalPropagation",
    "TrainingDoctor",
    "TrainingProblemError",
    "TrainingWarning",
    "audit",
    "check_self_normalizing",
    "diagnose",
    "repair",
    "signal_propagation",
]
