"""Arguments of `fine_tune`, checked."""

from pathlib import Path
from typing import Any

import keras

from keras_deeptools._arguments import (
    checked_bool,
    checked_float,
    checked_option,
    checked_seed,
    message,
)
from keras_deeptools.engine._graph.layers import layers_of
from keras_deeptools.statistics._metric_direction import checked_direction
from keras_deeptools.transfer._fine_tune.data import FineTuningData
from keras_deeptools.transfer._fine_tune.plan import OWNER
from keras_deeptools.transfer._fine_tune.run_store import RunFiles, RunMemory
from keras_deeptools.transfer._freezing.choice import BATCH_NORM
from keras_deeptools.transfer._layer_groups.find import layer_groups
from keras_deeptools.transfer._layer_groups.groups import LayerGroups


def check_model(model: Any) -> None:
    """Raises if `model` is no built Keras model."""
    if not isinstance(model, keras.Model):
        raise TypeError(message(OWNER, "model", "a `keras.Model`", model))
    if not model.built:
        remedy = "Give it an Input, or call it on a batch of data, first."
        raise ValueError(message(OWNER, "model", "built", model.name, remedy))


def check_options(
    batch_norm: Any,
    cache: Any,
    shuffle: Any,
    restore_best: Any,
    seed: Any,
    verbose: Any,
) -> None:
    """Raises if one of these is none of its options."""
    checked_option(OWNER, "batch_norm", batch_norm, BATCH_NORM)
    if cache != "auto":
        checked_bool(OWNER, "cache", cache)
    checked_bool(OWNER, "shuffle", shuffle)
    checked_bool(OWNER, "restore_best", restore_best)
    checked_seed(OWNER, seed)
    if verbose not in ("auto", 0, 1, 2):
        raise ValueError(message(OWNER, "verbose", '"auto", 0, 1 or 2', verbose))


def checked_groups(model: keras.Model, groups: Any) -> LayerGroups:
    """The layer groups of a model, found or given."""
    if not isinstance(groups, LayerGroups):
        return layer_groups(model, groups)
    own = {id(layer) for layer, _ in layers_of(model)}
    for group in groups:
        for layer in group.layers:
            if id(layer) not in own:
                rule = "layer groups of the model"
                name = f"{layer.name!r}, which is not in it"
                raise ValueError(message(OWNER, "groups", rule, name))
    return groups


def checked_rate(value: Any) -> float:
    """The rate, or the suggestion of a range test."""
    if not isinstance(value, str | bool) and hasattr(value, "__float__"):
        value = float(value)
    return checked_float(OWNER, "learning_rate", value, above=0)


def checked_callbacks(callbacks: Any) -> list[keras.callbacks.Callback]:
    """The callbacks as a list."""
    if callbacks is None:
        return []
    if isinstance(callbacks, keras.callbacks.Callback):
        return [callbacks]
    listed = list(callbacks) if isinstance(callbacks, list | tuple) else [None]
    if not all(isinstance(each, keras.callbacks.Callback) for each in listed):
        rule = "a list of `keras.callbacks.Callback`"
        raise TypeError(message(OWNER, "callbacks", rule, callbacks))
    return listed


def check_cacheable(cache: Any, data: FineTuningData) -> None:
    """Raises if features are to be cached of data that are not arrays."""
    if cache is True and data.arrays is None:
        rule = "'auto' or False where `x` is not arrays"
        raise ValueError(message(OWNER, "cache", rule, cache))


def monitored(monitor: str | None, mode: str, data: FineTuningData) -> tuple[str, bool]:
    """What tells which epoch is best, and whether it is better the larger it is."""
    if monitor is None:
        monitor = "loss" if data.validation is None else "val_loss"
    return monitor, checked_direction(OWNER, mode, monitor) == "max"


def run_entries(directory: Any, data: FineTuningData) -> RunMemory | RunFiles:
    """Where the run is kept."""
    if directory is None:
        return RunMemory()
    if not isinstance(directory, str | Path):
        raise TypeError(message(OWNER, "directory", "a path or None", directory))
    if data.one_pass:
        rule = "None where `x` is a generator, which cannot be read from its start"
        remedy = "Give a `keras.utils.PyDataset`."
        raise ValueError(message(OWNER, "directory", rule, str(directory), remedy))
    return RunFiles(Path(directory))
