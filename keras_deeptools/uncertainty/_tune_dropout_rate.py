"""The dropout rate under which held-out targets are likeliest."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import (
    checked_bool,
    checked_count,
    checked_option,
    message,
)
from keras_deeptools.engine._building.first_call import built_by_first
from keras_deeptools.engine._data.predict_rows import RowBatches
from keras_deeptools.engine._dropout.stochastic_layers import with_dropout_rate
from keras_deeptools.engine._state.random_state import seeded
from keras_deeptools.uncertainty._dropout_rate_tuning import DropoutRateTuning
from keras_deeptools.uncertainty._predictive_likelihood import (
    check_likelihood,
    mc_log_likelihood,
)

OWNER = "tune_dropout_rate"
Build = Callable[[float], keras.Model]


def tune_dropout_rate(
    model_or_build: keras.Model | Build,
    x: Any = None,
    y: Any = None,
    *,
    validation_data: Any,
    rates: Sequence[float] = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5),
    retrain: bool = True,
    likelihood: str = "auto",
    num_samples: int = 100,
    seed: int = 0,
    verbose: str | int = "auto",
    **fit_arguments: Any,
) -> DropoutRateTuning:
    """Finds the dropout rate by the likelihood of a validation set.

    For each rate the model is trained from the same initial weights, on the same order
    of the data, and asked for its Monte Carlo prediction: the likelihood is that of the
    mean over dropout masks, not the validation loss of the silent network. A rate
    belongs to the weights that were trained under it, so an honest comparison retrains.
    `retrain=False` varies only the rate at inference of a trained model: quick, and a
    way to calibrate the spread of what there is, but no reason to train at that rate.

    The errors reported are those of the finite validation set. Training is one draw
    for each rate: for close calls, repeat it with other seeds.

    Args:
        model_or_build: `keras.Model`, compiled and, to retrain, untrained; copies are
            made, and itself is not touched. All its layers with a rate over zero get
            the same rate. Or a function that takes a rate and returns a compiled model,
            where rates differ between layers.
        x: Training inputs: arrays, `tf.data.Dataset`, `PyDataset`, as for `fit`. They
            are read once for each rate. Not needed where `retrain` is False.
        y: Training targets, when `x` is arrays.
        validation_data: Tuple of arrays `(x, y)` or `(x, y, sample_weight)`, or data in
            batches that can be read again, which may differ in length or size. Also
            passed to `fit` when there are `callbacks` among `fit_arguments`.
        rates: Floats in [0, 1). For 0 the prediction is that of the silent network.
        retrain: Bool.
        likelihood: `"classification"`: log of the mean probability. `"regression"`: log
            of the mean of normal densities around the samples, whose one standard
            deviation is fitted to the validation set for each rate. `"auto"`: by the
            loss. Of several labels, pixels or tokens it is the mean, without those of
            the loss's `ignore_class`; of several outputs the sum.
        num_samples: Int >= 1, dropout masks.
        seed: Int in [0, 2**32), of initial weights (for a function), order of the data
            and masks.
        verbose: `"auto"`, 0 (silent) or 1 (progress bar over the rates).
        **fit_arguments: Passed to `fit`: `epochs`, `batch_size`, `callbacks`, ...

    Returns:
        `DropoutRateTuning`, with `.best_rate`, `.table()` and `.plot()`.

    Raises:
        TypeError: If `model_or_build` is neither, or a number is of the wrong type.
        ValueError: If the model is not compiled, drops nowhere, or an argument is out
            of range.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.uncertainty import tune_dropout_rate
    >>> x = np.random.default_rng(0).normal(size=(96, 4))
    >>> y = (x[:, 0] > 0).astype(int)
    >>> model = keras.Sequential(
    ...     [
    ...         keras.Input((4,)),
    ...         keras.layers.Dropout(0.5),
    ...         keras.layers.Dense(1, "sigmoid"),
    ...     ]
    ... )
    >>> model.compile("adam", loss="binary_crossentropy")
    >>> tuning = tune_dropout_rate(
    ...     model, x[:64], y[:64], validation_data=(x[64:], y[64:]), rates=[0.1, 0.5],
    ...     num_samples=10, verbose=0,
    ... )
    >>> tuning.log_likelihood.shape, tuning.best_rate in (0.1, 0.5)
    ((2,), True)

    Reference:
        Gal & Ghahramani, 2016, section 5.2 and appendix C. https://arxiv.org/abs/1506.02142
    """
    _check(model_or_build, validation_data, rates, retrain, num_samples, seed)
    checked_option(
        OWNER, "likelihood", likelihood, ("auto", "classification", "regression")
    )
    if isinstance(model_or_build, keras.Model):
        _build(model_or_build, validation_data)
    if retrain and isinstance(model_or_build, keras.Model):
        _warn_if_trained(model_or_build)
    held_out, targets, weights = (*_parts(validation_data), None, None)[:3]
    if "callbacks" in fit_arguments:
        fit_arguments["validation_data"] = validation_data
    bar = keras.utils.Progbar(
        len(rates),
        verbose=0 if verbose == 0 else 1,
        stateful_metrics=["rate", "log_likelihood"],
        unit_name="rate",
    )
    rows, noises = [], []
    initial: list[np.ndarray] = []
    for position, rate in enumerate(rates):
        with seeded(seed):
            model = _model_at(model_or_build, float(rate), initial, validation_data)
            if position == 0:
                check_likelihood(OWNER, model, likelihood, targets, held_out)
            if retrain:
                model.fit(x, y, **({"verbose": 0} | fit_arguments))
            samples = num_samples if rate else 0
            logs, noise = mc_log_likelihood(
                model,
                held_out,
                targets,
                likelihood,
                samples,
                seed,
                sample_weight=weights,
            )
        rows.append(logs)
        noises.append(noise)
        values = [("rate", rate), ("log_likelihood", logs.mean())]
        bar.update(position + 1, values, finalize=position + 1 == len(rates))
    return DropoutRateTuning.from_rows(rates, rows, noises, retrain)


def _check(
    model_or_build: Any,
    validation_data: Any,
    rates: Any,
    retrain: Any,
    num_samples: Any,
    seed: Any,
) -> None:
    is_model = isinstance(model_or_build, keras.Model)
    if not is_model and not callable(model_or_build):
        rule = "a keras.Model or a function from a rate to one"
        raise TypeError(message(OWNER, "model_or_build", rule, model_or_build))
    if is_model and not model_or_build.compiled:
        raise ValueError(
            f"{OWNER}: `model_or_build` must be compiled. Received: model="
            f"{model_or_build.name!r}, which is not. Call `model.compile(...)` first."
        )
    if not checked_bool(OWNER, "retrain", retrain) and not is_model:
        raise ValueError(
            f"{OWNER}: `retrain` must be True where a function builds the model. "
            "Received: retrain=False. Give the trained model itself."
        )
    is_tuple = isinstance(validation_data, tuple | list)
    is_short = is_tuple and len(validation_data) not in (2, 3)
    if is_short or validation_data is None or hasattr(validation_data, "dtype"):
        rule = "a tuple (x, y) of arrays, or data in batches"
        found = type(validation_data).__name__
        raise ValueError(message(OWNER, "validation_data", rule, found))
    if isinstance(validation_data, Iterator):
        rule = "data that can be read again for every dropout rate"
        remedy = "A generator can be read once: give arrays or a PyDataset."
        found = type(validation_data).__name__
        raise ValueError(message(OWNER, "validation_data", rule, found, remedy))
    numbers = np.asarray(rates)
    if numbers.ndim != 1 or not numbers.size or numbers.dtype.kind not in "fiu":
        raise ValueError(message(OWNER, "rates", "a list of floats in [0, 1)", rates))
    if not ((numbers >= 0) & (numbers < 1)).all():
        raise ValueError(message(OWNER, "rates", "in [0, 1)", rates))
    checked_count(OWNER, "num_samples", num_samples)
    checked_count(OWNER, "seed", seed, minimum=0)


def _build(model: keras.Model, validation_data: Any) -> None:
    """Builds a model by the first rows, unless it is built."""
    if not model.built:
        built_by_first(model, RowBatches(_parts(validation_data)[0], 1, OWNER), OWNER)


def _parts(validation_data: Any) -> tuple[Any, ...]:
    """Inputs, targets and weights, or data that hold all of them."""
    is_tuple = isinstance(validation_data, tuple | list)
    return tuple(validation_data) if is_tuple else (validation_data,)


def _warn_if_trained(model: keras.Model) -> None:
    updates = int(keras.ops.convert_to_numpy(model.optimizer.iterations.value))
    if updates:
        warnings.warn(
            f"{OWNER}: the model has been trained for {updates} updates. Every rate "
            "goes on from there, which favors the rate that it was trained with. Give "
            "an untrained model, or `retrain=False`.",
            stacklevel=3,
        )


def _model_at(
    model_or_build: keras.Model | Build,
    rate: float,
    initial: list[np.ndarray],
    validation_data: Any,
) -> keras.Model:
    """The model at a rate, from the initial weights that all rates share."""
    if isinstance(model_or_build, keras.Model):
        return with_dropout_rate(model_or_build, rate)
    model = model_or_build(rate)
    _build(model, validation_data)
    shapes = [value.shape for value in model.get_weights()]
    if shapes == [value.shape for value in initial]:
        model.set_weights(initial)
    elif not initial:
        initial.extend(model.get_weights())
    return model
