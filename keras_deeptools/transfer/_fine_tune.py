"""Fine-tuning a pretrained model in one call."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from keras_deeptools._arguments import (
    checked_bool,
    checked_count,
    checked_float,
    checked_option,
    checked_seed,
    message,
)
from keras_deeptools.engine import seeded
from keras_deeptools.transfer._check_pixels import check_pixels
from keras_deeptools.transfer._compiling import compiled_for
from keras_deeptools.transfer._fine_tuning import FineTuning
from keras_deeptools.transfer._fine_tuning_data import FineTuningData, ready_data
from keras_deeptools.transfer._fine_tuning_plan import (
    OWNER,
    first_of_head,
    planned_phases,
)
from keras_deeptools.transfer._fine_tuning_progress import KeptProgress, rises
from keras_deeptools.transfer._fine_tuning_run import FineTuningRun
from keras_deeptools.transfer._layer_group import LayerGroups
from keras_deeptools.transfer._layer_groups import layer_groups
from keras_deeptools.transfer._leaf_states import BATCH_NORM
from keras_deeptools.transfer._run_facts import check_same, described, shapes_of
from keras_deeptools.transfer._run_files import RunFiles, RunMemory


def fine_tune(
    model: keras.Model,
    x: Any,
    y: Any = None,
    *,
    epochs: int,
    frozen_epochs: int = 1,
    learning_rate: float = 2e-3,
    rate_ratio: float = 100.0,
    optimizer: Any = None,
    loss: Any = None,
    metrics: Any = None,
    groups: LayerGroups | int | None = None,
    head: int | str = -1,
    batch_norm: str = "frozen",
    batch_size: int | None = None,
    validation_data: Any = None,
    validation_split: float = 0.0,
    validation_steps: int | None = None,
    steps_per_epoch: int | None = None,
    class_weight: dict | None = None,
    sample_weight: Any = None,
    shuffle: bool = True,
    callbacks: Sequence[keras.callbacks.Callback] | None = None,
    monitor: str | None = None,
    mode: str = "auto",
    restore_best: bool = True,
    directory: str | Path | None = None,
    seed: int | None = None,
    verbose: str | int = "auto",
) -> FineTuning:
    """Fine-tunes a pretrained model: its new head first, then all layers.

    TODO

    Args:
        model: `keras.Model`.

    Example:

    >>> 1
    1
    """
    epochs = checked_count(OWNER, "epochs", epochs)
    frozen_epochs = checked_count(OWNER, "frozen_epochs", frozen_epochs, minimum=0)
    rate = _checked_rate(learning_rate)
    ratio = checked_float(OWNER, "rate_ratio", rate_ratio, at_least=1)
    checked_option(OWNER, "batch_norm", batch_norm, BATCH_NORM)
    checked_option(OWNER, "mode", mode, ("auto", "min", "max"))
    checked_bool(OWNER, "shuffle", shuffle)
    checked_bool(OWNER, "restore_best", restore_best)
    checked_seed(OWNER, seed)
    if verbose not in ("auto", 0, 1, 2):
        raise ValueError(message(OWNER, "verbose", '"auto", 0, 1 or 2', verbose))
    _check_model(model)
    if not isinstance(groups, LayerGroups):
        groups = layer_groups(model, groups)
    first = first_of_head(groups, head)
    phases = planned_phases(
        model,
        groups,
        first,
        epochs=epochs,
        frozen_epochs=frozen_epochs,
        learning_rate=rate,
        rate_ratio=ratio,
        batch_norm=batch_norm,
    )
    data = ready_data(
        model,
        x,
        y,
        sample_weight,
        batch_size,
        validation_data,
        validation_split,
        steps_per_epoch,
    )
    if monitor is None:
        monitor = "loss" if data.validation is None else "val_loss"
    rising = rises(monitor, mode)
    entries = _entries(directory, data)
    if _takes_pixels(model) and not data.one_pass:
        check_pixels(x)
    compiled_for(model, data, optimizer, loss, metrics)
    facts = {
        "epochs": epochs,
        "frozen_epochs": frozen_epochs,
        "learning_rate": rate,
        "rate_ratio": ratio,
        "groups": [len(group.layers) for group in groups],
        "head": first,
        "batch_norm": batch_norm,
        "batch_size": data.batch_size,
        "shuffle": shuffle,
        "class_weight": described(class_weight),
        "monitor": monitor,
        "rising": rising,
        "seed": seed,
        "backend": keras.backend.backend(),
        "optimizer": described(model.optimizer),
        "loss": described(model.loss),
        "model": shapes_of(model),
        "data": data.facts(),
    }
    progress = KeptProgress(model, entries, monitor, rising)
    begun = entries.read("start")
    if begun is None:
        drawn = random.randrange(2**31) if seed is None else seed
        progress.begin(facts | {"drawn_seed": drawn})
    else:
        drawn = begun[1].pop("drawn_seed")
        check_same(facts, begun[1], Path(directory or ""))
        progress.resume()
    run = FineTuningRun(
        model,
        phases,
        data,
        progress,
        seed=drawn,
        shuffled=shuffle,
        restore_best=restore_best,
        callbacks=_checked_callbacks(callbacks),
        class_weight=class_weight,
        validation_steps=validation_steps,
        verbose=1 if verbose == "auto" else int(verbose),
    )
    with seeded(drawn):
        return run.train()


def _check_model(model: Any) -> None:
    if not isinstance(model, keras.Model):
        raise TypeError(message(OWNER, "model", "a `keras.Model`", model))
    if not model.built:
        remedy = "Give it an Input, or call it on a batch of data, first."
        raise ValueError(message(OWNER, "model", "built", model.name, remedy))


def _checked_rate(value: Any) -> float:
    """The rate, or the suggestion of a range test."""
    if not isinstance(value, str | bool) and hasattr(value, "__float__"):
        value = float(value)
    return checked_float(OWNER, "learning_rate", value, above=0)


def _checked_callbacks(callbacks: Any) -> list[keras.callbacks.Callback]:
    if callbacks is None:
        return []
    if isinstance(callbacks, keras.callbacks.Callback):
        return [callbacks]
    listed = list(callbacks) if isinstance(callbacks, list | tuple) else [None]
    if not all(isinstance(each, keras.callbacks.Callback) for each in listed):
        rule = "a list of `keras.callbacks.Callback`"
        raise TypeError(message(OWNER, "callbacks", rule, callbacks))
    return listed


def _entries(directory: Any, data: FineTuningData) -> RunMemory | RunFiles:
    if directory is None:
        return RunMemory()
    if not isinstance(directory, str | Path):
        raise TypeError(message(OWNER, "directory", "a path or None", directory))
    if data.one_pass:
        rule = "None where `x` is a generator, which cannot be read from its start"
        remedy = "Give a `keras.utils.PyDataset`."
        raise ValueError(message(OWNER, "directory", rule, str(directory), remedy))
    return RunFiles(Path(directory))


def _takes_pixels(model: keras.Model) -> bool:
    """Whether the model begins as `backbone` begins."""
    inputs = getattr(model, "inputs", None) or []
    return [tensor.name for tensor in inputs] == ["pixels"]
