"""Whether larger or smaller is better, for each number in the logs."""

import re

from keras_deeptools._arguments import checked_option, message

MODES = ("auto", "min", "max")

# Metrics and losses of Keras, classes by their names and functions by theirs.
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
    # Abbreviations, other names, and those of this package.
    "acc",
    "auprc",
    "auroc",
    "average_precision",
    "dice_score",
    "f1",
    "f1score",
    "fbeta",
    "fbeta_score",
    "iou",
    "likelihood",
    "log_likelihood",
    "mean_iou",
    "miou",
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
    "brier",
    "brier_score",
    "ce",
    "crossentropy",
    "entropy",
    "error",
    "error_rate",
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
    """Returns the name that Keras gives a metric of a class."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


DIRECTIONS = {_snake_case(name): "max" for name in LARGE} | {
    _snake_case(name): "min" for name in SMALL
}

# What may follow the name of a metric, besides numbers: `recall_at_5`, `f1_macro`.
QUALIFIERS = ("at", "average", "k", "macro", "micro", "weighted")


def direction_of(name: str) -> str | None:
    """Returns `"min"` or `"max"` for a name in the logs, None if that is not known.

    The longest known name at the end decides, so that names of outputs may come before
    it and numbers after it: `val_head_mean_io_u_2`. A word with both meanings decides
    nothing: an `anomaly_score` is not better if it is larger.

    Args:
        name: Str.

    Example:

    >>> from keras_deeptools.statistics._metric_direction import direction_of
    >>> direction_of("val_top5_acc"), direction_of("val_loss"), direction_of("score")
    ('max', 'min', None)
    """
    words = name.lower().split("_")
    while words:
        for first in range(len(words)):
            found = DIRECTIONS.get("_".join(words[first:]))
            if found is not None:
                return found
        last = words.pop()
        word = last.rstrip("0123456789")
        if word and word not in QUALIFIERS:
            return DIRECTIONS.get(word) if word != last else None
    return None


def checked_direction(owner: str, mode: str, monitor: str) -> str:
    """Returns `"min"` or `"max"`: the mode, or for `"auto"` that of the name.

    Args:
        owner: Str. Who is named in errors.
        mode: `"min"`, `"max"` or `"auto"`.
        monitor: Str, a name in the logs.

    Raises:
        ValueError: If `mode` is another one, or `"auto"` and the name is not known.

    Example:

    >>> from keras_deeptools.statistics._metric_direction import checked_direction
    >>> checked_direction("fine_tune", "auto", "val_accuracy")
    'max'
    """
    checked_option(owner, "mode", mode, MODES)
    found = direction_of(monitor) if mode == "auto" else mode
    if found is None:
        rule = f"'min' or 'max' where the name does not tell, as here: {monitor!r}"
        raise ValueError(message(owner, "mode", rule, mode))
    return found
