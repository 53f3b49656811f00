"""What makes a layer of weights self-normalizing."""

from typing import Any

import keras

from keras_deeptools.layers._rate_and_seeds import checked_dropout_rate, spawned_seeds


class SelfNormalizing(keras.Layer):
    """LeCun normal, SELU and AlphaDropout for a dense layer or a convolution.

    Stands in front of Keras' own layer as a base class.
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
        """The constructor's arguments."""
        config = super().get_config()
        for fixed in ("activation", "kernel_initializer"):
            del config[fixed]
        return config | {"rate": self.rate, "seed": self.seed}
