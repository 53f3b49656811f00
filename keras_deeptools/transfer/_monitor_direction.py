"""Whether a number in the logs is better small or large."""

from keras_deeptools._arguments import checked_option, message

SMALL = ("loss", "error", "brier", "mse", "mae", "msle", "entropy", "perplexity")
LARGE = ("acc", "auc", "precision", "recall", "f1", "fbeta", "iou", "r2", "score")
MODES = ("auto", "min", "max")


def direction(owner: str, mode: str, monitor: str) -> str:
    """`"min"` or `"max"`: the mode, or what the name of a number tells for `"auto"`."""
    checked_option(owner, "mode", mode, MODES)
    if mode != "auto":
        return mode
    name = monitor.lower()
    if any(part in name for part in SMALL):
        return "min"
    if any(part in name for part in LARGE):
        return "max"
    rule = f"'min' or 'max' where the name does not tell, as here: {monitor!r}"
    raise ValueError(message(owner, "mode", rule, mode))
