"""A model cut where all before is frozen, and fed there with features, not data."""

import contextlib
import hashlib
import zlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_deeptools.engine._backends.common import on_host
from keras_deeptools.engine._dropout.stochastic_layers import stochastic_layers
from keras_deeptools.engine._graph.execution import (
    INPUTS,
    Step,
    Steps,
    graph_of,
    run_steps,
    variables_of,
)
from keras_deeptools.engine._keras_private.layers import (
    CHECKS_INPUTS,
    CONVERTS_INPUTS,
    TAKES_NON_TENSORS,
    flat_layers,
    held_generators,
    mask_of,
    own_flag,
    set_mask,
)
from keras_deeptools.engine._keras_private.registry import check_seams
from keras_deeptools.engine._patching import replaced

RATED = (
    keras.layers.Dropout,
    keras.layers.AlphaDropout,
    keras.layers.GaussianDropout,
    keras.layers.RNN,
    keras.layers.Attention,
    keras.layers.AdditiveAttention,
    keras.layers.MultiHeadAttention,
    keras.layers.GroupQueryAttention,
    keras.layers.LSTMCell,
    keras.layers.GRUCell,
    keras.layers.SimpleRNNCell,
)
"""Layers whose generator serves their dropout only, which may be off."""


def changes_in_training(layer: keras.Layer) -> bool:
    """Whether training changes the layer: its weights, statistics or state.

    Layers whose activity is penalized count too: the loss would lack the penalty.

    Args:
        layer: `keras.Layer`, for instance a model.
    """
    if any(variable.trainable for variable in layer.variables):
        return True
    quiet = _at_inference(layer)
    for inner in flat_layers(layer):
        if inner.activity_regularizer is not None or getattr(inner, "stateful", False):
            return True
        if id(inner) in quiet:
            continue
        if isinstance(inner, keras.layers.SpectralNormalization):
            return True
        if isinstance(inner, keras.layers.BatchNormalization) and own_flag(inner):
            return True
    return False


def draws_in_training(layer: keras.Layer) -> bool:
    """Whether the layer draws random numbers in training.

    These are dropout, noise and augmentation, and custom layers that hold a
    `SeedGenerator`. A layer that draws without one cannot be recognized.

    Args:
        layer: `keras.Layer`, for instance a model.
    """
    quiet = _at_inference(layer)
    dropping = {id(each) for each in stochastic_layers(layer)}
    return any(
        id(inner) in dropping
        or (bool(held_generators(inner)) and not isinstance(inner, RATED))
        or "StochasticDepth" in type(inner).__name__
        for inner in flat_layers(layer)
        if id(inner) not in quiet or getattr(inner, "stochastic_inference", False)
    )


def generator_states(layers: list[keras.Layer]) -> list[Any]:
    """The variables that the random generators of layers count with."""
    found = {
        id(generator.state): generator.state
        for layer in layers
        for inner in flat_layers(layer)
        for generator in held_generators(inner)
    }
    return list(found.values())


def _at_inference(layer: keras.Layer) -> set[int]:
    """Ids of the layers inside of those that always run as at inference."""
    return {
        id(inner)
        for outer in flat_layers(layer)
        if getattr(outer, "always_at_inference", False)
        for inner in flat_layers(outer)
    }


MASK = "_mask"


class FeatureCut:
    """A functional model in two parts: what training leaves as it is, and the rest.

    All that depends on no trained weight, on no statistics that training updates and on
    nothing random is before the cut, also inside of nested models.

    Args:
        model: `keras.Model`, built, with a graph.
        random: Bool. Whether random layers may stand before the cut: those that frozen
            weights stand after.

    Attributes:
        model: The model.
        steps: List of `Step`, what is before the cut.
        layers: List of `keras.Layer`, those before the cut.
        variables: List of their variables, without states of random generators.
        states: List of variables, the states of their random generators.
        blocking: List of random layers that frozen weights stand after.
        changing: List of operations that training changes, in order.
        trunks: Dict for `FeaturePass`, its compiled models.
        prefix: Str, with which the names of features begin where the model takes them;
            another one for every cut, so that no compiled step of another is found.

    Raises:
        ValueError: If the model has no graph.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.engine._frozen_features.cut import FeatureCut
    >>> model = keras.Sequential(
    ...     [keras.Input((2,)), keras.layers.Dense(3), keras.layers.Dense(1)]
    ... )
    >>> model.layers[0].trainable = False
    >>> cut = FeatureCut(model)
    >>> [layer.units for layer in cut.layers]
    [3]
    >>> features = cut.features(np.ones((4, 2), "float32"), training=True)
    >>> with cut.fed({name: "float32" for name in features}):
    ...     model(cut.inputs(features)).shape == model(np.ones((4, 2))).shape
    True
    """

    def __init__(self, model: keras.Model, random: bool = False) -> None:
        check_seams("FeatureCut", "layers", "graph", "training")
        graph = graph_of(model) if isinstance(model, keras.Model) else None
        if graph is None:
            raise ValueError(
                "FeatureCut: `model` must have a graph: be functional, or a built "
                f"Sequential. Received: {model!r}."
            )
        self.model = model
        self.is_random = random
        inside = flat_layers(model)
        changing = {id(each) for each in inside if changes_in_training(each)}
        drawing = {id(each) for each in inside if draws_in_training(each)}
        self._graph = Steps(graph, changing | drawing)
        used = [step.operation for step in self._graph.steps]
        self.changing = [each for each in used if id(each) in changing]
        # How far one gets where randomness does not count, and which steps of that
        # stand before frozen weights.
        furthest, _ = self._graph.cut(lambda step: id(step.operation) in changing)
        needed = _leading_to_weights(furthest)
        stopping = {id(step) for step in furthest if id(step.operation) in drawing}
        self.blocking = [s.operation for s in furthest if id(s) in stopping & needed]
        if random:
            stopping -= needed
        self.steps, self._after = self._graph.cut(
            lambda step: id(step.operation) in changing or id(step) in stopping
        )
        self._crossing = self._graph.crossing(self.steps, self._after)
        self.trunks: dict[bool, keras.Model] = {}
        self.prefix = f"cached_{zlib.crc32(repr(self._crossing).encode()):08x}_"
        operations = [step.operation for step in self.steps]
        self.layers = [each for each in operations if isinstance(each, keras.Layer)]
        self.states = generator_states(self.layers)
        states = {id(state) for state in self.states}
        self.variables = [v for v in variables_of(self.steps) if id(v) not in states]

    def is_frozen(self) -> bool:
        """Whether training still leaves all before the cut as it is."""
        if any(changes_in_training(layer) for layer in self.layers):
            return False
        return self.is_random or not any(map(draws_in_training, self.layers))

    def trains(self) -> bool:
        """Whether a variable before the cut is trained; quick to tell."""
        return any(variable.trainable for variable in self.variables)

    def digest(self) -> str:
        """A text that changes with any value before the cut."""
        total = hashlib.blake2b(digest_size=16)
        for variable in self.variables:
            values = np.ascontiguousarray(on_host(variable))
            total.update(f"{values.dtype}{values.shape}".encode())
            total.update(values.reshape(-1).view(np.uint8).data)
        return total.hexdigest()

    def state_values(self) -> list[list[int]]:
        """What the random generators before the cut draw from next."""
        return [on_host(state).tolist() for state in self.states]

    def features(self, x: Any, training: bool) -> dict[str, Any]:
        """The tensors that cross the cut, and the masks that they carry, by name.

        Args:
            x: Tensors, inputs of the model.
            training: Bool, whether layers run as in training.
        """
        values = run_steps(self.steps, {INPUTS: x}, self._crossing, training)
        found = {}
        for i, slot in enumerate(self._crossing):
            found[f"feature_{i}"] = values[slot]
            mask = mask_of(values[slot])
            if mask is not None:
                found[f"feature_{i}{MASK}"] = mask
        return found

    def inputs(self, features: dict[str, Any]) -> dict[str, Any]:
        """The `features` under the names by which the model knows them for such."""
        return {self.prefix + name: value for name, value in features.items()}

    @contextlib.contextmanager
    def fed(self, dtypes: dict[str, str]) -> Iterator[None]:
        """Lets the model run from the cut on where it is called on `inputs(features)`.

        All else is as always: the same variables, optimizer, metrics, callbacks and
        files. Called on data, the model runs as a whole.

        Args:
            dtypes: Name of a feature -> the dtype in which it comes out of the layers.
        """
        call, check = self.model.call, getattr(self.model, CHECKS_INPUTS)

        def routed(inputs: Any, training: Any = None, **arguments: Any) -> Any:
            if not self._are_features(inputs):
                return call(inputs, training=training, **arguments)
            values = {}
            for i, slot in enumerate(self._crossing):
                name = f"feature_{i}"
                value = inputs[self.prefix + name]
                values[slot] = keras.ops.cast(value, dtypes[name])
                mask = inputs.get(self.prefix + name + MASK)
                if mask is not None:
                    set_mask(values[slot], keras.ops.cast(mask, "bool"))
            outputs = self._graph.outputs
            return self._graph.packed(
                run_steps(self._after, values, outputs, bool(training))
            )

        def checked(inputs: Any, *rest: Any) -> Any:
            return None if self._are_features(inputs) else check(inputs, *rest)

        with (
            replaced(self.model, "call", routed),
            replaced(self.model, CHECKS_INPUTS, checked),
            # A Sequential of integers would make integers of features, too.
            replaced(self.model, CONVERTS_INPUTS, False),
            replaced(self.model, TAKES_NON_TENSORS, True),
        ):
            yield

    def _are_features(self, inputs: Any) -> bool:
        return isinstance(inputs, dict) and f"{self.prefix}feature_0" in inputs


def _leading_to_weights(steps: list[Step]) -> set[int]:
    """Ids of the steps with weights, and of those whose values reach one."""
    found: set[int] = set()
    wanted: set[Any] = set()
    for step in reversed(steps):
        weighted = isinstance(step.operation, keras.Layer) and step.operation.weights
        if weighted or wanted.intersection(step.outputs):
            found.add(id(step))
            wanted.update(step.inputs)
    return found
