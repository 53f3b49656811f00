"""What happens around the training of a trial: range tests, callbacks, its end."""

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
import keras_tuner

from keras_deeptools._finding import Finding
from keras_deeptools.callbacks import OneCycleScheduler, RangeTest, find_learning_rate
from keras_deeptools.diagnosis import TrainingDoctor
from keras_deeptools.engine import SeveralReplicasError
from keras_deeptools.engine._graph.layers import layers_of
from keras_deeptools.tuning._trials.hopeless_trial_stopper import HopelessTrialStopper
from keras_deeptools.tuning._trials.objective import (
    ObjectiveCheck,
    check_direction,
    in_every_epoch,
)
from keras_deeptools.tuning._trials.resumed_trial import (
    backups_at_the_end,
    give_own_paths,
    place_of,
    resumption,
)
from keras_deeptools.tuning._trials.searched_trial import (
    ERROR,
    curves_of_others,
    read_records,
)
from keras_deeptools.tuning._trials.watch import TrialWatch


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


@contextlib.contextmanager
def ending_the_search_of_several_replicas() -> Iterator[None]:
    """Ends a search whose trials cannot have what they chose on several replicas.

    Every trial that chooses it would fail in the same way, the others would not.
    """
    try:
        yield
    except SeveralReplicasError as error:
        raise keras_tuner.errors.FatalValueError(
            f"{error} Or leave what joins the optimizer's update out of the search: of "
            'DeepHyperModel\'s `parts` "learning_rate", "one_cycle", "max_norm", '
            '"clipping" and "weight_averaging".'
        ) from error


def fit_trial(
    fit: Callable[..., keras.callbacks.History],
    *args: Any,
    chosen: Iterable[keras.callbacks.Callback] = (),
    **kwargs: Any,
) -> keras.callbacks.History:
    """Trains a trial's model, for the `fit` of your own `keras_tuner.HyperModel`.

    `DeepHyperModel` and `TransferHyperModel` train with this function. Call it in place
    of `model.fit(*args, **kwargs)`; it adds the following:

    - It refuses a search in the direction opposite to that of its objective's name, see
      `objective`.
    - If the first epoch does not log the objective of the search, a warning, or with
      hypermodels of this package an error that ends the search, names what is logged.
    - Callbacks write to files of the trial's own, where KerasTuner lets all trials
      write to the same. `{trial_id}` and `{execution}` are filled in wherever a
      callback has them in a path; without them the files of `ModelCheckpoint` and
      `CSVLogger` get a folder `trial_<id>/execution<n>` beside each other, those of
      `BackupAndRestore` and `GradientMonitor` below their folder, and TensorBoard's
      in `<id>/execution<n>`. A backup of another search is not restored.
    - A trial that continues from `BackupAndRestore` after its process was killed counts
      the epochs before: for its score, for the weights of its best epoch, and for
      `HopelessTrialStopper`. If they are not known, the trial begins again.
    - Training ends when the loss is not finite, and the trial is recorded as failed,
      with the epoch, rather than with a meaningless score.
    - `HopelessTrialStopper` receives the results of the other trials.
    - The first problem that a `TrainingDoctor` among the callbacks finds becomes the
      finding of the trial; with `on_problem="stop"` the trial is recorded as ended
      early for it.
    - Curves, time, memory and the finding are recorded, see `search_report`.

    Args:
        fit: The function that trains, mostly `model.fit`: any function that takes
            `*args`, `callbacks` and `**kwargs` and returns a `keras.callbacks.History`.
        *args: What `search` was called with, for `fit`.
        chosen: Callbacks that come from the trial's hyperparameters. They stand before
            those that `search` was called with, which therefore see what these add to
            the logs.
        **kwargs: What `search` was called with, for `fit`, with `callbacks` as the
            tuner passes them on.

    Returns:
        `keras.callbacks.History`.

    Raises:
        keras_tuner.errors.FailedTrialError: If the loss is not finite.
        keras_tuner.errors.FatalValueError: If the objective's direction is wrong; this
            ends the search.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.tuning import fit_trial
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", loss="mse")
    >>> history = fit_trial(model.fit, np.ones((8, 2)), np.ones((8, 1)), verbose=0)
    >>> list(history.history)
    ['loss']
    """
    return fit_searched(fit, args, kwargs, chosen)


def fit_searched(
    fit: Callable[..., keras.callbacks.History],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    chosen: Iterable[keras.callbacks.Callback] = (),
    must_log: bool = False,
) -> keras.callbacks.History:
    """As `fit_trial`.

    Args:
        fit: As there, as are the others.
        args: Tuple.
        kwargs: Dict.
        chosen: Callbacks.
        must_log: Bool. Whether a search ends where its objective is not in the logs,
            because nothing else could tell its value.
    """
    given = [*chosen, *(kwargs.pop("callbacks", None) or ())]
    place = place_of(given)
    if place is not None:
        check_direction(place.objective)
        begun = [one.execution for one in read_records(place.directory)]
        give_own_paths(given, place, is_new=place.execution not in begun)
    initial_epoch = kwargs.get("initial_epoch", 0)
    targets = _targets(fit, args, kwargs)
    stoppers = [one for one in given if isinstance(one, HopelessTrialStopper)]
    resumed = None
    if place is not None:
        resumed = resumption(given, place, initial_epoch, stoppers)
        others = []
        if stoppers:
            project, trial_id = place.directory.parent, place.trial_id
            objective = place.objective
            others = curves_of_others(project, trial_id, objective, initial_epoch)
        for stopper in stoppers:
            stopper.compare_with(place.objective, others, targets)
    watch = TrialWatch(place, resumed)
    checks = []
    if place is not None:
        freq = kwargs.get("validation_freq", 1)
        checks.append(ObjectiveCheck(place.objective, freq, must_log))
    watch.begin(initial_epoch, kwargs.get("epochs", 1))
    try:
        with ending_the_search_of_several_replicas(), backups_at_the_end(given) as last:
            every = [keras.callbacks.TerminateOnNaN(), *given, watch, *last, *checks]
            history = fit(*args, callbacks=every, **kwargs)
    except Exception as error:
        watch.end("failed", Finding(ERROR, "", f"{type(error).__name__}: {error}"))
        raise
    except BaseException:
        watch.end("interrupted")
        raise
    watch.complete(history)
    if place is not None and isinstance(history, keras.callbacks.History):
        in_every_epoch(history, place.objective, watch.history)
    found = watch.non_finite()
    if found is not None:
        watch.end("failed", found)
        raise keras_tuner.errors.FailedTrialError(found.message)
    stopped = [one.finding for one in stoppers if one.finding is not None]
    problem, has_ended = _of_doctors(given)
    if stopped:
        watch.end("stopped", stopped[0])
    elif problem is not None:
        watch.end("stopped" if has_ended else "completed", problem)
    else:
        watch.end("completed", watch.no_learning(targets))
    return history


def _of_doctors(
    callbacks: list[keras.callbacks.Callback],
) -> tuple[Finding | None, bool]:
    """The first problem of a `TrainingDoctor`, and whether it ends trainings."""
    for one in callbacks:
        if isinstance(one, TrainingDoctor):
            problems = [each for each in one.findings if each.severity == "problem"]
            if problems:
                return problems[0], one.on_problem in ("stop", "repair")
    return None, False


def _targets(fit: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The training targets, if all samples have the same weight; otherwise None."""
    if any(kwargs.get(name) is not None for name in ("class_weight", "sample_weight")):
        return None
    if "y" in kwargs or not isinstance(getattr(fit, "__self__", None), keras.Model):
        return kwargs.get("y")
    return args[1] if len(args) > 1 else None
