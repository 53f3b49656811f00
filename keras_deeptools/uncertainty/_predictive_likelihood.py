"""How likely the targets are under a Monte Carlo prediction, row by row."""

from typing import Any

import numpy as np

from keras_deeptools.uncertainty._labelled_rows import read_labels
from keras_deeptools.uncertainty._log_softmax import log_softmax
from keras_deeptools.uncertainty._negative_log_likelihood import read_logits

REGRESSION = ("squarederror", "mse", "absoluteerror", "mae", "huber", "logcosh")
GOLDEN = (np.sqrt(5) - 1) / 2
NUM_HALVINGS = 60


def likelihood_of_loss(owner: str, loss: Any) -> tuple[str, bool]:
    """`"classification"` or `"regression"`, and whether outputs are logits."""
    name = loss if isinstance(loss, str) else getattr(loss, "__name__", None)
    name = str(name or type(loss).__name__).lower().replace("_", "")
    if "crossentropy" in name:
        return "classification", bool(getattr(loss, "from_logits", False))
    if any(word in name for word in REGRESSION):
        return "regression", False
    raise ValueError(
        f"{owner}: `likelihood` must be given where the loss does not tell it. "
        f"Received: a model with loss={loss!r}. Give 'classification' or 'regression'."
    )


def classification_log_likelihood(
    owner: str, outputs: np.ndarray, labels: Any, from_logits: bool
) -> np.ndarray:
    """Log of the mean probability of what came true, `(n,)`.

    Args:
        owner: Who speaks in errors.
        outputs: Probabilities `(samples, n, k)`, or logits.
        labels: As for `negative_log_likelihood`.
        from_logits: Bool.
    """
    if from_logits:
        is_binary = outputs.shape[-1] == 1
        # A binary model is one of two classes, whose first logit is 0.
        logits = np.asarray(outputs, "float64")
        if is_binary:
            logits = np.concatenate([np.zeros_like(logits), logits], axis=-1)
        log_probabilities = log_softmax(logits)
        peak = log_probabilities.max(axis=0)
        logs = peak + np.log(np.exp(log_probabilities - peak).mean(axis=0))
    else:
        logs = log_softmax(read_logits(owner, outputs.mean(axis=0), False))
    return logs[np.arange(len(logs)), read_labels(owner, labels, *logs.shape)]


def regression_log_likelihood(
    outputs: np.ndarray, targets: np.ndarray
) -> tuple[np.ndarray, float]:
    """Log-density of the targets `(n,)`, and the noise under which it is largest.

    Every sample is the mean of a normal density with one standard deviation for all
    rows and outputs; that of the mixture is taken.

    Args:
        outputs: Float array `(samples, n, d)`.
        targets: Float array `(n, d)`.
    """
    squares = ((outputs - targets) ** 2).sum(axis=-1, dtype="float64")
    num_outputs = targets.shape[-1]

    def at(log_noise: float) -> np.ndarray:
        exponents = -squares / 2 * np.exp(-2 * log_noise)
        peak = exponents.max(axis=0)
        mixture = peak + np.log(np.exp(exponents - peak).mean(axis=0))
        return mixture - num_outputs * (log_noise + np.log(2 * np.pi) / 2)

    # The best noise is no larger than the error of the worst sample of each row, and
    # no smaller than that of the best one.
    small = squares.min(axis=0).mean() / num_outputs
    large = squares.max(axis=0).mean() / num_outputs
    floor = np.finfo("float32").tiny
    low, high = np.log(np.maximum([small, large], floor)) / 2
    low, high = low - 1e-6, high + 1e-6
    for _ in range(NUM_HALVINGS):
        left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
        if at(left).mean() > at(right).mean():
            high = right
        else:
            low = left
    best = (low + high) / 2
    return at(best), float(np.exp(best))
