"""Models of trials that know their sizes only from the data."""

from collections.abc import Iterator
from typing import Any

import keras

from keras_deeptools.engine._built_by_data import built_by, is_ready, mark_built
from keras_deeptools.engine._rows import RowBatches


def build_optimizer(model: keras.Model) -> None:
    """Builds the optimizer, now or, in a model that is not built, along with it.

    Its state must be there when a tuner loads weights into the model, for which the
    tuner builds it by the sizes that it had in an earlier trial.

    Args:
        model: `keras.Model`, compiled.
    """
    if is_ready(model):
        model.optimizer.build(model.trainable_variables)
        return
    build = model.build_from_config

    def build_from_config(config: Any) -> None:
        build(config)
        mark_built(model)
        model.optimizer.build(model.trainable_variables)

    model.build_from_config = build_from_config


def built_for(model: keras.Model, given: dict[str, Any], owner: str) -> dict[str, Any]:
    """Builds a model, and its optimizer, by the data that it will train on.

    Args:
        model: `keras.Model`, compiled.
        given: Arguments of `fit` by name.
        owner: Str. Who is named in errors.

    Returns:
        The arguments for `fit`: a generator gives its first batch again.
    """
    if is_ready(model):
        return given
    x = given.get("x")
    if isinstance(x, Iterator):
        first = next(x, None)
        rows = None if first is None else keras.utils.unpack_x_y_sample_weight(first)[0]
        given = {**given, "x": _again(first, x)}
    else:
        rows = RowBatches(x, 1, owner).peek()
    if rows is not None:
        built_by(model, rows, owner)
        model.optimizer.build(model.trainable_variables)
    return given


def _again(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    if first is not None:
        yield first
    yield from rest
