"""Checks that the optimizers with features are those that train, in `fit` and loops."""

import warnings
import weakref
from typing import Any

import numpy as np

from keras_deeptools.engine._backends.active import training
from keras_deeptools.engine._backends.common import on_host
from keras_deeptools.engine._keras_private.layers import value_of
from keras_deeptools.engine._update.model_optimizers import (
    ModelOptimizer,
    listed_names,
    model_optimizers,
    updates_made,
)

_times_undone: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()

NUM_COMPARED = 3
"""Number of weights, the smallest, by which training by other means is detected."""


def note_undone(optimizer: Any) -> None:
    """Notes that the updates of an optimizer were taken back, as a range test does."""
    _times_undone[optimizer] = _undone(optimizer) + 1


def _undone(optimizer: Any) -> int:
    return _times_undone.get(optimizer, 0)


class UpdateWatch:
    """Counts the updates of all optimizers of a model from now on.

    Args:
        owner: Str. Name of the caller, for the warning.
        model: `keras.Model`, or None where an optimizer trains that belongs to none.
        chosen: List of `ModelOptimizer`, those that are acted on.
        each: Bool. Whether each of them was asked for; else one that trains will do.
    """

    def __init__(
        self, owner: str, model: Any, chosen: list[ModelOptimizer], each: bool
    ) -> None:
        self.owner = owner
        self.chosen = chosen
        self._each = each
        self._warned = self._told_unseen = False
        self.model = model
        self._undone = {id(one.optimizer): _undone(one.optimizer) for one in chosen}
        self._before = {
            id(one.optimizer): updates_made(one.optimizer)
            for one in [*chosen, *self._others()]
        }

    def _others(self) -> list[ModelOptimizer]:
        """The others that the model has now; its first step may have made some."""
        mine = {id(one.optimizer) for one in self.chosen}
        everything = [] if self.model is None else model_optimizers(self.model)
        return [one for one in everything if id(one.optimizer) not in mine]

    def idle(self) -> list[ModelOptimizer]:
        """Those of the chosen optimizers that have made no update."""
        still = [one for one in self.chosen if not self._moved(one)]
        undone = self._undone
        return [o for o in still if undone[id(o.optimizer)] == _undone(o.optimizer)]

    def warn(
        self, skipped: list[Any], seen: set[int], after: str = "in the first epoch"
    ) -> None:
        """Warns once of optimizers that have made no update.

        Args:
            skipped: List of optimizers that would have, but for loss scaling.
            seen: Identities of the optimizers whose updates were run or traced.
            after: Str. When.
        """
        if self._warned:
            return
        self._warned = True
        busy = {id(optimizer) for optimizer in skipped}
        idle = [one for one in self.idle() if id(one.optimizer) not in busy]
        if not idle or (not self._each and len(idle) < len(self.chosen)):
            return
        held = [one for one in idle if id(one.optimizer) in seen]
        if held and training.LOOPS_HOLD_STATE:
            warnings.warn(
                f"{self.owner}: the state of {self._names(held)} has not come back "
                f"from a compiled function {after}, so nothing was recorded. A loop of "
                "your own must assign it: `for variable, value in "
                "zip(optimizer.variables, optimizer_state, strict=True): "
                "variable.assign(value)`.",
                stacklevel=4,
            )
            return
        has = "has" if len(idle) == 1 else "have"
        warnings.warn(
            f"{self.owner}: {self._names(idle)} {has} made no update {after}, so "
            f"nothing was recorded or changed there. {self._remedy()}",
            stacklevel=4,
        )

    def warn_unseen(self, seen: set[int]) -> None:
        """Warns once of optimizers that made updates which nothing attached has seen.

        Args:
            seen: Identities of the optimizers whose updates were seen.
        """
        missed = self.unseen(seen)
        if not missed or self._told_unseen:
            return
        self._told_unseen = True
        warnings.warn(
            f"{self.owner}: {self._names(missed)} made updates that this callback "
            "could not take part in, because they run in a function that was compiled "
            "before training began. Take the decorator (`tf.function`, `jax.jit`) off: "
            "Keras compiles the train step itself. A loop of your own must call the "
            "function for the first time after `on_train_begin()`.",
            stacklevel=4,
        )

    def unseen(self, seen: set[int]) -> list[ModelOptimizer]:
        """Those of the chosen optimizers that made updates which nothing has seen.

        Args:
            seen: Identities of the optimizers whose updates were seen.
        """
        missed = [one for one in self.chosen if id(one.optimizer) not in seen]
        return [one for one in missed if self._moved(one)]

    def others_that_train(self) -> list[ModelOptimizer]:
        """Those of the model's other optimizers that have made updates."""
        return [one for one in self._others() if self._moved(one)]

    def _names(self, found: list[ModelOptimizer]) -> str:
        of_model = "" if self.model is None else f" of {self.model.name!r}"
        return f"{listed_names(found)}{of_model}"

    def _moved(self, one: ModelOptimizer) -> bool:
        now = updates_made(one.optimizer)
        return now < 0 or now != self._before.get(id(one.optimizer), 0)

    def _remedy(self) -> str:
        moved = self.others_that_train()
        others = moved or self._others()
        if not others:
            return (
                "The model has no other optimizer. Where its train step, or a loop of "
                "your own, uses one that is no attribute of the model, pass it as "
                "`optimizer=`."
            )
        if moved:
            does = "made updates"
        else:
            does = "is there too" if len(others) == 1 else "are there too"
        choice = f'pass `optimizer="{others[0].name}"`'
        if len(others) > 1:
            choice += ', or `optimizer="all"`'
        return f"{listed_names(others)} {does}: {choice}."


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
