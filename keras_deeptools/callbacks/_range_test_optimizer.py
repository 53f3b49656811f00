"""Whose learning rate grows in a range test."""

import keras

from keras_deeptools.engine import ModelOptimizer, chosen_optimizers
from keras_deeptools.engine._model_optimizers import OptimizerChoice, listed_names
from keras_deeptools.engine._update_watch import UpdateWatch


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


def check_used(watch: UpdateWatch) -> None:
    """Raises if other optimizers have made updates, while the chosen have made none.

    Args:
        watch: `UpdateWatch` of the chosen optimizers, which have made none yet.
    """
    others = watch.others_that_train()
    if others:
        raise ValueError(
            f"{watch.owner}: `optimizer` must be one that `train_step` uses. "
            f"Received: {listed_names(watch.chosen)}, which made no update, while "
            f'{listed_names(others)} did. Pass `optimizer="{others[0].name}"`.'
        )
