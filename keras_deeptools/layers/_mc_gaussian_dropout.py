"""Monte Carlo dropout by multiplying with Gaussian noise."""

from typing import Any

import keras

from keras_deeptools.layers._argument_checks import checked_rate
from keras_deeptools.layers._monte_carlo import MonteCarlo


@keras.saving.register_keras_serializable(package="keras_deeptools")
class MCGaussianDropout(MonteCarlo, keras.layers.GaussianDropout):
    """Gaussian dropout that Monte Carlo prediction turns on.

    Drop-in for `keras.layers.GaussianDropout`: inputs are multiplied with noise of mean
    1 and standard deviation `sqrt(rate / (1 - rate))`. When it does so: see
    `MCDropout`.

    Args:
        rate: Float in [0, 1). Gives the noise the variance of dropout at this rate.
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
    >>> from keras_deeptools.layers import MCGaussianDropout
    >>> layer = MCGaussianDropout(0.5, stochastic_inference=True)
    >>> y = keras.ops.convert_to_numpy(layer(np.ones((100, 100), "float32")))
    >>> bool(abs(y.mean() - 1) < 0.1), bool(abs(y.std() - 1) < 0.1)
    (True, True)

    Reference:
        Srivastava et al., 2014, section 10. https://jmlr.org/papers/v15/srivastava14a.html
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
