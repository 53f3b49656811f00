"""A changed copy of a model, written down as what differs from the original."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np

from keras_deeptools.engine._keras_private.layers import flat_layers
from keras_deeptools.engine._passes.compiled_with import compile_arguments

UNCHANGED: Any = object()


@dataclass(frozen=True, eq=False)
class Recipe:
    """What differs from a model and from how it was to be trained.

    Attributes:
        layers: Dict from the name of a layer to entries of its config.
        front: Tuple of layers that come before the first.
        back: Tuple of layers that come after the last.
        unfrozen: Bool, whether all layers train.
        loss: Loss, or `UNCHANGED`.
        metrics: List, or `UNCHANGED`.
        optimizer: Dict of entries of the optimizer's config.
        fit: Dict of arguments of `fit`.
        data: Function of inputs and targets, or None.
        data_text: Str, what it does.
    """

    layers: dict[str, dict[str, Any]] = field(default_factory=dict)
    front: tuple[Any, ...] = ()
    back: tuple[Any, ...] = ()
    unfrozen: bool = False
    loss: Any = UNCHANGED
    metrics: Any = UNCHANGED
    optimizer: dict[str, Any] = field(default_factory=dict)
    fit: dict[str, Any] = field(default_factory=dict)
    data: Callable[[Any, Any], tuple[Any, Any]] | None = None
    data_text: str = ""

    def with_layer(self, name: str, **config: Any) -> "Recipe":
        """The same with entries of one layer's config changed."""
        merged = {**self.layers.get(name, {}), **config}
        return replace(self, layers={**self.layers, name: merged})

    def with_optimizer(self, **config: Any) -> "Recipe":
        """The same with entries of the optimizer's config changed."""
        return replace(self, optimizer={**self.optimizer, **config})

    def with_fit(self, **arguments: Any) -> "Recipe":
        """The same with arguments of `fit` changed."""
        return replace(self, fit={**self.fit, **arguments})

    @property
    def changes_layers(self) -> bool:
        """Whether the model has to be made anew, beyond compiling."""
        return bool(self.layers or self.front or self.back)

    def build(self, model: keras.Model) -> keras.Model:
        """Makes the changed copy; the model is left as it is.

        Args:
            model: `keras.Model`, compiled, functional or Sequential where layers
                change.

        Raises:
            ValueError: If layers change and the model has no graph.
        """
        copy = self._copied(model)
        if self.unfrozen:
            for layer in flat_layers(copy):
                layer.trainable = True
        arguments = compile_arguments(model)
        if self.loss is not UNCHANGED:
            arguments["loss"] = self.loss
        if self.metrics is not UNCHANGED:
            arguments["metrics"] = self.metrics
        copy.compile(optimizer=self._optimizer(model), **arguments)
        return copy

    def _copied(self, model: keras.Model) -> keras.Model:
        names = {layer.name for layer in flat_layers(model)}
        if not set(self.layers) <= names:
            missing = sorted(set(self.layers) - names)
            raise ValueError(f"repair: no layer is called {', '.join(missing)}.")
        if not model.built:
            copy = keras.models.clone_model(model, clone_function=self._changed)
        else:
            copy = keras.models.clone_model(model, clone_function=self._changed)
            self._copy_weights(model, copy)
        if not self.front and not self.back:
            return copy
        inputs = keras.Input(
            model.input_shape[1:],
            dtype=model.inputs[0].dtype,
            name=None,
        )
        x: Any = inputs
        for layer in (*self.front, copy, *self.back):
            x = layer(x)
        return keras.Model(inputs, x, name=model.name)

    def _changed(self, layer: Any) -> Any:
        changes = self.layers.get(layer.name)
        config = layer.get_config()
        if changes:
            config = {**config, **changes}
        return type(layer).from_config(config)

    def _copy_weights(self, model: keras.Model, copy: keras.Model) -> None:
        """Weights of layers that are not changed, and frozen states."""
        by_name = {layer.name: layer for layer in flat_layers(copy)}
        for layer in flat_layers(model):
            other = by_name.get(layer.name)
            if other is None or other is copy or isinstance(layer, keras.Model):
                continue
            other.trainable = layer.trainable
            fresh = any("initializer" in key for key in self.layers.get(layer.name, {}))
            if fresh or [v.shape for v in layer.variables] != [
                v.shape for v in other.variables
            ]:
                continue
            for old, new in zip(layer.variables, other.variables, strict=True):
                new.assign(keras.ops.convert_to_numpy(old))

    def _optimizer(self, model: keras.Model) -> Any:
        given = model.optimizer
        config = {**given.get_config(), **self.optimizer}
        return type(given).from_config(config)

    def arrays(self, x: Any, y: Any) -> tuple[Any, Any]:
        """The data that the copy trains on."""
        return (x, y) if self.data is None else self.data(x, y)

    def differences(self, model: keras.Model) -> list[str]:
        """What differs, a line each: `- before` and `+ after`."""
        lines = []
        configs = {layer.name: layer.get_config() for layer in flat_layers(model)}
        for layer in self.front:
            lines.append(f"+ {_layer_text(layer)} in front of the first layer")
        for name, changes in self.layers.items():
            for key, value in changes.items():
                before = configs.get(name, {}).get(key)
                lines += [
                    f"- {name}: {key}={_text(before)}",
                    f"+ {name}: {key}={_text(value)}",
                ]
        for layer in self.back:
            lines.append(f"+ {_layer_text(layer)} after the last layer")
        if self.unfrozen:
            lines += ["- trainable=False for some layers", "+ trainable=True for all"]
        if self.loss is not UNCHANGED:
            lines += [
                f"- compile: loss={_text(getattr(model, 'loss', None))}",
                f"+ compile: loss={_text(self.loss)}",
            ]
        if self.metrics is not UNCHANGED:
            lines.append(f"+ compile: metrics={_text(self.metrics)}")
        config = model.optimizer.get_config()
        for key, value in self.optimizer.items():
            lines += [
                f"- optimizer: {key}={_text(config.get(key))}",
                f"+ optimizer: {key}={_text(value)}",
            ]
        for key, value in self.fit.items():
            lines.append(f"+ fit: {key}={_text(value)}")
        if self.data_text:
            lines.append(f"+ data: {self.data_text}")
        return lines


def _layer_text(layer: Any) -> str:
    config = {k: v for k, v in layer.get_config().items() if k in SHOWN and v}
    settings = ", ".join(f"{key}={_text(value)}" for key, value in config.items())
    return f"{type(layer).__name__}({settings})"


SHOWN = ("axis", "scale", "offset")


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return str(value.get("class_name", value))
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, (list, np.ndarray)) and len(np.ravel(value)) > 6:
        return f"[{len(np.ravel(value))} numbers]"
    return repr(value)
