"""Of which numbers in the logs more is better."""

import re

from keras_deeptools._arguments import checked_option, message

_SMALL_PARTS = ("loss", "error", "brier", "mse", "mae", "msle", "entropy", "perplexity")


_LARGE_PARTS = (
    "acc",
    "auc",
    "precision",
    "recall",
    "f1",
    "fbeta",
    "iou",
    "r2",
    "score",
)


MODES = ("auto", "min", "max")


def checked_direction(owner: str, mode: str, monitor: str) -> str:
    """`"min"` or `"max"`: the mode, or what the name of a number tells for `"auto"`."""
    checked_option(owner, "mode", mode, MODES)
    if mode != "auto":
        return mode
    name = monitor.lower()
    if any(part in name for part in _SMALL_PARTS):
        return "min"
    if any(part in name for part in _LARGE_PARTS):
        return "max"
    rule = f"'min' or 'max' where the name does not tell, as here: {monitor!r}"
    raise ValueError(message(owner, "mode", rule, mode))


# Keras' own metrics and losses by their classes' names, functions by theirs.
LARGE = (
    "AUC",
    "Accuracy",
    "BinaryAccuracy",
    "BinaryIoU",
    "CategoricalAccuracy",
    "ConcordanceCorrelation",
    "CosineSimilarity",
    "F1Score",
    "FBetaScore",
    "IoU",
    "MeanIoU",
    "OneHotIoU",
    "OneHotMeanIoU",
    "PearsonCorrelation",
    "Precision",
    "PrecisionAtRecall",
    "R2Score",
    "Recall",
    "RecallAtPrecision",
    "SensitivityAtSpecificity",
    "SparseCategoricalAccuracy",
    "SparseTopKCategoricalAccuracy",
    "SpecificityAtSensitivity",
    "TopKCategoricalAccuracy",
    "TrueNegatives",
    "TruePositives",
    # Short and other names, and those of this package.
    "acc",
    "average_precision",
    "dice_score",
    "f1",
    "fbeta_score",
    "iou",
    "likelihood",
    "log_likelihood",
    "mean_iou",
    "r2",
    "sensitivity",
    "specificity",
)


SMALL = (
    "BinaryCrossentropy",
    "BinaryFocalCrossentropy",
    "CTC",
    "CategoricalCrossentropy",
    "CategoricalFocalCrossentropy",
    "CategoricalGeneralizedCrossEntropy",
    "CategoricalHinge",
    "Circle",
    "Dice",
    "FalseNegatives",
    "FalsePositives",
    "Hinge",
    "Huber",
    "KLDivergence",
    "LogCosh",
    "LogCoshError",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Poisson",
    "RootMeanSquaredError",
    "SparseCategoricalCrossentropy",
    "SquaredHinge",
    "Tversky",
    "bce",
    "brier_score",
    "ce",
    "crossentropy",
    "entropy",
    "error",
    "expected_calibration_error",
    "kld",
    "logcosh",
    "loss",
    "mae",
    "mape",  # codespell:ignore mape
    "mse",
    "msle",
    "negative_log_likelihood",
    "nll",
    "nt_xent",
    "perplexity",
    "rmse",
)


def _snake_case(name: str) -> str:
    """The name that a metric of a class gets from Keras."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


DIRECTIONS = {_snake_case(name): "max" for name in LARGE} | {
    _snake_case(name): "min" for name in SMALL
}


def direction_of(name: str) -> str | None:
    """`"min"` or `"max"` for a name in the logs, None where it does not tell.

    The longest known name at the end decides, so that names of outputs may stand
    before it, and numbers after it: `val_head_mean_io_u_2`.

    Args:
        name: Str.
    """
    words = re.sub(r"(_\d+)+$", "", name).lower().split("_")
    for first in range(len(words)):
        found = DIRECTIONS.get("_".join(words[first:]))
        if found is not None:
            return found
    return None
