"""Averages of trained weights: WiSE-FT and model soups."""

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import keras
import numpy as np

from keras_deeptools._arguments import checked_float, checked_model, message
from keras_deeptools.engine._backends.common import on_host
from keras_deeptools.engine._patching import replaced
from keras_deeptools.layers import update_batch_norm

Weights: TypeAlias = "keras.Model | str | Path | Sequence[Any]"
"""A model, the path of a file of weights or of a model, or a list of arrays."""


def interpolate_weights(
    model: keras.Model,
    start: Weights,
    end: Weights,
    mix: float = 0.5,
    *,
    batch_norm_data: Any = None,
) -> None:
    """Sets a model's weights between two sets of weights (WiSE-FT).

    A fine-tuned model is better on the data that it was tuned on, the pretrained one on
    everything else; weights between the two often keep most of both. The sets must have
    a common origin, such as a model before and after `fine_tune`: between unrelated
    models, accuracy is that of chance. Numbers that are not floats, such as the states
    of random layers, stay those of the model, and so does the optimizer.

    Args:
        model: `keras.Model`, built, that gets the weights.
        start: The weights at `mix=0`: a `keras.Model`, the path of a file
            (`.weights.h5` or `.keras`), or a list of arrays as `get_weights` returns.
        end: The weights at `mix=1`, in the same way.
        mix: Float in [0, 1]. 0.5 is a good choice without validation.
        batch_norm_data: Inputs of the training data, as for `update_batch_norm`, from
            which the statistics of BatchNormalization are computed for the new
            weights. None interpolates the statistics, too, which is less accurate.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If `mix` is out of range, or weights do not fit the model. The
            model then keeps its weights.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.transfer import interpolate_weights
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> before = [np.zeros((2, 1)), np.zeros(1)]
    >>> after = [np.ones((2, 1)), np.full(1, 2.0)]
    >>> interpolate_weights(model, before, after, mix=0.25)
    >>> [array.ravel().tolist() for array in model.get_weights()]
    [[0.25, 0.25], [0.5]]

    Reference:
        Wortsman et al., 2022, section 3. https://arxiv.org/abs/2109.01903
    """
    owner = "interpolate_weights"
    checked_model(owner, model)
    mix = checked_float(
        owner, "mix", mix, at_least=0, at_most=1, rule="a float in [0, 1]"
    )
    first = _arrays(owner, "start", model, start)
    second = _arrays(owner, "end", model, end)
    means = [_between(a, b, mix) for a, b in zip(first, second, strict=True)]
    _assign(model, means, batch_norm_data)


def uniform_soup(
    model: keras.Model, checkpoints: Iterable[Weights], *, batch_norm_data: Any = None
) -> int:
    """Sets a model's weights to the mean of several sets of weights.

    The sets come from fine-tunings of one pretrained model with other learning rates,
    augmentation or seeds, or from epochs of one training. Their mean is often better
    than the best of them, and costs as much as one model at inference. They are read
    one after another. `greedy_soup` leaves out those that do harm.

    Args:
        model: `keras.Model`, built, that gets the weights.
        checkpoints: Sets of weights, each a `keras.Model`, the path of a file
            (`.weights.h5` or `.keras`), or a list of arrays as `get_weights` returns.
        batch_norm_data: Inputs of the training data, as for `update_batch_norm`, from
            which the statistics of BatchNormalization are computed for the new
            weights. None takes the mean of the statistics, too.

    Returns:
        Int, the number of sets.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If there are no checkpoints, or weights do not fit the model. The
            model then keeps its weights.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.transfer import uniform_soup
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> uniform_soup(model, [[np.full((2, 1), i), np.zeros(1)] for i in (1.0, 2.0)])
    2
    >>> model.get_weights()[0].ravel().tolist()
    [1.5, 1.5]

    Reference:
        Wortsman et al., 2022, section 2. https://arxiv.org/abs/2203.05482
    """
    owner = "uniform_soup"
    checked_model(owner, model)
    means: list[np.ndarray] = []
    number = 0
    for checkpoint in _listed(owner, checkpoints):
        number += 1
        arrays = _arrays(owner, "checkpoints", model, checkpoint)
        means = _mean_with(means, arrays, number)
    _assign(model, means, batch_norm_data)
    return number


def greedy_soup(
    model: keras.Model,
    checkpoints: Iterable[Weights],
    score: Callable[[keras.Model], float],
    *,
    batch_norm_data: Any = None,
) -> list[int]:
    """Sets a model's weights to the mean of those checkpoints that raise a score.

    All checkpoints are scored alone. Beginning with the best, each in turn is added to
    the mean and stays if the score does not fall. The result is never worse than the
    best checkpoint on the data of `score`; measure it on other data. There are twice as
    many calls of `score` as checkpoints.

    Args:
        model: `keras.Model`, built, that gets the weights.
        checkpoints: Sets of weights, each a `keras.Model`, the path of a file
            (`.weights.h5` or `.keras`), or a list of arrays as `get_weights` returns.
        score: Function of the model that returns a number, the larger the better, such
            as the accuracy on validation data. NaN is worse than any number.
        batch_norm_data: Inputs of the training data, as for `update_batch_norm`, from
            which the statistics of BatchNormalization are computed for each mean
            before it is scored. None takes the mean of the statistics, too.

    Returns:
        List of ints, the places of the checkpoints in the mean, the best one first.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If there are no checkpoints, weights do not fit the model, or all
            scores are NaN. The model then keeps its weights, as after any error.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.transfer import greedy_soup
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> found = [[np.full((1, 1), value), np.zeros(1)] for value in (0.0, 5.0, 1.5)]
    >>> def score(model):  # the best kernel is 1
    ...     return -abs(float(model.get_weights()[0][0, 0]) - 1.0)
    >>> greedy_soup(model, found, score), model.get_weights()[0].tolist()
    ([2, 0], [[0.75]])

    Reference:
        Wortsman et al., 2022, recipe 1. https://arxiv.org/abs/2203.05482
    """
    owner = "greedy_soup"
    checked_model(owner, model)
    if not callable(score):
        raise TypeError(message(owner, "score", "a function of the model", score))
    listed = list(_listed(owner, checkpoints))
    before = [np.array(on_host(variable)) for variable in model.weights]

    def scored(arrays: list[np.ndarray], data: Any) -> float:
        _assign(model, arrays, data)
        reached = float(score(model))
        return -math.inf if math.isnan(reached) else reached

    try:
        scores = [
            scored(_arrays(owner, "checkpoints", model, each), None) for each in listed
        ]
        if max(scores) == -math.inf:
            rule = "a function that returns a number for one checkpoint at least"
            raise ValueError(message(owner, "score", rule, scores))
        order = sorted(range(len(listed)), key=lambda place: -scores[place])
        means: list[np.ndarray] = []
        chosen: list[int] = []
        best = -math.inf
        for place in order:
            arrays = _arrays(owner, "checkpoints", model, listed[place])
            mixed = _mean_with(means, arrays, len(chosen) + 1)
            # A checkpoint alone has the statistics that it was trained with.
            reached = scored(mixed, batch_norm_data) if chosen else scores[place]
            if reached >= best:
                best, means = reached, mixed
                chosen.append(place)
        _assign(model, means, batch_norm_data if len(chosen) > 1 else None)
    except BaseException:
        _assign(model, before, None)
        raise
    return chosen


def _listed(owner: str, checkpoints: Any) -> Iterable[Weights]:
    """The checkpoints, of which there is one at least."""
    rule = "a list of models, paths or lists of arrays"
    if isinstance(checkpoints, str | Path | keras.Model):
        raise TypeError(message(owner, "checkpoints", rule, checkpoints))
    listed = list(checkpoints)
    if not listed:
        raise ValueError(message(owner, "checkpoints", f"{rule}, not empty", listed))
    return listed


def _arrays(owner: str, name: str, model: Any, weights: Any) -> list[np.ndarray]:
    """A set of weights as arrays, in the order of the model's; raises if it misfits."""
    if isinstance(weights, str | Path):
        weights = _loaded(model, weights)
    elif isinstance(weights, keras.Model):
        weights = [on_host(variable) for variable in weights.weights]
    elif not isinstance(weights, list | tuple):
        rule = "a model, a path or a list of arrays"
        raise TypeError(message(owner, name, rule, weights))
    arrays = [np.asarray(each) for each in weights]
    shapes = [tuple(each.shape) for each in arrays]
    expected = [tuple(variable.shape) for variable in model.weights]
    if shapes != expected:
        received = f"{len(shapes)} arrays for {len(expected)} weights"
        if len(shapes) == len(expected):
            pairs = zip(shapes, expected, strict=True)
            given, wanted = next(pair for pair in pairs if pair[0] != pair[1])
            received = f"an array of shape {given} for {wanted}"
        raise ValueError(message(owner, name, "weights of the model", received))
    return arrays


def _loaded(model: Any, path: str | Path) -> list[np.ndarray]:
    """The weights in a file; the model is as before."""
    before = [np.array(on_host(variable)) for variable in model.variables]
    try:
        # Files may hold the state of an optimizer, too.
        with replaced(model, "optimizer", None):
            model.load_weights(path)
        return [np.array(on_host(variable)) for variable in model.weights]
    finally:
        for variable, value in zip(model.variables, before, strict=True):
            variable.assign(value)


def _is_float(array: np.ndarray) -> bool:
    # Kinds of numpy: bfloat16 is of its own kind, and prints its name.
    return array.dtype.kind == "f" or "float" in array.dtype.name


def _between(first: np.ndarray, second: np.ndarray, mix: float) -> np.ndarray:
    if not _is_float(first):
        return first
    wide = first.astype("float64")
    return wide + mix * (second.astype("float64") - wide)


def _mean_with(
    means: list[np.ndarray], arrays: list[np.ndarray], number: int
) -> list[np.ndarray]:
    """The means of `number` arrays each, of which these are the last."""
    if not means:
        return arrays
    pairs = zip(means, arrays, strict=True)
    return [_between(mean, array, 1 / number) for mean, array in pairs]


def _assign(model: Any, arrays: list[np.ndarray], batch_norm_data: Any) -> None:
    """Sets the weights that are floats, and the statistics if there are data."""
    for variable, array in zip(model.weights, arrays, strict=True):
        if "float" in keras.backend.standardize_dtype(variable.dtype):
            variable.assign(array)
    if batch_norm_data is not None:
        update_batch_norm(model, batch_norm_data)
