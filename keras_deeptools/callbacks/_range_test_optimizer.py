"""Whose learning rate grows in a range test."""

import keras

from keras_deeptools.engine import ModelOptimizer, chosen_optimizers, model_optimizers
from keras_deeptools.engine._model_optimizers import (
    OptimizerChoice,
    listed_names,
    updates_made,
)


def chosen_optimizer(
    owner: str, model: keras.Model, choice: OptimizerChoice
) -> list[ModelOptimizer]:
    """The optimizers that a user has chosen, or the one that the train step uses.

    Raises:
        ValueError: If the step uses several and none has been chosen, or there is none.
    """
    chosen = chosen_optimizers(model, choice, owner)
    if choice is None and len(chosen) > 1:
        raise ValueError(
            f"{owner}: `optimizer` must say whose learning rate is to grow, as "
            f"`train_step` uses {listed_names(chosen)}. Received: optimizer=None. Test "
            f'them one by one, for instance `optimizer="{chosen[0].name}"` with the '
            '`loss_name` of its loss, or all at once with a list or "all".'
        )
    return chosen


class IdleOptimizers:
    """Tells when updates are made, but not by the optimizers that were chosen.

    Args:
        owner: Str. Who is named in errors.
        model: `keras.Model`.
        chosen: List of `ModelOptimizer`.
    """

    def __init__(
        self, owner: str, model: keras.Model, chosen: list[ModelOptimizer]
    ) -> None:
        self._owner = owner
        self._chosen = chosen
        mine = {id(each.optimizer) for each in chosen}
        self._others = [
            (each, updates_made(each.optimizer))
            for each in model_optimizers(model)
            if id(each.optimizer) not in mine
        ]

    def check(self) -> None:
        """Raises if only others have made updates, while the chosen have not."""
        moved = [
            each
            for each, before in self._others
            if (updates_made(each.optimizer) or 0) > (before or 0)
        ]
        if moved:
            raise ValueError(
                f"{self._owner}: `optimizer` must be one that `train_step` uses. "
                f"Received: {listed_names(self._chosen)}, which made no update, while "
                f'{listed_names(moved)} did. Pass `optimizer="{moved[0].name}"`.'
            )
