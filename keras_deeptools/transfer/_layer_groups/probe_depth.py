"""How deep to unfreeze, judged by linear probes of what each layer group gives."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import (
    checked_bool,
    checked_count,
    checked_seed,
    message,
)
from keras_deeptools._axes import new_axes
from keras_deeptools._text_table import NotebookText, text_table
from keras_deeptools.engine._data.samples import RowBatches
from keras_deeptools.engine._frozen_features.computation import PooledOutputs
from keras_deeptools.engine._graph.calls import calls_of, output_calls_of
from keras_deeptools.transfer._fine_tune.chosen_loss import are_one_hot
from keras_deeptools.transfer._layer_groups.graph_cuts import (
    cut_points,
    ends_cell,
    value_parents,
)
from keras_deeptools.transfer._layer_groups.groups import LayerGroups, layer_groups
from keras_deeptools.transfer._layer_groups.linear_probe import (
    probe_accuracy,
    stratified_folds,
)


@dataclass(frozen=True, eq=False)
class DepthProbe(NotebookText):
    """Accuracy of linear probes by layer group; made by `probe_depth`.

    Attributes:
        groups: Tuple of str, names of the probed groups, from the inputs on.
        rest: Tuple of str, names of groups after them: the head.
        fold_accuracy: Float array `(groups, folds)`, the accuracy in each fold.
        num_rows: Int, number of samples that the probes saw.
        num_classes: Int.

    Example:

    >>> import numpy as np
    >>> from keras_deeptools.transfer import DepthProbe
    >>> accuracy = np.array([[0.7, 0.8, 0.75], [0.9, 0.9, 0.85], [0.5, 0.6, 0.6]])
    >>> probe = DepthProbe(("low", "middle", "high"), ("head",), accuracy, 60, 3)
    >>> probe.first_to_retrain, probe.best
    (2, 1)
    >>> print(probe)
    Retrain from 'high' on (group 2). 60 rows, 3 classes.
    group       accuracy  standard error
    0  low         0.750           0.029  keep
    1  middle      0.883           0.017  best, keep
    2  high        0.567           0.033  retrain
    """

    groups: tuple[str, ...]
    rest: tuple[str, ...]
    fold_accuracy: np.ndarray
    num_rows: int
    num_classes: int

    @property
    def accuracy(self) -> np.ndarray:
        """Float array `(groups,)`, mean accuracies over the folds."""
        return self.fold_accuracy.mean(axis=1)

    @property
    def standard_error(self) -> np.ndarray:
        """Float array `(groups,)`, standard errors of the means over the folds."""
        return _standard_error(self.fold_accuracy)

    @property
    def best(self) -> int:
        """Int, the group with the highest accuracy, the deepest one of several."""
        backwards = self.accuracy[::-1].round(12)
        return len(self.groups) - 1 - int(backwards.argmax())

    @property
    def first_to_retrain(self) -> int:
        """Int, the first of `groups` to retrain; `len(groups)` for the head alone."""
        below = self.fold_accuracy[self.best] - self.fold_accuracy
        as_good = below.mean(axis=1) <= _standard_error(below) + 1e-12
        return int(np.flatnonzero(as_good)[-1]) + 1

    def table(self) -> str:
        """One line of text for each group."""
        digits = len(str(len(self.groups) - 1))
        titles = [f"{i:>{digits}}  {name}" for i, name in enumerate(self.groups)]
        rows = []
        numbers = zip(titles, self.accuracy, self.standard_error, strict=True)
        for i, (title, accuracy, error) in enumerate(numbers):
            verdict = "keep" if i < self.first_to_retrain else "retrain"
            verdict = f"best, {verdict}" if i == self.best else verdict
            rows.append([title, f"{accuracy:.3f}", f"{error:.3f}", verdict])
        head = ["group", "accuracy", "standard error", ""]
        return text_table(head, rows, text=(0, -1))

    def __str__(self) -> str:
        counts = f"{self.num_rows:,} rows, {self.num_classes} classes"
        first = self.first_to_retrain
        if first == len(self.groups):
            advice = "Train the head alone: no probe reads earlier groups better"
        else:
            advice = f"Retrain from {self.groups[first]!r} on (group {first})"
        return f"{advice}. {counts}.\n{self.table()}"

    def plot(self, ax: Any = None) -> Any:
        """Draws accuracy with its standard error by group.

        The plot is drawn on the matplotlib axes `ax`, or on those of a new figure;
        the axes are returned.
        """
        ax = new_axes("DepthProbe.plot") if ax is None else ax
        places = np.arange(len(self.groups))
        ax.errorbar(places, self.accuracy, self.standard_error, marker="o", capsize=2)
        ax.axvspan(
            self.first_to_retrain - 0.5,
            max(len(self.groups) - 0.5, self.first_to_retrain - 0.5),
            color="0.9",
            label="retrain",
        )
        ax.axhline(1 / self.num_classes, linestyle="--", color="0.5", linewidth=1)
        ax.set_xticks(places, self.groups, rotation=30, ha="right")
        ax.set_xlim(-0.5, len(self.groups) - 0.5)
        ax.set_ylabel("accuracy of a linear probe")
        if self.first_to_retrain < len(self.groups):
            ax.legend(loc="lower left")
        return ax


def _standard_error(folds: np.ndarray) -> np.ndarray:
    return folds.std(axis=1, ddof=1) / np.sqrt(folds.shape[1])


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
    """Measures how deep to unfreeze, in one pass over labelled data.

    The outputs of each layer group, averaged over space, are given to a linear
    classifier: ridge regression in closed form. Its penalty is chosen on samples that
    are left out, and its accuracy is measured on folds that it has not seen. If
    accuracy falls from one group to the next, the next group has specialized in another
    task; it and all groups after it should be retrained. The groups before it can stay
    as they are.

    The rule uses paired differences between folds. Let the best group be the one with
    the highest accuracy. The last group to keep is the deepest one whose accuracy is
    less than one standard error of the difference below that of the best; all deeper
    ones should be retrained.

    Limits of the method: a probe is linear and sees averages over space, so it misses
    information that only a nonlinear head, or a position in the image, would show. It
    also judges features as they are, not as training would change them. If the accuracy
    is low for all groups, retraining more of them may help all the same.

    Args:
        model: `keras.Model` with a graph, as for `layer_groups`. Nothing in it changes.
        x: Inputs, as in `fit`.
        y: Classes `(samples,)` or `(samples, 1)`, numbers or names, or one-hot
            `(samples, classes)`, one class for each sample; None if the data carry
            them.
        num_groups: Int >= 2 or None, as in `layer_groups`.
        head: Bool, whether the last group is a head, which is trained in any case and
            not probed. None: it is a head if its inputs are vectors.
        num_folds: Int >= 2.
        max_rows: Int >= 1 or None for all. If there are more samples, this many are
            drawn for the probes; the pass is over all of them.
        batch_size: Int >= 1, samples in a batch of the pass.
        seed: Int >= 0, for the folds and the drawn samples.

    Returns:
        `DepthProbe`, with `.table()`, `.plot()` and `.first_to_retrain`.

    Raises:
        ValueError: If the model has no graph or only one group, or `y` are no classes.
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
    """Vectors after each group, and the class of each sample."""
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
