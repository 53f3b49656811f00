"""The range test at the start of `fit`."""

import inspect
import math
import warnings
from typing import Any

import keras

from keras_deeptools.callbacks._learning_rate_finder.arguments import (
    FIT_ARGUMENTS,
    check_arguments,
    chosen_optimizer,
    refuse_fit_arguments,
)
from keras_deeptools.callbacks._learning_rate_finder.find_learning_rate import (
    find_learning_rate,
)
from keras_deeptools.callbacks._learning_rate_finder.race import checked_race
from keras_deeptools.callbacks._learning_rate_finder.range_test import RangeTest
from keras_deeptools.engine._building.first_step import build_for_optimizers
from keras_deeptools.engine._update.attachment import attached_features
from keras_deeptools.engine._update.model_optimizers import ModelOptimizer

OPTIONS: dict[str, Any] = {
    name: parameter.default
    for name, parameter in inspect.signature(find_learning_rate).parameters.items()
    if parameter.kind is parameter.KEYWORD_ONLY
}
RACE = ("schedule", "method", "max_updates")


class LearningRateFinder(keras.callbacks.Callback):
    """Runs a learning-rate range test at the start of `fit`, and applies its result.

    Put it before the other callbacks. It needs the data as well as `fit` does, because
    a callback cannot see the data; a Python generator cannot serve both. A model that
    is not built is built, as `fit` would build it. The training that follows is the
    same as without the test, but with the learning rate that was found.

    For 1cycle, call `find_learning_rate` before `fit` and pass its result to
    `OneCycleScheduler`.

    Args:
        x: Training data, as for `find_learning_rate`.
        y: Targets, when `x` is arrays.
        apply: Bool. Whether to set the optimizer's learning rate to the suggestion.
            If there is none, the learning rate stays and a warning says so.
        **options: `sample_weight`, `batch_size`, `min_learning_rate`,
            `max_learning_rate`, `num_steps`, `ramp`, `stop_factor`, `smoothing`,
            `shuffle`, `verbose`, `class_weight`, `loss_name`, `optimizer`, `schedule`,
            `method` and `max_updates` of `find_learning_rate`.

    Attributes:
        result: `RangeTest` of the latest `fit`, or None.

    Raises:
        TypeError: If an option is unknown.
        ValueError: If an option is out of range, or, at the start of training, if
            `find_learning_rate` refuses the model or the data.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.callbacks import LearningRateFinder
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    >>> model.compile(keras.optimizers.SGD(1e-6), loss="mse")
    >>> x = np.random.default_rng(0).normal(size=(256, 4))
    >>> finder = LearningRateFinder(x, x[:, :1], verbose=0)
    >>> history = model.fit(x, x[:, :1], callbacks=[finder], verbose=0)
    >>> float(model.optimizer.learning_rate) > 1e-4
    True
    >>> abs(float(model.optimizer.learning_rate) / float(finder.result) - 1) < 1e-6
    True
    """

    def __init__(
        self, x: Any, y: Any = None, apply: bool = True, **options: Any
    ) -> None:
        super().__init__()
        of_fit = {name: options[name] for name in options if name in FIT_ARGUMENTS}
        refuse_fit_arguments("LearningRateFinder", of_fit)
        unknown = sorted(set(options) - set(OPTIONS))
        if unknown:
            raise TypeError(
                "LearningRateFinder: `options` must be those of `find_learning_rate`. "
                f"Received: {', '.join(unknown)}. Choose from "
                f"{', '.join(OPTIONS)}."
            )
        given = OPTIONS | options
        untested = (
            "sample_weight",
            "batch_size",
            "shuffle",
            "class_weight",
            "optimizer",
            *RACE,
        )
        checked = {name: given[name] for name in given if name not in untested}
        check_arguments("LearningRateFinder", **checked)
        checked_race("LearningRateFinder", **{name: given[name] for name in RACE})
        self.x = x
        self.y = y
        self.apply = apply
        self.options = options
        self.result: RangeTest | None = None

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Runs the test, and sets the learning rate."""
        choice = self.options.get("optimizer")
        build_for_optimizers(self.model)
        chosen = chosen_optimizer("LearningRateFinder", self.model, choice)
        self._check(chosen)
        self.result = find_learning_rate(self.model, self.x, self.y, **self.options)
        if not self.apply:
            return
        if math.isnan(self.result.suggestion):
            warnings.warn(
                "LearningRateFinder: no learning rate was found, so the optimizer's "
                f"own is kept. {self.result.notes[0]}",
                stacklevel=2,
            )
            return
        for each in chosen:
            each.optimizer.learning_rate = float(self.result)

    def _check(self, chosen: list[ModelOptimizer]) -> None:
        if attached_features(self.model):
            raise ValueError(
                "LearningRateFinder: it must stand before the callbacks that act on "
                "updates, or they would record and steer the range test too. Received: "
                "a callback list in which it does not. Put it first."
            )
        for each in chosen if self.apply else []:
            rate = getattr(each.optimizer, "learning_rate", None)
            if not isinstance(rate, keras.Variable):
                raise ValueError(
                    "LearningRateFinder: `apply` must be False for an optimizer whose "
                    "learning rate cannot be set. Received: apply=True with "
                    f"{type(each.optimizer).__name__} `{each.name}`, whose learning "
                    "rate is a schedule, or which holds several optimizers. Compile "
                    "with a number, or read `result`."
                )
