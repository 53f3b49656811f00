"""The Brier score and what it is made of."""

from typing import Any

from keras_deeptools.uncertainty._labelled_rows import LabelledRows, labelled_rows


def brier_score(
    probabilities: Any,
    labels: Any,
    *,
    sample_weight: Any = None,
    multi_label: bool | None = None,
    ignore_class: int | None = None,
) -> float:
    """The mean squared distance between probabilities and what came true.

    A proper score: it is smallest for the true probabilities, and judges calibration
    and sharpness together.

    Args:
        probabilities: Float array `(n,)` or `(n, 1)`, probability of class 1, or
            `(n, classes)`: what `predict` returns, or the `.mean` of a Monte Carlo
            prediction. Dense predictions have further axes before the last:
            `(n, height, width, classes)`, `(n, tokens, classes)`.
        labels: Class indices `(n,)` or `(n, 1)`, or one-hot rows `(n, classes)`; of
            dense predictions masks `(n, height, width)`; of independent outputs 0 or
            1 for each, in the shape of `probabilities`.
        sample_weight: Float array `(n,)` or None, weights >= 0 of the rows; with
            further axes, of their pixels, tokens or labels.
        multi_label: Bool, whether the outputs are independent of one another (several
            sigmoids); None: as `labels` tell, by rows with several ones or none.
        ignore_class: Int or None, a label that does not count, such as 255 or -1.

    Returns:
        Float. With two classes, in either form, the squared distance of one of them, in
        [0, 1]; with more, the sum over the classes, in [0, 2]; with independent
        outputs, the mean over them, in [0, 1].

    Raises:
        ValueError: If shapes do not fit, or a value is no probability or no class.

    Example:

    >>> from keras_deeptools.uncertainty import brier_score
    >>> round(brier_score([0.1, 0.9, 0.8], [0, 1, 0]), 4)
    0.22
    >>> round(brier_score([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]], [0, 2]), 4)
    0.22

    Reference:
        Brier, 1950. Verification of forecasts expressed in terms of probability. The
        halving with two classes is scikit-learn's.
    """
    rows = labelled_rows(
        "brier_score",
        probabilities,
        labels,
        sample_weight,
        multi_label,
        ignore_class,
    )
    return score_of(rows)


def judged_classes(rows: LabelledRows) -> range:
    """Both of two classes would count the same distance twice."""
    num_classes = rows.probabilities.shape[1]
    return range(1, 2) if num_classes == 2 else range(num_classes)


def score_of(rows: LabelledRows) -> float:
    columns = list(judged_classes(rows))
    came_true = rows.labels[:, None] == columns
    squares = (rows.probabilities[:, columns] - came_true) ** 2
    return float(rows.weights @ squares.sum(axis=1))
