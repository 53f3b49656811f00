"""How likely the targets are under a Monte Carlo prediction, row by row."""

from typing import Any

import numpy as np

from keras_deeptools.uncertainty._log_softmax import log_softmax
from keras_deeptools.uncertainty._negative_log_likelihood import labelled_logits

REGRESSION = ("squarederror", "mse", "absoluteerror", "mae", "huber", "logcosh")
GOLDEN = (np.sqrt(5) - 1) / 2
NUM_HALVINGS = 60


def likelihood_of_loss(owner: str, loss: Any) -> tuple[str, bool]:
    """`"classification"` or `"regression"`, and whether outputs are logits."""
    name = _name_of(loss)
    if "crossentropy" in name:
        return "classification", bool(getattr(loss, "from_logits", False))
    if any(word in name for word in REGRESSION):
        return "regression", False
    raise ValueError(
        f"{owner}: `likelihood` must be given where the loss does not tell it. "
        f"Received: a model with loss={loss!r}. Give 'classification' or 'regression'."
    )


def independence_of_loss(loss: Any) -> bool | None:
    """Whether a loss is for outputs that are independent; None where it tells not."""
    name = _name_of(loss)
    if "crossentropy" not in name:
        return None
    return "binary" in name


def classification_log_likelihood(
    owner: str,
    outputs: np.ndarray,
    labels: Any,
    from_logits: bool,
    sample_weight: Any = None,
    multi_label: bool | None = None,
    ignore_class: int | None = None,
) -> np.ndarray:
    """Log of the mean probability of what came true, `(n,)`.

    Of several labels, pixels or tokens of a sample it is their mean, weighed so that
    the mean over the samples is the mean over all that count.

    Args:
        owner: Who speaks in errors.
        outputs: Probabilities `(samples, n, ..., k)`, or logits.
        labels: As for `negative_log_likelihood`, as the others.
        from_logits: Bool.
        sample_weight: Array or None.
        multi_label: Bool or None.
        ignore_class: Int or None.
    """
    read = outputs[0] if from_logits else outputs.mean(axis=0)
    rows = labelled_logits(
        owner, read, labels, sample_weight, from_logits, multi_label, ignore_class
    )
    at = np.arange(len(rows.labels)), rows.labels
    if not from_logits:
        logs = log_softmax(rows.probabilities)[at]
    else:
        logs = np.full(len(rows.labels), -np.inf)
        for each in outputs:
            flat = np.asarray(each, "float64").reshape(
                (-1,) if rows.is_binary else (-1, each.shape[-1])
            )[rows.kept]
            if rows.is_binary:
                # A binary model is one of two classes, whose first logit is 0.
                flat = np.stack([np.zeros_like(flat), flat], axis=1)
            logs = np.logaddexp(logs, log_softmax(flat)[at])
        logs -= np.log(len(outputs))
    num_rows = rows.shape[0]
    row = rows.kept // (int(np.prod(rows.shape)) // num_rows)
    return np.bincount(row, rows.weights * logs, minlength=num_rows) * num_rows


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


def _name_of(loss: Any) -> str:
    name = loss if isinstance(loss, str) else getattr(loss, "__name__", None)
    return str(name or type(loss).__name__).lower().replace("_", "")
