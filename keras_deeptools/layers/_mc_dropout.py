"""Dropout that can stay on at inference."""

import zlib
from textwrap import indent
from typing import Any

import keras
from keras import ops

from keras_deeptools._arguments import checked_bool, checked_dropout_rate
from keras_deeptools._shared_docs import delegates, shared_docs
from keras_deeptools.engine._dropout.mask_sampling import exportable_draws

SEED_AND_INFERENCE = """\
seed: Int or None. Layers with the same seed and different names draw
    different masks; None takes a new seed for every layer.
stochastic_inference: Bool, whether to drop in every inference call.
"""
TRAINING_TO_RAISES = """\
    training: Bool.

Returns:
    Tensor, same shape and dtype as `inputs`.

Raises:
    ValueError: If `rate` is outside [0, 1).
    TypeError: If an argument is of the wrong type.
"""
described = shared_docs(
    noise_shape="""\
noise_shape: Tuple or None. Shape of the mask: inputs share it along axes of
    size 1; None for an axis stands for its size.
""",
    seed_and_inference=SEED_AND_INFERENCE,
    spatial_arguments=f"""\
rate: Float in [0, 1). Fraction of the feature maps to drop.
data_format: `"channels_last"`, `"channels_first"` or None for Keras' configured
    format.
{SEED_AND_INFERENCE}**kwargs: `name`, `dtype`.
""",
    training_to_raises=TRAINING_TO_RAISES,
    seed_to_raises=f"""\
{indent(SEED_AND_INFERENCE, " " * 4)}\
    **kwargs: `name`, `dtype` and so on, as for every layer.

Call arguments:
    inputs: Tensor of any shape.
{TRAINING_TO_RAISES}""",
    tompson="""\
Reference:
    Tompson et al., 2015, section 3.2. https://arxiv.org/abs/1411.4280
""",
)
"""Fills in what the docstrings of all these layers say."""


def separate_seed(layer: Any) -> None:
    """Lets layers with the same seed and other names draw other masks."""
    if layer.seed is not None:
        own = zlib.crc32(f"{layer.seed}:{layer.name}".encode()) >> 1
        state = layer.seed_generator.state
        state.assign(ops.convert_to_tensor([own, 0], dtype=state.dtype))


class MonteCarlo(keras.Layer):
    """Base class, put before Keras' own layer, that decides when the layer drops."""

    def __init__(
        self,
        rate: float,
        seed: int | None = None,
        *,
        stochastic_inference: bool = False,
        **kwargs: Any,
    ) -> None:
        rate = checked_dropout_rate(type(self).__name__, rate)
        super().__init__(rate, seed=seed, **kwargs)
        self.stochastic_inference = checked_bool(
            type(self).__name__, "stochastic_inference", stochastic_inference
        )
        if self.rate > 0:
            separate_seed(self)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Drops in training, and always with `stochastic_inference`."""
        with exportable_draws():
            return super().call(inputs, training=training or self.stochastic_inference)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        config = super().get_config()
        # Keras' spatial dropout leaves mixed precision out here.
        config["dtype"] = keras.dtype_policies.serialize(self.dtype_policy)
        return {**config, "stochastic_inference": self.stochastic_inference}


class WithNoiseShape(MonteCarlo):
    """Base class of layers that take the shape of the mask."""

    @delegates(MonteCarlo.__init__)
    def __init__(
        self,
        rate: float,
        noise_shape: tuple[int | None, ...] | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(rate, seed, noise_shape=noise_shape, **kwargs)


class WithDataFormat(MonteCarlo):
    """Base class of layers for images or volumes, with channels first or last."""

    @delegates(MonteCarlo.__init__)
    def __init__(
        self,
        rate: float,
        data_format: str | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(rate, seed, data_format=data_format, **kwargs)


@described
@keras.saving.register_keras_serializable(package="keras_deeptools")
class MCDropout(WithNoiseShape, keras.layers.Dropout):
    """Dropout that Monte Carlo prediction turns on.

    A drop-in replacement for `keras.layers.Dropout`, which does the same in training.
    At inference it does nothing, so that `val_loss` is not affected, except inside
    `keras_deeptools.uncertainty.mc_predict`. With `stochastic_inference=True` it always
    drops: in `predict`, `evaluate` and exported models too.

    Args:
        rate: Float in [0, 1). Fraction of the inputs to drop; the others are scaled
            up by `1 / (1 - rate)`.
        {{noise_shape}}
    {{seed_to_raises}}

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.layers import MCDropout
    >>> x = np.ones((100, 100), "float32")
    >>> y = keras.ops.convert_to_numpy(MCDropout(0.5, stochastic_inference=True)(x))
    >>> np.unique(y).tolist(), bool(abs((y == 0).mean() - 0.5) < 0.05)
    ([0.0, 2.0], True)
    >>> np.unique(keras.ops.convert_to_numpy(MCDropout(0.5)(x))).tolist()
    [1.0]

    Reference:
        Gal & Ghahramani, 2016, section 3. https://arxiv.org/abs/1506.02142
    """


@described
@keras.saving.register_keras_serializable(package="keras_deeptools")
class MCAlphaDropout(WithNoiseShape, keras.layers.AlphaDropout):
    """Alpha dropout that Monte Carlo prediction turns on.

    A drop-in replacement for `keras.layers.AlphaDropout`, for networks of SELU units:
    dropping keeps the mean and variance of the inputs. See `MCDropout` for when it
    drops.

    Args:
        rate: Float in [0, 1). Fraction of the inputs to set to the lower limit of SELU.
        {{noise_shape}}
    {{seed_to_raises}}

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.layers import MCAlphaDropout
    >>> x = np.random.default_rng(0).normal(size=(100, 100)).astype("float32")
    >>> layer = MCAlphaDropout(0.2, stochastic_inference=True)
    >>> y = keras.ops.convert_to_numpy(layer(x))
    >>> bool(abs(y.mean()) < 0.1), bool(abs(y.std() - 1) < 0.1)
    (True, True)

    Reference:
        Klambauer et al., 2017, section 3. https://arxiv.org/abs/1706.02515
    """


@described
@keras.saving.register_keras_serializable(package="keras_deeptools")
class MCGaussianDropout(MonteCarlo, keras.layers.GaussianDropout):
    """Gaussian dropout that Monte Carlo prediction turns on.

    A drop-in replacement for `keras.layers.GaussianDropout`: inputs are multiplied by
    noise of mean 1 and standard deviation `sqrt(rate / (1 - rate))`. See `MCDropout`
    for when it does so.

    Args:
        rate: Float in [0, 1). The noise has the variance of dropout at this dropout
            rate.
    {{seed_to_raises}}

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.layers import MCGaussianDropout
    >>> layer = MCGaussianDropout(0.5, stochastic_inference=True)
    >>> y = keras.ops.convert_to_numpy(layer(np.ones((100, 100), "float32")))
    >>> bool(abs(y.mean() - 1) < 0.1), bool(abs(y.std() - 1) < 0.1)
    (True, True)

    Reference:
        Srivastava et al., 2014, section 10. https://jmlr.org/papers/v15/srivastava14a.html
    """


@described
@keras.saving.register_keras_serializable(package="keras_deeptools")
class MCSpatialDropout1D(MonteCarlo, keras.layers.SpatialDropout1D):
    """Dropout of whole 1D feature maps that Monte Carlo prediction turns on.

    A drop-in replacement for `keras.layers.SpatialDropout1D`. See `MCDropout` for when
    it drops.

    Args:
        rate: Float in [0, 1). Fraction of the feature maps to drop.
        {{seed_and_inference}}
        **kwargs: `name`, `dtype`.

    Call arguments:
        inputs: Tensor `(batch, steps, channels)`.
    {{training_to_raises}}

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.layers import MCSpatialDropout1D
    >>> layer = MCSpatialDropout1D(0.5, stochastic_inference=True)
    >>> y = keras.ops.convert_to_numpy(layer(np.ones((4, 10, 8), "float32")))
    >>> bool((np.ptp(y, axis=1) == 0).all())
    True

    {{tompson}}
    """


@described
@keras.saving.register_keras_serializable(package="keras_deeptools")
class MCSpatialDropout2D(WithDataFormat, keras.layers.SpatialDropout2D):
    """Dropout of whole 2D feature maps that Monte Carlo prediction turns on.

    A drop-in replacement for `keras.layers.SpatialDropout2D`. See `MCDropout` for when
    it drops.

    Args:
        {{spatial_arguments}}

    Call arguments:
        inputs: Tensor `(batch, height, width, channels)`, or with channels at axis 1.
    {{training_to_raises}}

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.layers import MCSpatialDropout2D
    >>> layer = MCSpatialDropout2D(0.5, stochastic_inference=True)
    >>> y = keras.ops.convert_to_numpy(layer(np.ones((4, 5, 5, 8), "float32")))
    >>> bool((np.ptp(y, axis=(1, 2)) == 0).all())
    True

    {{tompson}}
    """


@described
@keras.saving.register_keras_serializable(package="keras_deeptools")
class MCSpatialDropout3D(WithDataFormat, keras.layers.SpatialDropout3D):
    """Dropout of whole 3D feature maps that Monte Carlo prediction turns on.

    A drop-in replacement for `keras.layers.SpatialDropout3D`. See `MCDropout` for when
    it drops.

    Args:
        {{spatial_arguments}}

    Call arguments:
        inputs: Tensor `(batch, depth, height, width, channels)`, or with channels at
            axis 1.
    {{training_to_raises}}

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.layers import MCSpatialDropout3D
    >>> layer = MCSpatialDropout3D(0.5, stochastic_inference=True)
    >>> y = keras.ops.convert_to_numpy(layer(np.ones((4, 3, 3, 3, 8), "float32")))
    >>> bool((np.ptp(y, axis=(1, 2, 3)) == 0).all())
    True

    {{tompson}}
    """
