"""Learning rates from the range test, one test for trials that are alike."""

import math
from typing import Any

import keras

from keras_deeptools.callbacks import OneCycleScheduler, RangeTest, find_learning_rate
from keras_deeptools.engine._graph.layers import layers_of


class RangeTestedRates:
    """The learning rates that range tests have found in a search.

    A good learning rate depends on the layers, their sizes and activations, on the
    optimizer and on the size of a batch; trials that agree in these share one test.

    Attributes:
        found: Dict from what trials agreed in to their `RangeTest`.
    """

    def __init__(self) -> None:
        self.found: dict[tuple, RangeTest] = {}

    def rate(
        self,
        model: keras.Model,
        data: dict[str, Any],
        batch_size: int | None,
        shuffle: bool = True,
    ) -> float | None:
        """The learning rate for an untrained model, which is left as it is.

        Args:
            model: `keras.Model`, compiled.
            data: Dict of `x`, `y` and `sample_weight` to train on.
            batch_size: Int or None.
            shuffle: Bool, as in the training to come, which then draws the same.

        Returns:
            Float; None where the loss never clearly fell.
        """
        key = (structure(model), type(model.optimizer).__name__, batch_size)
        if key not in self.found:
            self.found[key] = find_learning_rate(
                model, **data, batch_size=batch_size, shuffle=shuffle, verbose=0
            )
        suggestion = self.found[key].suggestion
        return None if math.isnan(suggestion) else suggestion


def structure(model: keras.Model) -> tuple:
    """Kinds, activations and sizes of all layers.

    Args:
        model: `keras.Model`, built.
    """
    rows = []
    for layer, variables in layers_of(model):
        activation = getattr(layer, "activation", None)
        name = getattr(activation, "__name__", str(activation))
        shapes = tuple(tuple(variable.shape) for variable in variables.values())
        rows.append((type(layer).__name__, name, shapes))
    return tuple(rows)


class OneCycleOverHorizon(OneCycleScheduler):
    """1cycle over a fixed number of epochs, however few this `fit` trains.

    Hyperband trains a promoted model for more epochs than the rung before, each time
    with other `epochs`; the cycle must be the same in all rungs.

    Args:
        horizon: Int >= 1, epochs of the whole cycle.
        **arguments: As for `OneCycleScheduler`.
    """

    def __init__(self, horizon: int, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.horizon = horizon

    def set_params(self, params: dict[str, Any]) -> None:
        """Takes what `fit` says of itself, with the horizon's epochs for its own."""
        super().set_params({**params, "epochs": self.horizon} if params else params)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {"horizon": self.horizon}
