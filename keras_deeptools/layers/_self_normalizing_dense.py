"""Dense layers that keep mean 0 and variance 1, and such a model of Keras' layers."""

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
from keras_deeptools._shared_docs import delegates, shared_docs

OWNER = "self_normalizing_mlp"
OF_WEIGHTS = (
    "use_bias",
    "bias_initializer",
    "kernel_regularizer",
    "bias_regularizer",
    "activity_regularizer",
    "kernel_constraint",
    "bias_constraint",
)
"""Keras' arguments for kernel, bias and outputs of a dense layer or a convolution."""
WEIGHTS = """\
use_bias: Bool. Whether to add a bias.
bias_initializer: Initializer of the bias.
kernel_regularizer: Regularizer of the kernel.
bias_regularizer: Regularizer of the bias.
activity_regularizer: Regularizer of the outputs.
kernel_constraint: Constraint of the kernel.
bias_constraint: Constraint of the bias.
"""


class SelfNormalizing(keras.Layer):
    """LeCun normal, SELU and AlphaDropout for a dense layer or a convolution.

    It is put before Keras' own layer as a base class.
    """

    def __init__(self, rate: float, seed: int | None, **kwargs: Any) -> None:
        owner = type(self).__name__
        rate = checked_dropout_rate(owner, rate)
        kernel_seed, mask_seed = spawned_seeds(owner, seed, 2)
        super().__init__(
            activation="selu",
            kernel_initializer=keras.initializers.LecunNormal(kernel_seed),
            **kwargs,
        )
        self.rate = rate
        self.seed = seed
        self.dropout = keras.layers.AlphaDropout(
            rate, seed=mask_seed, dtype=self.dtype_policy, name="dropout"
        )

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        config = super().get_config()
        for fixed in ("activation", "kernel_initializer"):
            del config[fixed]
        return config | {"rate": self.rate, "seed": self.seed}


@shared_docs(weights=WEIGHTS)
@keras.saving.register_keras_serializable(package="keras_deeptools")
class SelfNormalizingDense(SelfNormalizing, keras.layers.Dense):
    """A dense layer with all parts that self-normalization needs, and no others.

    The kernel is LeCun normal, followed by SELU and AlphaDropout. Inputs of mean 0 and
    variance 1 then give outputs of mean 0 and variance 1, and small deviations shrink
    from layer to layer, so that a signal passes through fifty layers without
    normalization. A single wrong part (He initialization, plain `Dropout`) destroys
    this property silently, which is why the layer contains all of them. Standardize the
    inputs, and join branches with `SelfNormalizingResidual` rather than with `Add`.
    `check_self_normalizing` measures the property in a model.

    Args:
        units: Int >= 1. Number of outputs.
        rate: Float in [0, 1). Fraction of the outputs that AlphaDropout sets to the
            negative saturation value in training. 0.05 to 0.1 is usual.
        {{weights}}
        seed: Int >= 0 or None. Fixes the initial kernel and the dropout masks. As with
            Keras' initializers, two layers with the same seed start with equal weights.
        **kwargs: As for every Keras layer, such as `name` and `dtype`.

    Call arguments:
        inputs: Tensor `(batch, ..., features)` of mean 0 and variance 1.
        training: Bool. Whether AlphaDropout is on.

    Returns:
        Tensor `(batch, ..., units)`.

    Raises:
        ValueError: If `rate` is outside [0, 1), or `units` or `seed` is out of range.
        TypeError: If an argument is of the wrong type.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.layers import SelfNormalizingDense
    >>> blocks = [SelfNormalizingDense(256, rate=0.1, seed=i) for i in range(20)]
    >>> x = np.random.default_rng(0).normal(size=(512, 256)).astype("float32")
    >>> y = np.asarray(keras.Sequential(blocks).predict(x, verbose=0))
    >>> bool(abs(y.mean()) < 0.05 and abs(y.std() - 1) < 0.05)
    True

    Reference:
        Klambauer et al., 2017, section 2. https://arxiv.org/abs/1706.02515
    """

    @delegates(keras.layers.Dense.__init__, *OF_WEIGHTS)
    def __init__(
        self,
        units: int,
        rate: float = 0.0,
        *,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        units = checked_count(type(self).__name__, "units", units)
        super().__init__(rate, seed, units=units, **kwargs)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Multiplies `inputs` by the kernel, then applies SELU and AlphaDropout."""
        outputs = super().call(inputs, training=training)
        return self.dropout(outputs, training=training)


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

    All layers are Keras' own (`Dense` with SELU and LeCun normal weights,
    `AlphaDropout`), so the saved model can be loaded without this package.
    Self-normalization needs standardized inputs: `adapt_to` adds a `Normalization`
    layer in front.

    Args:
        num_features: Int >= 1. Length of an input vector.
        num_outputs: Int >= 1. Units of the last layer.
        units: Sequence of ints >= 1. Width of each hidden layer; wide layers keep the
            property best, since it depends on sums of many terms.
        rate: Float in [0, 1). Dropout rate of AlphaDropout after each hidden layer; 0
            leaves it out.
        output_activation: Activation of the last layer, such as `"softmax"`.
        adapt_to: Array `(samples, num_features)` or None. Training inputs, whose mean
            and variance the `Normalization` layer takes; None: no such layer.
        seed: Int >= 0 or None. Fixes kernels and dropout masks, which are different in
            each layer.
        name: Str or None. Name of the model.

    Returns:
        `keras.Sequential`, built but not compiled.

    Raises:
        ValueError: If an argument is out of range, or `adapt_to` has another shape.
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
