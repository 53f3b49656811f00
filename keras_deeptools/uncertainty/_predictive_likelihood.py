"""The likelihood of each sample's targets under a Monte Carlo prediction."""

from typing import Any

import keras
import numpy as np

from keras_deeptools.engine._building.first_call import built_by
from keras_deeptools.engine._data.samples import RowBatches
from keras_deeptools.engine._keras_private.versions import loss_argument
from keras_deeptools.engine._passes.compiled_with import Head, heads_of
from keras_deeptools.uncertainty._labelled_rows import ragged
from keras_deeptools.uncertainty._mc_predict import mc_predict
from keras_deeptools.uncertainty._negative_log_likelihood import (
    labelled_logits,
    log_softmax,
)

REGRESSION = ("squarederror", "mse", "absoluteerror", "mae", "huber", "logcosh")

GOLDEN = (np.sqrt(5) - 1) / 2

NUM_HALVINGS = 60


def likelihood_of_loss(owner: str, loss: Any) -> tuple[str, bool]:
    """Returns `"classification"` or `"regression"`, and whether outputs are logits."""
    name = _name_of(loss)
    if "crossentropy" in name:
        return "classification", bool(loss_argument(loss, "from_logits", False))
    if any(word in name for word in REGRESSION):
        return "regression", False
    raise ValueError(
        f"{owner}: `likelihood` must be given where the loss does not tell it. "
        f"Received: a model with loss={loss!r}. Give 'classification' or 'regression'."
    )


def independence_of_loss(loss: Any) -> bool | None:
    """Returns whether a loss is for independent outputs; None if it does not show."""
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
    """Returns the log of the mean probability of the labels, `(n,)`.

    With several labels, pixels or tokens in a sample it is their mean, weighted so that
    the mean over the samples is the mean over all that count.

    Args:
        owner: Str. Who is named in errors.
        outputs: Probabilities `(samples, n, ..., k)`, or logits; the first axis is that
            of the Monte Carlo samples.
        labels: As for `negative_log_likelihood`.
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
                # A binary model is one of two classes, and the first logit is 0.
                flat = np.stack([np.zeros_like(flat), flat], axis=1)
            logs = np.logaddexp(logs, log_softmax(flat)[at])
        logs -= np.log(len(outputs))
    num_rows = rows.shape[0]
    row = rows.kept // (int(np.prod(rows.shape)) // num_rows)
    return np.bincount(row, rows.weights * logs, minlength=num_rows) * num_rows


def regression_log_likelihood(
    outputs: np.ndarray, targets: np.ndarray
) -> tuple[np.ndarray, float]:
    """Returns the log-density of the targets `(n,)`, and the noise that maximizes it.

    Every Monte Carlo sample is the mean of a normal density with one standard deviation
    for all inputs and outputs; the density is that of their mixture.

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

    # For each input, the best noise is at most the error of the worst Monte Carlo
    # sample, and at least that of the best one.
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


BATCH = 32
"""Samples that are read at once from data that come in batches."""


def mc_log_likelihood(
    model: keras.Model,
    x: Any,
    y: Any,
    likelihood: str,
    num_samples: int,
    seed: int,
    owner: str = "tune_dropout_rate",
    sample_weight: Any = None,
) -> tuple[np.ndarray, float]:
    """Returns the log-likelihood of every sample, and the noise that was fitted.

    The likelihoods of several outputs are added up, as losses are.

    Args:
        model: `keras.Model`, compiled.
        x: Inputs, or data in batches that hold the targets too.
        y: Targets, None if `x` holds them.
        likelihood: `"classification"`, `"regression"` or `"auto"`, by the loss.
        num_samples: Int >= 0, Monte Carlo samples; 0: the prediction without dropout.
        seed: Int >= 0.
        owner: Str. Who is named in errors.
        sample_weight: Weights of the targets, or None.
    """
    if y is None:
        x, y, sample_weight = _held(x, owner)
    heads = heads_of(owner, model)
    kinds = [_kind_of(owner, head, likelihood) for head in heads]
    needs_samples = any(logits or kind == "regression" for kind, logits in kinds)
    if not num_samples:
        outputs = _plainly_predicted(model, x, owner)
        samples = keras.tree.map_structure(lambda each: each[None], outputs)
    else:
        found = mc_predict(
            model,
            x,
            num_samples,
            seed=seed,
            return_samples=needs_samples,
            verbose=0,
        )
        samples = (
            found.samples
            if needs_samples
            else keras.tree.map_structure(lambda each: each[None], found.mean)
        )
    total: Any = 0.0
    noise = np.nan
    for head, (kind, from_logits) in zip(heads, kinds, strict=True):
        outputs = head.part_of(samples)
        labels, weights = head.part_of(y), head.part_of(sample_weight)
        if kind == "classification":
            logs = _of_classes(owner, outputs, labels, weights, head.loss, from_logits)
        else:
            _check_values(owner, outputs, weights)
            targets = np.asarray(labels, "float64").reshape(outputs.shape[1], -1)
            logs, noise = regression_log_likelihood(
                np.asarray(outputs).reshape(*outputs.shape[:2], -1), targets
            )
        total = total + logs
    return total, noise if len(heads) == 1 else np.nan


def check_likelihood(
    owner: str, model: keras.Model, likelihood: str, y: Any = None, data: Any = None
) -> None:
    """Raises an error if the kind of likelihood of a model's targets is unknown.

    Args:
        owner: Str. Who is named in errors.
        model: `keras.Model`, compiled.
        likelihood: As in `mc_log_likelihood`.
        y: Targets if they are known, else None.
        data: Data in batches that hold the targets, or None.
    """
    if y is None and data is not None:
        first = RowBatches(data, BATCH, owner, labelled=True).peek()
        y = None if first is None else first[1]
    for head in heads_of(owner, model):
        kind, _ = _kind_of(owner, head, likelihood)
        labels = None if y is None else head.part_of(y)
        if kind != "classification" or labels is None or not head.shape:
            continue
        values = np.asarray(labels)
        size = head.shape[-1] or 1
        if (
            values.dtype == object
            or values.ndim < 2
            or not 1 < size == values.shape[-1]
        ):
            continue
        is_multi_hot = bool((values.sum(axis=-1) > 1.5).any())
        if is_multi_hot and independence_of_loss(head.loss) is False:
            raise ValueError(
                f"{owner}: targets must be one class for each row under the loss "
                f"{head.loss!r}. Received: rows of several ones. End the model with "
                "sigmoids and compile it with 'binary_crossentropy'."
            )


def _kind_of(owner: str, head: Head, likelihood: str) -> tuple[str, bool]:
    if likelihood == "auto":
        return likelihood_of_loss(owner, head.loss)
    from_logits = likelihood == "classification" and loss_argument(
        head.loss, "from_logits", False
    )
    return likelihood, bool(from_logits)


def _of_classes(
    owner: str,
    outputs: np.ndarray,
    labels: Any,
    weights: Any,
    loss: Any,
    from_logits: bool,
) -> np.ndarray:
    independent = independence_of_loss(loss)
    ignored = loss_argument(loss, "ignore_class")
    options = {"ignore_class": ignored}
    if outputs.dtype != object:
        if independent and np.shape(labels) != outputs.shape[1:]:
            independent = None
        return classification_log_likelihood(
            owner, outputs, labels, from_logits, weights, independent, **options
        )
    # Samples of differing length: each by itself, weighted by what counts in it.
    logs, sizes = [], []
    for row in range(outputs.shape[1]):
        each = np.stack([sample[row] for sample in outputs])[:, None]
        label = np.asarray(labels[row])[None]
        weight = None if weights is None else np.asarray(weights[row])[None]
        counts = np.ones(label.shape) if weight is None else weight
        counts = counts if ignored is None else counts * (label != ignored)
        sizes.append(float(counts.sum()))
        if not sizes[-1]:
            logs.append(0.0)
            continue
        told = classification_log_likelihood(
            owner, each, label, from_logits, weight, None, **options
        )
        logs.append(float(told[0]))
    shares = np.asarray(sizes)
    return np.asarray(logs) * shares / shares.mean()


def _check_values(owner: str, outputs: np.ndarray, weights: Any) -> None:
    if outputs.dtype == object or weights is not None:
        found = "sample weights" if weights is not None else "rows of differing length"
        raise ValueError(
            f"{owner}: `validation_data` must be arrays without weights where the "
            f"likelihood is that of a regression. Received: {found}. Leave them out."
        )


class HeldBatches(keras.utils.PyDataset):
    """Batches of inputs that have already been read.

    Args:
        batches: List of structures of arrays.
    """

    def __init__(self, batches: list[Any]) -> None:
        super().__init__()
        self._batches = batches

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> tuple[Any]:
        return (self._batches[index],)


def _held(data: Any, owner: str) -> tuple[Any, Any, Any]:
    """Returns inputs, targets and weights of data that come in batches."""
    batches = list(RowBatches(data, BATCH, owner, labelled=True))
    if not batches or batches[0][1] is None:
        raise ValueError(
            f"{owner}: `validation_data` must hold inputs and targets. Received: "
            f"{type(data).__name__} with inputs alone, or without rows. Give (x, y), "
            "or batches of them."
        )
    targets = keras.tree.map_structure(lambda *p: ragged(p), *(b[1] for b in batches))
    weights = None
    if batches[0][2] is not None:
        weights = keras.tree.map_structure(
            lambda *p: ragged(p), *(b[2] for b in batches)
        )
    return HeldBatches([batch[0] for batch in batches]), targets, weights


def _plainly_predicted(model: keras.Model, x: Any, owner: str) -> Any:
    if not isinstance(x, HeldBatches):
        return keras.tree.map_structure(np.asarray, model.predict(x, verbose=0))
    found = []
    for i in range(len(x)):
        built_by(model, x[i][0], owner)
        found.append(
            keras.tree.map_structure(np.asarray, model.predict_on_batch(x[i][0]))
        )
    return keras.tree.map_structure(lambda *parts: ragged(parts), *found)
