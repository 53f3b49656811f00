"""A model as a function of its weights."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_deeptools.engine._keras_private.layers import (
    flat_layers,
    held_generators,
    takes_training,
)


class ModelFunction:
    """Computes the outputs of a model or layer with other weights, without changing it.

    The flags of layers apply: for instance, frozen BatchNormalization uses its moving
    averages.

    Args:
        layer: `keras.Layer`, built, for instance a model.

    Attributes:
        trainable: List of `keras.Variable` that the layer trains.
        states: List of the others, seeds of random layers among them.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.engine._passes.functional_call import ModelFunction
    >>> function = ModelFunction(
    ...     keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    ... )
    >>> weights = [np.ones((2, 1), "float32"), np.ones(1, "float32")]
    >>> outputs, states, losses = function(weights, [], np.ones((1, 2)), training=True)
    >>> keras.ops.convert_to_numpy(outputs).tolist()
    [[3.0]]
    """

    def __init__(self, layer: keras.Layer) -> None:
        self._layer = layer
        self.trainable = list(layer.trainable_variables)
        self.states = list(layer.non_trainable_variables)
        self._seeds = {
            id(generator.state)
            for inner in flat_layers(layer)
            for generator in held_generators(inner)
        }

    def is_seed(self, variable: Any) -> bool:
        """Whether a variable is the state of a random layer."""
        return id(variable) in self._seeds

    def __call__(
        self,
        trainable: Sequence[Any],
        states: Sequence[Any],
        inputs: Any,
        training: bool,
    ) -> tuple[Any, list[Any], list[Any]]:
        """Outputs, new states and losses (of regularizers) for some inputs.

        A state that has not changed is returned as the same object.

        Args:
            trainable: Tensors that replace `trainable`.
            states: Tensors that replace `states`.
            inputs: Tensor, the inputs of the layer.
            training: Bool.
        """
        options = {"training": training} if takes_training(self._layer) else {}
        mapped = [keras.ops.convert_to_tensor(value) for value in trainable]
        kept = [keras.ops.convert_to_tensor(value) for value in states]
        outputs, found, losses = self._layer.stateless_call(
            mapped, kept, inputs, return_losses=True, **options
        )
        triples = zip(states, kept, found, strict=True)
        new = [given if value is old else value for given, old, value in triples]
        return outputs, new, losses
