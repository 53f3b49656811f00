"""Monte Carlo dropout that keeps self-normalizing networks normalized."""

from typing import Any

import keras

from keras_deeptools.layers._argument_checks import checked_rate
from keras_deeptools.layers._monte_carlo import MonteCarlo


@keras.saving.register_keras_serializable(package="keras_deeptools")
class MCAlphaDropout(MonteCarlo, keras.layers.AlphaDropout):
    """Alpha dropout that Monte Carlo prediction turns on.

    Drop-in for `keras.layers.AlphaDropout`, for networks of SELU units: dropping keeps
    mean and variance of the inputs. When it drops: see `MCDropout`.

    Args:
        rate: Float in [0, 1). Fraction of the inputs to set to the lower limit of SELU.
        noise_shape: Tuple or None. Shape of the mask: inputs share it along axes of
            size 1; None for an axis stands for its size.
        seed: Int or None. Layers with the same seed and different names draw
            different masks; None takes a new seed for every layer.
        stochastic_inference: Bool, whether to drop in every inference call.
        **kwargs: `name`, `dtype` and so on, as for every layer.

    Call arguments:
        inputs: Tensor of any shape.
        training: Bool.

    Returns:
        Tensor, same shape and dtype as `inputs`.

    Raises:
        ValueError: If `rate` is outside [0, 1).
        TypeError: If an argument is of the wrong type.

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

    def __init__(
        self,
        rate: float,
        noise_shape: tuple[int | None, ...] | None = None,
        seed: int | None = None,
        *,
        stochastic_inference: bool = False,
        **kwargs: Any,
    ) -> None:
        rate = checked_rate(type(self).__name__, rate)
        super().__init__(rate, noise_shape=noise_shape, seed=seed, **kwargs)
        self._start(stochastic_inference)
