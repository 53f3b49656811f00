"""The arguments that a model was compiled with, and the loss of each output."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras

from keras_deeptools.engine._backends.active import training
from keras_deeptools.engine._keras_private.layers import output_spec
from keras_deeptools.engine._keras_private.training import (
    compile_config,
    compute_own_loss,
    loss_given,
    loss_weights_given,
    new_loss,
    whole_loss,
)


def compile_arguments(model: keras.Model) -> dict[str, Any]:
    """The arguments of `compile` for a model like this one, without the optimizer.

    Metrics are new objects, so that those of the model keep their own state.

    Args:
        model: `keras.Model`.

    Returns:
        Dict of arguments; empty for a model that is not compiled.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._passes.compiled_with import compile_arguments
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", loss="mse", metrics=["mae"])
    >>> arguments = compile_arguments(model)
    >>> arguments["loss"], arguments["metrics"]
    ('mse', ['mae'])
    """
    if not model.compiled:
        return {}
    arguments = compile_config(model)
    arguments.pop("optimizer")
    for name in ("metrics", "weighted_metrics"):
        arguments[name] = keras.tree.map_structure(_fresh, arguments.get(name))
    return arguments


def _fresh(metric: Any) -> Any:
    if isinstance(metric, keras.metrics.Metric):
        return type(metric).from_config(metric.get_config())
    return metric


def loss_of(model: keras.Model, loss: Any, inputs: Any, targets: Any) -> Callable:
    """The loss as a function of a batch and predictions, without the model's counts.

    Args:
        model: `keras.Model`, built.
        loss: As in `compile`, or None for the loss that the model was compiled with;
            if there is none, its own `compute_loss`.
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
        loss = loss_given(model)
        if loss is None:
            if computes_loss(model):
                return lambda x, y, predicted: whole_loss(
                    compute_own_loss(
                        model,
                        x=x,
                        y=y,
                        y_pred=predicted,
                        sample_weight=None,
                        training=False,
                    )
                )
            raise ValueError(
                "Capture: `loss` must be given, or the model compiled with one. "
                "Received: loss=None. Pass the loss that the model will train on."
            )
        weights = loss_weights_given(model)
    names = getattr(model, "output_names", None)
    own = new_loss(loss, weights, names)
    inputs, targets = keras.tree.map_structure(_spec, (inputs, targets))
    # Called like a layer, which accepts what `fit` accepts, a missing last axis of one.
    own.build(targets, output_spec(model, inputs, training=False))
    return lambda x, y, predicted: whole_loss(own(y, predicted))


def has_loss(model: keras.Model) -> bool:
    """Whether a model was compiled with a loss, or computes one itself.

    Args:
        model: `keras.Model`.
    """
    return loss_given(model) is not None or computes_loss(model)


def computes_loss(model: keras.Model) -> bool:
    """Whether a model has a custom `compute_loss`, which may need no targets.

    Args:
        model: `keras.Model`.
    """
    return type(model).compute_loss is not keras.Model.compute_loss


def _spec(tensor: Any) -> keras.KerasTensor:
    dtype = keras.backend.standardize_dtype(tensor.dtype)
    return keras.KerasTensor(tensor.shape, dtype)


@contextlib.contextmanager
def row_losses() -> Iterator[None]:
    """A block in which the sparse cross-entropy takes pixels as samples, on torch.

    Keras 3.15 gives torch a view with the classes moved to the second axis, for which
    torch computes no gradient on a CPU ("grad_input must be contiguous"). With pixels
    as samples the values are the same.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.engine._passes.compiled_with import row_losses
    >>> masks, odds = np.zeros((1, 2, 2)), np.full((1, 2, 2, 3), 1 / 3)
    >>> with row_losses():
    ...     losses = keras.losses.sparse_categorical_crossentropy(masks, odds)
    >>> losses.shape == (1, 2, 2)
    True
    """
    with training.row_losses():
        yield


@dataclass(frozen=True)
class Head:
    """One output of a model.

    Attributes:
        key: Its key or index among the outputs; None for a single output.
        name: Str, its name; empty for a single output.
        loss: Its loss, as compiled.
        shape: Tuple, its shape if known, else empty.
    """

    key: Any
    name: str
    loss: Any
    shape: tuple[int | None, ...] = ()

    def part_of(self, structure: Any) -> Any:
        """The part of outputs, targets or weights that belongs to this output."""
        if structure is None or self.key is None:
            return structure
        if isinstance(structure, dict):
            return structure.get(self.key, structure.get(self.name))
        if isinstance(structure, list | tuple):
            return structure[self.key]
        return structure


def heads_of(owner: str, model: keras.Model) -> list[Head]:
    """The outputs of a model that have a loss.

    Args:
        owner: Str. Name of the caller, for errors.
        model: `keras.Model`, compiled.
    """
    loss = model.loss
    outputs = getattr(model, "outputs", None) or []
    names = list(getattr(model, "output_names", None) or [])
    structure = model.output if len(outputs) > 1 else None
    if isinstance(loss, list | tuple) and len(loss) == 1 and len(outputs) <= 1:
        loss = loss[0]
    if len(outputs) <= 1 and not isinstance(loss, dict | list | tuple):
        shape = tuple(outputs[0].shape) if outputs else ()
        return [Head(None, "", loss, shape)]
    if isinstance(loss, dict):
        keys: list[Any] = list(loss)
        if not isinstance(structure, dict) and names:
            keys = [names.index(key) for key in keys]
        found = [
            Head(key, str(name), each)
            for key, (name, each) in zip(keys, loss.items(), strict=True)
        ]
    else:
        keys = list(structure) if isinstance(structure, dict) else []
        count = len(outputs) or len(loss)
        losses = loss if isinstance(loss, list | tuple) else [loss] * count
        found = [
            Head(keys[i] if keys else i, names[i] if i < len(names) else "", each)
            for i, each in enumerate(losses)
        ]
    found = [head for head in found if head.loss is not None]
    if not found:
        raise ValueError(
            f"{owner}: the model must have a loss for one of its outputs. Received: "
            f"loss={loss!r}. Compile it with a loss for each output that counts."
        )
    return found
