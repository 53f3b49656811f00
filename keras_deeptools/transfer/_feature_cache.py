"""What a frozen backbone makes of the data, computed once."""

from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import checked_count, message
from keras_deeptools.engine import FeatureCut, RowBatches, padded
from keras_deeptools.transfer._cached_features import CachedFeatures

OWNER = "cache_features"
MAX_BYTES = 2**31


def cache_features(
    model: keras.Model,
    x: Any,
    y: Any = None,
    sample_weight: Any = None,
    *,
    batch_size: int = 32,
    views: int = 1,
    directory: str | Path | None = None,
    max_bytes: int = MAX_BYTES,
    seed: int | None = None,
    verbose: str | int = "auto",
) -> CachedFeatures:
    """Computes once what the frozen part of a model makes of the data.

    `CachedFeatures.fit` then trains the rest of the model, with the model's own
    optimizer, losses, metrics and callbacks, as `model.fit` would.

    Args:
        model: `keras.Model` with a graph, partly frozen. It is cut by itself, at the
            last place where all before is frozen and draws nothing.
        x: Inputs, as in `fit`.
        y: Targets, where `x` is arrays.
        sample_weight: Weights of the rows, where `x` is arrays.
        batch_size: Int >= 1, rows in a batch of the pass.
        views: Int >= 1. Passes over the data. With random layers before the cut (data
            augmentation) each draws anew, and each epoch trains on the next.
        directory: Folder in which features are kept and found again, or None for
            memory.
        max_bytes: Int >= 1. Most bytes that features may take in memory.
        seed: Int or None, for the random layers before the cut; None: as they go on.
        verbose: 0 for no progress bar.

    Returns:
        `CachedFeatures`.

    Raises:
        ValueError: If nothing can be cached (`caching_obstacle` says why), or the
            features take more than `max_bytes`.
    """
    checked_count(OWNER, "batch_size", batch_size)
    checked_count(OWNER, "views", views)
    obstacle = caching_obstacle(model, views)
    if obstacle is not None:
        raise ValueError(f"{OWNER}: {obstacle}")
    cut = FeatureCut(model, random=views > 1)
    trunk = cut.trunk(training=True)
    parts: list[dict[str, np.ndarray]] = []
    labels: list[Any] = []
    for _ in range(views):
        for batch in RowBatches(x, batch_size, OWNER, labelled=True):
            rows = len(keras.tree.flatten(batch[0])[0])
            features = trunk.predict_on_batch(padded(batch[0], batch_size))
            parts.append({name: value[:rows] for name, value in features.items()})
            labels.append(batch[1:])
    arrays = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
    return CachedFeatures(cut, arrays, (x, y, sample_weight), views)


def caching_obstacle(model: Any, views: int = 1) -> str | None:
    """Why the features of a model cannot be cached, or None if they can.

    Args:
        model: `keras.Model`.
        views: Int >= 1, as in `cache_features`.

    Returns:
        Str that goes on after "cache_features: ", with rule and remedy; or None.
    """
    if not isinstance(model, keras.Model):
        return message(OWNER, "model", "a `keras.Model`", model)
    try:
        cut = FeatureCut(model, random=views > 1)
    except ValueError:
        return "no graph"
    if cut.blocking:
        return f"random {cut.blocking[0].name}"
    if not cut.variables:
        return "nothing frozen"
    return None
