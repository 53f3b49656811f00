"""Telling, at the end of a loop of the user's, what the features did not see in it."""

import warnings
from typing import Any

import numpy as np

from keras_deeptools.engine._backends.common import on_host
from keras_deeptools.engine._keras_private.layers import value_of
from keras_deeptools.engine._update.model_optimizers import ModelOptimizer
from keras_deeptools.engine._update.update_watch import UpdateWatch

NUM_COMPARED = 3
"""How many weights, the smallest, tell whether something else trains the model."""


class LoopWatch(UpdateWatch):
    """Watches a loop of the user's from `attach` to the end of its block.

    Args:
        model: `keras.Model`, or None where an optimizer trains that belongs to none.
        chosen: List of `ModelOptimizer`, those that are acted on.
    """

    def __init__(self, model: Any, chosen: list[ModelOptimizer]) -> None:
        super().__init__("attach", model, chosen, each=False)
        self._weights = smallest_weights(model)

    def warn_at_end(self, skipped: list[Any], seen: set[int]) -> None:
        """Warns of updates, at most once, that nothing attached took part in.

        Args:
            skipped: List of optimizers that skipped updates because of loss scaling.
            seen: Identities of the optimizers whose updates were run or traced.
        """
        missed = self.unseen(seen)
        if missed:
            warnings.warn(
                f"attach: {self._names(missed)} made updates that what is attached "
                "could not take part in, because they run in a function that was "
                "compiled before. Make the function inside of the block, "
                "`with attach(...):`, or call it there for the first time.",
                stacklevel=3,
            )
        elif self.others_that_train() or self.idle() and seen:
            self.warn(skipped, seen, "while this was attached")
        elif self.idle() and self._something_else_trains():
            warnings.warn(
                f"attach: {self._names(self.idle())} made no update while this was "
                "attached, so nothing was recorded or changed. Attach to the optimizer "
                "that your loop calls: `attach(optimizer, ...)`. It must be one of "
                "Keras; what another one does, of torch or optax, cannot be seen.",
                stacklevel=3,
            )

    def _something_else_trains(self) -> bool:
        if self.model is None:
            return not any(one.optimizer.built for one in self.chosen)
        now = {id(variable): value for variable, value in smallest_weights(self.model)}
        return any(
            not np.array_equal(value, now.get(id(variable), value), equal_nan=True)
            for variable, value in self._weights
        )


def smallest_weights(model: Any) -> list[tuple[Any, np.ndarray]]:
    """Some trainable variables of a model with their values, those of fewest elements.

    Args:
        model: `keras.Model`, or None.
    """
    if model is None:
        return []
    variables = [v for v in model.trainable_variables if value_of(v) is not None]
    variables = sorted(variables, key=lambda v: int(np.prod(v.shape)))[:NUM_COMPARED]
    return [(variable, np.array(on_host(variable))) for variable in variables]
