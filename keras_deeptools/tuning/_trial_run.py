"""What happens around the training of a trial."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import keras
import keras_tuner


def fit_trial(
    fit: Callable[..., keras.callbacks.History],
    *args: Any,
    chosen: Iterable[keras.callbacks.Callback] = (),
    **kwargs: Any,
) -> keras.callbacks.History:
    """Trains a trial's model, for the `fit` of one's own `keras_tuner.HyperModel`.

    `DeepHyperModel` and `TransferHyperModel` train with it. In place of
    `model.fit(*args, **kwargs)`:

    - Training ends when the loss is not finite, and the trial is recorded as failed,
      with the epoch, rather than with a meaningless score.

    Args:
        fit: What trains, mostly `model.fit`: any function that takes `*args`,
            `callbacks` and `**kwargs`, and returns a `keras.callbacks.History`.
        *args: What `search` was given, for `fit`.
        chosen: Callbacks that come from the trial's hyperparameters; they stand before
            those that `search` was given, so that these see what they add to the logs.
        **kwargs: What `search` was given, for `fit`, with `callbacks` as the tuner
            passes them on.

    Returns:
        `keras.callbacks.History`.

    Raises:
        keras_tuner.errors.FailedTrialError: If the loss is not finite.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.tuning import fit_trial
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", loss="mse")
    >>> history = fit_trial(model.fit, np.ones((8, 2)), np.ones((8, 1)), verbose=0)
    >>> list(history.history)
    ['loss']
    """
    kwargs["callbacks"] = [
        *chosen,
        keras.callbacks.TerminateOnNaN(),
        *(kwargs.get("callbacks") or ()),
    ]
    history = fit(*args, **kwargs)
    losses = history.history.get("loss", [])
    if not all(map(math.isfinite, losses)):
        epoch = kwargs.get("initial_epoch", 0) + len(losses)
        raise keras_tuner.errors.FailedTrialError(
            f"The loss was not finite in epoch {epoch}. Rates or weights of this trial "
            "are too large."
        )
    return history
