"""An encoder and a decoder that give back what noise or a mask took away."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_deeptools.pretraining._encoder import Encoder
from keras_deeptools.pretraining._pretrainer import Pretrainer

Spoil = Callable[[Any, keras.random.SeedGenerator], tuple[Any, Any]]
"""From inputs and a seed to spoiled inputs and where to compare, 1 or 0; or None."""


class Reconstruction(Pretrainer):
    """Minimizes the error between inputs and what is decoded from spoiled ones.

    Args:
        encoder: `Encoder`.
        decoder: `keras.Layer`, built, from codes to inputs (or their logits).
        spoil: `Spoil`.
        loss: `"mean_squared_error"` or `"binary_crossentropy"`.
        seed: Int >= 0.
    """

    def __init__(
        self,
        encoder: Encoder,
        decoder: keras.Layer,
        spoil: Spoil,
        loss: str,
        seed: int,
    ) -> None:
        super().__init__(encoder, seed)
        self.decoder, self.spoil, self.error = decoder, spoil, loss
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """The reconstruction, what it should be, and where to compare them."""
        target = self.taken(inputs)
        spoiled, where = self.spoil(target, self.noise_seed)
        codes = self.encoder(spoiled, training=bool(training))
        decoded = self.decoder(codes, training=bool(training))
        target = ops.cast(target, "float32")
        where = ops.ones_like(target) if where is None else ops.cast(where, "float32")
        return ops.cast(decoded, "float32"), target, where

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Mean error over the elements that are compared."""
        decoded, target, where = y_pred
        if self.error == "binary_crossentropy":
            # As log(1 + exp(z)) - x z, which no large logit can spoil.
            error = ops.softplus(decoded) - target * decoded
        else:
            error = ops.square(decoded - target)
        return self.total(ops.sum(where * error) / ops.sum(where))

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        """Nothing but the loss."""
        return self.get_metrics_result()
