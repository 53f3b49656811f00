"""What a loss is worth: the best constant prediction, and simple models beside it."""

import math
from typing import Any

import keras
import numpy as np

from keras_deeptools.diagnosis._audit.subject import OutputEnd
from keras_deeptools.diagnosis._diagnose.facts import TargetFacts

MOST_ROWS = 1500
MANY = 256
"""So many samples are enough to compare predictions."""

MOST_FEATURES = 512


def constant_loss(loss: Any, end: OutputEnd, y: np.ndarray) -> float:
    """The loss of the best prediction that does not look at the inputs.

    Args:
        loss: As in `compile`.
        end: `OutputEnd` of the output.
        y: Targets `(samples, ...)`.

    Returns:
        Float; NaN where it cannot be told.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.diagnosis._diagnose.baselines import constant_loss
    >>> from keras_deeptools.diagnosis._audit.subject import output_ends
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(3, "softmax")])
    >>> model.compile("sgd", "sparse_categorical_crossentropy")
    >>> [end] = output_ends(model)
    >>> loss = constant_loss(model.loss, end, np.arange(300) % 3)
    >>> round(loss, 3) == round(float(np.log(3)), 3)
    True

    Labels may come without an axis for the one unit of a classifier of two classes:

    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, "sigmoid")])
    >>> model.compile("sgd", "binary_crossentropy")
    >>> [end] = output_ends(model)
    >>> round(constant_loss(model.loss, end, np.arange(300) % 2), 3)
    0.693
    """
    try:
        function = keras.losses.get(loss)
        best = math.nan
        for constant in _constants(end, y):
            predicted = np.broadcast_to(constant, (len(y), *constant.shape))
            # A loss that is a function does not add an axis to `(samples,)` itself.
            wanted = y.reshape(predicted.shape) if y.size == predicted.size else y
            found = function(wanted, predicted.astype("float32"))
            value = float(np.mean(keras.ops.convert_to_numpy(found)))
            best = value if not best <= value else best
    except Exception:
        # A loss of the user's may take other arguments.
        return math.nan
    return best


def values_of(loss: Any, y: np.ndarray, shape: tuple[int, ...]) -> dict[str, float]:
    """The loss of predictions that are right, constant, and far off.

    Args:
        loss: As in `compile`.
        y: Float targets `(samples, ...)`.
        shape: Of the outputs for these samples.

    Returns:
        Dict with `"right"`, `"constant"` and `"far"`; empty where the loss cannot be
        asked in this way.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.diagnosis._diagnose.baselines import values_of
    >>> y = np.array([-1.0, 1.0])
    >>> values_of(keras.losses.MeanSquaredError(), y, (2, 1))
    {'right': 0.0, 'constant': 1.0, 'far': 16.0}
    """
    some = np.asarray(y, "float32")[:MANY]
    if int(np.prod(shape[1:])) != int(np.prod(some.shape[1:])):
        return {}
    target = some.reshape(len(some), *shape[1:])
    middle, spread = target.mean(axis=0), float(target.std())
    if not math.isfinite(spread) or spread == 0:
        return {}
    predictions = {
        "right": target,
        "constant": np.broadcast_to(middle, target.shape).astype("float32"),
        "far": target + np.float32(4 * spread),
    }
    function = keras.losses.get(loss)
    try:
        found = {
            name: float(np.mean(keras.ops.convert_to_numpy(function(target, value))))
            for name, value in predictions.items()
        }
    except Exception:
        # A loss of the user's may take other arguments.
        return {}
    return found if all(map(math.isfinite, found.values())) else {}


def _constants(end: OutputEnd, y: np.ndarray) -> list[np.ndarray]:
    values = np.asarray(y, "float64")
    if end.loss == "sparsecategoricalcrossentropy":
        units = end.units or int(values.max()) + 1
        labels = values.astype(int).reshape(-1)
        labels = labels[(labels >= 0) & (labels < units)]
        share = np.bincount(labels, minlength=units) / max(len(labels), 1)
        inner = y.shape[1:-1] if y.ndim > 1 and y.shape[-1] == 1 else y.shape[1:]
        share = np.broadcast_to(share, (*inner, units))
    elif end.loss in ("categoricalcrossentropy", "binarycrossentropy"):
        share = np.atleast_1d(values.mean(axis=0))
    else:
        middle = [values.mean(axis=0), np.median(values, axis=0)]
        return [np.atleast_1d(each) for each in middle]
    share = np.clip(share, 1e-6, 1 - 1e-6)
    if not end.from_logits:
        return [share]
    odds = end.loss == "binarycrossentropy"
    return [np.log(share) - (np.log1p(-share) if odds else 0.0)]


def probe(
    x: Any, facts: TargetFacts, y: np.ndarray, quantities: bool = False
) -> dict[str, float]:
    """How well simple models predict held-out samples, against a constant.

    A ridge regression and the nearest neighbours, both on standardized inputs, of
    half of the samples each.

    Args:
        x: Inputs; all arrays of numbers in them side by side.
        facts: `TargetFacts` of the targets.
        y: Targets `(samples, ...)`.
        quantities: Bool, whether whole numbers are quantities and not classes.

    Returns:
        Dict with `"score"`, the better one's accuracy or R^2; `"chance"`, that of the
        best constant; `"error"`, the standard error of the difference by chance; empty
        where there is nothing to predict from.
    """
    arrays = [np.asarray(each) for each in keras.tree.flatten(x) if each is not None]
    arrays = [each for each in arrays if each.dtype.kind in "biuf"]
    if not arrays or len(y) < 60 or not (facts.is_classes or facts.shape in ((), (1,))):
        return {}
    inputs = np.concatenate([_features(each) for each in arrays], axis=1)
    generator = np.random.default_rng(0)
    order = generator.permutation(len(inputs))[:MOST_ROWS]
    if inputs.shape[1] > MOST_FEATURES:
        columns = np.sort(generator.permutation(inputs.shape[1])[:MOST_FEATURES])
        inputs = inputs[:, columns]
    inputs = np.nan_to_num(inputs[order])
    half = len(order) // 2
    inputs = (inputs - inputs[:half].mean(axis=0)) / (inputs[:half].std(axis=0) + 1e-6)
    inputs = np.clip(inputs, -10, 10)
    if facts.labels is not None and not (quantities and facts.shape in ((), (1,))):
        return _of_classes(inputs, facts.labels[order], half)
    return _of_quantities(inputs, np.asarray(y, "float64").reshape(-1)[order], half)


def _features(array: np.ndarray) -> np.ndarray:
    """Numbers as they are, and of ids how often each occurs."""
    flat = array.reshape(len(array), -1)
    if array.dtype.kind in "iu" and array.ndim == 2 and 0 <= flat.min():
        count = int(flat.max()) + 1
        if 255 != flat.max() and 20 < count <= 4 * MOST_FEATURES:
            return np.stack([np.bincount(row, minlength=count) for row in flat]).astype(
                "float32"
            )
    return flat.astype("float32")


def _of_classes(inputs: np.ndarray, labels: np.ndarray, half: int) -> dict[str, float]:
    first, second = labels[:half], labels[half:]
    wanted = np.eye(int(labels.max()) + 1)
    predicted = _ridge(inputs, wanted[first], half).argmax(axis=1)
    found = [float((predicted == second).mean())]
    nearest = _nearest(inputs, half)
    votes = np.stack([wanted[first[each]].sum(axis=0) for each in nearest])
    found.append(float((votes.argmax(axis=1) == second).mean()))
    chance = float(np.bincount(labels).max() / len(labels))
    error = math.sqrt(max(chance * (1 - chance), 1e-4) / len(second))
    return {"score": max(found), "chance": chance, "error": error}


def _of_quantities(
    inputs: np.ndarray, values: np.ndarray, half: int
) -> dict[str, float]:
    first, second = values[:half], values[half:]
    total = float(np.square(second - first.mean()).mean())
    if not total > 0:
        return {}
    nearest = _nearest(inputs, half)
    guesses = [
        _ridge(inputs, first[:, None], half)[:, 0],
        np.stack([first[each].mean() for each in nearest]),
    ]
    errors = [float(np.square(each - second).mean()) for each in guesses]
    return {
        "score": 1 - min(errors) / total,
        "chance": 0.0,
        "error": 2 / math.sqrt(len(second)),
    }


def _ridge(inputs: np.ndarray, wanted: np.ndarray, half: int) -> np.ndarray:
    """Predictions for the second half of a ridge regression on the first."""
    known, rest = inputs[:half].astype("float64"), inputs[half:]
    middle = wanted.mean(axis=0)
    # In the space of the samples, of which there are fewer than features at times.
    kernel = known @ known.T
    penalty = 0.05 * np.trace(kernel) / len(kernel) + 1e-9
    weights = np.linalg.solve(kernel + penalty * np.eye(half), wanted - middle)
    return rest @ known.T @ weights + middle


def _nearest(inputs: np.ndarray, half: int, neighbours: int = 5) -> np.ndarray:
    known, rest = inputs[:half], inputs[half:]
    distances = np.square(known).sum(axis=1) - 2 * rest @ known.T
    return np.argpartition(distances, min(neighbours, half - 1), axis=1)[:, :neighbours]
