"""A model cut where all before is frozen, fed there with features instead of data."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
from keras.src.backend.common.masking import get_keras_mask, set_keras_mask

from keras_deeptools.engine._attributes import replaced
from keras_deeptools.engine._graph_steps import (
    INPUTS,
    Step,
    Steps,
    graph_of,
    run_steps,
    variables_of,
)
from keras_deeptools.engine._steadiness import changes_in_training, draws_in_training

PREFIX = "keras_deeptools_feature_"


class FeatureCut:
    """A functional model in two parts: what training leaves as it is, and the rest.

    Everything that depends on no trained weight, on no statistics that training updates
    and on nothing random is before the cut, also inside of nested models.

    Args:
        model: `keras.Model`, built, with a graph.
        random: Bool. Whether random layers may stand before the cut: those that frozen
            weights follow after.

    Attributes:
        model: The model.
        num_features: Int, tensors that cross the cut.
        variables: Variables before the cut, in order.
        layers: Layers before the cut.
        blocking: Random layers that frozen weights stand after; empty with `random`.
        first_trained: The first layer that training changes, or None.
    """

    def __init__(self, model: keras.Model, random: bool = False) -> None:
        graph = graph_of(model)
        if graph is None:
            raise ValueError(
                "FeatureCut: `model` must have a graph. Received: "
                f"{type(model).__name__} {model.name!r}."
            )
        self.model = model
        inside = list(model._flatten_layers())
        changing = {id(each) for each in inside if changes_in_training(each)}
        drawing = {id(each) for each in inside if draws_in_training(each)}
        self._steps = Steps(graph, changing | drawing)
        changed = [s.operation for s in self._steps.steps if id(s.operation) in changing]
        self.first_trained = changed[0] if changed else None
        # As far as one gets if randomness does not count; up to the last weights there.
        furthest, _ = self._steps.cut(lambda step: id(step.operation) in changing)
        needed = _needed(furthest)
        stopping = {id(step) for step in furthest if id(step.operation) in drawing}
        if random:
            stopping -= needed
        self.blocking = [
            step.operation
            for step in furthest
            if id(step) in stopping and id(step) in needed
        ]
        self._before, self._after = self._steps.cut(
            lambda step: id(step.operation) in changing or id(step) in stopping
        )
        self._crossing = self._steps.crossing(self._before, self._after)
        self.num_features = len(self._crossing)
        self.variables = variables_of(self._before)
        self.layers = [
            step.operation
            for step in self._before
            if isinstance(step.operation, keras.Layer)
        ]

    def trunk(self, training: bool) -> keras.Model:
        """What is before the cut as a model: inputs -> dict of features and masks."""
        return _Trunk(self, training)

    def features(self, x: Any, training: bool) -> dict[str, Any]:
        """The features of a batch, named for `fed`, and the masks that they carry."""
        values = run_steps(self._before, {INPUTS: x}, self._crossing, training)
        found = {}
        for i, slot in enumerate(self._crossing):
            found[f"{PREFIX}{i}"] = values[slot]
            mask = get_keras_mask(values[slot])
            if mask is not None:
                found[f"{PREFIX}{i}_mask"] = mask
        return found

    @contextlib.contextmanager
    def fed(self, dtypes: dict[str, str]) -> Iterator[None]:
        """Lets the model run from the cut on where it is called on features.

        Everything else is as always: the same variables, optimizer, metrics and
        callbacks. Called on data, the model runs as a whole.

        Args:
            dtypes: Name of a feature -> dtype in which it comes out of the layers.
        """
        call, check = self.model.call, self.model._assert_input_compatibility

        def routed(inputs: Any, training: Any = None, **arguments: Any) -> Any:
            if not _is_features(inputs):
                return call(inputs, training=training, **arguments)
            values = {}
            for i, slot in enumerate(self._crossing):
                name = f"{PREFIX}{i}"
                value = keras.ops.cast(inputs[name], dtypes[name])
                if f"{name}_mask" in inputs:
                    set_keras_mask(value, keras.ops.cast(inputs[f"{name}_mask"], "bool"))
                values[slot] = value
            run = (self._after, values, self._steps.outputs, bool(training))
            return self._steps.packed(run_steps(*run))

        def checked(inputs: Any, *rest: Any) -> Any:
            return None if _is_features(inputs) else check(inputs, *rest)

        with (
            replaced(self.model, "call", routed),
            replaced(self.model, "_assert_input_compatibility", checked),
        ):
            yield


class _Trunk(keras.Model):
    def __init__(self, cut: FeatureCut, training: bool) -> None:
        super().__init__(name=f"{cut.model.name}_features")
        self._cut = [cut.features]
        self._held = list(cut.layers)
        self._training = training
        self._convert_input_args = False
        self._allow_non_tensor_positional_args = True
        self.built = True

    def call(self, x: Any) -> dict[str, Any]:
        return self._cut[0](x, self._training)


def _is_features(inputs: Any) -> bool:
    return isinstance(inputs, dict) and f"{PREFIX}0" in inputs


def _needed(steps: list[Step]) -> set[int]:
    """Ids of the steps that weights among the steps depend on."""
    needed: set[int] = set()
    slots: set[Any] = set()
    for step in reversed(steps):
        operation = step.operation
        weighted = isinstance(operation, keras.Layer) and operation.weights
        if weighted or slots.intersection(step.outputs):
            needed.add(id(step))
            slots.update(step.inputs)
    return needed
