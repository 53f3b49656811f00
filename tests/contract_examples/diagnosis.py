"""A valid instance of every public class of `keras_deeptools.diagnosis`."""

from collections.abc import Callable

from keras_deeptools import diagnosis

NUMBERS = (
    "mean",
    "std",
    "pre_activation_std",
    "saturated",
    "zero",
    "dead",
    "gradient_mean",
    "gradient_std",
    "weight_gradient_std",
)

EXAMPLES: dict[str, Callable[[], object]] = {
    "keras_deeptools.diagnosis.ActivationMonitor": diagnosis.ActivationMonitor,
    "keras_deeptools.diagnosis.Audit": lambda: diagnosis.Audit("model", ()),
    "keras_deeptools.diagnosis.Diagnosis": lambda: diagnosis.Diagnosis("model", ()),
    "keras_deeptools.diagnosis.Finding": lambda: diagnosis.Finding(
        "dead", "dense", "All units are zero.", evidence={"zero": 1.0}
    ),
    "keras_deeptools.diagnosis.LayerSignal": lambda: diagnosis.LayerSignal(
        "dense", "Dense", **dict.fromkeys(NUMBERS, 0.5)
    ),
    "keras_deeptools.diagnosis.Repair": lambda: diagnosis.Repair(
        None, (), (), 0.5, 0.5
    ),
    "keras_deeptools.diagnosis.RepairStep": lambda: diagnosis.RepairStep(
        diagnosis.Finding("dead", "dense", "All units are zero."), ("+ a",), 0.5
    ),
    "keras_deeptools.diagnosis.SelfNormalizingLayer": lambda: (
        diagnosis.SelfNormalizingLayer("dense", "Dense", 0.0, 1.0, 1.0, None)
    ),
    "keras_deeptools.diagnosis.SelfNormalizingReport": lambda: (
        diagnosis.SelfNormalizingReport((), (), 0.0, 1.0)
    ),
    "keras_deeptools.diagnosis.SignalPropagation": lambda: diagnosis.SignalPropagation(
        (), loss=1.0
    ),
    # "ignore": two epochs of four batches are too short to judge.
    "keras_deeptools.diagnosis.TrainingDoctor": lambda: diagnosis.TrainingDoctor(
        "ignore"
    ),
    "keras_deeptools.diagnosis.TrainingProblemError": lambda: (
        diagnosis.TrainingProblemError("does not learn", [])
    ),
    "keras_deeptools.diagnosis.TrainingWarning": lambda: diagnosis.TrainingWarning(
        "does not learn"
    ),
}
