"""Pretraining of a whole network that learns to reconstruct corrupted inputs."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_deeptools._arguments import checked_option, message
from keras_deeptools.engine._graph.calls import calls_of
from keras_deeptools.engine._retraining.retrain import leaves_of
from keras_deeptools.pretraining._autoencoder import checked_corruption
from keras_deeptools.pretraining._encoder import Encoder, Pretrainer
from keras_deeptools.pretraining._mirrored_layers import mirror
from keras_deeptools.pretraining._pretraining import (
    Pretraining,
    Run,
    checked_run,
    takes_fit_options,
)

OWNER = "pretrain_denoising"
LOSSES = ("auto", "mean_squared_error", "binary_crossentropy")


def chosen_loss(owner: str, loss: str, x: Any) -> str:
    """Returns the loss for `loss`: for arrays in [0, 1] the cross-entropy."""
    checked_option(owner, "loss", loss, LOSSES)
    within = isinstance(x, np.ndarray) and bool(x.min() >= 0 and x.max() <= 1)
    if loss == "auto":
        return LOSSES[2] if within else LOSSES[1]
    if loss == LOSSES[2] and isinstance(x, np.ndarray) and not within:
        raise ValueError(
            f"{owner}: `loss` must be 'mean_squared_error' or 'auto' where inputs are "
            f"not in [0, 1]. Received: loss={loss!r} and inputs between "
            f"{x.min():.3g} and {x.max():.3g}. Scale `x`."
        )
    return loss


def check_floats(owner: str, encoder: Encoder) -> None:
    """Raises an error if inputs are whole numbers, such as the indices of words."""
    if not keras.backend.is_float_dtype(encoder.inputs.dtype):
        raise ValueError(
            f"{owner}: `model` must take floats. Received: {encoder.graph.name!r}, "
            f"which takes {encoder.inputs.dtype}. {_FOR_IDS}"
        )
    embedding = _embedding_of_inputs(encoder.graph)
    if embedding is not None:
        raise ValueError(
            f"{owner}: `model` must take amounts, which can be given back with a small "
            f"error. Received: {encoder.graph.name!r}, whose inputs are indices for "
            f"{embedding!r}. {_FOR_IDS}"
        )


_FOR_IDS = (
    "Give the part after the embedding, with what the embedding gives as `x`; or train "
    "on the ids with `pretrain_contrastive`, whose two views may leave tokens out."
)


def _embedding_of_inputs(graph: keras.Model) -> str | None:
    """Returns the name of the layer that looks the inputs up, if there is one."""
    calls = calls_of(graph) or []
    from_inputs: set[int] = set()
    for position, call in enumerate(calls):
        layer = call.operation
        if isinstance(layer, keras.layers.InputLayer):
            from_inputs.add(position)
        elif from_inputs.intersection(call.parents):
            if isinstance(layer, keras.layers.Embedding):
                return str(layer.name)
            if not getattr(layer, "weights", ()):
                from_inputs.add(position)
            elif _looks_up(layer) and len(calls[call.parents[0]].shape) == 2:
                return str(layer.name)
    return None


def _looks_up(layer: keras.Layer) -> bool:
    """Returns whether a custom layer holds an embedding and no other weights."""
    leaves = [leaf for leaf in leaves_of(layer) if leaf.weights]
    return all(isinstance(leaf, keras.layers.Embedding) for leaf in leaves)


def checked_decoder(owner: str, decoder: Any, encoder: Encoder) -> keras.Layer | None:
    """Returns a user's decoder, built and of matching shape; None stays None."""
    if decoder is None:
        return None
    if not isinstance(decoder, keras.Layer):
        rule = "None or a Keras layer or model"
        raise TypeError(message(owner, "decoder", rule, decoder))
    wanted = tuple(encoder.inputs.shape[1:])
    given = tuple(encoder.codes.shape[1:])
    try:
        found = tuple(decoder(keras.Input(given)).shape[1:])
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(_does_not_fit(owner, given, wanted, "an error")) from error
    fits = len(found) == len(wanted) and all(
        a is None or b is None or a == b for a, b in zip(found, wanted, strict=True)
    )
    if not fits:
        raise ValueError(_does_not_fit(owner, given, wanted, f"outputs {found}"))
    return decoder


def decoder_for(
    owner: str, decoder: keras.Layer | None, encoder: Encoder
) -> keras.Layer:
    """Returns the decoder given, or the mirrored one."""
    return mirror(owner, encoder) if decoder is None else decoder


def _does_not_fit(owner: str, given: Any, wanted: Any, found: str) -> str:
    return (
        f"{owner}: `decoder` must map rows of shape {given} to {wanted}. Received: a "
        f"decoder that gives {found}. Leave it out for a mirrored one."
    )


Spoil = Callable[[Any, keras.random.SeedGenerator], tuple[Any, Any]]
"""From inputs and a seed to corrupted inputs and where to compare, 1 or 0; or None."""


class Reconstruction(Pretrainer):
    """Minimizes the error between inputs and their decoding from corrupted ones.

    Args:
        encoder: `Encoder`.
        decoder: `keras.Layer`, built, from codes to inputs (or their logits).
        spoil: `Spoil`.
        loss: `"mean_squared_error"` or `"binary_crossentropy"`.
        seed: Int >= 0.
    """

    def __init__(
        self,
        encoder: Encoder,
        decoder: keras.Layer,
        spoil: Spoil,
        loss: str,
        seed: int,
    ) -> None:
        super().__init__(encoder, seed)
        self.decoder, self.spoil, self.error = decoder, spoil, loss
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Returns the reconstruction, its target, and where to compare them."""
        target = self.taken(inputs)
        spoiled, where = self.spoil(target, self.noise_seed)
        codes = self.encoder(spoiled, training=bool(training))
        decoded = self.decoder(codes, training=bool(training))
        target = ops.cast(target, "float32")
        where = ops.ones_like(target) if where is None else ops.cast(where, "float32")
        return ops.cast(decoded, "float32"), target, where

    def loss_of(self, outputs: Any) -> Any:
        """Returns the mean error over the elements that are compared."""
        decoded, target, where = outputs
        if self.error == "binary_crossentropy":
            # As log(1 + exp(z)) - x z, which is accurate for large logits, too.
            error = ops.softplus(decoded) - target * decoded
        else:
            error = ops.square(decoded - target)
        return ops.sum(where * error) / ops.sum(where)

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        """Returns nothing but the loss."""
        return self.get_metrics_result()


def reconstructed(
    owner: str,
    run: Run,
    title: str,
    decoder: keras.Layer | None,
    loss: str,
    spoil: Callable[[Any, Any], tuple[Any, Any]],
) -> Pretraining:
    """Checks loss and decoder, and trains.

    Args:
        owner: Str, who is named in errors.
        run: `Run`.
        title: Str, the name of what is trained.
        decoder: `keras.Layer`, or None for a mirrored one.
        loss: Str, as the user gave it.
        spoil: Function of inputs and a seed generator that returns corrupted inputs
            and where to compare, None for everywhere.
    """
    check_floats(owner, run.encoder)
    error = chosen_loss(owner, loss, run.x)
    own = checked_decoder(owner, decoder, run.encoder)
    return run(
        title,
        lambda seed: Reconstruction(
            run.encoder, decoder_for(owner, own, run.encoder), spoil, error, seed
        ),
    )


@takes_fit_options
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
    **fit_options: Any,
) -> Pretraining:
    """Pretrains a network without labels as a denoising autoencoder, end to end.

    The model up to its head is the encoder, and a mirrored decoder is put behind it.
    With `fit` both learn to reconstruct inputs from noisy ones. Afterwards the
    encoder's weights are in the model; compile and `fit` it on the labels as usual. Any
    functional or Sequential model with one input can be used, also with branches and
    nested models. Whether pretraining helps depends on the data and the network; see
    the guide for measurements.

    The encoder computes as in training: dropout is on and BatchNormalization updates
    its moving averages, which are written into the model like weights (they are those
    of noisy inputs). Frozen layers do not change, and neither do any flags, the model's
    optimizer and its compiled functions. The weights are written at the very end, all
    at once; after an error or Ctrl-C the model is unchanged.

    Args:
        model: `keras.Model`, functional or a built Sequential, with one input of
            floats. It does not need to be compiled.
        x: Inputs without labels: an array, or a `tf.data.Dataset`, `PyDataset`,
            `DataLoader` or generator of batches, as `fit` takes them. If batches are
            tuples, their first element is used.
        until: Name of the last layer of the encoder, one of the model's own. None: all
            layers before the last one with weights.
        decoder: None for a mirrored one, or a Keras layer or model from the encoder's
            outputs to inputs. It is trained in place.
        noise: `"masking"` sets elements of inputs to zero, `"gaussian"` adds normal
            noise, `"none"` makes a plain autoencoder.
        noise_level: Float. For masking the fraction of elements in [0, 1), for Gaussian
            noise its standard deviation >= 0 in the units of `x`.
        loss: `"mean_squared_error"`; `"binary_crossentropy"`, for inputs in [0, 1],
            with a decoder that outputs logits; `"auto"`: the latter if `x` is an array
            in [0, 1].
        epochs: Int >= 1.
        batch_size: Int >= 1, samples in a batch if `x` is an array.
        {{fit_options}}

    Returns:
        `Pretraining`: loss by epoch; you can print or plot it.

    {{errors}}

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
        They pretrain single layers; here the whole network is trained at once.
    """
    run = checked_run(OWNER, model, x, until, epochs, batch_size, fit_options)
    corruption = checked_corruption(OWNER, noise, noise_level)

    def spoil(inputs: Any, generator: keras.random.SeedGenerator) -> tuple[Any, Any]:
        return corruption(inputs, generator), None

    return reconstructed(OWNER, run, "denoising autoencoder", decoder, loss, spoil)
