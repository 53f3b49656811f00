"""The noise of denoising autoencoders."""

from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from keras_deeptools._arguments import checked_float, checked_option

KINDS = ("masking", "gaussian", "none")


@dataclass(frozen=True)
class Corruption:
    """Noise on the inputs of an autoencoder.

    Args:
        kind: Str. `"masking"` sets elements to zero, `"gaussian"` adds normal noise,
            `"none"` leaves inputs as they are.
        level: Float. For masking the fraction of elements in [0, 1), for Gaussian
            noise its standard deviation >= 0, in the units of the inputs.
    """

    kind: str
    level: float

    def __call__(self, inputs: Any, seed: keras.random.SeedGenerator) -> Any:
        """The inputs with noise; each call draws anew from `seed`."""
        if self.kind == "none" or self.level == 0:
            return inputs
        shape = ops.shape(inputs)
        if self.kind == "masking":
            kept = keras.random.uniform(shape, seed=seed) >= self.level
            return inputs * ops.cast(kept, inputs.dtype)
        noise = keras.random.normal(shape, stddev=self.level, seed=seed)
        return inputs + ops.cast(noise, inputs.dtype)


def checked_corruption(owner: str, kind: Any, level: Any) -> Corruption:
    """The noise for the arguments `noise` and `noise_level`, or an error."""
    kind = checked_option(owner, "noise", kind, KINDS)
    number = checked_float(owner, "noise_level", level, at_least=0)
    if kind == "masking" and number >= 1:
        raise ValueError(
            f"{owner}: `noise_level` must be in [0, 1) for masking noise. Received: "
            f"noise_level={level!r}. Give the fraction of inputs to set to zero."
        )
    return Corruption(kind, number)
