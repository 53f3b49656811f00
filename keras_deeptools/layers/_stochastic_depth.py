"""Stochastic depth: residual branches that are left out for random samples."""

from typing import Any

import keras

from keras_deeptools._arguments import (
    checked_dropout_rate,
    checked_model,
    checked_rate,
    checked_seed,
    message,
)
from keras_deeptools.engine._dropout.mask_sampling import exportable_draws
from keras_deeptools.engine._keras_private.layers import flat_layers
from keras_deeptools.layers._mc_dropout import separate_seed


class StructuredDropout(keras.layers.Layer):
    """A layer that keeps the shape of inputs and drops connected parts in training."""

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate = checked_dropout_rate(type(self).__name__, rate)
        self.seed = checked_seed(type(self).__name__, seed)
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.supports_masking = True
        separate_seed(self)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Drops in training, and returns `inputs` otherwise."""
        if not training or self.rate == 0:
            return inputs
        with exportable_draws():
            return self.dropped(inputs)

    def dropped(self, inputs: Any) -> Any:
        """Returns `inputs` with parts set to zero and the others scaled."""
        raise NotImplementedError

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Returns the shape of the inputs."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return super().get_config() | {"rate": self.rate, "seed": self.seed}


@keras.saving.register_keras_serializable(package="keras_deeptools")
class StochasticDepth(StructuredDropout):
    """Leaves out a residual branch for randomly chosen samples (DropPath).

    Put it at the end of a branch, before the sum with the skip connection. In training
    the branch of each sample is set to zero with probability `rate`, and divided by
    `1 - rate` otherwise; at inference the layer does nothing. A deep network then
    trains as an ensemble of shallower ones, which regularizes it and shortens the paths
    of gradients. `linear_stochastic_depth` sets `rate` in all layers of a model.
    `mc_predict` samples the layer like dropout.

    Args:
        rate: Float in [0, 1). Fraction of the samples without the branch.
        seed: Int >= 0 or None. Layers with the same seed and different names draw
            different masks; None takes a new seed for every layer.
        **kwargs: As for every Keras layer, such as `name` and `dtype`.

    Call arguments:
        inputs: Tensor `(batch, ...)`, the output of the branch.
        training: Bool.

    Returns:
        Tensor, same shape and dtype as `inputs`.

    Raises:
        ValueError: If `rate` is outside [0, 1) or `seed` is negative.
        TypeError: If an argument is of the wrong type.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.layers import StochasticDepth
    >>> layer = StochasticDepth(0.5, seed=0)
    >>> y = keras.ops.convert_to_numpy(layer(np.ones((200, 4)), training=True))
    >>> bool((np.ptp(y, axis=1) == 0).all()), np.unique(y).tolist()
    (True, [0.0, 2.0])

    Reference:
        Huang et al., 2016, section 3. https://arxiv.org/abs/1603.09382. In the paper
        all samples of a batch share their draw, and the branch is scaled at inference
        instead of in training.
    """

    def dropped(self, inputs: Any) -> Any:
        """Returns `inputs` with whole samples set to zero and the others scaled."""
        noise_shape = (None, *[1] * (len(inputs.shape) - 1))
        return keras.random.dropout(
            inputs, self.rate, noise_shape=noise_shape, seed=self.seed_generator
        )


LINEAR = "linear_stochastic_depth"


def linear_stochastic_depth(
    model: keras.Model, final_rate: float, *, first_rate: float | None = None
) -> dict[str, float]:
    """Gives a model's `StochasticDepth` layers dropout rates that grow with depth.

    The `i`-th of `n` layers, counted from the input, gets the `rate`
    `final_rate * i / n`: early layers compute what all later ones need. The numbers are
    saved with the model. Functions that were compiled before are compiled again when
    they are next used.

    Args:
        model: `keras.Model` with `StochasticDepth` layers, also in nested models.
        final_rate: Float in [0, 1). `rate` of the last layer; the paper uses 0.5 for 54
            and more blocks, later networks 0.1 to 0.3.
        first_rate: Float in [0, 1) or None. `rate` of the first layer; 0 is common. The
            layers between are on a line. None takes `final_rate / n`, as in the paper.

    Returns:
        Dict from the path of each `StochasticDepth` layer to its `rate`.

    Raises:
        TypeError: If `model` is not a Keras model, or an argument is not a number.
        ValueError: If an argument is outside [0, 1), or the model has no such layer.

    Example:

    >>> import keras
    >>> from keras_deeptools.layers import StochasticDepth, linear_stochastic_depth
    >>> x = inputs = keras.Input((8,))
    >>> for block in range(4):
    ...     branch = keras.layers.Dense(8, "relu")(x)
    ...     x = x + StochasticDepth(0.1, name=f"depth_{block}")(branch)
    >>> linear_stochastic_depth(keras.Model(inputs, x), 0.2)
    {'depth_0': 0.05, 'depth_1': 0.1, 'depth_2': 0.15, 'depth_3': 0.2}

    Reference:
        Huang et al., 2016, section 3, equation 4. https://arxiv.org/abs/1603.09382
    """
    checked_model(LINEAR, model)
    final_rate = checked_rate(LINEAR, "final_rate", final_rate)
    if first_rate is not None:
        first_rate = checked_rate(LINEAR, "first_rate", first_rate)
    found = [each for each in flat_layers(model) if isinstance(each, StochasticDepth)]
    if not found:
        rule = "a model with layers of the class StochasticDepth"
        remedy = "Put one at the end of each residual branch."
        raise ValueError(message(LINEAR, "model", rule, model.name, remedy))
    number = len(found)
    start = final_rate / number if first_rate is None else first_rate
    rates = {}
    for place, layer in enumerate(found):
        part = place / (number - 1) if number > 1 else 1.0
        layer.rate = rates[layer.path] = round(start + (final_rate - start) * part, 12)
    for name in ("train_function", "test_function", "predict_function"):
        if getattr(model, name, None) is not None:
            setattr(model, name, None)
    return rates
