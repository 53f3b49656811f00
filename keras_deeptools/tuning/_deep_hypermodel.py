"""A hypermodel that searches how a model is trained."""

import copy
from collections.abc import Callable, Iterable
from typing import Any

import keras
import keras_tuner

from keras_deeptools._arguments import checked_count, message
from keras_deeptools.engine import (
    compile_arguments,
    stochastic_layers,
    with_dropout_rate,
)
from keras_deeptools.initializers import initialize
from keras_deeptools.tuning._label_smoothing import can_smooth, smoothed
from keras_deeptools.tuning._one_cycle_horizon import OneCycleOverHorizon
from keras_deeptools.tuning._ranges import FloatRange, OneOf
from keras_deeptools.tuning._searched_optimizer import searched_optimizer
from keras_deeptools.tuning._space import space
from keras_deeptools.tuning._trial_run import fit_trial

OWNER = "DeepHyperModel"
PARTS = (
    "optimizer",
    "one_cycle",
    "max_norm",
    "clipping",
    "initializer",
    "dropout_rate",
    "label_smoothing",
    "batch_size",
)
DROPOUT_RATE = FloatRange(0.05, 0.5)
SMOOTHING = OneOf((0.0, 0.05, 0.1))
BATCH_SIZE = OneOf((32, 16, 64, 128))


class DeepHyperModel(keras_tuner.HyperModel):
    """Adds how to train to the search over what to train.

    Wraps a model or a `build(hp)` for any tuner of KerasTuner: optimizer and rate,
    1cycle, max-norm, clipping, initialization that fits the activations, dropout rate,
    label smoothing and batch size become hyperparameters beside those of your own.

    1cycle spans `max_epochs` in every trial. In Hyperband, where a promoted model goes
    on from `initial_epoch` with other `epochs` in each rung, it goes on where it was:
    the optimizer is built with the model, so its state comes along.

    A trial whose loss is not finite is recorded as failed, with the epoch, rather than
    with a meaningless score.

    Args:
        build: Function from `keras_tuner.HyperParameters` to a built `keras.Model`,
            compiled or not; or such a model, copied with fresh weights for each trial.
            Loss and metrics are those that it was compiled with; its optimizer is
            replaced where `"optimizer"` is searched.
        max_epochs: Int >= 1. The most epochs that a trial trains: `epochs` of `search`,
            `max_epochs` of Hyperband. 1cycle ends there.
        parts: Names of what is searched, out of `"optimizer"`, `"one_cycle"`,
            `"max_norm"`, `"clipping"`, `"initializer"`, `"dropout_rate"`,
            `"label_smoothing"` and `"batch_size"`; None for all. Parts that do not
            apply (no dropout in the model, no crossentropy, data in batches) are left
            out.
        optimizers: Names of optimizers to choose from, as in `searched_optimizer`.
        loss: Loss, where `build` does not compile.
        metrics: List of metrics, where `build` does not compile.

    Raises:
        TypeError: If `build` is neither a function nor a model.
        ValueError: If a part is unknown; in a trial, if the model is not compiled and
            `loss` is None.

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
        optimizers: Iterable[str] = ("adamw", "sgd"),
        loss: Any = None,
        metrics: Any = None,
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
        self.optimizers = tuple(optimizers)
        self.loss = loss
        self.metrics = metrics
        self._source = build
        self._compiled: dict[str, Any] | None = None
        if isinstance(build, keras.Model):
            # A model that is not compiled can be copied before its first step, too.
            self._source = keras.models.clone_model(build)
            self._compiled = _compiled_with(build)

    def build(self, hp: Any) -> keras.Model:
        """Makes, initializes and compiles the model of a trial.

        Args:
            hp: `keras_tuner.HyperParameters`.
        """
        model = self._fresh(hp)
        arguments = self._compile_arguments(hp, model)
        if "dropout_rate" in self.parts and stochastic_layers(model):
            model = with_dropout_rate(model, DROPOUT_RATE.ask(hp, "dropout_rate"))
        if "initializer" in self.parts and hp.Boolean("initializer", default=True):
            initialize(model)
        if "label_smoothing" in self.parts and can_smooth(arguments["loss"]):
            amount = SMOOTHING.ask(hp, "label_smoothing")
            arguments["loss"] = smoothed(arguments["loss"], amount)
        model.compile(**arguments)
        # Built here, so that its state is there when a tuner loads weights.
        model.optimizer.build(model.trainable_variables)
        return model

    def fit(self, hp: Any, model: keras.Model, *args: Any, **kwargs: Any) -> Any:
        """Trains the model of a trial, with the callbacks that it chose.

        Args:
            hp: `keras_tuner.HyperParameters`.
            model: `keras.Model` that `build` made.
            *args: What `search` was given, as for `model.fit`.
            **kwargs: As `args`.

        Returns:
            `keras.callbacks.History`.
        """
        x = args[0] if args else kwargs.get("x")
        in_rows = hasattr(x, "shape") or isinstance(x, (dict, list, tuple))
        if "batch_size" in self.parts and in_rows and "batch_size" not in kwargs:
            kwargs["batch_size"] = BATCH_SIZE.ask(hp, "batch_size")
        chosen = self._callbacks(hp, model)
        return fit_trial(model.fit, *args, chosen=chosen, **kwargs)

    def _fresh(self, hp: Any) -> keras.Model:
        """The model to train, with weights that no other trial shares."""
        if isinstance(self._source, keras.Model):
            return keras.models.clone_model(self._source)
        return self._source(hp)

    def _compile_arguments(self, hp: Any, model: keras.Model) -> dict[str, Any]:
        """What to compile the model with."""
        arguments = {**(self._compiled or _compiled_with(model))}
        given = {"loss": self.loss, "metrics": self.metrics}
        arguments |= {name: each for name, each in given.items() if each is not None}
        if arguments.get("loss") is None:
            raise ValueError(
                f"{OWNER}: `loss` must be given where the model is not compiled with "
                f"one. Received: loss=None and model={model.name!r}."
            )
        if "optimizer" in self.parts:
            arguments["optimizer"] = searched_optimizer(hp, self.optimizers)
        return copy.deepcopy(arguments)

    def _callbacks(self, hp: Any, model: keras.Model) -> list[Any]:
        chosen = []
        if "one_cycle" in self.parts and hp.Boolean("one_cycle", default=True):
            rate = float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))
            with hp.conditional_scope("one_cycle", [True]):
                warmup = FloatRange(0.1, 0.45).ask(hp, "one_cycle/warmup_fraction")
            chosen.append(
                OneCycleOverHorizon(
                    self.max_epochs, max_learning_rate=rate, warmup_fraction=warmup
                )
            )
        names = {"max_norm": "max_norm_enforcer", "clipping": "gradient_clipper"}
        for part, name in names.items():
            if part in self.parts:
                chosen.append(space(hp, name, prefix=part, optional=True))
        return [one for one in chosen if one is not None]


def _compiled_with(model: keras.Model) -> dict[str, Any]:
    """What a model was compiled with, the optimizer as it began."""
    if not model.compiled:
        return {"optimizer": "adam"}
    config = keras.optimizers.serialize(model.optimizer)
    optimizer = keras.optimizers.deserialize(config)
    return {"optimizer": optimizer, **compile_arguments(model)}
