"""Temperature scaling of probabilities, and a layer that applies it."""

import warnings
from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import checked_bool, checked_float
from keras_deeptools.engine._graph.calls import final_activation
from keras_deeptools.uncertainty._labelled_rows import (
    LabelledRows,
    checked_probabilities,
    checked_scores,
    pixel_by_pixel,
    read_predictions,
)
from keras_deeptools.uncertainty._negative_log_likelihood import (
    labelled_logits,
    log_softmax,
    logits_of,
    smallest_step,
)

LOWEST, HIGHEST = 1e-3, 1e3
TOLERANCE = 1e-10
MAX_STEPS = 200


def optimal_temperature(
    logits: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> float:
    """Returns a float in [1e-3, 1e3], by Newton's method inside a bracket.

    In the inverse temperature b the loss is convex: the derivative of
    `mean(logsumexp(b * z) - b * z_label)` is the mean of the logits that the model
    expects minus those of the labels, and its own derivative is their variance.

    Args:
        logits: Float64 array `(n, k)`.
        labels: Int array `(n,)` in [0, k).
        weights: Float64 array `(n,)` that sums to 1.
    """
    logits = logits - logits[np.arange(len(labels)), labels][:, None]

    def derivatives(inverse: float) -> tuple[float, float]:
        probabilities = np.exp(log_softmax(inverse * logits))
        expected = (probabilities * logits).sum(axis=1)
        spread = (probabilities * (logits - expected[:, None]) ** 2).sum(axis=1)
        return float(weights @ expected), float(weights @ spread)

    low, high = 1 / HIGHEST, 1 / LOWEST
    if derivatives(low)[0] >= 0:
        return HIGHEST
    if derivatives(high)[0] <= 0:
        return LOWEST
    inverse = 1.0
    for _ in range(MAX_STEPS):
        slope, curvature = derivatives(inverse)
        low, high = (low, inverse) if slope > 0 else (inverse, high)
        step = inverse - slope / curvature if curvature > 0 else 0.0
        following = step if low < step < high else np.sqrt(low * high)
        if abs(following - inverse) <= TOLERANCE * inverse:
            break
        inverse = following
    return 1 / following


MOST_DIFFERENCE = 0.05
"""Relative difference of temperatures from which on rounding is assumed."""


def warn_of_rounding(
    owner: str, predictions: Any, rows: LabelledRows, temperature: float
) -> bool:
    """Warns if probabilities of exactly 0 or 1 decide the temperature.

    The temperature is computed once more, with half of the smallest step between the
    probabilities in the place of all that are nearer to 0 or to 1.

    Args:
        owner: Str. Who is named in the warning.
        predictions: Probabilities, as the user gave them.
        rows: `LabelledRows`, their logits.
        temperature: Float, the temperature that was found with them as they are.

    Returns:
        Bool, whether it warned.
    """
    scores = np.asarray(predictions)
    size = 1 if rows.is_binary else scores.shape[-1]
    given = scores.reshape(-1, size)[rows.kept].astype("float64")
    pairs = np.concatenate([given, 1 - given], axis=1) if rows.is_binary else given
    is_zero = pairs <= 0
    if not is_zero.any():
        return False
    # What is too small for the floats themselves has not been rounded.
    step = max(float(pairs[~is_zero].min()) / 2, smallest_step(scores)[0])
    columns = pairs[:, ::-1] if rows.is_binary else given
    logits = logits_of(np.maximum(columns, step), rows.is_binary, (step, step))
    otherwise = optimal_temperature(logits, rows.labels, rows.weights)
    if abs(np.log(temperature / otherwise)) < MOST_DIFFERENCE:
        return False
    num_rows = int(is_zero.any(axis=1).sum())
    warnings.warn(
        f"{owner}: {num_rows} of {len(given)} rows hold probabilities of exactly 0 or "
        f"1, as rounding leaves behind, and these decide the temperature: it is "
        f"{temperature:.3g}, but {otherwise:.3g} where they are taken as {step:.2g} "
        f"and {1 - step:.6g}. Give the probabilities as the model predicted them, or "
        "logits with from_logits=True.",
        stacklevel=3,
    )
    return True


@keras.saving.register_keras_serializable(package="keras_deeptools")
class TemperatureScaling(keras.layers.Layer):
    """Divides logits by one number, fitted on a validation set.

    Networks that are trained to the end are overconfident. One temperature fixes most
    of that and changes no decision: above 1 it lowers the confidence, below 1 it raises
    it. Fit it on samples that were not used in training, then `apply` it to arrays, or
    put the layer on top of the model: `keras.Sequential([model, scaling])` saves and
    exports like any other model.

    Predictions of Monte Carlo dropout are scaled after their mean is taken.

    Outputs that exclude one another (a softmax) are scaled together; independent
    outputs (sigmoids) are scaled one by one. `fit` remembers which they were.

    Args:
        temperature: Float > 0, or None to `fit` it. Until then, as a layer, it changes
            nothing.
        from_logits: Bool, whether predictions are logits. With probabilities the result
            is the same, except for those that were rounded to 0 or 1.
        multi_label: Bool, whether outputs are independent of one another (several
            sigmoids). None: `fit` decides by the labels; a layer that was not fitted
            decides by a sigmoid at the end of the model below it. A single output is
            always independent.
        **kwargs: Arguments of `keras.layers.Layer`. The layer computes in float32 by
            default, whatever the global policy.

    Call arguments:
        inputs: Tensor `(n,)` or `(..., 1)`, probability or logit of class 1, or
            `(..., classes)`.

    Returns:
        Tensor of probabilities, same shape as `inputs`.

    Raises:
        TypeError: If `temperature` is not a float or `from_logits` not a bool.
        ValueError: If `temperature <= 0`, or the layer gets one output although it was
            fitted to several classes that exclude one another.

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
        self,
        temperature: float | None = None,
        from_logits: bool = False,
        multi_label: bool | None = None,
        **kwargs: Any,
    ) -> None:
        owner = type(self).__name__
        initial = 1.0
        if temperature is not None:
            initial = checked_float(owner, "temperature", temperature, above=0)
        self._is_settled = temperature is not None
        self.from_logits = checked_bool(owner, "from_logits", from_logits)
        if multi_label is not None:
            checked_bool(owner, "multi_label", multi_label)
        self.multi_label = self._given = multi_label
        self._called_independent: bool | None = None
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
        """The number that logits are divided by."""
        return float(keras.ops.convert_to_numpy(self._temperature.value))

    @property
    def _is_known(self) -> bool:
        """Whether the temperature was given, fitted, or loaded as a weight."""
        return self._is_settled or self.temperature != 1.0

    def fit(
        self,
        predictions: Any,
        labels: Any,
        *,
        sample_weight: Any = None,
        ignore_class: int | None = None,
    ) -> "TemperatureScaling":
        """Finds the temperature with the smallest negative log-likelihood.

        Args:
            predictions: Float array `(n,)`, `(n, 1)` or `(n, classes)`, probabilities
                or logits of samples that were not used in training. Dense predictions
                have further axes before the last.
            labels: Class indices `(n,)` or `(n, 1)`, or one-hot labels `(n, classes)`;
                for dense predictions masks; for independent outputs 0 or 1 for each.
            sample_weight: Float array `(n,)` or None, weights >= 0 of the samples; with
                further axes, weights of their pixels, tokens or labels.
            ignore_class: Int or None, a label that does not count.

        Returns:
            The layer itself.

        Raises:
            ValueError: If shapes do not match, a value is not a prediction or a class,
                or the layer was called before with outputs of the other kind.
        """
        owner = f"{type(self).__name__}.fit"
        predictions, labels, sample_weight = pixel_by_pixel(
            predictions, labels, sample_weight
        )
        rows = labelled_logits(
            owner,
            predictions,
            labels,
            sample_weight,
            self.from_logits,
            # A layer that was called with single outputs has independent ones.
            True if self._called_independent else self._given,
            ignore_class,
        )
        if self._called_independent not in (None, rows.is_binary):
            kinds = {True: "independent outputs", False: "classes"}
            raise ValueError(
                f"{owner}: `predictions` must be of the kind that the layer was built "
                f"for. Received: {kinds[rows.is_binary]}, where it was called with "
                f"{kinds[not rows.is_binary]} before. Make a new layer with "
                f"multi_label={rows.is_binary}."
            )
        logits, classes, weights = rows.probabilities, rows.labels, rows.weights
        found = optimal_temperature(logits, classes, weights)
        rounded = not self.from_logits and warn_of_rounding(
            owner, predictions, rows, found
        )
        if found in (LOWEST, HIGHEST) and not rounded:
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
        self._is_settled = True
        self.multi_label = rows.is_binary
        return self

    def apply(self, predictions: Any) -> np.ndarray:
        """Returns scaled probabilities.

        Args:
            predictions: Float array `(n,)`, `(n, 1)` or `(n, ..., classes)`, as for
                `fit`.

        Returns:
            Float64 array of probabilities, same shape as `predictions`.

        Raises:
            ValueError: If a value is not a prediction, or there is no temperature.
        """
        owner = f"{type(self).__name__}.apply"
        if not self._is_known:
            raise ValueError(
                f"{owner}: the temperature must be known. Received: a layer that was "
                "neither fitted nor given one. Call `fit(predictions, labels)` with "
                "samples that were not used in training, or pass `temperature=...`."
            )
        argument = "logits" if self.from_logits else "probabilities"
        values = read_predictions(owner, argument, predictions)
        independent = self._is_independent(owner, values.shape)
        rows = (
            values.reshape(-1) if independent else values.reshape(-1, values.shape[-1])
        )
        if not self.from_logits:
            rows = checked_probabilities(owner, rows, independent)
            logits = logits_of(rows, independent, smallest_step(values))
        else:
            logits = checked_scores(owner, argument, rows)
            if independent:
                logits = np.stack([np.zeros_like(logits), logits], axis=1)
        scaled = np.exp(log_softmax(logits / self.temperature))
        return (scaled[:, 1] if independent else scaled).reshape(values.shape)

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Calls the layer; a symbolic tensor shows which layer it comes from."""
        if self.multi_label is None and not self.from_logits:
            known = {"sigmoid": True, "softmax": False}
            self.multi_label = known.get(final_activation(inputs) or "")
        return super().__call__(inputs, *args, **kwargs)

    def call(self, inputs: Any) -> Any:
        """Returns scaled probabilities, as a tensor."""
        independent = self._is_independent(type(self).__name__, tuple(inputs.shape))
        self._called_independent = independent
        logits = inputs
        if not self.from_logits:
            limits = np.finfo("float32")
            logits = keras.ops.log(keras.ops.maximum(inputs, float(limits.tiny)))
            if independent:
                rest = keras.ops.maximum(1 - inputs, float(limits.epsneg))
                logits = logits - keras.ops.log(rest)
        logits = logits / self._temperature
        scaled = keras.ops.sigmoid if independent else keras.ops.softmax
        return scaled(logits)

    def _is_independent(self, owner: str, shape: tuple[int | None, ...]) -> bool:
        """Returns whether outputs of this shape are scaled one by one."""
        is_alone = len(shape) < 2 or shape[-1] == 1
        if is_alone and self.multi_label is False:
            raise ValueError(
                f"{owner}: predictions must have a last axis of the classes that the "
                f"layer was fitted to. Received: shape {shape}. Give them as they came "
                "from the model, or fit a layer to these."
            )
        return is_alone or bool(self.multi_label)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Returns the shape of the inputs."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments, with the temperature as it is now, if it is known."""
        ours = {
            "temperature": self.temperature if self._is_known else None,
            "from_logits": self.from_logits,
            "multi_label": self.multi_label,
        }
        return super().get_config() | ours
