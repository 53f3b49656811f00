"""What the Monte Carlo twins of Keras' dropout layers have in common."""

import zlib
from typing import Any

import keras
from keras import ops

from keras_deeptools.engine import exportable_draws


class MonteCarlo(keras.Layer):
    """Base that stands before Keras' own layer and overrides when it drops."""

    def _start(self, stochastic_inference: bool) -> None:
        """Completes a layer whose Keras part has been initialized."""
        if not isinstance(stochastic_inference, bool):
            raise TypeError(
                f"{type(self).__name__}: `stochastic_inference` must be True or False. "
                f"Received: stochastic_inference={stochastic_inference!r}."
            )
        self.stochastic_inference = stochastic_inference
        if self.seed is not None and self.rate > 0:
            # Layers with one and the same seed would otherwise share their masks.
            own = zlib.crc32(f"{self.seed}:{self.name}".encode()) >> 1
            state = self.seed_generator.state
            state.assign(ops.convert_to_tensor([own, 0], dtype=state.dtype))

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Drops in training, and with `stochastic_inference` always."""
        with exportable_draws():
            return super().call(inputs, training=training or self.stochastic_inference)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal layer."""
        config = super().get_config()
        # Keras' spatial dropout forgets mixed precision here.
        config["dtype"] = keras.dtype_policies.serialize(self.dtype_policy)
        return {**config, "stochastic_inference": self.stochastic_inference}


def checked_rate(owner: str, rate: Any) -> float:
    """Return `rate` as a float if it is in [0, 1), or raise."""
    if isinstance(rate, bool) or not isinstance(rate, int | float):
        raise TypeError(
            f"{owner}: `rate` must be a float in [0, 1). Received: rate={rate!r}."
        )
    if not 0 <= rate < 1:
        raise ValueError(
            f"{owner}: `rate` must be in [0, 1). Received: rate={rate!r}. Give the "
            "fraction of inputs to drop."
        )
    return float(rate)
