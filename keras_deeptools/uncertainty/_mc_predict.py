"""Monte Carlo dropout prediction."""

import secrets
from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import (
    checked_bool,
    checked_count,
    checked_model,
    checked_option,
    checked_verbose,
    is_integer,
    known_elsewhere_as,
    message,
)
from keras_deeptools.engine._building.first_call import built_by_first
from keras_deeptools.engine._data.samples import RowBatches
from keras_deeptools.engine._dropout.monte_carlo_pass import stochastic_pass
from keras_deeptools.engine._dropout.stochastic_layers import stochastic_layers
from keras_deeptools.uncertainty._mc_prediction import MCPrediction
from keras_deeptools.uncertainty._output_statistics import (
    decided,
    in_one,
    joined,
    rows_of,
    with_rows,
)
from keras_deeptools.uncertainty._sampler import Sampler, rows_of_batches

OWNER = "mc_predict"
MASKS = ("independent", "coherent")


def check_arguments(
    num_samples: Any,
    batch_size: Any,
    seed: Any,
    masks: Any,
    return_samples: Any,
    verbose: Any,
    adaptive: Any,
) -> None:
    """Raises an error for an argument that is out of range."""
    checked_count(OWNER, "num_samples", num_samples)
    checked_count(OWNER, "batch_size", batch_size)
    if seed is not None and not is_integer(seed):
        raise TypeError(message(OWNER, "seed", "an integer or None", seed))
    checked_option(OWNER, "masks", masks, MASKS)
    checked_bool(OWNER, "return_samples", return_samples)
    checked_bool(OWNER, "adaptive", adaptive)
    if adaptive and return_samples:
        raise ValueError(
            "mc_predict: `return_samples` must be False where `adaptive` is True, "
            "because rows then differ in their number of samples. Received: "
            "return_samples=True. Leave one of them out."
        )
    checked_verbose(OWNER, verbose)


FIRST_LOOK = 25
"""Samples of every input before `adaptive` looks at them."""


@known_elsewhere_as(
    num_samples="n_samples samples n T num_passes max_iterations num_estimators"
)
def mc_predict(
    model: keras.Model,
    x: Any,
    num_samples: int = 100,
    *,
    batch_size: int = 32,
    seed: int | None = None,
    masks: str = "independent",
    return_samples: bool = False,
    verbose: str | int = "auto",
    adaptive: bool = False,
) -> MCPrediction:
    """Predicts many times with dropout on, and measures how the predictions differ.

    It works with any trained model that has dropout: layers of Keras' Dropout family
    and of this package, dropout in recurrent layers and in attention, in nested and in
    subclassed models. Dropout is on; everything else (BatchNormalization, noise,
    augmentation) is in inference mode, and no state of the model, of its metrics or of
    any random stream changes.

    In a functional model the layers before the first dropout layers run once per batch,
    and only the rest runs `num_samples` times, compiled, several samples at a time. The
    inputs of a batch are taken to be independent of one another. Statistics are updated
    sample by sample, so memory does not grow with `num_samples`.

    Args:
        model: `keras.Model`; a model that is not built yet is built with the first
            batch.
        x: Arrays, dicts or lists of arrays, `tf.data.Dataset`, `PyDataset`, torch
            `DataLoader` or generator; targets in it are ignored. Batches may differ in
            length or size, such as bucketed texts.
        num_samples: Int >= 1, the number of Monte Carlo samples for each input.
        batch_size: Int >= 1, inputs in a batch. The masks do not depend on it.
        seed: Int or None. The same seed gives the same result, bit for bit. None
            takes a new seed, which the result holds.
        masks: `"independent"` (each input has its own masks in each Monte Carlo sample)
            or `"coherent"` (all inputs share the masks of a Monte Carlo sample, so that
            each of them is one function drawn from the posterior).
        return_samples: Bool, whether to keep all samples, for `.samples`.
        verbose: `"auto"`, 0 (silent), 1 (progress bar) or 2.
        adaptive: Bool, whether to stop sampling inputs whose class is decided (if the
            outputs are not probabilities: whose place in the ranking of all inputs is
            decided). Meanwhile the features of all inputs are kept in memory.

    Returns:
        `MCPrediction`. Where the outputs of batches differ in shape, as for tokens or
        pixels, its arrays are object arrays `(inputs,)` with an array for each input.

    Raises:
        TypeError: If `model` is not a Keras model, or an argument has the wrong type.
        ValueError: If nothing in the model is stochastic, an argument is out of range,
            or the data are empty or do not fit the model.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.uncertainty import mc_predict
    >>> model = keras.Sequential(
    ...     [
    ...         keras.Input((4,)),
    ...         keras.layers.Dense(32, "relu"),
    ...         keras.layers.Dropout(0.5),
    ...         keras.layers.Dense(3, "softmax"),
    ...     ]
    ... )
    >>> x = np.random.default_rng(0).normal(size=(8, 4))
    >>> prediction = mc_predict(model, x, num_samples=200, seed=0, verbose=0)
    >>> prediction.mean.shape, prediction.std.shape
    ((8, 3), (8, 3))
    >>> again = mc_predict(model, x, num_samples=200, seed=0, verbose=0)
    >>> bool((prediction.mean == again.mean).all())
    True
    >>> bool((prediction.mutual_information > 0).all())
    True

    Reference:
        Gal & Ghahramani, 2016, section 4. https://arxiv.org/abs/1506.02142
    """
    check_arguments(
        num_samples, batch_size, seed, masks, return_samples, verbose, adaptive
    )
    checked_model(OWNER, model)
    rows = rows_of_batches(batch_size)
    batches = RowBatches(x, rows)
    built_by_first(model, batches, "mc_predict")
    if not stochastic_layers(model):
        raise ValueError(
            "mc_predict: the model must have a layer that drops at random. Received: "
            f"model={model.name!r}, which has none with a rate over 0. Add for "
            "instance `keras_deeptools.layers.MCDropout(0.1)`."
        )
    seed = secrets.randbits(32) if seed is None else int(seed)
    first = min(FIRST_LOOK, num_samples) if adaptive else num_samples
    passes = stochastic_pass(model)
    sampler = Sampler(
        passes,
        batches,
        rows,
        first,
        seed,
        coherent=masks == "coherent",
        verbose=verbose,
        keep_on=adaptive,
    )
    with passes.modules_kept():
        runs = sampler.run(return_samples)
        counts = np.full(sum(run.count for run in runs), first)
        statistics = in_one([run.statistics() for run in runs])
        samples = None
        if return_samples:
            parts = zip(*(run.all_samples() for run in runs), strict=True)
            samples = [list(each) for each in parts]
        if adaptive:
            statistics = _refined(sampler, statistics, counts, num_samples)
    sampler.finish()
    return MCPrediction(
        statistics,
        sampler.structure,
        counts,
        seed,
        samples,
    )


def _refined(
    sampler: Sampler,
    statistics: list[Any],
    counts: np.ndarray,
    num_samples: int,
) -> list[Any]:
    """Samples undecided inputs further; each round doubles their samples."""
    if any(isinstance(each, list) for each in statistics):
        raise ValueError(
            "mc_predict: `adaptive` must be False where the outputs of rows differ in "
            "shape, because such rows cannot be compared. Received: adaptive=True. "
            "Leave it out."
        )
    done = int(counts[0])
    while done < num_samples:
        certain = np.all([decided(each, counts) for each in statistics], axis=0)
        rows = np.flatnonzero((counts == done) & ~certain)
        if not len(rows):
            break
        more = min(done, num_samples - done)
        found = sampler.resume(rows, done, more)
        statistics = [
            with_rows(s, rows, joined(rows_of(s, rows), done, f, more))
            for s, f in zip(statistics, found, strict=True)
        ]
        done += more
        counts[rows] = done
    return statistics
