"""A compiled pass over a model that returns values of its layers on a batch."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_deeptools.engine._backends.active import programs, training
from keras_deeptools.engine._building.first_call import build_on
from keras_deeptools.engine._keras_private.layers import flat_layers
from keras_deeptools.engine._keras_private.registry import check_seams
from keras_deeptools.engine._passes.compiled_with import loss_of
from keras_deeptools.engine._passes.layer_call import LayerCall, Taps
from keras_deeptools.engine._state.random_state import RandomState
from keras_deeptools.engine._state.snapshot import ModuleState


@dataclass(frozen=True, eq=False)
class Captured:
    """The values that one pass returned. Made by `Capture`.

    Attributes:
        calls: List of `LayerCall`, in the order in which they returned.
        forward: List of the values that `forward` returned for each call, with numpy
            arrays.
        backward: List of the values that `backward` returned for each call, None for
            layers without variables; empty without a backward pass.
        weights: Dict from the path of each trainable variable to the value that
            `weights` returned; empty without a backward pass.
        loss: Float, the mean loss of the batch; None without a backward pass.
        received: List of the values that `received` returned for each call, None for
            layers without variables.
        outputs: List of float arrays, the outputs for the first samples, if requested.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.engine import Capture
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.ReLU(name="relu")])
    >>> captured = Capture(model, forward=lambda call, pre, out: out)(-np.ones((1, 2)))
    >>> captured.forward[0].tolist()
    [[0.0, 0.0]]
    """

    calls: list[LayerCall]
    forward: list[Any]
    backward: list[Any]
    weights: dict[str, Any]
    loss: float | None
    received: list[Any]
    outputs: list[Any]


HALF_PRECISION_SCALE = 1024.0
"""Factor of the loss of a float16 model, so that gradients do not vanish."""


class Capture:
    """A compiled pass over a model on a batch; called, it returns `Captured`.

    It works for models of every kind. Layers inside recurrent layers and other loops
    are not captured individually. The model, its metrics and the random states stay bit
    for bit the same. The pass is traced once, so keep the object to call it again.

    The functions are traced with the pass: they must have no side effects, use
    `keras.ops`, and return nested tuples, lists and dicts of tensors, or None.

    Args:
        model: `keras.Model`. A model that is not built is built from the first inputs,
            as `fit` would build it.
        received: Function of a `LayerCall` and the first argument of the call, for
            layers that hold variables.
        forward: Function of a `LayerCall`, the layer's output before its fused
            activation, and its output (the same if no activation is fused).
        backward: Function of a `LayerCall` and the gradient of the loss with respect to
            the output before the fused activation, in float32. With it, the pass
            includes a backward pass; it is called for layers that hold variables.
        weights: Function of a trainable variable and the gradient of the loss with
            respect to it, in float32.
        transform: Function of a `LayerCall` of a layer with variables, its output
            before the fused activation, and the dict of `arguments` of the pass; the
            value that it returns replaces that output.
        loss: Loss as in `compile`; None takes the one that the model was compiled with.
            Losses that layers add and penalties on weights are left out.
        training: Bool. Whether dropout, batch statistics and noise are on.
        outputs: Int. Number of first samples whose outputs are returned.
        once: Bool. Whether the pass is made so rarely that it should be compiled
            quickly rather than well.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.engine import Capture
    >>> dense = keras.layers.Dense(4, "relu", kernel_initializer="ones", name="dense")
    >>> model = keras.Sequential([keras.Input((2,)), dense])
    >>> capture = Capture(
    ...     model,
    ...     forward=lambda call, pre, out: keras.ops.mean(pre),
    ...     backward=lambda call, gradient: gradient,
    ...     loss="mse",
    ... )
    >>> captured = capture(np.ones((1, 2)), np.zeros((1, 4)))
    >>> float(captured.forward[0]), captured.backward[0].tolist()
    (2.0, [[1.0, 1.0, 1.0, 1.0]])
    """

    def __init__(
        self,
        model: keras.Model,
        *,
        received: Callable[[LayerCall, Any], Any] | None = None,
        forward: Callable[[LayerCall, Any, Any], Any] | None = None,
        backward: Callable[[LayerCall, Any], Any] | None = None,
        weights: Callable[[Any, Any], Any] | None = None,
        transform: Callable[[LayerCall, Any, dict[str, Any]], Any] | None = None,
        loss: Any = None,
        training: bool = False,
        outputs: int = 0,
        once: bool = False,
    ) -> None:
        check_seams("Capture", "layers", "graph", "training")
        if not isinstance(model, keras.Model):
            raise TypeError(
                f"Capture: `model` must be a keras.Model. Received: model={model!r}."
            )
        self._model = model
        self._received = received
        self._forward = forward
        self._backward = backward
        self._weights = weights
        self._transform = transform
        self._user_loss = loss
        self._loss: Callable | None = None
        self._training = training
        self._outputs = outputs
        self._calls: list[LayerCall] = []
        self._probed: list[int] = []
        self._variables: list[Any] | None = None
        self._fixed: list[Any] = []
        self._loss_scale = 1.0
        self._program = programs.compiled(self._traced, once)

    def __call__(self, x: Any, y: Any = None, **arguments: Any) -> Captured:
        """Runs the pass.

        Args:
            x: Array or nested structure of arrays, as the model takes them.
            y: Targets in the same way; needed for the backward pass.
            **arguments: Arrays or numbers that `transform` receives as tensors.

        Returns:
            `Captured`.
        """
        model = self._model
        training.synchronize(model)
        inputs, targets = _converted(x), _converted(y)
        if self._variables is None:
            build_on(model, inputs)
            self._read_variables()
        if self._goes_backward and self._loss is None:
            self._loss = loss_of(model, self._user_loss, inputs, targets)
        random, modules = RandomState(), ModuleState(model)
        try:
            found = self._program(
                [variable.value for variable in self._variables or []],
                [variable.value for variable in self._fixed],
                inputs,
                targets,
                _converted(arguments),
            )
        finally:
            modules.restore()
            random.restore()
        return self._captured(keras.tree.map_structure(_on_host, found))

    def _read_variables(self) -> None:
        model = self._model
        self._variables = list(model.trainable_variables)
        trained = {id(variable) for variable in self._variables}
        self._fixed = [v for v in model.variables if id(v) not in trained]
        half = any(layer.compute_dtype == "float16" for layer in flat_layers(model))
        self._loss_scale = HALF_PRECISION_SCALE if half else 1.0

    @property
    def _goes_backward(self) -> bool:
        return self._backward is not None or self._weights is not None

    def _captured(self, found: dict[str, Any]) -> Captured:
        variables = self._variables or []
        of_weights, of_calls = found["weights"], [None] * len(self._calls)
        for index, value in zip(self._probed, found["backward"], strict=True):
            of_calls[index] = value
        return Captured(
            list(self._calls),
            list(found["forward"]),
            of_calls if self._goes_backward else [],
            {v.path: g for v, g in zip(variables, of_weights, strict=False)},
            None if found["loss"] is None else float(found["loss"]),
            list(found["received"]),
            found["outputs"],
        )

    def _traced(
        self, variables: Any, fixed: Any, inputs: Any, targets: Any, arguments: Any
    ) -> dict[str, Any]:
        def run(variables: Any, probe: Callable | None) -> tuple[Any, Any]:
            mapping = [
                *zip(self._variables or [], variables, strict=True),
                *zip(self._fixed, fixed, strict=True),
            ]
            with keras.StatelessScope(state_mapping=mapping):
                return self._run(inputs, targets, arguments, probe)

        if not self._goes_backward:
            _, (received, forward, outputs) = run(variables, None)
            return {
                "received": received,
                "forward": forward,
                "outputs": outputs,
                "backward": [],
                "weights": [],
                "loss": None,
            }
        returned, of_variables, of_probed = programs.differentiate(run, list(variables))
        received, forward, outputs, loss = returned
        calls = [self._calls[index] for index in self._probed]
        backward, weights = self._backward, self._weights
        return {
            "received": received,
            "forward": forward,
            "outputs": outputs,
            "loss": loss,
            "backward": [
                None if backward is None else backward(call, self._unscaled(gradient))
                for call, gradient in zip(calls, of_probed, strict=True)
            ],
            "weights": [
                None if weights is None else weights(variable, self._unscaled(gradient))
                for variable, gradient in zip(
                    self._variables or [], of_variables, strict=True
                )
            ],
        }

    def _run(
        self, inputs: Any, targets: Any, arguments: Any, probe: Callable | None
    ) -> tuple[Any, Any]:
        calls: list[LayerCall] = []
        records: list[Any] = []
        received: dict[int, Any] = {}
        probed: list[LayerCall] = []

        def entered(call: LayerCall, value: Any) -> None:
            if self._received is not None and call.variables:
                received[id(call)] = self._received(call, value)

        def pre_activation(call: LayerCall, value: Any) -> Any:
            if self._transform is not None:
                value = self._transform(call, value, arguments)
            if probe is not None and _is_float(value):
                probed.append(call)
                value = probe(value)
            return value

        def output(call: LayerCall, before: Any, after: Any) -> None:
            calls.append(call)
            forward = self._forward
            records.append(None if forward is None else forward(call, before, after))

        with Taps(self._model, pre_activation, output, entered):
            predicted = self._model(inputs, training=self._training)
        positions = {id(call): index for index, call in enumerate(calls)}
        self._calls = calls
        self._probed = [positions[id(call)] for call in probed]
        of_inputs = [received.get(id(call)) for call in calls]
        outputs = [
            each[: self._outputs]
            for each in keras.tree.flatten(predicted)
            if self._outputs
        ]
        if probe is None or self._loss is None:
            return None, (of_inputs, records, outputs)
        loss = keras.ops.cast(self._loss(inputs, targets, predicted), "float32")
        return loss * self._loss_scale, (of_inputs, records, outputs, loss)

    def _unscaled(self, gradient: Any) -> Any:
        return keras.ops.cast(gradient, "float32") / self._loss_scale


def _converted(values: Any) -> Any:
    return keras.tree.map_structure(lambda v: None if v is None else _tensor(v), values)


def _tensor(value: Any) -> Any:
    if not keras.ops.is_tensor(value):
        value = np.asarray(value)
        if value.dtype == "float64":
            value = value.astype(keras.config.floatx())
    return keras.ops.convert_to_tensor(value)


def _is_float(tensor: Any) -> bool:
    return "float" in keras.backend.standardize_dtype(tensor.dtype)


def _on_host(value: Any) -> Any:
    return None if value is None else np.array(keras.ops.convert_to_numpy(value))
