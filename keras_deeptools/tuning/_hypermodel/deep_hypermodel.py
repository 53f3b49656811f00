"""A hypermodel that searches how a model is trained."""

import copy
from collections.abc import Callable, Iterable
from typing import Any

import keras
import keras_tuner

from keras_deeptools._arguments import checked_count, message
from keras_deeptools.callbacks import RangeTest
from keras_deeptools.engine._dropout.stochastic_layers import stochastic_layers
from keras_deeptools.engine._passes.compiled_with import compile_arguments
from keras_deeptools.engine._state.adapted_state import copy_adapted_state
from keras_deeptools.tuning._families.task import ModelFamily
from keras_deeptools.tuning._hypermodel.fit_data import (
    BuiltOnFirstBatch,
    build_optimizer,
    named_arguments,
    validation_rows,
)
from keras_deeptools.tuning._hypermodel.parts import PARTS, Draft, Run
from keras_deeptools.tuning._search_report.best_recipe import json_of
from keras_deeptools.tuning._trials.fit_trial import (
    RangeTestedRates,
    ending_the_search_of_several_replicas,
    fit_searched,
)
from keras_deeptools.uncertainty._predictive_likelihood import (
    check_likelihood,
    mc_log_likelihood,
)

LIKELIHOOD_OWNER = "DeepHyperModel"
KEY = "val_mc_log_likelihood"


class MCLikelihood(keras.callbacks.Callback):
    """Adds `val_mc_log_likelihood` to the logs at the end of each epoch.

    The mean over the rows of the log-likelihood of their targets, with dropout on and
    predictions averaged over samples: what a search over dropout rates should maximize
    if the model is to be used so.

    Args:
        x: Inputs to validate on, or data in batches with their targets.
        y: Their targets, None where `x` holds them.
        num_samples: Int >= 1, Monte Carlo samples. A model that drops nowhere is
            judged by its plain prediction.
        sample_weight: Weights of the targets, or None.
    """

    def __init__(
        self, x: Any, y: Any, num_samples: int, sample_weight: Any = None
    ) -> None:
        super().__init__()
        self.x = x
        self.y = y
        self.num_samples = num_samples
        self.sample_weight = sample_weight

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Raises if the likelihood cannot be computed."""
        try:
            check_likelihood(LIKELIHOOD_OWNER, self.model, "auto", self.y, self.x)
        except ValueError as error:
            raise keras_tuner.errors.FatalValueError(str(error)) from error

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Predicts, and adds the likelihood."""
        logs_of_rows, _ = mc_log_likelihood(
            self.model,
            self.x,
            self.y,
            "auto",
            self.num_samples if stochastic_layers(self.model) else 0,
            seed=0,
            owner=LIKELIHOOD_OWNER,
            sample_weight=self.sample_weight,
        )
        if logs is not None:
            logs[KEY] = float(logs_of_rows.mean())


OWNER = "DeepHyperModel"


class DeepHyperModel(keras_tuner.HyperModel):
    """Adds to a search over models a search over how to train them.

    The class wraps a model or a `build(hp)` for any tuner of KerasTuner. The following
    become hyperparameters beside your own: optimizer and learning rate, 1cycle,
    max-norm, clipping, initialization that fits the activations, dropout rate, label
    smoothing, averages of the weights and batch size.

    The learning rate is either searched, for each optimizer in its own range, or comes
    from the range test, times a factor that is searched. Trials whose models agree in
    layers and sizes, optimizer and batch size share one test, which leaves the model as
    it was. If the test finds no learning rate, the middle of the optimizer's range is
    taken.

    1cycle spans `max_epochs` in every trial. In Hyperband, a promoted model continues
    from `initial_epoch` with other `epochs` in each rung; its 1cycle continues where it
    was, because the optimizer is built with the model and its state comes along.

    A model that is not built gets its weights from the first batch, when its trial
    begins to train; from then on all models of the search are built at once for such
    data.

    A trial whose loss is not finite is recorded as failed, with the epoch, rather than
    with a meaningless score.

    Args:
        build: Function from `keras_tuner.HyperParameters` to a `keras.Model`, compiled
            or not, with an `Input` or without; or such a model, copied with newly
            initialized weights for each trial (layers that were adapted to data, such
            as `Normalization`, remain adapted). Loss and metrics are those that the
            model was compiled with; its optimizer is replaced if `"optimizer"` is
            searched.
        max_epochs: Int >= 1. The most epochs that a trial trains: `epochs` of `search`,
            `max_epochs` of Hyperband. 1cycle ends there.
        parts: Names of what is searched, out of `"optimizer"`, `"learning_rate"`,
            `"one_cycle"`, `"max_norm"`, `"clipping"`, `"initializer"`,
            `"dropout_rate"`, `"label_smoothing"`, `"weight_averaging"` and
            `"batch_size"`; None for all. Parts that do not apply (no dropout in the
            model, no crossentropy, data in batches) are left out.
        always: Names of parts that every trial uses, out of those in `parts` that a
            search otherwise switches on or off: `"one_cycle"`, `"max_norm"`,
            `"clipping"`, `"initializer"` and `"weight_averaging"`. Their arguments are
            still searched.
        optimizers: Names of optimizers to choose from, as in `searched_optimizer`.
        loss: Loss, if `build` does not compile.
        metrics: List of metrics, if `build` does not compile.
        mc_samples: Int >= 0. With 1 or more, and validation data that can be read
            again, the logs of each epoch hold `val_mc_log_likelihood`: the log
            likelihood of these data under predictions that are averaged over so many
            samples with dropout on (for a model without dropout, under its prediction).
            Use it as the objective (`"max"`) for a model that will predict in this way.

    Attributes:
        range_tests: List of `RangeTest`, those of the search so far.

    Raises:
        TypeError: If `build` is neither a function nor a model.
        ValueError: If `build` is a model that cannot be copied, a part is unknown, or
            `always` names one that is not searched or is never switched off; in a
            trial, if the model is not compiled and `loss` is None.

    Example:

    >>> import keras, keras_tuner
    >>> from keras_deeptools.tuning import DeepHyperModel
    >>> layers = [keras.layers.Dense(8, "relu"), keras.layers.Dense(2, "softmax")]
    >>> model = keras.Sequential([keras.Input((4,)), *layers])
    >>> model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    >>> hypermodel = DeepHyperModel(model, max_epochs=10, parts=["optimizer"])
    >>> hp = keras_tuner.HyperParameters()
    >>> type(hypermodel.build(hp).optimizer).__name__
    'AdamW'
    >>> sorted(hp.values)[:2]
    ['optimizer/adamw/learning_rate', 'optimizer/adamw/weight_decay']
    """

    def __init__(
        self,
        build: Callable[[Any], keras.Model] | keras.Model,
        *,
        max_epochs: int,
        parts: Iterable[str] | None = None,
        always: Iterable[str] = (),
        optimizers: Iterable[str] = ("adamw", "sgd"),
        loss: Any = None,
        metrics: Any = None,
        mc_samples: int = 0,
    ) -> None:
        super().__init__()
        if not callable(build):
            rule = "a keras.Model or a function that builds one"
            raise TypeError(message(OWNER, "build", rule, build))
        self.max_epochs = checked_count(OWNER, "max_epochs", max_epochs)
        self.parts = tuple(PARTS if parts is None else parts)
        if set(self.parts) - set(PARTS):
            rule = f"names out of {', '.join(PARTS)}"
            raise ValueError(message(OWNER, "parts", rule, self.parts))
        self.always = tuple(always)
        optional = [part for part in self.parts if PARTS[part].optional]
        if set(self.always) - set(optional):
            rule = f"names of parts that are on or off: {', '.join(optional) or 'none'}"
            raise ValueError(message(OWNER, "always", rule, self.always))
        self.optimizers = tuple(optimizers)
        self.loss = loss
        self.metrics = metrics
        self.mc_samples = checked_count(OWNER, "mc_samples", mc_samples, minimum=0)
        self._rates = RangeTestedRates()
        self._first_batch = BuiltOnFirstBatch()
        self._source = build
        self._compiled: dict[str, Any] | None = None
        self._json: str | None = None
        if isinstance(build, keras.Model):
            # The code of the best trial makes the model again from this.
            self._json = json_of(build)
            # A model that is not compiled can be copied before its first step, too.
            self._source = _copied(build)
            self._compiled = _compiled_with(build)

    def build(self, hp: Any) -> keras.Model:
        """Makes, initializes and compiles the model of a trial.

        Args:
            hp: `keras_tuner.HyperParameters`.
        """
        model = self._fresh(hp)
        self._first_batch.build_like_others(model)
        arguments = self._compile_arguments(model)
        draft = Draft(hp, self.parts, self.always, self.optimizers, model, arguments)
        for name, part in PARTS.items():
            if name in self.parts:
                part.build(draft)
        draft.model.compile(**draft.arguments)
        # Built here, so that its state is there when a tuner loads weights.
        build_optimizer(draft.model)
        return draft.model

    def fit(self, hp: Any, model: keras.Model, *args: Any, **kwargs: Any) -> Any:
        """Trains the model of a trial, with the callbacks that the trial chose.

        Args:
            hp: `keras_tuner.HyperParameters`.
            model: `keras.Model` that `build` made.
            *args: What `search` was called with, as for `model.fit`.
            **kwargs: As `args`.

        Returns:
            `keras.callbacks.History`.
        """
        given = named_arguments(args, kwargs)
        given = self._first_batch.build(model, given)
        run = Run(
            hp,
            self.parts,
            self.always,
            self.optimizers,
            self.max_epochs,
            self._rates,
            model,
            given,
        )
        with ending_the_search_of_several_replicas():
            for name, part in PARTS.items():
                if name in self.parts:
                    part.fit(run)
        rows = validation_rows(given)
        if self.mc_samples and rows is not None:
            x, y, weights = rows
            run.callbacks.append(MCLikelihood(x, y, self.mc_samples, weights))
        must_log = type(self).fit is DeepHyperModel.fit
        return fit_searched(model.fit, (), run.given, run.callbacks, must_log)

    @property
    def range_tests(self) -> list[RangeTest]:
        """List of `RangeTest`, those of the search so far."""
        return list(self._rates.found.values())

    def _fresh(self, hp: Any) -> keras.Model:
        """The model to train, with weights that no other trial shares."""
        if isinstance(self._source, keras.Model):
            return _copied(self._source)
        if isinstance(self._source, ModelFamily) and "optimizer" in self.parts:
            return self._source.without_optimizer()(hp)
        return self._source(hp)

    def _compile_arguments(self, model: keras.Model) -> dict[str, Any]:
        """What to compile the model with."""
        arguments = {**(self._compiled or _compiled_with(model))}
        given = {"loss": self.loss, "metrics": self.metrics}
        arguments |= {name: each for name, each in given.items() if each is not None}
        if arguments.get("loss") is None:
            raise ValueError(
                f"{OWNER}: `loss` must be given where the model is not compiled with "
                f"one. Received: loss=None and model={model.name!r}."
            )
        return copy.deepcopy(arguments)


def _copied(model: keras.Model) -> keras.Model:
    """A copy with fresh weights; of the user's own classes where they allow it."""
    try:
        made = keras.models.clone_model(model)
    except Exception as error:
        rule = "a model that can be copied by its config, or a function that builds one"
        remedy = "Write `lambda hp: YourModel(...)`, or `get_config` and `from_config`."
        text = message(OWNER, "build", rule, model.name, remedy)
        raise ValueError(text) from error
    copy_adapted_state(model, made)
    return made


def _compiled_with(model: keras.Model) -> dict[str, Any]:
    """What a model was compiled with, the optimizer as it began."""
    if not model.compiled:
        return {"optimizer": "adam"}
    config = keras.optimizers.serialize(model.optimizer)
    optimizer = keras.optimizers.deserialize(config)
    return {"optimizer": optimizer, **compile_arguments(model)}
