"""What the Monte Carlo twins of Keras' dropout layers have in common."""

import zlib
from typing import Any

import keras
from keras import ops

from keras_deeptools._arguments import checked_bool
from keras_deeptools.engine import exportable_draws


class MonteCarlo(keras.Layer):
    """Base that stands before Keras' own layer and overrides when it drops."""

    def _start(self, stochastic_inference: bool) -> None:
        """Completes a layer whose Keras part has been initialized."""
        self.stochastic_inference = checked_bool(
            type(self).__name__, "stochastic_inference", stochastic_inference
        )
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
