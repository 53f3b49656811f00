"""Other values in the variables of a model, for a while or for one call."""

import contextlib
import functools
from collections.abc import Iterator, Sequence
from typing import Any

import keras
from keras import ops

from keras_deeptools.engine._backends.active import tensors, training
from keras_deeptools.engine._keras_private.layers import (
    flat_layers,
    held_generators,
    takes_training,
)
from keras_deeptools.engine._patching import replaced


class StandIns:
    """Values that stand in for a model's own until these are put back.

    Args:
        model: `keras.Model`, or None where no compiled step holds the variables.

    Attributes:
        model: The model, or None.
        own: List of tuples of a `keras.Variable` and a tensor, the model's own value of
            each variable that shows another one now.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._state.temporary_weights import StandIns
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> stand_ins = StandIns(model)
    >>> stand_ins.show([(model.weights[1], keras.ops.ones(1))])
    >>> model.get_weights()[1].tolist()
    [1.0]
    >>> stand_ins.hide()
    >>> model.get_weights()[1].tolist()
    [0.0]
    """

    def __init__(self, model: keras.Model | None) -> None:
        self.model = model
        self.own: list[tuple[Any, Any]] = []

    def show(self, values: list[tuple[Any, Any]]) -> None:
        """Shows values; to be called between steps.

        Args:
            values: List of tuples of a `keras.Variable` and a tensor or array of its
                shape, of any floating type.
        """
        if self.model is not None:
            training.synchronize(self.model)
        variables = [variable for variable, _ in values]
        own = tensors.snapshot(variables, None)
        self.own += zip(variables, own, strict=True)
        for variable, value in values:
            # A copy: two variables must not share memory that a step may reuse.
            variable.assign(ops.cast(ops.copy(value), variable.dtype))

    def hide(self) -> None:
        """Puts back the model's own values; does nothing where they are there."""
        own, self.own = self.own, []
        if own and self.model is not None:
            training.synchronize(self.model)
        # One that was shown twice had its own value the first time.
        for variable, value in reversed(own):
            variable.assign(value)

    def keep(self) -> None:
        """Leaves the values that are shown in place for good."""
        self.own = []

    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        """Puts the model's own values back where an error ends its `evaluate`."""
        if self.model is None:
            yield
            return
        evaluate = self.model.evaluate

        @functools.wraps(evaluate)
        def evaluate_or_hide(*args: Any, **kwargs: Any) -> Any:
            try:
                return evaluate(*args, **kwargs)
            except BaseException:
                self.hide()
                raise

        with replaced(self.model, "evaluate", evaluate_or_hide):
            yield


def constrained_values(variables: list[Any]) -> list[Any]:
    """The values of variables as Keras' constraints will leave them after the update.

    Args:
        variables: List of `keras.Variable`.

    Returns:
        List of tensors.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._state.temporary_weights import constrained_values
    >>> variable = keras.Variable([-1.0, 2.0])
    >>> variable.constraint = keras.constraints.NonNeg()
    >>> keras.ops.convert_to_numpy(constrained_values([variable])[0]).tolist()
    [0.0, 2.0]
    """
    return [
        v.value if v.constraint is None else v.constraint(v.value) for v in variables
    ]


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
    >>> from keras_deeptools.engine._state.temporary_weights import ModelFunction
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
