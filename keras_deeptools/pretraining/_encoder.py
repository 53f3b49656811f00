"""The part of a model that is pretrained as a whole."""

from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import checked_model, message
from keras_deeptools.engine._graph.calls import calls_of, submodel
from keras_deeptools.engine._graph.tensors import tensor_after, tensor_before_head
from keras_deeptools.engine._passes.functional_call import ModelFunction
from keras_deeptools.engine._retraining.trainability import leaves_of


class Encoder:
    """A model up to one of its tensors; itself it is only read until `land`.

    Args:
        owner: Str, who is named in errors.
        model: `keras.Model`, functional or a built Sequential, of one input.
        until: Str, name of the last layer; None: all before the last layer with
            weights.

    Attributes:
        graph: `keras.Model`, that part of the model.
        function: `ModelFunction` of it.
        policy: `keras.DTypePolicy` that its layers compute in.

    Raises:
        TypeError: If `model` is no Keras model, or `until` no string.
        ValueError: If the model cannot be cut there, or nothing before it trains.
    """

    def __init__(self, owner: str, model: keras.Model, until: str | None) -> None:
        checked_model(owner, model)
        if until is None:
            tensor = tensor_before_head(model, owner)
        elif isinstance(until, str):
            tensor = tensor_after(model, until, owner, "until")
        else:
            rule = "None or the name of a layer"
            raise TypeError(message(owner, "until", rule, until))
        if len(model.inputs) != 1:
            raise ValueError(
                f"{owner}: `model` must have one input. Received: {model.name!r}, "
                f"which has {len(model.inputs)}."
            )
        if tensor is model.inputs[0]:
            raise ValueError(_nothing_trains(owner, model.name))
        self.graph = submodel(model, tensor)
        self.function = ModelFunction(self.graph)
        if not self.function.trainable:
            raise ValueError(_nothing_trains(owner, model.name))
        self.policy = _policy(self.graph)
        self._whole = model

    @property
    def inputs(self) -> Any:
        """The symbolic input."""
        return self.graph.inputs[0]

    @property
    def codes(self) -> Any:
        """The symbolic output."""
        return self.graph.outputs[0]

    @property
    def channels_first(self) -> bool:
        """Whether the channels of maps stand before their sizes."""
        formats = [
            getattr(call.operation, "data_format", None)
            for call in calls_of(self.graph) or ()
        ]
        found = [each for each in formats if each is not None]
        return (found or [keras.config.image_data_format()])[0] == "channels_first"

    @property
    def trained(self) -> tuple[str, ...]:
        """Names of the layers that are pretrained, in the order of computation."""
        leaves = _leaves(self.graph)
        return tuple(leaf.name for leaf in leaves if leaf.trainable_variables)

    @property
    def left(self) -> dict[str, str]:
        """Names of the model's other layers with weights, each with the reason."""
        inside = {id(leaf) for leaf in _leaves(self.graph)}
        reasons = {}
        for leaf in _leaves(self._whole):
            if id(leaf) not in inside:
                reasons[leaf.name] = "not in the encoder"
            elif not leaf.trainable_variables:
                reasons[leaf.name] = "frozen"
        return reasons

    def land(self, trainable: list[np.ndarray], states: list[np.ndarray]) -> None:
        """Puts values into the model's own weights; seeds stay as they are."""
        variables = [*self.function.trainable, *self.function.states]
        for variable, value in zip(variables, [*trainable, *states], strict=True):
            if not self.function.is_seed(variable):
                variable.assign(value)


def _nothing_trains(owner: str, name: str) -> str:
    return (
        f"{owner}: `model` must have layers that train before the head. Received: "
        f"{name!r}, which has none there. Unfreeze some; where the model has no head, "
        "name its last layer in `until`; pretrain a nested model by itself, its layers "
        "are shared."
    )


def _leaves(model: keras.Model) -> list[keras.Layer]:
    """The layers that hold weights, in the order of computation, each once."""
    found = [
        leaf
        for call in calls_of(model) or ()
        if isinstance(call.operation, keras.Layer)
        for leaf in leaves_of(call.operation)
        if leaf.weights
    ]
    return list({id(leaf): leaf for leaf in found}.values())


def _policy(graph: keras.Model) -> Any:
    """The policy of the first layer with weights that computes in half precision.

    The first of all where none does.
    """
    policies = [leaf.dtype_policy for leaf in _leaves(graph)]
    halves = [each for each in policies if each.compute_dtype.endswith("16")]
    return (halves or policies)[0]
