"""A classifier whose last layer groups train, each with a rate of its own."""

from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_deeptools.engine._frozen_features.computation import FeaturePass
from keras_deeptools.engine._frozen_features.cut import FeatureCut
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
from keras_deeptools.transfer._fine_tune.plan import Cycle, group_factors
from keras_deeptools.transfer._freezing.freeze_to import states_after
from keras_deeptools.tuning._hypermodel.learning_rate import OneCycleOverHorizon

HEAD = "head"


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
    """The optimizer with rates that grow from the first group to the head.

    Args:
        optimizer: Keras optimizer, whose rate is the head's.
        groups: What `train_groups` returned.
        rate_ratio: Float >= 1, the rate of the head over that of the first group,
            whether this trains or not.
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
