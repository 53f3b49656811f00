"""The training of one trial of transfer learning."""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_deeptools.engine._frozen_features.computation import FeaturePass
from keras_deeptools.engine._frozen_features.cut import FeatureCut
from keras_deeptools.engine._passes.compiled_with import compile_arguments
from keras_deeptools.engine._patching import replaced
from keras_deeptools.engine._retraining.retrain import retrain
from keras_deeptools.transfer import (
    DiscriminativeLearningRates,
    LayerGroup,
    cache_features,
    caching_obstacle,
    layer_groups,
)
from keras_deeptools.transfer._epoch_batches import (
    are_arrays,
    as_arrays,
    length_of,
    split_rows,
)
from keras_deeptools.transfer._features.store import bytes_per_row
from keras_deeptools.transfer._fine_tune.plan import (
    ALL_LAYERS_CYCLE,
    HEAD_ALONE,
    HEAD_CYCLE,
    Cycle,
    group_factors,
)
from keras_deeptools.transfer._freezing.freeze_to import states_after
from keras_deeptools.tuning._transfer.pooled_features import PooledFeatures, Rows
from keras_deeptools.tuning._transfer.recipe import TransferRecipe
from keras_deeptools.tuning._trials.fit_trial import OneCycleOverHorizon, fit_searched

HEAD = "head"

POOLINGS = ("head_average", "head_maximum")

FIRST_AFTER_VECTORS = ("head_dropout", "head_outputs")


def train_groups(
    model: keras.Model, body: keras.Model, depth: int, batch_norm: str, owner: str
) -> list[list[keras.Layer]]:
    """Freezes all but the last groups of the body and the head; returns what trains.

    Args:
        model: `keras.Model` that `transfer.classifier` made of `body`, not compiled.
        body: `keras.Model`.
        depth: Int, layer groups of the body that train; all of them if it has fewer.
        batch_norm: As in `transfer.freeze`, of these groups.
        owner: Str. Who is named in errors.

    Returns:
        List of lists of layers, those of the head last; the groups that are frozen as
        empty lists.
    """
    groups = list(layer_groups(body))
    first = max(len(groups) - depth, 0)
    inside = {id(layer) for layer in body.layers}
    head = [x for x in model.layers if id(x) not in inside and x.weights]
    frozen = [layer for group in groups[:first] for layer in group.layers]
    states = states_after(model, frozen, LayerGroup(HEAD, tuple(head)), batch_norm)
    retrain(model, states, owner)
    trained = [list(group.layers) for group in groups[first:]]
    return [*([] for _ in range(first)), *trained, head]


def with_rates(
    optimizer: keras.optimizers.Optimizer,
    groups: list[list[keras.Layer]],
    rate_ratio: float,
) -> DiscriminativeLearningRates:
    """The optimizer with learning rates that grow from the first group to the head.

    Args:
        optimizer: Keras optimizer, whose learning rate is the head's.
        groups: What `train_groups` returned.
        rate_ratio: Float >= 1, the learning rate of the head over that of the first
            group, whether this trains or not.
    """
    factors = group_factors(len(groups), rate_ratio)
    pairs = [(f, group) for f, group in zip(factors, groups, strict=True) if group]
    return DiscriminativeLearningRates(
        optimizer,
        groups=[group for _, group in pairs],
        multipliers=[factor for factor, _ in pairs],
    )


def one_cycle(
    optimizer: keras.optimizers.Optimizer, horizon: int, rate: float, cycle: Cycle
) -> OneCycleOverHorizon:
    """The 1cycle of a phase over a number of epochs.

    Args:
        optimizer: Keras optimizer.
        horizon: Int >= 1, epochs.
        rate: Float, the learning rate of the whole recipe.
        cycle: `Cycle` of the phase.
    """
    return OneCycleOverHorizon(horizon, **cycle.arguments(optimizer, rate))


def fit_from_cut(
    model: keras.Model,
    directory: Path | None,
    max_bytes: int,
    x: Any,
    y: Any = None,
    sample_weight: Any = None,
    validation_split: float = 0.0,
    validation_data: Any = None,
    **arguments: Any,
) -> keras.callbacks.History:
    """As `model.fit`, with what frozen groups make of arrays computed once, if small.

    Args:
        model: `keras.Model`, compiled.
        directory: Folder where the features are found by the other trials, or None.
        max_bytes: Int, the most that features may take.
        x: As in `fit`, as the others.
        y: Targets.
        sample_weight: Weights.
        validation_split: Float.
        validation_data: Data.
        **arguments: What else `fit` takes.
    """
    if not are_arrays(x):
        return model.fit(x, y, validation_data=validation_data, **arguments)
    data = as_arrays(tuple(part for part in (x, y, sample_weight) if part is not None))
    if validation_split and validation_data is None:
        data, validation_data = split_rows(data, validation_split)
    rows = dict(zip(("x", "y", "sample_weight"), data, strict=False))
    arguments["validation_data"] = validation_data
    if caching_obstacle(model) or _num_bytes(model, data[0]) > max_bytes:
        return model.fit(**rows, **arguments)
    return cache_features(model, **rows, directory=directory, verbose=0).fit(
        **arguments
    )


def _num_bytes(model: keras.Model, x: Any) -> int:
    """Bytes that features of arrays would take."""
    row = keras.tree.map_structure(lambda array: np.asarray(array[:1]), x)
    specs = FeaturePass(FeatureCut(model), batch_size=1).specs(row)
    return bytes_per_row(specs) * length_of(x)


class HeadFit:
    """The head of a classifier as a model of its own, with the classifier's optimizer.

    Callbacks have this small model for theirs. Weights that they save are those of the
    whole classifier all the same: they are noted at once and written when training has
    ended, as most of a file, the backbone, stays the same.

    Args:
        model: `keras.Model` that `transfer.classifier` made, compiled; its head trains.
    """

    def __init__(self, model: keras.Model) -> None:
        layers = {layer.name: layer for layer in model.layers}
        starts = [layers[name].output for name in POOLINGS if name in layers]
        firsts = [layers[name].input for name in FIRST_AFTER_VECTORS if name in layers]
        self._classifier = model
        self.head = keras.Model(starts or firsts[:1], model.outputs[0])
        self._state: list[Any] = []
        self._saved: dict[str, list[np.ndarray]] = {}

    def fit(self, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """As `keras.Model.fit`, on features.

        Args:
            *args: As in `fit`, features in place of data.
            **kwargs: As in `fit`.
        """
        # As they are now: callbacks give the optimizer more of them for a while.
        self._state = [*self.head.weights, *self._classifier.optimizer.variables]
        with replaced(self.head, "save_weights", self._note):
            history = self.head.fit(*args, **kwargs)
        self._write()
        return history

    def rows(self, rows: Rows) -> Rows:
        """Pooled features as the head takes them, targets and weights as they are."""
        features, y, sample_weight = rows
        taken = features[: len(self.head.inputs)]
        return taken if taken[1:] else taken[0], y, sample_weight

    def _note(self, filepath: str | Path, *args: Any, **kwargs: Any) -> None:
        """Stands for `save_weights`."""
        self._saved[str(filepath)] = self._values()

    def _write(self) -> None:
        last = self._values()
        for filepath, values in self._saved.items():
            self._assign(values)
            self._classifier.save_weights(filepath, overwrite=True)
        self._assign(last)

    def _values(self) -> list[np.ndarray]:
        return [np.array(keras.ops.convert_to_numpy(v)) for v in self._state]

    def _assign(self, values: list[np.ndarray]) -> None:
        for variable, value in zip(self._state, values, strict=True):
            variable.assign(value)


DATA = ("x", "y", "sample_weight")

IN_BOTH_PHASES = ("batch_size", "class_weight", "shuffle", "validation_split")
"""What `fit` is given in the phase that no callback sees, too."""


@dataclass(frozen=True)
class TransferTrial:
    """One trial, ready to be trained.

    Attributes:
        model: `keras.Model`, compiled.
        recipe: `TransferRecipe`.
        trunk: `keras.Model`, the frozen backbone that the search began with.
        pooled: `PooledFeatures` of the search.
        folder: Where features are kept, or None.
        max_epochs: Int, where 1cycle ends.
        max_bytes: Int, the most that features before trained groups may take.
        must_log: Bool. Whether the objective must be in the logs.
    """

    model: keras.Model
    recipe: TransferRecipe
    trunk: keras.Model
    pooled: PooledFeatures
    folder: Path | None
    max_epochs: int
    max_bytes: int
    must_log: bool = True

    def fit(self, given: dict[str, Any]) -> Any:
        """Trains the head alone, or first the head and then deeper groups along.

        Args:
            given: Arguments of `fit` by name.
        """
        if not self.recipe.depth:
            return self._fit_head(given)
        if self.recipe.frozen_epochs and not given.get("initial_epoch"):
            self._fit_head_first(given)
        cycle = one_cycle(
            self.model.optimizer,
            self.max_epochs,
            self.recipe.learning_rate,
            ALL_LAYERS_CYCLE,
        )
        fit = functools.partial(fit_from_cut, self.model, self.folder, self.max_bytes)
        return fit_searched(fit, (), given, [cycle], self.must_log)

    def _fit_head(self, given: dict[str, Any]) -> Any:
        """Trains the head with the model's own optimizer, as a tuner sees it."""
        training = HeadFit(self.model)
        optimizer = self.model.optimizer
        training.head.compile(optimizer, **compile_arguments(self.model))
        rate = self.recipe.learning_rate
        cycle = one_cycle(optimizer, self.max_epochs, rate, HEAD_ALONE)
        rows = self._rows(given, training)
        arguments = {**given, **rows}
        return fit_searched(training.fit, (), arguments, [cycle], self.must_log)

    def _fit_head_first(self, given: dict[str, Any]) -> None:
        """Trains the head, with an optimizer of its own."""
        training = HeadFit(self.model)
        optimizer = self.recipe.optimizer
        training.head.compile(optimizer, loss=compile_arguments(self.model)["loss"])
        cycle = one_cycle(
            optimizer,
            self.recipe.frozen_epochs,
            self.recipe.learning_rate,
            HEAD_CYCLE,
        )
        rows = self._rows(given, training)
        rows.pop("validation_data", None)
        training.head.fit(
            **rows,
            **{name: given[name] for name in IN_BOTH_PHASES if name in given},
            epochs=self.recipe.frozen_epochs,
            callbacks=[cycle, keras.callbacks.TerminateOnNaN()],
            verbose=0,
        )

    def _rows(self, given: dict[str, Any], training: HeadFit) -> dict[str, Any]:
        """Features in place of data, as arguments of `fit`."""
        train, held = self.pooled.of(
            self.recipe.backbone,
            self.trunk,
            (given.get("x"), given.get("y"), given.get("sample_weight")),
            given.get("validation_data"),
            self.folder,
        )
        rows = dict(zip(DATA, training.rows(train), strict=True))
        if held is not None:
            rows["validation_data"] = training.rows(held)
        return rows
