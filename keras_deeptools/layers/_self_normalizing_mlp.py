"""A self-normalizing net of plain Keras layers."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import (
    checked_count,
    checked_dropout_rate,
    message,
    spawned_seeds,
)

OWNER = "self_normalizing_mlp"


def self_normalizing_mlp(
    num_features: int,
    num_outputs: int,
    units: Sequence[int] = (256,) * 8,
    rate: float = 0.05,
    output_activation: Any = None,
    adapt_to: Any = None,
    seed: int | None = None,
    name: str | None = None,
) -> keras.Sequential:
    """A self-normalizing multilayer perceptron of plain Keras layers.

    Every part is Keras' own (`Dense` with SELU and LeCun normal weights,
    `AlphaDropout`), so the saved model loads where this package is not installed.
    The property needs standardized inputs: `adapt_to` puts a `Normalization` layer
    in front.

    Args:
        num_features: Int >= 1. Length of an input vector.
        num_outputs: Int >= 1. Units of the last layer.
        units: Sequence of ints >= 1. Width of each hidden layer; wide ones keep the
            property best, as it rests on sums of many terms.
        rate: Float in [0, 1). Rate of AlphaDropout after each hidden layer; 0 leaves
            it out.
        output_activation: Activation of the last layer, such as `"softmax"`.
        adapt_to: Array `(rows, num_features)` or None. Training inputs, whose mean
            and variance the `Normalization` layer takes; None: no such layer.
        seed: Int >= 0 or None. Fixes kernels and dropout masks, different ones in
            each layer.
        name: Str or None. Name of the model.

    Returns:
        `keras.Sequential`, built and not compiled.

    Raises:
        ValueError: If an argument is out of range, or `adapt_to` of another shape.
        TypeError: If an argument is of the wrong type.

    Example:

    >>> import numpy as np
    >>> from keras_deeptools.layers import self_normalizing_mlp
    >>> x = np.random.default_rng(0).uniform(0, 255, size=(512, 20))
    >>> model = self_normalizing_mlp(20, 3, units=[256] * 4, adapt_to=x, seed=0)
    >>> y = model.predict(x, verbose=0)
    >>> bool(0.7 < y.std() < 1.3)
    True

    Reference:
        Klambauer et al., 2017. https://arxiv.org/abs/1706.02515
    """
    checked_count(OWNER, "num_features", num_features)
    checked_count(OWNER, "num_outputs", num_outputs)
    widths = [checked_count(OWNER, "units", width) for width in units]
    rate = checked_dropout_rate(OWNER, rate)
    seeds = spawned_seeds(OWNER, seed, 2 * len(widths) + 1)
    layers = [keras.Input((num_features,))]
    if adapt_to is not None:
        layers.append(adapted(np.asarray(adapt_to), num_features))
    for i, width in enumerate(widths):
        kernel = keras.initializers.LecunNormal(seeds[2 * i])
        layers.append(keras.layers.Dense(width, "selu", kernel_initializer=kernel))
        if rate > 0:
            layers.append(keras.layers.AlphaDropout(rate, seed=seeds[2 * i + 1]))
    kernel = keras.initializers.LecunNormal(seeds[-1])
    layers.append(
        keras.layers.Dense(num_outputs, output_activation, kernel_initializer=kernel)
    )
    return keras.Sequential(layers, name=name)


def adapted(rows: np.ndarray, num_features: int) -> keras.layers.Normalization:
    """A `Normalization` layer with the mean and variance of `rows`."""
    if rows.ndim != 2 or rows.shape[1] != num_features or not len(rows):
        rule = f"an array of shape (rows, {num_features})"
        raise ValueError(message(OWNER, "adapt_to", rule, f"shape {rows.shape}"))
    mean = rows.mean(axis=0, dtype="float64")
    variance = rows.var(axis=0, dtype="float64")
    if not np.isfinite(variance).all():
        rule = "an array of finite numbers"
        raise ValueError(message(OWNER, "adapt_to", rule, "NaN or infinity in it"))
    return keras.layers.Normalization(mean=mean, variance=variance)
