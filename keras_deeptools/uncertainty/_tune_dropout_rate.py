"""The dropout rate that maximizes the likelihood of held-out targets."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import (
    checked_bool,
    checked_count,
    checked_option,
    message,
)
from keras_deeptools._axes import new_axes
from keras_deeptools._text_table import NotebookText, text_table
from keras_deeptools.engine._building.first_call import built_by_first
from keras_deeptools.engine._data.samples import RowBatches
from keras_deeptools.engine._dropout.stochastic_layers import with_dropout_rate
from keras_deeptools.engine._state.random_state import seeded
from keras_deeptools.uncertainty._predictive_likelihood import (
    check_likelihood,
    mc_log_likelihood,
)

OWNER = "tune_dropout_rate"
Build = Callable[[float], keras.Model]


@dataclass(frozen=True, eq=False)
class DropoutRateTuning(NotebookText):
    """Validation likelihood by dropout rate; made by `tune_dropout_rate`.

    Attributes:
        rates: Float64 array `(rates,)`, the dropout rates in the order given.
        log_likelihood: Float64 array `(rates,)`, mean over the validation samples, in
            nats.
        standard_error: Float64 array `(rates,)`, standard error of that mean.
        difference: Float64 array `(rates,)`, `log_likelihood` minus that of the best
            dropout rate.
        difference_error: Float64 array `(rates,)`, standard error of `difference`;
            smaller than `standard_error`, because the samples are the same.
        noise: Float64 array `(rates,)`, fitted standard deviation of the targets around
            a Monte Carlo sample; NaN in classification.
        retrained: Bool, whether the model was trained with each dropout rate.

    Example:

    >>> import numpy as np
    >>> from keras_deeptools.uncertainty import DropoutRateTuning
    >>> logs = np.array([[-1.0, -2.0, -3.0], [-1.0, -1.5, -2.0]])
    >>> tuning = DropoutRateTuning.from_rows([0.1, 0.2], logs)
    >>> tuning.best_rate
    0.2
    >>> print(tuning)
    rate     log-likelihood        to the best
     0.1  -2.0000 +- 0.5774  -0.5000 +- 0.2887
    *0.2  -1.5000 +- 0.2887   0.0000 +- 0.0000
    """

    rates: np.ndarray
    log_likelihood: np.ndarray
    standard_error: np.ndarray
    difference: np.ndarray
    difference_error: np.ndarray
    noise: np.ndarray
    retrained: bool

    @classmethod
    def from_rows(
        cls,
        rates: Any,
        log_likelihoods: Any,
        noise: Any = None,
        retrained: bool = True,
    ) -> "DropoutRateTuning":
        """Summarizes the log-likelihoods of samples.

        Args:
            rates: Float array `(rates,)`.
            log_likelihoods: Float array `(rates, samples)`.
            noise: Float array `(rates,)` or None.
            retrained: Bool.
        """
        logs = np.asarray(log_likelihoods, "float64")
        means = logs.mean(axis=1)
        less = logs - logs[means.argmax()]
        num_rows = logs.shape[1]
        errors = [
            each.std(axis=1, ddof=min(1, num_rows - 1)) / np.sqrt(num_rows)
            for each in (logs, less)
        ]
        if noise is None:
            noise = np.full(len(logs), np.nan)
        return cls(
            np.asarray(rates, "float64"),
            means,
            errors[0],
            less.mean(axis=1),
            errors[1],
            np.asarray(noise, "float64"),
            retrained,
        )

    @property
    def best_rate(self) -> float:
        """The dropout rate with the largest likelihood."""
        return float(self.rates[self.log_likelihood.argmax()])

    def __str__(self) -> str:
        """The table."""
        return self.table()

    def table(self) -> str:
        """Returns one line for each dropout rate, with a star at the best."""
        rows = []
        for i, rate in enumerate(self.rates):
            star = "*" if rate == self.best_rate else ""
            own = f"{self.log_likelihood[i]:.4f} +- {self.standard_error[i]:.4f}"
            less = f"{self.difference[i]:.4f} +- {self.difference_error[i]:.4f}"
            rows.append([f"{star}{rate:g}", own, less])
        return text_table(["rate", "log-likelihood", "to the best"], rows, text=())

    def plot(self, ax: Any = None) -> Any:
        """Draws the likelihood, with one standard error of the distance to the best.

        It draws on the matplotlib axes `ax`, or on those of a new figure, and returns
        the axes.
        """
        ax = new_axes("DropoutRateTuning.plot") if ax is None else ax
        order = np.argsort(self.rates)
        ax.errorbar(
            self.rates[order],
            self.log_likelihood[order],
            self.difference_error[order],
            marker="o",
            capsize=3,
        )
        ax.axvline(self.best_rate, color="tab:green", label=f"best {self.best_rate:g}")
        ax.set_xlabel("dropout rate")
        ax.set_ylabel("validation log-likelihood (nats a row)")
        ax.legend()
        return ax


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

    For each dropout rate the model is trained from the same initial weights, on the
    same order of the data, and its Monte Carlo prediction is computed: the likelihood
    is that of the mean over dropout masks, not the validation loss of the network
    without dropout. Weights suit the dropout rate that they were trained with, so an
    honest comparison retrains. `retrain=False` varies only the dropout rate at
    inference of a trained model: this is quick, and a way to calibrate the spread of
    its predictions, but no reason to train with that dropout rate.

    The errors reported are those of the finite validation set. There is only one
    training run for each dropout rate: if the results are close, repeat it with other
    seeds.

    Args:
        model_or_build: `keras.Model`, compiled and, to retrain, untrained; copies are
            made, and the model itself is not changed. All its layers with a dropout
            rate over zero get the same one; stochastic depth keeps its own. Or a
            function that takes a dropout rate and returns a compiled model, for dropout
            rates that differ between layers.
        x: Training inputs: arrays, `tf.data.Dataset`, `PyDataset`, as for `fit`. They
            are read once for each dropout rate. Not needed if `retrain` is False.
        y: Training targets, if `x` is arrays.
        validation_data: Tuple of arrays `(x, y)` or `(x, y, sample_weight)`, or data in
            batches that can be read again, which may differ in length or size. Also
            passed to `fit` if there are `callbacks` among `fit_arguments`.
        rates: Floats in [0, 1), the dropout rates. For 0 the prediction is that of the
            network without dropout.
        retrain: Bool, whether to train with each dropout rate.
        likelihood: `"classification"`: log of the mean probability. `"regression"`: log
            of the mean of normal densities around the Monte Carlo samples, whose one
            standard deviation is fitted to the validation set for each dropout rate.
            `"auto"`: the loss decides. For several labels, pixels or tokens it is the
            mean, without those of the loss's `ignore_class`; for several outputs the
            sum.
        num_samples: Int >= 1, the number of dropout masks.
        seed: Int in [0, 2**32), seed of initial weights (for a function), order of the
            data and masks.
        verbose: `"auto"`, 0 (silent) or 1 (progress bar over the dropout rates).
        **fit_arguments: Passed to `fit`: `epochs`, `batch_size`, `callbacks`, ...

    Returns:
        `DropoutRateTuning`, with `.best_rate`, `.table()` and `.plot()`.

    Raises:
        TypeError: If `model_or_build` is neither, or a number has the wrong type.
        ValueError: If the model is not compiled or has no dropout, or an argument is
            out of range.

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
    """Builds a model with the first samples, unless it is built."""
    if not model.built:
        built_by_first(model, RowBatches(_parts(validation_data)[0], 1, OWNER), OWNER)


def _parts(validation_data: Any) -> tuple[Any, ...]:
    """Returns inputs, targets and weights, or data that hold all of them."""
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
    """Returns the model at a dropout rate, from initial weights shared by all."""
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
