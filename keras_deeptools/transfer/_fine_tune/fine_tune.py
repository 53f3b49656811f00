"""Fine-tuning a pretrained model in one call."""

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
    known_elsewhere_as,
    message,
)
from keras_deeptools.engine._graph.layers import layers_of
from keras_deeptools.engine._state.random_state import seeded
from keras_deeptools.statistics._metric_direction import checked_direction
from keras_deeptools.transfer._backbones.check_pixels import check_pixels_of
from keras_deeptools.transfer._fine_tune.data import (
    FineTuningData,
    compiled_for,
    ready_data,
)
from keras_deeptools.transfer._fine_tune.plan import (
    OWNER,
    FineTuning,
    first_of_head,
    planned_phases,
)
from keras_deeptools.transfer._fine_tune.progress import (
    KeptProgress,
    RunFiles,
    RunMemory,
    described,
    facts_of,
)
from keras_deeptools.transfer._fine_tune.run import FineTuningRun
from keras_deeptools.transfer._freezing.freeze import BATCH_NORM
from keras_deeptools.transfer._layer_groups.groups import LayerGroups, layer_groups


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
    """The learning rate, or the suggestion of a range test."""
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


@known_elsewhere_as(
    learning_rate="lr base_lr", frozen_epochs="freeze_epochs", rate_ratio="lr_mult"
)
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
    cache: str | bool = "auto",
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
    """Fine-tunes a pretrained model: first its head, then all layers.

    While the body is frozen, the new head is trained with one 1cycle, whose peak is
    `learning_rate`. Then all layers are trained with another 1cycle, whose peak is half
    of that: the head at this learning rate, the groups before it at smaller and smaller
    ones, down to a hundredth. This is fastai's `fine_tune`. Keras' own way, to compile
    again with one small learning rate, loses the state of the optimizer. The same
    training can be written with `freeze_to`, `DiscriminativeLearningRates` and
    `OneCycleScheduler`, and gives the same weights.

    Epochs are numbered through both phases; callbacks see two calls of `fit`. At the
    end, and also if an error or Ctrl-C ends the training, the model has the weights of
    the best epoch, the layers that were trained last stay unfrozen, and the optimizer
    has its own learning rate again. With a `directory` the same call continues an
    interrupted training from the last complete epoch, and ends with the same weights as
    without the interruption; your own callbacks start afresh. Once the training is
    complete, the same call returns the same result again.

    Args:
        model: `keras.Model`, built, with a graph (or give `groups`). If it is compiled,
            it keeps its optimizer, losses and metrics, unless others are given. If it
            contains a model that `backbone` made, `check_pixels` checks what arrives
            there from `x`.
        x: Inputs, as in `fit`: arrays, a `keras.utils.PyDataset`, a
            `tf.data.Dataset`, a `DataLoader` or a generator.
        y: Targets, if `x` is arrays.
        epochs: Int >= 1. Epochs in which all layers are trained.
        frozen_epochs: Int >= 0. Epochs before those, in which only the head is trained.
        learning_rate: Float > 0, or the result of `find_learning_rate`.
        rate_ratio: Float >= 1. The learning rate of the head over that of the first
            group, in the second phase; the groups between them lie on a geometric
            scale. Not used if the optimizer is a `DiscriminativeLearningRates`.
        optimizer: As in `compile`. None: the model's own, or AdamW with a weight decay
            of 0.01.
        loss: As in `compile`. None: the model's own. If the model is not compiled, it
            must end in softmax (then the loss is a categorical cross-entropy, sparse if
            the labels of samples, pixels or tokens are integers) or in sigmoid (binary
            cross-entropy), and `metrics` are the accuracy. Labels outside of the
            classes, and one-hot labels if the loss takes classes or the other way
            round, are an error, in arrays and in the first batch of other data; a
            generator is not checked.
        metrics: As in `compile`. None: the model's own. The "accuracy" of several
            sigmoids is the fraction of correct labels.
        groups: `LayerGroups`, or the number of groups that `layer_groups` is to make,
            or None.
        head: Int or str. Number or name of the first group of the head; all groups
            after it belong to the head, too.
        batch_norm: What BatchNormalization layers before the head do in the second
            phase: `"frozen"`, `"statistics"` or `"train"`, as in `freeze`.
        cache: Whether the outputs of the frozen layers are computed only once and kept
            in memory (up to 2 GiB), as `cache_features` does. `"auto"`: for arrays, if
            nothing before the head draws at random and memory suffices; otherwise the
            `notices` of the result give the reason and the remedy.
        batch_size: Int >= 1, samples in a batch of arrays; None: 32.
        validation_data: As in `fit`.
        validation_split: Float in [0, 1). Fraction of the samples of arrays, the last
            ones, to validate on.
        validation_steps: As in `fit`.
        steps_per_epoch: Int >= 1. Batches in an epoch. Must be given for data of
            unknown length, as 1cycle needs the number of updates.
        class_weight: As in `fit`, if each sample has one class.
        sample_weight: As in `fit`, if `x` is arrays.
        shuffle: Bool. Whether samples of arrays, and batches of a `PyDataset`, come in
            a new order in each epoch. The order depends on `seed` and the epoch alone.
        callbacks: List of `keras.callbacks.Callback`. `EarlyStopping` ends a phase, and
            the next one begins without its best value; give `CSVLogger` `append=True`.
        monitor: Str, the quantity that decides which epoch is best. None: `"val_loss"`,
            or `"loss"` without validation.
        mode: `"min"`, `"max"`, or `"auto"` to decide by the name of `monitor`.
        restore_best: Bool. Whether the model gets the weights of the best epoch at the
            end, rather than those of the last.
        directory: Path of a folder for the state after each epoch and the best weights,
            or None to keep the latter in memory. Every file in it is written as a whole
            or not at all. A call with other arguments, model or shapes of data in the
            same folder is an error. The data must be readable repeatedly; a
            `tf.data.Dataset` must not shuffle by itself.
        seed: Int >= 0 or None. Determines the order of samples and all other random
            numbers, except those of layers with seeds of their own, as Keras' layers
            have. None takes a seed from Python's random state. No other random state
            changes.
        verbose: `"auto"`, 0 (silent), 1 (progress bars that name the phase) or 2 (a
            line for each epoch).

    Returns:
        `FineTuning`, a history of both phases; print it.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range, the model has no body and head, the
            loss cannot be derived from the model, or `directory` is that of another
            call. In these cases nothing has been trained.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.transfer import fine_tune
    >>> model = keras.Sequential(
    ...     [
    ...         keras.Input((4,)),
    ...         keras.layers.Dense(8, "relu", name="body"),
    ...         keras.layers.Dense(2, "softmax", name="head"),
    ...     ]
    ... )
    >>> x = np.random.default_rng(0).normal(size=(32, 4))
    >>> y = (x[:, 0] > 0).astype("int64")
    >>> tuned = fine_tune(model, x, y, epochs=2, validation_split=0.25, verbose=0)
    >>> tuned.epoch, len(tuned.history["val_accuracy"])
    ([0, 1, 2], 3)
    >>> [(phase.name, phase.num_trainable) for phase in tuned.phases]
    [('head', 18), ('all layers', 58)]

    Reference:
        Howard & Ruder, 2018, section 3. https://arxiv.org/abs/1801.06146. Howard &
        Gugger, 2020, section 2.1 (fastai). https://arxiv.org/abs/2002.04688. Unlike in
        fastai, batch normalization stays frozen, and learning rates end at the first
        one over 10,000.
    """
    epochs = checked_count(OWNER, "epochs", epochs)
    frozen_epochs = checked_count(OWNER, "frozen_epochs", frozen_epochs, minimum=0)
    rate = checked_rate(learning_rate)
    ratio = checked_float(OWNER, "rate_ratio", rate_ratio, at_least=1)
    check_options(batch_norm, cache, shuffle, restore_best, seed, verbose)
    check_model(model)
    found = checked_groups(model, groups)
    first = first_of_head(found, head)
    phases = planned_phases(
        model,
        found,
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
    check_cacheable(cache, data)
    listed = checked_callbacks(callbacks)
    monitor, rising = monitored(monitor, mode, data)
    entries = run_entries(directory, data)
    check_pixels_of(model, data.all_inputs)
    compiled_for(model, data, optimizer, loss, metrics, class_weight)
    facts = {
        "epochs": epochs,
        "frozen_epochs": frozen_epochs,
        "learning_rate": rate,
        "rate_ratio": ratio,
        "groups": [len(group.layers) for group in found],
        "head": first,
        "batch_norm": batch_norm,
        "cache": cache,
        "batch_size": data.batch_size,
        "shuffle": shuffle,
        "class_weight": described(class_weight),
        "monitor": monitor,
        "rising": rising,
        "seed": seed,
        "data": data.facts(),
    }
    progress = KeptProgress(model, entries, monitor, rising)
    drawn = progress.begin_or_resume(facts | facts_of(model), seed)
    run = FineTuningRun(
        model,
        phases,
        data,
        progress,
        seed=drawn,
        shuffled=shuffle,
        restore_best=restore_best,
        cache=cache,
        callbacks=listed,
        class_weight=class_weight,
        validation_steps=validation_steps,
        verbose=1 if verbose == "auto" else int(verbose),
    )
    with seeded(drawn):
        return run.train()
