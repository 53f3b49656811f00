"""A hypermodel that searches transfer learning."""

import inspect
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import keras
import keras_tuner
import numpy as np

from keras_deeptools._arguments import (
    checked_bool,
    checked_count,
    checked_float,
    checked_option,
    message,
)
from keras_deeptools.transfer import classifier
from keras_deeptools.transfer._backbones.check_pixels import check_pixels_of
from keras_deeptools.transfer._epoch_batches import as_arrays
from keras_deeptools.transfer._fine_tune.chosen_loss import (
    check_class_weight,
    check_label_types,
    check_labels,
    fitting_metrics,
)
from keras_deeptools.transfer._freezing.freeze import BATCH_NORM
from keras_deeptools.tuning._search_space.ranges import (
    FloatRange,
    IntRange,
    OneOf,
    Range,
)
from keras_deeptools.tuning._transfer.pooled_features import (
    Backbones,
    PooledFeatures,
    Trunks,
)
from keras_deeptools.tuning._transfer.recipe import TransferChoices, chosen_recipe
from keras_deeptools.tuning._transfer.trial import (
    TransferTrial,
    train_groups,
    with_rates,
)

OWNER = "TransferHyperModel"

HEADS = ("average", "concat")


def named_backbones(backbones: Any, input_shape: Any) -> Backbones:
    """Backbones by the names that they have in a search.

    Args:
        backbones: Name, `keras.Model`, several of them, or a dict of them.
        input_shape: What was given for images.

    Raises:
        TypeError: If there is something else among them.
        ValueError: If there are none, two have one name, or images need a shape.
    """
    rule = "names of applications or models, each once"
    if isinstance(backbones, str | keras.Model):
        backbones = [backbones]
    if not isinstance(backbones, Mapping):
        listed = list(backbones)
        backbones = {_name(each): each for each in listed}
        if len(backbones) != len(listed):
            given = [_name(each) for each in listed]
            remedy = "Give a dict with names of your own."
            raise ValueError(message(OWNER, "backbones", rule, given, remedy))
    if not all(isinstance(each, str | keras.Model) for each in backbones.values()):
        raise TypeError(message(OWNER, "backbones", rule, backbones))
    if not backbones:
        raise ValueError(message(OWNER, "backbones", rule, backbones))
    if input_shape is None and any(isinstance(x, str) for x in backbones.values()):
        rule = "given for networks of `keras.applications`"
        raise ValueError(message(OWNER, "input_shape", rule, None))
    return dict(backbones)


def checked_heads(heads: Any) -> tuple[str, ...]:
    """Kinds of head, one or several."""
    listed = (heads,) if isinstance(heads, str) else tuple(heads)
    if not listed:
        raise ValueError(message(OWNER, "heads", "one kind or more", heads))
    return tuple(checked_option(OWNER, "heads", each, HEADS) for each in listed)


def checked_depths(depths: Any) -> tuple[int, ...]:
    """Numbers of groups, one or several."""
    listed = tuple(depths) if isinstance(depths, Iterable) else (depths,)
    if not listed:
        raise ValueError(message(OWNER, "depths", "one number or more", depths))
    return tuple(checked_count(OWNER, "depths", each, minimum=0) for each in listed)


def checked_range(
    argument: str, value: Any, at_least: float, below: float = float("inf")
) -> Any:
    """A number or range of numbers within limits.

    Args:
        argument: Str, the name of the argument.
        value: Number, `FloatRange`, `IntRange` or `OneOf`.
        at_least: Float.
        below: Float.
    """
    if isinstance(value, FloatRange | IntRange):
        numbers: tuple[Any, ...] = (value.low, value.high)
    else:
        numbers = tuple(value.values) if isinstance(value, OneOf) else (value,)
    for each in numbers:
        number = checked_float(OWNER, argument, each, at_least=at_least)
        if number >= below:
            rule = f"in [{at_least:g}, {below:g})"
            raise ValueError(message(OWNER, argument, rule, value))
    return value


def _name(backbone: Any) -> str:
    return getattr(backbone, "name", str(backbone))


Backbone: TypeAlias = str | keras.Model

DROPOUT_RATE = FloatRange(0.0, 0.5)

HIDDEN_UNITS = IntRange(64, 512, log=True)

FROZEN_EPOCHS = IntRange(1, 8, log=True)

RATE_RATIO = FloatRange(1.0, 1000.0, log=True)

MAX_BYTES = 2**31


class TransferHyperModel(keras_tuner.HyperModel):
    """Searches which pretrained network to take, and how to train it, for any tuner.

    A trial chooses a backbone, the head on it, the number of layer groups of the
    backbone that train too (`depths`), their learning rates, and the optimizer and its
    learning rate. It trains as `fine_tune` does: the head alone for `frozen_epochs`,
    then with the groups, each phase with a 1cycle. At depth 0 the head trains alone,
    for all epochs.

    The features that a frozen backbone computes from the data are computed once for all
    trials, in one pass that serves both kinds of head. They are kept in the folder
    `features` of the search's project, where every process of a search on chief and
    workers finds them, so that heads train in a small part of the time. A dataset that
    augments its samples is read once as well: heads train on these same samples in all
    trials and epochs. The models are complete all the same: `get_best_models` returns
    classifiers that take images.

    `epochs` of `search`, and those of Hyperband's rungs, count the main phase; frozen
    epochs, which cost little, come before the first of them and are seen by no
    callback. A model that Hyperband promotes continues its 1cycle with the optimizer's
    state, and does not train its head alone again. In trials at depth 0, the model of
    callbacks is the head; the weights that they save are those of the classifier.

    Models of trials at depth 0 share one backbone. Before you train the backbone of one
    of them further, make a copy of the model.

    Args:
        num_classes: Int >= 1.
        max_epochs: Int >= 1. The most epochs that a trial trains: `epochs` of `search`,
            `max_epochs` of Hyperband. 1cycle ends there.
        input_shape: Tuple, shape of an image, as in `backbone`; None if all
            `backbones` are models.
        backbones: Names of constructors in `keras.applications`, `keras.Model` objects
            as `classifier` takes them (copied, not changed), or a dict of these by
            names for the search. One or several.
        weights: As in `backbone`, of networks given by name.
        heads: Kinds of head, as in `classifier`.
        dropout_rate: Float, or `FloatRange` to search.
        hidden_units: Int, or `IntRange` to search; of the head `"concat"`.
        mc: Bool, whether dropout is `MCDropout`. Scores do not depend on it.
        activation: As in `classifier`.
        depths: Ints >= 0, numbers of layer groups before the head that train. A number
            larger than that of the groups stands for all. `(0,)` searches the head
            alone.
        frozen_epochs: Int >= 0, or `IntRange` to search; epochs in which the head
            trains before deeper groups do.
        rate_ratio: Float >= 1, or `FloatRange` to search; the learning rate of the head
            over that of the first group of all, those between on a geometric scale.
        batch_norm: What batch normalization does in groups that train, as in `freeze`.
        optimizers: Names of optimizers to choose from, as in `searched_optimizer`.
        learning_rate: Float, or `FloatRange` to search, of the head; None for each
            optimizer's own range. When groups of the backbone train too, half of it is
            used.
        loss: As in `compile`. None: the binary cross-entropy for
            `activation="sigmoid"`, otherwise the sparse categorical one, of logits if
            `activation` is None.
        metrics: List, as in `compile`. The "accuracy" of several sigmoids is the
            fraction of correct labels.
        features: Path of a folder for features, to share them between several searches;
            None: the folder in the search's project.
        max_bytes: Int >= 1. If part of the backbone trains, the outputs of the layers
            before that part are computed only once if, for arrays, they take no more
            than this.
        seed: Int >= 0, of newly initialized weights (`weights=None`), which are then
            the same in each trial and each process.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of its range.

    Example:

    >>> import keras, keras_tuner
    >>> from keras_deeptools.tuning import TransferHyperModel
    >>> conv = keras.layers.Conv2D(4, 3, name="conv")
    >>> body = keras.Sequential([keras.Input((8, 8, 3)), conv], name="body")
    >>> hypermodel = TransferHyperModel(
    ...     10, max_epochs=5, backbones=body, heads="average", depths=(0, 1)
    ... )
    >>> hp = keras_tuner.HyperParameters()
    >>> model = hypermodel.build(hp)
    >>> [layer.name for layer in model.layers if layer.trainable_variables]
    ['head_outputs']
    >>> sorted(hp.values)[:2]
    ['depth', 'head/dropout_rate']

    Reference:
        Howard & Ruder, 2018, section 3. https://arxiv.org/abs/1801.06146
    """

    def __init__(
        self,
        num_classes: int,
        *,
        max_epochs: int,
        input_shape: tuple[int | None, ...] | None = None,
        backbones: Backbone | Iterable[Backbone] | Mapping[str, Backbone] = (
            "MobileNetV2",
            "EfficientNetV2B0",
            "ResNet50V2",
        ),
        weights: str | None = "imagenet",
        heads: str | Iterable[str] = ("average", "concat"),
        dropout_rate: float | Range = DROPOUT_RATE,
        hidden_units: int | Range = HIDDEN_UNITS,
        mc: bool = False,
        activation: str | None = "softmax",
        depths: int | Iterable[int] = (0, 1, 2, 4),
        frozen_epochs: int | Range = FROZEN_EPOCHS,
        rate_ratio: float | Range = RATE_RATIO,
        batch_norm: str = "frozen",
        optimizers: Iterable[str] = ("adamw",),
        learning_rate: float | FloatRange | None = None,
        loss: Any = None,
        metrics: Iterable[Any] = ("accuracy",),
        features: str | Path | None = None,
        max_bytes: int = MAX_BYTES,
        seed: int = 0,
    ) -> None:
        # As they were given, for the code of the best trial; models are not kept twice.
        given = {n: it for n, it in locals().items() if n not in ("self", "__class__")}
        super().__init__()
        self._given = {n: it for n, it in given.items() if not _holds_models(it)}
        found = named_backbones(backbones, input_shape)
        self.num_classes = checked_count(OWNER, "num_classes", num_classes)
        self.max_epochs = checked_count(OWNER, "max_epochs", max_epochs)
        self.choices = TransferChoices(
            backbones=tuple(found),
            heads=checked_heads(heads),
            dropout_rate=checked_range("dropout_rate", dropout_rate, 0, below=1),
            hidden_units=checked_range("hidden_units", hidden_units, 1),
            depths=checked_depths(depths),
            frozen_epochs=checked_range("frozen_epochs", frozen_epochs, 0),
            rate_ratio=checked_range("rate_ratio", rate_ratio, 1),
            optimizers=tuple(optimizers),
            learning_rate=learning_rate,
        )
        self.mc = checked_bool(OWNER, "mc", mc)
        self.activation = activation
        self.batch_norm = checked_option(OWNER, "batch_norm", batch_norm, BATCH_NORM)
        self.loss = _loss_of(activation) if loss is None else loss
        self.metrics = list(metrics)
        self.features = None if features is None else Path(features)
        self.max_bytes = checked_count(OWNER, "max_bytes", max_bytes)
        seed = checked_count(OWNER, "seed", seed, minimum=0)
        self._trunks = Trunks(found, input_shape, weights, seed)
        self._pooled = PooledFeatures(self.choices.heads)

    def build(self, hp: Any) -> keras.Model:
        """Makes and compiles the classifier of a trial.

        Args:
            hp: `keras_tuner.HyperParameters`.
        """
        recipe = chosen_recipe(hp, self.choices)
        make = self._trunks.copy if recipe.depth else self._trunks.shared
        body = make(recipe.backbone)
        model = classifier(
            body,
            self.num_classes,
            recipe.head,
            recipe.dropout_rate,
            mc=self.mc,
            hidden_units=recipe.hidden_units,
            activation=self.activation,
        )
        optimizer = recipe.optimizer
        if recipe.depth:
            groups = train_groups(model, body, recipe.depth, self.batch_norm, OWNER)
            optimizer = with_rates(optimizer, groups, recipe.rate_ratio)
        metrics = fitting_metrics(self.metrics, model.outputs[0], self.loss)
        model.compile(optimizer, self.loss, metrics=[_fresh(m) for m in metrics])
        # Built here, so that its state is there when a tuner loads weights.
        model.optimizer.build(model.trainable_variables)
        return model

    def fit(self, hp: Any, model: keras.Model, *args: Any, **kwargs: Any) -> Any:
        """Trains the classifier of a trial.

        Args:
            hp: `keras_tuner.HyperParameters`.
            model: `keras.Model` that `build` made.
            *args: What `search` was called with, as for `model.fit`; data that can be
                read again. If a head trains alone, data that are no arrays become
                arrays of samples, in batches of 32 or the `batch_size` given.
            **kwargs: As `args`.

        Returns:
            `keras.callbacks.History`.
        """
        recipe = chosen_recipe(hp, self.choices)
        given = inspect.signature(model.fit).bind(*args, **kwargs).arguments
        try:
            check_pixels_of(model, given.get("x"))
            self._check_targets(model, given)
        except ValueError as error:
            # Of every trial alike: the search ends.
            raise keras_tuner.errors.FatalValueError(str(error)) from error
        except TypeError as error:
            raise keras_tuner.errors.FatalTypeError(str(error)) from error
        trial = TransferTrial(
            model,
            recipe,
            self._trunks.shared(recipe.backbone),
            self._pooled,
            self._folder(given.get("callbacks")),
            self.max_epochs,
            self.max_bytes,
            must_log=type(self).fit is TransferHyperModel.fit,
        )
        return trial.fit(given)

    def _check_targets(self, model: keras.Model, given: dict[str, Any]) -> None:
        """Looks at targets that are arrays."""
        y = given.get("y")
        if y is None:
            return
        check_label_types(OWNER, y)
        y = as_arrays(y)
        if isinstance(y, np.ndarray):
            check_labels(OWNER, self.loss, model.outputs[0], y)
            check_class_weight(OWNER, self.loss, given.get("class_weight"), y)

    def _folder(self, callbacks: Any) -> Path | None:
        """Where features are kept: in the project of the tuner that calls."""
        tuners = [one.tuner for one in callbacks or () if hasattr(one, "tuner")]
        if self.features is not None or not tuners:
            return self.features
        return Path(tuners[0].project_dir) / "features"


def _holds_models(value: Any) -> bool:
    parts = value.values() if isinstance(value, Mapping) else value
    is_several = isinstance(value, Mapping | list | tuple)
    return any(isinstance(it, keras.Model) for it in (parts if is_several else [value]))


def _loss_of(activation: str | None) -> Any:
    """The loss for classes that are counted, or for yes and no."""
    if activation == "sigmoid":
        return "binary_crossentropy"
    if activation is None:
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return "sparse_categorical_crossentropy"


def _fresh(metric: Any) -> Any:
    """A metric whose state no other model has."""
    if isinstance(metric, keras.metrics.Metric):
        return type(metric).from_config(metric.get_config())
    return metric
