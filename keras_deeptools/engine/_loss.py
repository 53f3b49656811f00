"""A loss like the one that a model is compiled with, and apart from it."""

from collections.abc import Callable
from typing import Any

import keras
from keras.src import backend
from keras.src.trainers.compile_utils import CompileLoss


def loss_of(model: keras.Model, loss: Any, inputs: Any, targets: Any) -> Callable:
    """A function of a batch and predictions; the model's own counts what it has seen.

    Args:
        model: `keras.Model`, built.
        loss: As in `compile`, or None for the loss that the model was compiled with;
            where it was with none, its own `compute_loss`.
        inputs: Tensors of a batch.
        targets: Its targets.

    Returns:
        Function of inputs, targets and predictions that returns the weighted sum of the
        mean losses of all outputs.

    Raises:
        ValueError: If there is no loss.
    """
    weights = None
    if loss is None:
        compiled = getattr(model, "_compile_loss", None)
        if type(model).compute_loss is not keras.Model.compute_loss:
            return lambda x, y, predicted: model._compute_loss(
                x=x, y=y, y_pred=predicted, sample_weight=None, training=False
            )
        if compiled is None or compiled._user_loss is None:
            raise ValueError(
                "Capture: `loss` must be given, or the model compiled with one. "
                "Received: loss=None. Pass the loss that the model will train on."
            )
        loss, weights = compiled._user_loss, compiled._user_loss_weights
    names = getattr(model, "output_names", None)
    own = CompileLoss(loss, weights, output_names=names)
    inputs, targets = keras.tree.map_structure(_spec, (inputs, targets))
    # Called like a layer, which accepts what `fit` accepts, a missing last axis of one.
    own.build(targets, backend.compute_output_spec(model, inputs, training=False))
    return lambda x, y, predicted: own(y, predicted)


def has_loss(model: keras.Model) -> bool:
    """Whether a model was compiled with a loss, or computes one itself.

    Args:
        model: `keras.Model`.
    """
    compiled = getattr(model, "_compile_loss", None)
    if type(model).compute_loss is not keras.Model.compute_loss:
        return True
    return compiled is not None and compiled._user_loss is not None


def _spec(tensor: Any) -> keras.KerasTensor:
    dtype = keras.backend.standardize_dtype(tensor.dtype)
    return keras.KerasTensor(tensor.shape, dtype)
