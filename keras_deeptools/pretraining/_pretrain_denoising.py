"""Pretraining of a whole network as a denoising autoencoder."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_deeptools.pretraining._autoencoder import checked_corruption
from keras_deeptools.pretraining._pretraining import (
    FitOptions,
    Pretraining,
    TrainingData,
    checked_run,
)
from keras_deeptools.pretraining._reconstructing import reconstructed

OWNER = "pretrain_denoising"


def pretrain_denoising(
    model: keras.Model,
    x: Any,
    *,
    until: str | None = None,
    decoder: keras.Layer | None = None,
    noise: str = "masking",
    noise_level: float = 0.25,
    loss: str = "auto",
    epochs: int = 50,
    batch_size: int = 32,
    optimizer: Any = "adam",
    validation_data: Any = None,
    steps_per_epoch: int | None = None,
    callbacks: Sequence[keras.callbacks.Callback] | None = None,
    seed: int | None = None,
    verbose: str | int = "auto",
) -> Pretraining:
    """Pretrains a network without labels as a denoising autoencoder, end to end.

    The model up to its head is the encoder, a mirrored decoder is put behind it, and
    both learn by `fit` to give back inputs from noisy ones. Then the encoder's weights
    are in the model; compile and `fit` it on the labels as usual. Any functional or
    Sequential model of one input will do, branches and nested models too. Whether it
    helps depends on the data and the net; see the guide for measurements.

    The encoder computes as in training: dropout is on and BatchNormalization updates
    its moving averages, which land in the model like weights (they are those of noisy
    inputs). Frozen layers stay as they are, and so do all flags, the model's optimizer
    and its compiled functions. The weights land at the very end, all at once; after an
    error or Ctrl-C the model is as it was.

    Args:
        model: `keras.Model`, functional or a built Sequential, of one input of floats.
            It need not be compiled.
        x: Inputs without labels: an array, or a `tf.data.Dataset`, `PyDataset`,
            `DataLoader` or generator of batches, as `fit` takes them. Of batches that
            are tuples the first element is taken.
        until: Name of the last layer of the encoder, one of the model's own. None: all
            before the last layer with weights.
        decoder: None for a mirrored one, or a Keras layer or model from what the
            encoder gives to inputs. It is trained in place.
        noise: `"masking"` sets elements of inputs to zero, `"gaussian"` adds normal
            noise, `"none"` makes a plain autoencoder.
        noise_level: Float. For masking the fraction of elements in [0, 1), for Gaussian
            noise its standard deviation >= 0 in the units of `x`.
        loss: `"mean_squared_error"`; `"binary_crossentropy"`, for inputs in [0, 1], of
            which the decoder then gives the logits; `"auto"`: the latter where `x` is
            an array in [0, 1].
        epochs: Int >= 1.
        batch_size: Int >= 1, rows in a batch where `x` is an array.
        optimizer: Name or `keras.optimizers.Optimizer`. A fresh copy is trained with.
        validation_data: None, or as `x`: more inputs, whose loss is measured.
        steps_per_epoch: None, or int >= 1, batches in an epoch.
        callbacks: None, or callbacks for `fit`. Their `model` is the autoencoder.
        seed: Int >= 0 or None. Decoder, noise, dropout and order of rows come from it,
            so that it gives the same result on a backend. None takes one from Python's
            random state. No other random state moves.
        verbose: `"auto"`, 0, 1 or 2, as for `fit`.

    Returns:
        `Pretraining`: loss by epoch; print or plot it.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If the model cannot be cut or nothing in the encoder trains, `x`
            does not fit, an argument is out of range, or values are not finite. The
            model is as it was.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.pretraining import pretrain_denoising
    >>> hidden = [keras.layers.Dense(8, "relu", name=name) for name in ("a", "b")]
    >>> head = keras.layers.Dense(3, "softmax", name="head")
    >>> model = keras.Sequential([keras.Input((16,)), *hidden, head])
    >>> x = np.random.default_rng(0).uniform(size=(64, 16))
    >>> result = pretrain_denoising(model, x, epochs=3, seed=0, verbose=0)
    >>> result.layers, len(result.history["loss"]), result.left
    (('a', 'b'), 3, {'head': 'not in the encoder'})

    Reference:
        Vincent et al., 2008, section 2. https://doi.org/10.1145/1390156.1390294.
        There single layers; here the whole network at once.
    """
    data = TrainingData(x, validation_data, batch_size, steps_per_epoch)
    options = FitOptions(epochs, optimizer, callbacks, seed, verbose)
    run = checked_run(OWNER, model, until, data, options)
    corruption = checked_corruption(OWNER, noise, noise_level)

    def spoil(inputs: Any, generator: keras.random.SeedGenerator) -> tuple[Any, Any]:
        return corruption(inputs, generator), None

    return reconstructed(OWNER, run, "denoising autoencoder", decoder, loss, spoil)
