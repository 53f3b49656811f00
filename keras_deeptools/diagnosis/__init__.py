"""What is wrong in a model, where, and what to do about it."""

from keras_deeptools.diagnosis._check_self_normalizing import check_self_normalizing
from keras_deeptools.diagnosis._self_normalizing_report import (
    SelfNormalizingLayer,
    SelfNormalizingProblem,
    SelfNormalizingReport,
)

__all__ = [
    "SelfNormalizingLayer",
    "SelfNormalizingProblem",
    "SelfNormalizingReport",
    "check_self_normalizing",
]
