"""Monte Carlo dropout of whole feature maps."""

from typing import Any

import keras

from keras_deeptools.layers._argument_checks import checked_rate
from keras_deeptools.layers._monte_carlo import MonteCarlo


@keras.saving.register_keras_serializable(package="keras_deeptools")
class MCSpatialDropout1D(MonteCarlo, keras.layers.SpatialDropout1D):
    """Dropout of whole 1D feature maps that Monte Carlo prediction turns on.

    Drop-in for `keras.layers.SpatialDropout1D`. When it drops: see `MCDropout`.

    Args:
        rate: Float in [0, 1). Fraction of the feature maps to drop.
        seed: Int or None. Layers with the same seed and different names draw
            different masks; None takes a new seed for every layer.
        stochastic_inference: Bool, whether to drop in every inference call.
        **kwargs: `name`, `dtype`.

    Call arguments:
        inputs: Tensor `(batch, steps, channels)`.
        training: Bool.

    Returns:
        Tensor, same shape and dtype as `inputs`.

    Raises:
        ValueError: If `rate` is outside [0, 1).
        TypeError: If an argument is of the wrong type.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.layers import MCSpatialDropout1D
    >>> layer = MCSpatialDropout1D(0.5, stochastic_inference=True)
    >>> y = keras.ops.convert_to_numpy(layer(np.ones((4, 10, 8), "float32")))
    >>> bool((np.ptp(y, axis=1) == 0).all())
    True

    Reference:
        Tompson et al., 2015, section 3.2. https://arxiv.org/abs/1411.4280
    """

    def __init__(
        self,
        rate: float,
        seed: int | None = None,
        *,
        stochastic_inference: bool = False,
        **kwargs: Any,
    ) -> None:
        rate = checked_rate(type(self).__name__, rate)
        super().__init__(rate, seed=seed, **kwargs)
        self._start(stochastic_inference)


@keras.saving.register_keras_serializable(package="keras_deeptools")
class MCSpatialDropout2D(MonteCarlo, keras.layers.SpatialDropout2D):
    """Dropout of whole 2D feature maps that Monte Carlo prediction turns on.

    Drop-in for `keras.layers.SpatialDropout2D`. When it drops: see `MCDropout`.

    Args:
        rate: Float in [0, 1). Fraction of the feature maps to drop.
        data_format: `"channels_last"`, `"channels_first"` or None for what Keras is
            configured to.
        seed: Int or None. Layers with the same seed and different names draw
            different masks; None takes a new seed for every layer.
        stochastic_inference: Bool, whether to drop in every inference call.
        **kwargs: `name`, `dtype`.

    Call arguments:
        inputs: Tensor `(batch, height, width, channels)`, or with channels at axis 1.
        training: Bool.

    Returns:
        Tensor, same shape and dtype as `inputs`.

    Raises:
        ValueError: If `rate` is outside [0, 1).
        TypeError: If an argument is of the wrong type.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.layers import MCSpatialDropout2D
    >>> layer = MCSpatialDropout2D(0.5, stochastic_inference=True)
    >>> y = keras.ops.convert_to_numpy(layer(np.ones((4, 5, 5, 8), "float32")))
    >>> bool((np.ptp(y, axis=(1, 2)) == 0).all())
    True

    Reference:
        Tompson et al., 2015, section 3.2. https://arxiv.org/abs/1411.4280
    """

    def __init__(
        self,
        rate: float,
        data_format: str | None = None,
        seed: int | None = None,
        *,
        stochastic_inference: bool = False,
        **kwargs: Any,
    ) -> None:
        rate = checked_rate(type(self).__name__, rate)
        super().__init__(rate, data_format=data_format, seed=seed, **kwargs)
        self._start(stochastic_inference)


@keras.saving.register_keras_serializable(package="keras_deeptools")
class MCSpatialDropout3D(MonteCarlo, keras.layers.SpatialDropout3D):
    """Dropout of whole 3D feature maps that Monte Carlo prediction turns on.

    Drop-in for `keras.layers.SpatialDropout3D`. When it drops: see `MCDropout`.

    Args:
        rate: Float in [0, 1). Fraction of the feature maps to drop.
        data_format: `"channels_last"`, `"channels_first"` or None for what Keras is
            configured to.
        seed: Int or None. Layers with the same seed and different names draw
            different masks; None takes a new seed for every layer.
        stochastic_inference: Bool, whether to drop in every inference call.
        **kwargs: `name`, `dtype`.

    Call arguments:
        inputs: Tensor `(batch, depth, height, width, channels)`, or with channels at
            axis 1.
        training: Bool.

    Returns:
        Tensor, same shape and dtype as `inputs`.

    Raises:
        ValueError: If `rate` is outside [0, 1).
        TypeError: If an argument is of the wrong type.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.layers import MCSpatialDropout3D
    >>> layer = MCSpatialDropout3D(0.5, stochastic_inference=True)
    >>> y = keras.ops.convert_to_numpy(layer(np.ones((4, 3, 3, 3, 8), "float32")))
    >>> bool((np.ptp(y, axis=(1, 2, 3)) == 0).all())
    True

    Reference:
        Tompson et al., 2015, section 3.2. https://arxiv.org/abs/1411.4280
    """

    def __init__(
        self,
        rate: float,
        data_format: str | None = None,
        seed: int | None = None,
        *,
        stochastic_inference: bool = False,
        **kwargs: Any,
    ) -> None:
        rate = checked_rate(type(self).__name__, rate)
        super().__init__(rate, data_format=data_format, seed=seed, **kwargs)
        self._start(stochastic_inference)
