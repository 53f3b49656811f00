"""Updating all variables of an optimizer in one call, as Keras' own do on torch."""

from typing import Any

import keras


class WholeUpdate(keras.optimizers.Optimizer):
    """An optimizer that may take all its variables at once.

    Keras calls `update_step` for one variable after another; its own optimizers on
    torch are spared that, which counts where there are many small variables.
    """

    def takes_all(self) -> bool:
        """Whether `update_all` is to be called."""
        return False

    def decays_itself(self) -> bool:
        """Whether weight decay is a part of the update, and not Keras' to apply."""
        return False

    def update_all(self, gradients: Any, variables: Any, learning_rate: Any) -> None:
        """In the place of `update_step` for each pair of the two lists."""
        raise NotImplementedError

    def _apply_weight_decay(self, variables: Any) -> None:
        if not self.decays_itself():
            super()._apply_weight_decay(variables)

    def _backend_update_step(
        self, grads: Any, trainable_variables: Any, learning_rate: Any
    ) -> None:
        if self.takes_all():
            self.update_all(grads, trainable_variables, learning_rate)
        else:
            super()._backend_update_step(grads, trainable_variables, learning_rate)
