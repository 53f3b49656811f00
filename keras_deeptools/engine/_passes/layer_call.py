"""Every call of every layer while a model runs, with its outputs."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from keras_deeptools.engine._backends.active import programs
from keras_deeptools.engine._graph.layers import layers_of
from keras_deeptools.engine._keras_private.graph import functional_in
from keras_deeptools.engine._keras_private.layers import flat_layers
from keras_deeptools.engine._patching import Replacement

OPAQUE = (keras.layers.RNN, keras.layers.TimeDistributed)
"""Layers that run others inside a loop: one outer call, and many calls inside."""


@dataclass(frozen=True, eq=False)
class LayerCall:
    """One call of one layer, as part of a pass over a model.

    Made by `Capture`. A layer that is used twice has two such calls.

    Attributes:
        layer: The `keras.Layer`, or the operation of a functional graph, such as that
            of `a + b`.
        name: Str. Names of the models and layers around the layer and its own name,
            joined by `/`; from the second use of a name on, followed by `#2`, `#3`, ...
        number: Int, 1 at the layer's first call.
        variables: Dict from role, such as `"kernel"`, to the variables that the layer
            itself holds; for a recurrent layer, the variables of its cells.
        activation: The activation function fused into the layer, or None.
        has_parts: Bool. Whether calls of other layers are part of this one.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.engine import Capture
    >>> dense = keras.layers.Dense(2, name="dense")
    >>> model = keras.Sequential([keras.Input((2,)), dense, dense])
    >>> [call.name for call in Capture(model)(np.ones((1, 2))).calls]
    ['dense', 'dense#2']
    """

    layer: Any
    name: str
    number: int
    variables: dict[str, Any]
    activation: Callable | None
    has_parts: bool


@dataclass
class _Frame:
    """A call that has not returned yet."""

    call: LayerCall
    pre_activation: Any = None


class Taps:
    """A context in which the calls of a model's layers are seen, and may be changed.

    Layers look up `call` and `activation` on themselves, so replacing these attributes
    on the instance works for every kind of model.

    Args:
        model: Built `keras.Model`.
        pre_activation: Function of a `LayerCall` of a layer with variables and its
            output before the fused activation; the value that it returns replaces it.
        output: Function of a `LayerCall`, the output before the fused activation (the
            output itself if there is none) and the output.
        entered: Function of a `LayerCall` and its first argument, called first.
        called: Function of a `LayerCall` and the tuple of its arguments without names,
            called first.
    """

    def __init__(
        self,
        model: Any,
        pre_activation: Callable,
        output: Callable,
        entered: Callable | None = None,
        called: Callable | None = None,
    ) -> None:
        self._entered = entered
        self._called = called
        self._pre_activation = pre_activation
        self._output = output
        self._tapped = _tapped(model)
        self._replaced: list[Replacement] = []
        self._stack: list[_Frame] = []
        self._names: Counter[str] = Counter()
        self._numbers: Counter[int] = Counter()

    def __enter__(self) -> "Taps":
        self._trace = programs.trace_state()
        try:
            for layer, variables in self._tapped:
                self._tap(layer, variables)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: Any) -> None:
        while self._replaced:
            self._replaced.pop().undo(force=True)

    def _tap(self, layer: Any, variables: dict[str, Any]) -> None:
        activation = getattr(layer, "activation", None) if variables else None
        if not callable(activation) or isinstance(layer, OPAQUE):
            activation = None
        if activation is not None:
            self._replace(layer, "activation", self._activation(layer, activation))
        self._replace(layer, "call", self._call(layer, variables, activation))
        if not getattr(layer, "built", True):
            self._replace(layer, "build", _refusal(layer))

    def _replace(self, layer: Any, name: str, function: Callable) -> None:
        self._replaced.append(Replacement(layer, name, function))

    def _activation(self, layer: Any, original: Callable) -> Callable:
        def activation(x: Any, *arguments: Any, **options: Any) -> Any:
            frame = self._stack[-1] if self._stack else None
            if frame and frame.call.layer is layer and frame.pre_activation is None:
                x = frame.pre_activation = self._pre_activation(frame.call, x)
            return original(x, *arguments, **options)

        return activation

    def _call(
        self, layer: Any, variables: dict[str, Any], activation: Callable | None
    ) -> Callable:
        original = layer.call
        has_parts = not isinstance(layer, OPAQUE) and len(_inner(layer)) > 1

        def call(*arguments: Any, **options: Any) -> Any:
            inside = self._stack and isinstance(self._stack[-1].call.layer, OPAQUE)
            if inside or programs.trace_state() != self._trace:
                return original(*arguments, **options)
            path = [self._stack[-1].call.name] if self._stack else []
            name = _numbered("/".join([*path, layer.name]), self._names)
            self._numbers[id(layer)] += 1
            number = self._numbers[id(layer)]
            frame = _Frame(
                LayerCall(layer, name, number, variables, activation, has_parts)
            )
            if self._entered is not None and arguments:
                self._entered(frame.call, arguments[0])
            if self._called is not None:
                self._called(frame.call, arguments)
            self._stack.append(frame)
            try:
                output = original(*arguments, **options)
            finally:
                self._stack.pop()
            return self._finish(frame, output)

        return call

    def _finish(self, frame: _Frame, output: Any) -> Any:
        before = frame.pre_activation
        if before is None:
            if frame.call.variables and keras.ops.is_tensor(output):
                output = self._pre_activation(frame.call, output)
            before = output
        self._output(frame.call, before, output)
        return output


def _tapped(model: Any) -> list[tuple[Any, dict[str, Any]]]:
    """Layers and operations inside a model, with the variables of each."""
    found: dict[int, tuple[Any, dict[str, Any]]] = {}
    for layer, variables in layers_of(model)[1:]:
        if isinstance(layer, OPAQUE):
            variables = {
                f"{inner.name}/{role}": variable
                for inner, held in layers_of(layer)
                for role, variable in held.items()
            }
        found[id(layer)] = (layer, variables)
    for layer, _ in layers_of(model):
        graph = functional_in(layer) or layer
        for operation in getattr(graph, "operations", ()):
            if not isinstance(operation, keras.Layer):
                found.setdefault(id(operation), (operation, {}))
    return list(found.values())


def _inner(layer: Any) -> list[Any]:
    return flat_layers(layer) if isinstance(layer, keras.Layer) else []


def _numbered(name: str, seen: Counter[str]) -> str:
    seen[name] += 1
    return name if seen[name] == 1 else f"{name}#{seen[name]}"


def _refusal(layer: Any) -> Callable:
    def build(*arguments: Any, **options: Any) -> None:
        raise ValueError(
            "Capture: the layers of `model` must be built. Received: a layer "
            f"{layer.name!r} that is not. Call the model once on a batch before."
        )

    return build
