"""The data that a search passes on to the training of its trials."""

import contextlib
import inspect
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_deeptools.engine._building.first_call import (
    build_on,
    inputs_without_numbers,
    is_built,
    mark_built,
)
from keras_deeptools.engine._data.fit_batches import Batches


def named_arguments(args: tuple, kwargs: dict[str, Any]) -> dict[str, Any]:
    """What `fit` was given, by name.

    Args:
        args: Positional arguments of `keras.Model.fit`.
        kwargs: The others.
    """
    names = list(inspect.signature(keras.Model.fit).parameters)[1:]
    return {**dict(zip(names, args, strict=False)), **kwargs}


def is_in_rows(x: Any) -> bool:
    """Whether data come as arrays, for `fit` to make batches of.

    Args:
        x: Inputs, as `fit` takes them.
    """
    return hasattr(x, "shape") or isinstance(x, (dict, list, tuple))


def training_rows(given: dict[str, Any]) -> dict[str, Any]:
    """`x`, `y` and `sample_weight` of what is trained on.

    Args:
        given: Arguments of `fit` by name.
    """
    found = {name: given.get(name) for name in ("x", "y", "sample_weight")}
    split = given.get("validation_split") or 0.0
    if not split or given.get("validation_data") is not None:
        return found
    return _sliced(found, slice(0, _first_held_out(found["x"], split)))


def validation_rows(given: dict[str, Any]) -> tuple[Any, Any, Any] | None:
    """Inputs, targets and weights to validate on; None where there are none.

    Of data in batches the first holds all, and the others are None.

    Args:
        given: Arguments of `fit` by name.
    """
    data = given.get("validation_data")
    if isinstance(data, tuple | list):
        is_whole = len(data) >= 2 and is_in_rows(data[0])
        return (data[0], data[1], (*data, None)[2]) if is_whole else None
    if data is not None:
        return None if isinstance(data, Iterator) else (data, None, None)
    split = given.get("validation_split") or 0.0
    if not split or not is_in_rows(given.get("x")):
        return None
    rows = slice(_first_held_out(given["x"], split), None)
    found = _sliced({"x": given["x"], "y": given.get("y")}, rows)
    return found["x"], found["y"], None


def first_rows(x: Any, num_rows: int) -> Any:
    """Some of the inputs.

    Args:
        x: Arrays.
        num_rows: Int, the most samples to take.
    """
    return keras.tree.map_structure(lambda each: each[:num_rows], x)


def _first_held_out(x: Any, split: float) -> int:
    """Index of the first sample that Keras holds out; it holds out the last ones."""
    return int(np.floor(len(keras.tree.flatten(x)[0]) * (1.0 - split)))


def _sliced(data: dict[str, Any], rows: slice) -> dict[str, Any]:
    return keras.tree.map_structure(
        lambda each: None if each is None else each[rows], data
    )


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
