"""Monte Carlo dropout."""

from typing import Any

import keras

from keras_deeptools.layers._argument_checks import checked_rate
from keras_deeptools.layers._monte_carlo import MonteCarlo


@keras.saving.register_keras_serializable(package="keras_deeptools")
class MCDropout(MonteCarlo, keras.layers.Dropout):
    """Dropout that Monte Carlo prediction turns on.

    Drop-in for `keras.layers.Dropout`, which it equals in training. In inference it
    does nothing, so that `val_loss` stays clean, except inside
    `keras_deeptools.uncertainty.mc_predict`; or, with `stochastic_inference=True`, it
    drops always: in `predict`, `evaluate` and exported models too.

    Args:
        rate: Float in [0, 1). Fraction of the inputs to drop; the others are scaled
            up by `1 / (1 - rate)`.
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
