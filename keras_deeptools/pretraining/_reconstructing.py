"""Training an encoder to give back what was spoiled."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_deeptools._arguments import checked_option, message
from keras_deeptools.engine._graph.calls import calls_of
from keras_deeptools.engine._retraining.retrain import leaves_of
from keras_deeptools.pretraining._encoder import Encoder, Pretrainer
from keras_deeptools.pretraining._mirrored_layers import mirror
from keras_deeptools.pretraining._pretraining import Pretraining, Run

LOSSES = ("auto", "mean_squared_error", "binary_crossentropy")


def chosen_loss(owner: str, loss: str, x: Any) -> str:
    """The loss for the argument `loss`: for arrays in [0, 1] the cross-entropy."""
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
    """An error where inputs are whole numbers, such as the indices of words."""
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
    """The name of the layer that looks the inputs up, if there is one."""
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
    """Whether a layer of the user's own holds an embedding and no other weights."""
    leaves = [leaf for leaf in leaves_of(layer) if leaf.weights]
    return all(isinstance(leaf, keras.layers.Embedding) for leaf in leaves)


def checked_decoder(owner: str, decoder: Any, encoder: Encoder) -> keras.Layer | None:
    """A decoder of the user's, built and of fitting shape; None stays None."""
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
    """The decoder given, or the mirrored one."""
    return mirror(owner, encoder) if decoder is None else decoder


def _does_not_fit(owner: str, given: Any, wanted: Any, found: str) -> str:
    return (
        f"{owner}: `decoder` must map rows of shape {given} to {wanted}. Received: a "
        f"decoder that gives {found}. Leave it out for a mirrored one."
    )


Spoil = Callable[[Any, keras.random.SeedGenerator], tuple[Any, Any]]
"""From inputs and a seed to spoiled inputs and where to compare, 1 or 0; or None."""


class Reconstruction(Pretrainer):
    """Minimizes the error between inputs and what is decoded from spoiled ones.

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
        """The reconstruction, what it should be, and where to compare them."""
        target = self.taken(inputs)
        spoiled, where = self.spoil(target, self.noise_seed)
        codes = self.encoder(spoiled, training=bool(training))
        decoded = self.decoder(codes, training=bool(training))
        target = ops.cast(target, "float32")
        where = ops.ones_like(target) if where is None else ops.cast(where, "float32")
        return ops.cast(decoded, "float32"), target, where

    def loss_of(self, outputs: Any) -> Any:
        """Mean error over the elements that are compared."""
        decoded, target, where = outputs
        if self.error == "binary_crossentropy":
            # As log(1 + exp(z)) - x z, which no large logit can spoil.
            error = ops.softplus(decoded) - target * decoded
        else:
            error = ops.square(decoded - target)
        return ops.sum(where * error) / ops.sum(where)

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        """Nothing but the loss."""
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
        title: Str, what is trained.
        decoder: `keras.Layer`, or None for a mirrored one.
        loss: Str, as the user gave it.
        spoil: Function of inputs and a seed generator that gives spoiled inputs and
            where to compare, None for everywhere.
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
