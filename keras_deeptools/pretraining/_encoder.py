"""The part of a model that is pretrained as a whole, and the model that trains it."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_deeptools._arguments import checked_model, message
from keras_deeptools.engine._graph.calls import calls_of, submodel
from keras_deeptools.engine._graph.tensors import tensor_after, tensor_before_head
from keras_deeptools.engine._retraining.retrain import leaves_of
from keras_deeptools.engine._state.temporary_weights import ModelFunction


class Encoder:
    """A model up to one of its tensors; it is only read until `land` is called.

    Args:
        owner: Str, who is named in errors.
        model: `keras.Model`, functional or a built Sequential, with one input.
        until: Str, name of the last layer; None: all layers before the last one with
            weights.

    Attributes:
        graph: `keras.Model`, that part of the model.
        function: `ModelFunction` of it.
        policy: `keras.DTypePolicy` of its layers.

    Raises:
        TypeError: If `model` is not a Keras model, or `until` not a string.
        ValueError: If the model cannot be cut there, or nothing before it is trainable.
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
        """Whether the channels of maps come before their sizes."""
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
        """Writes values into the model's own weights; seeds keep their values."""
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
    """Returns the layers that hold weights, in the order of computation, each once."""
    found = [
        leaf
        for call in calls_of(model) or ()
        if isinstance(call.operation, keras.Layer)
        for leaf in leaves_of(call.operation)
        if leaf.weights
    ]
    return list({id(leaf): leaf for leaf in found}.values())


def _policy(graph: keras.Model) -> Any:
    """Returns the policy of the first layer with weights in half precision.

    If there is none, it returns that of the first layer with weights.
    """
    policies = [leaf.dtype_policy for leaf in _leaves(graph)]
    halves = [each for each in policies if each.compute_dtype.endswith("16")]
    return (halves or policies)[0]


class Pretrainer(keras.Model):
    """Holds the encoder's weights as its own; the encoder's model is only read.

    Subclasses define in `call` what to compute and in `loss_of` what to minimize.
    The model computes in the encoder's precision, with loss scaling for float16.

    Args:
        encoder: `Encoder`.
        seed: Int >= 0, seed of all random numbers in training.
    """

    def __init__(self, encoder: Encoder, seed: int) -> None:
        super().__init__(name="pretrainer", dtype=encoder.policy, autocast=False)
        self.noise_seed = keras.random.SeedGenerator(seed)
        self.input_type = encoder.inputs.dtype
        self.encoder = Copied(self, encoder.function, seed)
        self.measures: dict[str, keras.metrics.Mean] = {}

    def taken(self, inputs: Any) -> Any:
        """Returns inputs in the dtype that the encoder takes."""
        return ops.cast(inputs, self.input_type)

    def measure(self, **values: Any) -> dict[str, Any]:
        """Adds a batch to the means of an epoch, and returns all of them."""
        for name, value in values.items():
            self.measures[name].update_state(value)
        return self.get_metrics_result()

    def loss_of(self, outputs: Any) -> Any:
        """Returns the value to minimize, computed from what `call` returns."""
        raise NotImplementedError

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Returns the loss of the outputs plus those of the encoder's regularizers."""
        loss = self.loss_of(y_pred)
        return sum((ops.cast(each, loss.dtype) for each in self.losses), loss)


class Copied:
    """A `ModelFunction` with weights that another model owns.

    Args:
        owner: `keras.Model` that gets the weights.
        function: `ModelFunction`.
        seed: Int >= 0. The states of random layers are drawn from it.
    """

    def __init__(self, owner: keras.Model, function: ModelFunction, seed: int) -> None:
        generator = np.random.default_rng(seed)
        self._owner, self._function = owner, function
        self.trainable = [copied(owner, each, each) for each in function.trainable]
        self.states = []
        for state in function.states:
            value = state
            if function.is_seed(state):
                value = generator.integers(2**31 - 1, size=state.shape)
            self.states.append(copied(owner, state, value))

    def __call__(self, inputs: Any, training: bool) -> Any:
        """Returns the output; in training it updates states and adds regularization."""
        outputs, states, losses = self._function(
            self.trainable, self.states, inputs, training
        )
        triples = zip(self.states, self._function.states, states, strict=True)
        for own, original, new in triples:
            # Writing what has not changed would break gradients that go through it.
            if new is not own and (training or self._function.is_seed(original)):
                own.assign(new)
        for loss in losses:
            self._owner.add_loss(loss)
        return outputs

    def values(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Returns trained weights and states, on the host."""
        return [on_host(v) for v in self.trainable], [on_host(v) for v in self.states]


def copied(
    owner: keras.Model, variable: Any, value: Any, regularizer: Any = None
) -> Any:
    """Adds a weight to `owner` that is like `variable`, with its own value."""
    copy = owner.add_weight(
        shape=variable.shape,
        initializer="zeros",
        dtype=variable.dtype,
        name=variable.name,
        trainable=variable.trainable,
        regularizer=regularizer,
        constraint=variable.constraint,
    )
    # Copied on the host, because compiled steps reuse the memory of what they train.
    copy.assign(on_host(value))
    return copy


def on_host(value: Any) -> np.ndarray:
    """Returns a copy of a variable or a tensor in numpy."""
    if isinstance(value, keras.Variable):
        value = value.value
    return np.array(ops.convert_to_numpy(value))
