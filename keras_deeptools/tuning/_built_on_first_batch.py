"""Building the models of a search that come without an `Input`."""

import contextlib
from typing import Any

import keras

from keras_deeptools.engine import Batches
from keras_deeptools.engine._built_by_data import mark_built
from keras_deeptools.engine._first_call import (
    build_on,
    inputs_without_numbers,
    is_built,
)
from keras_deeptools.tuning._fit_data import training_rows


class BuiltOnFirstBatch:
    """Builds models on the data of the first trial that trains.

    Later models are built when they are made, so that a tuner can load weights into
    them: Hyperband does before it goes on training, `get_best_models` afterwards.
    """

    def __init__(self) -> None:
        self._inputs: Any = None

    def build(self, model: keras.Model, given: dict[str, Any]) -> dict[str, Any]:
        """Creates the variables that `fit` would create, from its first batch.

        Args:
            model: `keras.Model`, compiled.
            given: Arguments of `fit` by name.

        Returns:
            Dict of the arguments to train with, which lack no batch.
        """
        if is_built(model):
            return given
        batches = Batches(
            model,
            **training_rows(given),
            batch_size=given.get("batch_size"),
            shuffle=bool(given.get("shuffle", True)),
        )
        batches.build()
        self._inputs = inputs_without_numbers(batches)
        replay = batches.replay()
        return given if replay is None else {**given, "x": replay}

    def build_like_others(self, model: keras.Model) -> None:
        """Builds a model for the inputs that others were built for, if it can be.

        Args:
            model: `keras.Model`.
        """
        if self._inputs is not None and not is_built(model):
            # Code that looks at numbers has to wait for some.
            with contextlib.suppress(Exception):
                build_on(model, self._inputs)
        if self._inputs is not None and is_built(model):
            # Hyperband builds it once more, for the batch size of another trial.
            vars(model)["build_from_config"] = _already_built


def _already_built(config: Any) -> None:
    """In place of `build_from_config`, for a model that is built."""


def build_optimizer(model: keras.Model) -> None:
    """Builds the optimizer, now or, in a model that is not built, along with it.

    Its state must be there when a tuner loads weights into the model. In a new session
    the tuner builds the model by the sizes that it had in an earlier trial.

    Args:
        model: `keras.Model`, compiled.
    """
    if is_built(model):
        model.optimizer.build(model.trainable_variables)
        return
    build = model.build_from_config

    def build_from_config(config: Any) -> None:
        build(config)
        mark_built(model)
        model.optimizer.build(model.trainable_variables)

    model.build_from_config = build_from_config
