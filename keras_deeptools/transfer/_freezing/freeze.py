"""Freezing and unfreezing layers of a model, at any time."""

import contextlib
from collections.abc import Iterator

import keras

from keras_deeptools._arguments import checked_option
from keras_deeptools.engine._retraining.retrain import Retraining, retrain
from keras_deeptools.transfer._freezing.choice import (
    BATCH_NORM,
    Choices,
    checked_model,
    chosen_leaves,
    leaf_states,
)


def freeze(
    model: keras.Layer, layers: Choices = None, *, batch_norm: str = "frozen"
) -> None:
    """Stops the training of layers, at any time.

    Before and after `compile`, after `fit`, in a callback during `fit`, after loading:
    every compiled model that holds the layers follows, also when `model` is only a part
    of it. Its optimizer goes on with what is still trained, keeping momenta, averages
    and accumulated gradients bit for bit and forgetting those of the frozen weights;
    its compiled steps are traced again. There is no need to compile anew. What is
    attached to the optimizer, as callbacks of this package are during `fit`, follows.

    Args:
        model: `keras.Model` or layer, built.
        layers: What to freeze: None for all layers, or one or a list of these. A name,
            or a pattern with `*`, `?` and `[...]` (`"block3_*"`); with a `/` in it, it
            is compared with the ends of layers' paths (`"encoder/dense_1"`). A layer. A
            `LayerGroup` of this model (`layer_groups(model)[:2]`). A function of a
            layer that returns whether it is chosen. A layer that contains layers stands
            for all that is in it; its flag alone decides nothing.
        batch_norm: What the chosen BatchNormalization layers do, whatever the other
            weights do. `"frozen"`: normalize with the moving statistics as they are,
            weights frozen. `"statistics"`: normalize with the batch and update the
            moving statistics, weights (gamma, beta) frozen. `"train"`: train.

    Raises:
        TypeError: If `model` is no layer, or `layers` none of these.
        ValueError: If `model` is not built, `layers` match nothing that has weights,
            what is attached to the optimizer cannot follow, or the optimizer cannot be
            built again. Nothing has been changed then.

    A saved model keeps one flag per layer, so `"statistics"` comes back as `"train"`:
    freeze again after loading.

    Example:

    >>> import keras
    >>> from keras_deeptools.transfer import freeze
    >>> model = keras.Sequential(
    ...     [
    ...         keras.Input((2,)),
    ...         keras.layers.Dense(3, name="body"),
    ...         keras.layers.Dense(1, name="head"),
    ...     ]
    ... )
    >>> freeze(model, "body")
    >>> [layer.name for layer in model.layers if layer.trainable_variables]
    ['head']
    """
    _retrain("freeze", model, layers, False, batch_norm)


def unfreeze(
    model: keras.Layer, layers: Choices = None, *, batch_norm: str = "train"
) -> None:
    """Starts or resumes the training of layers, at any time.

    As `freeze`, in the other direction. Weights that were trained before behave as if
    nothing had happened. The newly trained ones train as in a fresh optimizer: with new
    slots, moving averages (`use_ema`) at the weights, and a count of updates of their
    own, by which Adam and its kin correct the bias of averages that start at 0. (By the
    optimizer's count, first steps late in training are up to 6.6 times as long.)
    RMSprop, which corrects nothing, begins with steps of the rate instead of up to 3.2
    times that. `GradualUnfreezing` unfreezes in the course of a `fit`.

    The counts are kept in files of weights, as an attribute that Keras passes over, and
    come back when weights are loaded into a model that has such counts. Elsewhere, as
    with `keras.saving.load_model`, all variables count alike; files therefore hold late
    averages as large as the optimizer's count expects them.

    What encloses an unfrozen layer inside `model` is set to let it train.

    Args:
        model: `keras.Model` or layer, built.
        layers: What to unfreeze, as in `freeze`; None for all layers.
        batch_norm: What the chosen BatchNormalization layers do, as in `freeze`.
            `"frozen"` is the usual choice for fine-tuning with small batches.

    Raises:
        TypeError: If `model` is no layer, or `layers` none of these.
        ValueError: As in `freeze`. Nothing has been changed then.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.transfer import freeze, unfreeze
    >>> model = keras.Sequential(
    ...     [
    ...         keras.Input((2,)),
    ...         keras.layers.Dense(3, name="body"),
    ...         keras.layers.Dense(1, name="head"),
    ...     ]
    ... )
    >>> freeze(model, "body")
    >>> model.compile("adam", loss="mse")
    >>> loss = model.train_on_batch(np.ones((4, 2)), np.ones((4, 1)))
    >>> unfreeze(model, "body")
    >>> loss = model.train_on_batch(np.ones((4, 2)), np.ones((4, 1)))
    >>> int(model.optimizer.iterations), len(model.trainable_variables)
    (2, 4)
    """
    _retrain("unfreeze", model, layers, True, batch_norm)


@contextlib.contextmanager
def frozen(
    model: keras.Layer, layers: Choices = None, *, batch_norm: str = "frozen"
) -> Iterator[None]:
    """Freezes layers for the length of a block.

    At its end, also after an exception, the layers are as before, and so is what the
    optimizer remembers of their weights, unless the model was compiled in between.

    Args:
        model: `keras.Model` or layer, built.
        layers: What to freeze, as in `freeze`; None for all layers.
        batch_norm: What the chosen BatchNormalization layers do, as in `freeze`.

    Returns:
        Context manager that gives nothing.

    Raises:
        TypeError: If `model` is no layer, or `layers` none of these.
        ValueError: As in `freeze`. Nothing has been changed then.

    Example:

    >>> import keras
    >>> from keras_deeptools.transfer import frozen
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> with frozen(model):
    ...     print(len(model.trainable_variables))
    0
    >>> len(model.trainable_variables)
    2
    """
    change = _retrain("frozen", model, layers, False, batch_norm)
    try:
        yield
    finally:
        change.undo()


def _retrain(
    owner: str, model: keras.Layer, layers: Choices, trains: bool, batch_norm: str
) -> Retraining:
    checked_option(owner, "batch_norm", batch_norm, BATCH_NORM)
    leaves = chosen_leaves(owner, checked_model(owner, model), layers)
    return retrain(model, leaf_states(leaves, trains, batch_norm), owner)
