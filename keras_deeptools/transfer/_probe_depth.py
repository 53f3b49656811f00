"""How deep to unfreeze, judged by linear probes of what each layer group gives."""

from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import (
    checked_bool,
    checked_count,
    checked_seed,
    message,
)
from keras_deeptools.engine import (
    PooledOutputs,
    RowBatches,
    calls_of,
    output_calls_of,
)
from keras_deeptools.transfer._block_names import ends_cell
from keras_deeptools.transfer._chosen_loss import are_one_hot
from keras_deeptools.transfer._depth_probe import DepthProbe
from keras_deeptools.transfer._graph_cuts import cut_points, value_parents
from keras_deeptools.transfer._layer_group import LayerGroups
from keras_deeptools.transfer._layer_groups import layer_groups
from keras_deeptools.transfer._linear_probe import probe_accuracy, stratified_folds

OWNER = "probe_depth"


def probe_depth(
    model: keras.Model,
    x: Any,
    y: Any = None,
    *,
    num_groups: int | None = None,
    head: bool | None = None,
    num_folds: int = 5,
    max_rows: int | None = 2000,
    batch_size: int = 32,
    seed: int = 0,
) -> DepthProbe:
    """Tells how deep to unfreeze, from one pass over labelled data.

    What each layer group gives, averaged over space, is put to a linear classifier:
    ridge regression in closed form, its penalty chosen on rows that are left out, its
    accuracy measured on folds that it has not seen. Where accuracy falls from one group
    to the next, what the next one makes of the features has been made for another task:
    it, and all after it, is to be retrained. What comes before can stay as it is.

    The rule, as paired differences between folds tell: let the best group be the one
    with the highest accuracy. The last group to keep is the deepest one whose accuracy
    is less than one standard error of the difference below that of the best; all
    deeper ones are to be retrained.

    What it cannot tell: a probe is linear, and of averages over space, so it does not
    see what only a nonlinear head, or a place in the image, would show; and it judges
    features as they are, not what training would make of them. Where no group reads
    well, retraining more may help all the same.

    Args:
        model: `keras.Model` with a graph, as for `layer_groups`. Nothing in it changes.
        x: Inputs, as in `fit`.
        y: Classes `(rows,)` or `(rows, 1)`, numbers or names, or one-hot rows
            `(rows, classes)`, of one class each; None where the data carry them.
        num_groups: Int >= 2 or None, as in `layer_groups`.
        head: Bool, whether the last group is a head, which is trained in any case and
            not probed. None: it is if it gets vectors.
        num_folds: Int >= 2.
        max_rows: Int >= 1 or None for all. Of more rows as many are drawn for the
            probes; the pass is over all.
        batch_size: Int >= 1, rows in a batch of the pass.
        seed: Int >= 0, for folds and drawn rows.

    Returns:
        `DepthProbe`, with `.table()`, `.plot()` and `.first_to_retrain`.

    Raises:
        ValueError: If the model has no graph or one group only, or `y` are no classes.
        TypeError: If an argument is of the wrong type.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.transfer import probe_depth
    >>> keep = keras.layers.Dense(2, kernel_initializer="identity", name="keep")
    >>> lose = keras.layers.Dense(2, kernel_initializer="zeros", name="lose")
    >>> head = keras.layers.Dense(2, name="head")
    >>> model = keras.Sequential([keras.Input((2,)), keep, lose, head])
    >>> x = np.random.default_rng(0).normal(size=(60, 2))
    >>> print(probe_depth(model, x, x[:, 0] > 0))
    Retrain from 'lose' on (group 1). 60 rows, 2 classes.
    group    accuracy  standard error
    0  keep     0.967           0.033  best, keep
    1  lose     0.500           0.000  retrain

    Reference:
        Alain & Bengio, 2016, section 3 (linear probes); Yosinski et al., 2014, section
        4 (where features turn from general to specific).
        https://arxiv.org/abs/1610.01644
    """
    num_folds = checked_count(OWNER, "num_folds", num_folds, 2)
    batch_size = checked_count(OWNER, "batch_size", batch_size)
    limit = None if max_rows is None else checked_count(OWNER, "max_rows", max_rows)
    checked_seed(OWNER, seed)
    if head is not None:
        checked_bool(OWNER, "head", head)
    groups = layer_groups(model, num_groups)
    ends, gets_vectors = _ends(model, groups)
    if gets_vectors if head is None else head:
        ends = ends[:-1]
    if not ends:
        rule = "a model of two layer groups or more"
        raise ValueError(message(OWNER, "model", rule, groups.names))
    features, labels = _features(model, ends, x, y, batch_size)
    generator = np.random.default_rng(seed)
    _check_classes(labels, num_folds)
    if limit is not None and len(labels) > limit:
        share = stratified_folds(labels, -(-len(labels) // limit), generator) == 0
        features, labels = [part[share] for part in features], labels[share]
        _check_classes(labels, num_folds)
    folds = stratified_folds(labels, num_folds, generator)
    accuracy = [probe_accuracy(part, labels, folds) for part in features]
    names = tuple(groups.names[: len(ends)])
    rest = tuple(groups.names[len(ends) :])
    return DepthProbe(names, rest, np.array(accuracy), len(labels), labels.max() + 1)


def _ends(model: keras.Model, groups: LayerGroups) -> tuple[list[int], bool]:
    """The calls that give what each group makes, and whether the last gets vectors."""
    calls, outputs = calls_of(model, wrapped=True), output_calls_of(model, wrapped=True)
    assert calls is not None and outputs is not None
    cuts = set(cut_points(value_parents(calls), outputs))
    cuts |= {i for i, call in enumerate(calls) if ends_cell(call.operation.name)}
    ends = []
    for group in groups.groups[1:]:
        inside = {id(layer) for layer in group.layers}
        first = min(i for i, c in enumerate(calls) if id(c.operation) in inside)
        ends.append(max(cut for cut in cuts if cut < first))
    gets_vectors = bool(ends) and len(calls[ends[-1]].shape) == 2
    return [*ends, outputs[0]], gets_vectors


def _features(
    model: keras.Model, ends: list[int], x: Any, y: Any, batch_size: int
) -> tuple[list[np.ndarray], np.ndarray]:
    """Vectors after each group, and the class of each row."""
    pooled = PooledOutputs(model, ends)
    parts, labels = [], []
    for batch in RowBatches(x, batch_size, OWNER, labelled=True):
        parts.append(pooled.on_rows(batch[0], batch_size))
        labels.append(batch[1])
    features = [np.concatenate(each) for each in zip(*parts, strict=True)]
    for place, each in enumerate(features):
        is_odd = ~np.isfinite(each).all(axis=1)
        if is_odd.any():
            raise ValueError(
                f"{OWNER}: features must be finite. Received: NaN or infinity in "
                f"{is_odd.sum()} of {len(each)} rows behind group {place}. Look for it "
                "in `x`, or in the weights with `diagnosis.audit(model)`."
            )
    if y is None and labels[0] is not None:
        y = np.concatenate(labels)
    return features, _classes(y, len(features[0]))


def _classes(y: Any, num_rows: int) -> np.ndarray:
    if y is None:
        raise ValueError(message(OWNER, "y", "given, or carried by the data", None))
    values = keras.ops.convert_to_numpy(y) if keras.ops.is_tensor(y) else np.asarray(y)
    shape = values.shape
    if values.ndim == 2 and shape[1] > 1 and values.dtype.kind in "biuf":
        if not are_one_hot(values):
            sums = values.sum(axis=1, dtype="float64")
            raise ValueError(
                f"{OWNER}: `y` must have one class for each sample. Received: targets "
                f"of shape {shape}, whose rows sum to between {sums.min():g} and "
                f"{sums.max():g}: several labels or none. Probe one label at a time: "
                "`y[:, 0]`."
            )
    if values.ndim == 2:
        values = values[:, 0] if shape[1] == 1 else values.argmax(axis=1)
    whole = values.dtype.kind != "f" or bool(np.all(values == np.round(values)))
    if values.shape != (num_rows,) or not whole:
        rule = f"classes or one-hot rows, for {num_rows} rows"
        raise ValueError(
            f"{OWNER}: `y` must be {rule}. Received: {values.dtype} of shape {shape}."
        )
    return np.unique(values, return_inverse=True)[1].reshape(-1)


def _check_classes(labels: np.ndarray, num_folds: int) -> None:
    counts = np.bincount(labels)
    if len(counts) < 2 or counts.min() < 2:
        rule = "at least two classes, each with at least two rows"
        raise ValueError(
            f"{OWNER}: `y` must hold {rule}. Received: rows per class "
            f"{counts.tolist()[:20]}. Leave rare classes out."
        )
