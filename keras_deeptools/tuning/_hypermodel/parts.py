"""What `DeepHyperModel` searches, part by part."""

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras

from keras_deeptools.engine._dropout.stochastic_layers import (
    has_dropout_rate,
    set_dropout_rate,
)
from keras_deeptools.engine._graph.layers import layers_of
from keras_deeptools.engine._keras_private.versions import loss_argument
from keras_deeptools.initializers import initialize
from keras_deeptools.tuning._hypermodel.fit_data import (
    first_rows,
    is_in_rows,
    training_rows,
)
from keras_deeptools.tuning._search_space.ranges import FloatRange, OneOf
from keras_deeptools.tuning._search_space.search_space import searched
from keras_deeptools.tuning._search_space.searched_optimizer import (
    FACTOR,
    rate_factor,
    searched_optimizer,
)
from keras_deeptools.tuning._trials.fit_trial import (
    OneCycleOverHorizon,
    RangeTestedRates,
)


@keras.saving.register_keras_serializable(package="keras_deeptools")
class SmoothedSparseCrossentropy(keras.losses.Loss):
    """What `CategoricalCrossentropy` is with `label_smoothing`, for integer labels.

    Args:
        label_smoothing: Float in [0, 1), probability that is spread over all classes.
        from_logits: Bool. Whether predictions are logits.
        axis: Int, the axis of classes.
        **kwargs: As for every Keras loss.
    """

    def __init__(
        self,
        label_smoothing: float = 0.0,
        from_logits: bool = False,
        axis: int = -1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.label_smoothing = label_smoothing
        self.from_logits = from_logits
        self.axis = axis

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Loss of each sample."""
        num_classes = y_pred.shape[self.axis]
        labels = keras.ops.cast(y_true, "int32")
        if len(labels.shape) == len(y_pred.shape) and labels.shape[self.axis] == 1:
            labels = keras.ops.squeeze(labels, self.axis)
        one_hot = keras.ops.one_hot(labels, num_classes, axis=self.axis)
        return keras.losses.categorical_crossentropy(
            one_hot, y_pred, self.from_logits, self.label_smoothing, self.axis
        )

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        names = ("label_smoothing", "from_logits", "axis")
        return super().get_config() | {name: getattr(self, name) for name in names}


CROSSENTROPIES = {
    "categorical_crossentropy": keras.losses.CategoricalCrossentropy,
    "binary_crossentropy": keras.losses.BinaryCrossentropy,
}

SPARSE = "sparse_categorical_crossentropy"


def can_smooth(loss: Any) -> bool:
    """Whether labels can be smoothed by the loss itself.

    Args:
        loss: Name of a loss or `keras.losses.Loss`.
    """
    if isinstance(loss, keras.losses.SparseCategoricalCrossentropy):
        return loss_argument(loss, "ignore_class") is None
    if isinstance(loss, str):
        return loss in CROSSENTROPIES or loss == SPARSE
    return isinstance(loss, tuple(CROSSENTROPIES.values()))


def smoothed(loss: Any, amount: float) -> Any:
    """The loss with smoothed labels.

    Args:
        loss: Name of a loss or `keras.losses.Loss` that `can_smooth`.
        amount: Float in [0, 1), probability that is spread over all classes.

    Returns:
        `keras.losses.Loss`; for integer labels and nothing to smooth, `loss` itself.
    """
    if loss == SPARSE or isinstance(loss, keras.losses.SparseCategoricalCrossentropy):
        return _sparse(loss, amount) if amount else loss
    if isinstance(loss, str):
        return CROSSENTROPIES[loss](label_smoothing=amount)
    config = loss.get_config()
    return type(loss).from_config(config | {"label_smoothing": amount})


def _sparse(loss: Any, amount: float) -> SmoothedSparseCrossentropy:
    if isinstance(loss, str):
        return SmoothedSparseCrossentropy(amount)
    known = ("name", "reduction", "dtype", "from_logits", "axis")
    config = {key: value for key, value in loss.get_config().items() if key in known}
    return SmoothedSparseCrossentropy.from_config(config | {"label_smoothing": amount})


DROPOUT_RATE = FloatRange(0.05, 0.5)

SMOOTHING = OneOf((0.0, 0.05, 0.1))

BATCH_SIZE = OneOf((32, 16, 64, 128))

WARMUP = FloatRange(0.1, 0.45)

RATE_SOURCE = OneOf(("compiled", "range_test"))

STATISTICS_ROWS = 2048


@dataclass
class Choice:
    """What a trial chooses by, and from.

    Args:
        hp: `keras_tuner.HyperParameters`.
        parts: Names of all parts of the search.
        always: Names of those parts that every trial has.
        optimizers: Names of optimizers to choose from.
    """

    hp: Any
    parts: tuple[str, ...]
    always: tuple[str, ...]
    optimizers: tuple[str, ...]


@dataclass
class Draft(Choice):
    """A trial's model while it is built.

    Args:
        model: `keras.Model`, not compiled for the trial yet.
        arguments: What it will be compiled with.
    """

    model: keras.Model
    arguments: dict[str, Any]


@dataclass
class Run(Choice):
    """A trial's training before it begins.

    Args:
        max_epochs: Int, the most epochs that a trial trains.
        rates: `RangeTestedRates` of the search.
        model: `keras.Model`, compiled.
        given: Arguments of `fit` by name.
        callbacks: List of callbacks that the trial chose.
    """

    max_epochs: int
    rates: RangeTestedRates
    model: keras.Model
    given: dict[str, Any]
    callbacks: list[Any] = field(default_factory=list)


def _nothing(trial: Any) -> None:
    """Where a part has nothing to do."""


@dataclass(frozen=True)
class Part:
    """One thing that is searched.

    Args:
        build: Function of a `Draft`, which changes it.
        fit: Function of a `Run`, which changes it.
        optional: Bool. Whether the search may leave it out of a trial.
    """

    build: Callable[[Draft], None] = _nothing
    fit: Callable[[Run], None] = _nothing
    optional: bool = False


def _optimizer(draft: Draft) -> None:
    draft.arguments["optimizer"] = searched_optimizer(
        draft.hp, draft.optimizers, range_test="learning_rate" in draft.parts
    )


def _learning_rate(draft: Draft) -> None:
    if "optimizer" not in draft.parts:
        RATE_SOURCE.ask(draft.hp, "learning_rate_from")
        with draft.hp.conditional_scope("learning_rate_from", ["range_test"]):
            FACTOR.ask(draft.hp, "learning_rate_factor")


def _range_tested(run: Run) -> None:
    if run.given.get("initial_epoch", 0) > 0:
        # A trial that continues brings its learning rate along, in the optimizer.
        return
    if "optimizer" in run.parts:
        factor = rate_factor(run.hp, run.optimizers)
    else:
        is_tested = run.hp.get("learning_rate_from") == "range_test"
        factor = run.hp.get("learning_rate_factor") if is_tested else None
    if factor is None:
        return
    data, shuffle = training_rows(run.given), run.given.get("shuffle", True)
    batch_size = run.given.get("batch_size")
    rate = run.rates.rate(run.model, data, batch_size, bool(shuffle))
    if rate is not None:
        run.model.optimizer.learning_rate = factor * rate


def _dropout_rate(draft: Draft) -> None:
    # The model is the trial's own, and has not run: no copy is needed.
    if has_dropout_rate(draft.model):
        set_dropout_rate(draft.model, DROPOUT_RATE.ask(draft.hp, "dropout_rate"))


def _initializer(draft: Draft) -> None:
    if "initializer" in draft.always or draft.hp.Boolean("initializer", default=True):
        initialize(draft.model)


def _label_smoothing(draft: Draft) -> None:
    loss = draft.arguments["loss"]
    if can_smooth(loss):
        amount = SMOOTHING.ask(draft.hp, "label_smoothing")
        draft.arguments["loss"] = smoothed(loss, amount)


def _batch_size(run: Run) -> None:
    if is_in_rows(run.given.get("x")) and "batch_size" not in run.given:
        run.given["batch_size"] = BATCH_SIZE.ask(run.hp, "batch_size")


def _one_cycle(run: Run) -> None:
    is_used = True
    scope: Any = contextlib.nullcontext()
    if "one_cycle" not in run.always:
        is_used = run.hp.Boolean("one_cycle", default=True)
        scope = run.hp.conditional_scope("one_cycle", [True])
    with scope:
        warmup = WARMUP.ask(run.hp, "one_cycle/warmup_fraction")
    if is_used:
        rate = float(keras.ops.convert_to_numpy(run.model.optimizer.learning_rate))
        run.callbacks.append(
            OneCycleOverHorizon(
                run.max_epochs, max_learning_rate=rate, warmup_fraction=warmup
            )
        )


def _callback(part: str, name: str) -> Callable[[Run], None]:
    def choose(run: Run) -> None:
        made = searched(run.hp, name, prefix=part, optional=part not in run.always)
        if made is not None:
            run.callbacks.append(made)

    return choose


def _weight_averaging(run: Run) -> None:
    optional = "weight_averaging" not in run.always
    averaging = searched(run.hp, "weight_averaging", optional=optional)
    if averaging is None:
        return
    if averaging.decay is None:
        # In Hyperband the last quarter is that of all rungs.
        averaging.start = math.ceil(averaging.start * run.max_epochs)
        if _normalizes_by_batch(run.model) and is_in_rows(run.given.get("x")):
            x = training_rows(run.given)["x"]
            averaging.batch_norm_data = first_rows(x, STATISTICS_ROWS)
    run.callbacks.append(averaging)


def _normalizes_by_batch(model: keras.Model) -> bool:
    kind = keras.layers.BatchNormalization
    return any(isinstance(layer, kind) for layer, _ in layers_of(model))


PARTS = {
    "batch_size": Part(fit=_batch_size),
    "learning_rate": Part(build=_learning_rate, fit=_range_tested),
    "optimizer": Part(build=_optimizer),
    "dropout_rate": Part(build=_dropout_rate),
    "initializer": Part(build=_initializer, optional=True),
    "label_smoothing": Part(build=_label_smoothing),
    "one_cycle": Part(fit=_one_cycle, optional=True),
    "max_norm": Part(fit=_callback("max_norm", "max_norm_enforcer"), optional=True),
    "clipping": Part(fit=_callback("clipping", "gradient_clipper"), optional=True),
    "weight_averaging": Part(fit=_weight_averaging, optional=True),
}
"""In the order in which they act: a part may need what others before it did."""
