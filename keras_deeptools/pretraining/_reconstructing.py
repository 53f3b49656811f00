"""Training an encoder to give back what was spoiled."""

from collections.abc import Callable
from typing import Any

import keras

from keras_deeptools.pretraining._pretraining import Pretraining
from keras_deeptools.pretraining._reconstruction import Reconstruction
from keras_deeptools.pretraining._reconstruction_arguments import (
    check_floats,
    checked_decoder,
    chosen_loss,
    decoder_for,
)
from keras_deeptools.pretraining._run import Run


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
