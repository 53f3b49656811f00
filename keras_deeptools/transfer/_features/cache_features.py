"""What a frozen backbone makes of the data, computed once."""

from pathlib import Path
from typing import Any

import keras

from keras_deeptools._arguments import checked_count, checked_seed, message
from keras_deeptools.engine._frozen_features.cut import FeatureCut
from keras_deeptools.transfer._features.cached_features import CachedFeatures
from keras_deeptools.transfer._features.compute_features import (
    OWNER,
    CacheOptions,
    compute_features,
)

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
    """Computes the outputs of the frozen part of a model once and keeps them.

    `CachedFeatures.fit` then trains the rest of the model as `model.fit` would, with
    the same optimizer, losses, metrics and callbacks and with the same weights at the
    end, in a fraction of the time. The function finds the place to cut the model
    itself: the last one, also inside nested models, where all layers before it are
    frozen and draw nothing at random. Several tensors may cross the cut. Layers after
    the cut that draw at random, such as dropout in the head, continue to do so.

    The features take `num_bytes` of memory, at most `max_bytes`, plus one batch. If the
    number of samples is not known beforehand, they briefly take up to twice that. With
    a directory, no more than one batch is in memory at a time. Targets that come with
    the data (in a `tf.data.Dataset`) are kept in memory.

    Batches of several lengths or image sizes pass through the layers one by one. If
    features of several sizes cross the cut, they stay in memory in the batches in which
    they came.

    Files in a directory are identified by the layers before the cut and their weights,
    the data, the versions and the settings. They are checked against digests and
    against one batch that is computed again, and all are computed again if anything
    differs. The function never deletes them; delete the directory to remove them. Only
    the incomplete files of a killed process are deleted, after one day.

    Args:
        model: `keras.Model` with a graph, compiled or not, partly frozen
            (`transfer.freeze`).
        x: Inputs, as in `fit`: arrays, a `tf.data.Dataset`, a `PyDataset`, a generator.
            The samples keep the order in which they come.
        y: Targets, if `x` is arrays.
        sample_weight: Weights of the samples, if `x` is arrays.
        batch_size: Int >= 1, samples in a batch while the features are computed.
        views: Int >= 1, passes over the data. With random layers before the cut (data
            augmentation), which are an error with one view, each pass draws again, and
            each epoch trains on the next one.
        directory: Folder in which features are kept and found again, or None to keep
            them in memory.
        max_bytes: Int >= 1, the most bytes of memory that features may take.
        seed: Int >= 0 from which random layers before the cut draw, or None to continue
            from their present state. These layers and the global random state are
            afterwards as they were before.
        verbose: `"auto"` or 1 for a progress bar, 0 for none.

    Returns:
        `CachedFeatures`.

    Raises:
        ValueError: If nothing can be cached (`caching_obstacle` returns the reason), if
            the layers before the cut give equal samples unequal features, or if the
            features need more than `max_bytes` of memory, which is found beforehand.
        TypeError: If an argument is of the wrong type.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.transfer import cache_features, freeze
    >>> body = keras.layers.Dense(3, name="body")
    >>> model = keras.Sequential([keras.Input((2,)), body, keras.layers.Dense(1)])
    >>> freeze(model, "body")
    >>> model.compile("sgd", "mse")
    >>> cached = cache_features(model, np.ones((8, 2)), np.ones((8, 1)), verbose=0)
    >>> history = cached.fit(epochs=2, verbose=0)
    >>> len(history.history["loss"]), int(model.optimizer.iterations)
    (2, 2)
    """
    options = CacheOptions(
        batch_size=checked_count(OWNER, "batch_size", batch_size),
        views=checked_count(OWNER, "views", views),
        directory=None if directory is None else Path(directory),
        max_bytes=checked_count(OWNER, "max_bytes", max_bytes),
        seed=checked_seed(OWNER, seed),
        verbose=1 if verbose == "auto" else int(verbose),
    )
    obstacle = caching_obstacle(model, views)
    if obstacle is not None:
        error = ValueError if isinstance(model, keras.Model) else TypeError
        raise error(obstacle)
    cut = FeatureCut(model, random=views > 1)
    data = (x, y, sample_weight)
    computed = compute_features(cut, data, options, training=True)
    return CachedFeatures(cut, computed, data, options)


def caching_obstacle(model: keras.Model, views: int = 1) -> str | None:
    """Why features of a model cannot be cached, or None if they can.

    Args:
        model: `keras.Model`.
        views: Int >= 1, as in `cache_features`.

    Returns:
        Str, the error that `cache_features` would raise, with its remedy; or None.

    Example:

    >>> import keras
    >>> from keras_deeptools.transfer import caching_obstacle
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> print(caching_obstacle(model))
    cache_features: frozen weights must stand before the first layer that trains.
    Received: 'dense...', which trains. Freeze the backbone: `transfer.freeze`.
    """
    if not isinstance(model, keras.Model):
        return message(OWNER, "model", "a `keras.Model`", model)
    name = f"{type(model).__name__} {model.name!r}"
    for method in ("train_step", "compute_loss"):
        if getattr(type(model), method) is not getattr(keras.Model, method):
            return (
                f"{OWNER}: `model` must train as Keras does. Received: {name} with a "
                f"`{method}` of its own, which would get features in place of data. "
                "Use `model.fit`."
            )
    try:
        cut = FeatureCut(model, random=views > 1)
    except ValueError:
        return (
            f"{OWNER}: `model` must have a graph: be functional, or a Sequential that "
            f"is built. Received: {name}. Call the subclassed part as a layer of a "
            "functional model, or use `model.fit`."
        )
    if not cut.is_random and cut.blocking:
        return (
            f"{OWNER}: nothing random may stand before frozen weights. Received: "
            f"{cut.blocking[0].name!r}, which draws in training. Give `views`, the "
            "number of passes to draw for; or wrap a frozen backbone that has dropout "
            "in `transfer.InferenceMode`; or move augmentation out of the model."
        )
    if not any(layer.weights for layer in cut.layers):
        first = repr(cut.changing[0].name) if cut.changing else repr(model.name)
        return (
            f"{OWNER}: frozen weights must stand before the first layer that trains. "
            f"Received: {first}, which trains. Freeze the backbone: `transfer.freeze`."
        )
    return None
