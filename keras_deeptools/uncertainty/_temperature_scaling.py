"""One number that makes probabilities honest, and a layer that applies it."""

import warnings
from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import checked_bool, checked_float
from keras_deeptools.uncertainty._labelled_rows import read_labels, read_weights
from keras_deeptools.uncertainty._log_softmax import log_softmax
from keras_deeptools.uncertainty._negative_log_likelihood import read_logits
from keras_deeptools.uncertainty._temperature import (
    HIGHEST,
    LOWEST,
    optimal_temperature,
)


@keras.saving.register_keras_serializable(package="keras_deeptools")
class TemperatureScaling(keras.layers.Layer):
    """Divides logits by one number, fitted on a validation set.

    Networks that are trained to the end are too sure of themselves. One temperature
    mends most of it and changes no decision: above 1 it takes confidence away, below 1
    it adds some. Fit it on rows that were not trained on, then `apply` it to arrays, or
    put the layer on top of the model: `keras.Sequential([model, scaling])` saves and
    exports as any other.

    Predictions of Monte Carlo dropout are scaled after their mean is taken.

    Args:
        temperature: Float > 0, where no `fit` is wanted.
        from_logits: Bool, whether predictions are logits. With probabilities the result
            is the same, but for those that were rounded to 0 or 1.
        **kwargs: Of `keras.layers.Layer`. The layer computes in float32 by default,
            whatever the global policy.

    Call arguments:
        inputs: Tensor `(..., 1)`, probability or logit of class 1, or
            `(..., classes)`.

    Returns:
        Tensor of probabilities, same shape as `inputs`.

    Raises:
        TypeError: If `temperature` is no float or `from_logits` no bool.
        ValueError: If `temperature <= 0`.

    Example:

    >>> import numpy as np
    >>> from keras_deeptools.uncertainty import TemperatureScaling
    >>> random = np.random.default_rng(0)
    >>> logits = random.normal(size=(20_000, 5))
    >>> labels = np.argmax(logits + random.gumbel(size=logits.shape), axis=1)
    >>> too_sure = 3 * logits
    >>> scaling = TemperatureScaling(from_logits=True).fit(too_sure, labels)
    >>> round(scaling.temperature)
    3
    >>> TemperatureScaling(3.0, from_logits=True).apply([[3.0, 0.0]]).round(3).tolist()
    [[0.731, 0.269]]

    Reference:
        Guo et al., 2017, section 4.2. https://arxiv.org/abs/1706.04599
    """

    def __init__(
        self, temperature: float = 1.0, from_logits: bool = False, **kwargs: Any
    ) -> None:
        owner = type(self).__name__
        initial = checked_float(owner, "temperature", temperature, above=0)
        self.from_logits = checked_bool(owner, "from_logits", from_logits)
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        self._temperature = self.add_weight(
            shape=(),
            initializer=keras.initializers.Constant(initial),
            trainable=False,
            name="temperature",
        )

    @property
    def temperature(self) -> float:
        """What logits are divided by."""
        return float(keras.ops.convert_to_numpy(self._temperature.value))

    def fit(
        self, predictions: Any, labels: Any, *, sample_weight: Any = None
    ) -> "TemperatureScaling":
        """Find the temperature of the smallest negative log-likelihood.

        Args:
            predictions: Float array `(n,)`, `(n, 1)` or `(n, classes)`, probabilities
                or logits of rows that were not trained on.
            labels: Class indices `(n,)` or `(n, 1)`, or one-hot rows `(n, classes)`.
            sample_weight: Float array `(n,)` or None, weights >= 0 of the rows.

        Returns:
            The layer itself.

        Raises:
            ValueError: If shapes do not fit, or a value is no prediction or no class.
        """
        owner = f"{type(self).__name__}.fit"
        logits = read_logits(owner, predictions, self.from_logits)
        labels = read_labels(owner, labels, *logits.shape)
        weights = read_weights(owner, sample_weight, len(logits))
        found = optimal_temperature(logits, labels, weights)
        if found in (LOWEST, HIGHEST):
            warnings.warn(
                f"{owner}: no best temperature lies within [{LOWEST:g}, {HIGHEST:g}]; "
                f"{found:g} is taken. "
                + (
                    "The predictions rank every class right: give more rows."
                    if found == LOWEST
                    else "The predictions are no better than chance: see whether the "
                    "labels belong to these rows."
                ),
                stacklevel=2,
            )
        self._temperature.assign(found)
        return self

    def apply(self, predictions: Any) -> np.ndarray:
        """Scaled probabilities.

        Args:
            predictions: Float array `(n,)`, `(n, 1)` or `(n, classes)`, as for `fit`.

        Returns:
            Float64 array of probabilities, same shape as `predictions`.

        Raises:
            ValueError: If a value is no prediction.
        """
        owner = f"{type(self).__name__}.apply"
        logits = read_logits(owner, predictions, self.from_logits)
        scaled = np.exp(log_softmax(logits / self.temperature))
        shape = np.shape(predictions)
        is_binary = len(shape) == 1 or shape[1] == 1
        return scaled[:, 1].reshape(shape) if is_binary else scaled

    def call(self, inputs: Any) -> Any:
        """Scaled probabilities, as a tensor."""
        is_binary = inputs.shape[-1] == 1
        logits = inputs
        if not self.from_logits:
            limits = np.finfo("float32")
            logits = keras.ops.log(keras.ops.maximum(inputs, float(limits.tiny)))
            if is_binary:
                rest = keras.ops.maximum(1 - inputs, float(limits.epsneg))
                logits = logits - keras.ops.log(rest)
        logits = logits / self._temperature
        scaled = keras.ops.sigmoid if is_binary else keras.ops.softmax
        return scaled(logits)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of the inputs."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """The arguments, with the temperature as it is now."""
        ours = {"temperature": self.temperature, "from_logits": self.from_logits}
        return super().get_config() | ours
