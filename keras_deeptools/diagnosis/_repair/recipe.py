"""What differs in a changed copy of a model, and what a remedy makes that from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np

from keras_deeptools._finding import Finding
from keras_deeptools.diagnosis._diagnose.facts import Facts, OutputFacts
from keras_deeptools.diagnosis._repair.changed_copy import (
    changed_copy,
    is_wrappable,
    preprocessing,
    with_ends,
)
from keras_deeptools.engine._keras_private.layers import flat_layers
from keras_deeptools.engine._passes.compiled_with import compile_arguments

UNCHANGED: Any = object()

SHOWN = ("axis", "scale", "offset", "dims")
"""Settings of added layers that are shown."""


@dataclass(frozen=True, eq=False)
class Recipe:
    """What differs from a model and from how it was to be trained.

    Attributes:
        layers: Dict from the name of a layer to entries of its config.
        front: Dict from the position of an input to the layers or operations that it
            passes first.
        back: Tuple of layers that come after the last.
        input_shape: Tuple of ints, the shape of a sample that the first layer gets
            where `front` changes it; or None.
        unfrozen: Bool, whether all layers train.
        losses: Dict from the position of an output to its loss.
        loss_weight: Float that the only loss is multiplied by, or None.
        optimizer: Dict of entries of the optimizer's config.
        fit: Dict of arguments of `fit`.
        data: Function of inputs and targets for training, or None.
        data_text: Str, what it does.
    """

    layers: dict[str, dict[str, Any]] = field(default_factory=dict)
    front: dict[int, tuple[Any, ...]] = field(default_factory=dict)
    back: tuple[Any, ...] = ()
    input_shape: tuple[int, ...] | None = None
    unfrozen: bool = False
    losses: dict[int, Any] = field(default_factory=dict)
    loss_weight: float | None = None
    optimizer: dict[str, Any] = field(default_factory=dict)
    fit: dict[str, Any] = field(default_factory=dict)
    data: Callable[[Any, Any, Any], tuple[Any, Any, Any]] | None = None
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

    def with_front(self, position: int, *layers: Any) -> "Recipe":
        """The same with layers before one input."""
        return replace(self, front={**self.front, position: layers})

    def with_loss(self, position: int, loss: Any) -> "Recipe":
        """The same with another loss for one output."""
        return replace(self, losses={**self.losses, position: loss})

    def build(self, model: keras.Model, x: Any) -> keras.Model:
        """Makes the changed copy, compiled; the model is left as it is.

        Args:
            model: `keras.Model`, built and compiled.
            x: Arrays that it is trained on.

        Raises:
            ValueError: If a change cannot be made in a copy of this model.
        """
        copy = changed_copy(model, self.layers, self.input_shape)
        if self.unfrozen:
            for layer in flat_layers(copy):
                layer.trainable = True
        if self.back and not is_wrappable(model):
            raise ValueError(
                "repair: a model with a `train_step` of its own cannot get layers "
                "after its last one. Put them into its code."
            )
        if is_wrappable(model) and (self.front or self.back):
            copy = with_ends(copy, model, x, self.front, self.back)
        arguments = compile_arguments(model)
        if self.losses:
            arguments["loss"] = self._all_losses(arguments.get("loss"), model)
        if self.loss_weight is not None:
            arguments["loss_weights"] = [self.loss_weight]
        copy.compile(optimizer=self._optimizer(model), **arguments)
        return copy

    def preprocessing(self, model: keras.Model, x: Any) -> keras.Model | None:
        """What data pass before they reach the copy, where it cannot hold that itself.

        Args:
            model: `keras.Model`, built and compiled.
            x: Arrays that it is trained on.
        """
        if not self.front or is_wrappable(model):
            return None
        return preprocessing(model, x, self.front)

    def _all_losses(self, given: Any, model: keras.Model) -> Any:
        names = list(getattr(model, "output_names", None) or [""])
        if len(names) == 1:
            return self.losses[0]
        if isinstance(given, dict):
            changed = {names[at]: loss for at, loss in self.losses.items()}
            return {**given, **changed}
        known = (
            list(given) if isinstance(given, (list, tuple)) else [given] * len(names)
        )
        return [self.losses.get(at, loss) for at, loss in enumerate(known)]

    def _optimizer(self, model: keras.Model) -> Any:
        given = model.optimizer
        config = given.get_config()
        inner = config.get("inner_optimizer")
        if isinstance(inner, dict):
            # It scales losses, and the optimizer inside updates.
            settings = {**inner["config"], **self.optimizer}
            config = {**config, "inner_optimizer": {**inner, "config": settings}}
        else:
            config = {**config, **self.optimizer}
        return type(given).from_config(config)

    def arrays(self, x: Any, y: Any, weight: Any) -> tuple[Any, Any, Any]:
        """The data that the copy trains on."""
        return (x, y, weight) if self.data is None else self.data(x, y, weight)

    def differences(self, model: keras.Model) -> list[str]:
        """What differs, a line each: `- before` and `+ after`."""
        return differences(self, model)


def differences(recipe: Any, model: keras.Model) -> list[str]:
    """Lines of `- before` and `+ after`.

    Args:
        recipe: `Recipe`.
        model: `keras.Model` that it changes.
    """
    lines = []
    for position, layers in recipe.front.items():
        names = list(getattr(model, "input_names", None) or [])
        place = "the first layer" if len(names) < 2 else f"input {names[position]!r}"
        lines += [f"+ {_layer_text(layer)} in front of {place}" for layer in layers]
    configs = {layer.name: layer for layer in flat_layers(model)}
    for name, changes in recipe.layers.items():
        before = _config_of(configs.get(name))
        for key, value in changes.items():
            lines += _change(f"{name}: {key}", before.get(key), value)
    lines += [f"+ {_layer_text(layer)} after the last layer" for layer in recipe.back]
    if recipe.unfrozen:
        lines += ["- trainable=False for some layers", "+ trainable=True for all"]
    losses = getattr(model, "loss", None)
    for position, loss in recipe.losses.items():
        names = list(getattr(model, "output_names", None) or [])
        place = "" if len(names) < 2 else f" of {names[position]!r}"
        before = _loss_at(losses, position, names)
        lines += _change(f"compile: loss{place}", before, loss)
    if recipe.loss_weight is not None:
        lines.append(f"+ compile: loss_weights=[{_text(recipe.loss_weight)}]")
    settings = _settings_of(model.optimizer)
    for key, value in recipe.optimizer.items():
        lines += _change(f"optimizer: {key}", settings.get(key), value)
    lines += [f"+ fit: {key}={_text(value)}" for key, value in recipe.fit.items()]
    if recipe.data_text:
        lines.append(f"+ data: {recipe.data_text}")
    return lines


def _change(place: str, before: Any, after: Any) -> list[str]:
    """Nothing if both texts are equal, as for initializers that only draw again."""
    old, new = _text(before), _text(after)
    return [] if old == new else [f"- {place}={old}", f"+ {place}={new}"]


def _config_of(layer: Any) -> dict[str, Any]:
    if layer is None:
        return {}
    try:
        return {"class_name": type(layer).__name__, **layer.get_config()}
    except NotImplementedError:
        return {}


def _settings_of(optimizer: Any) -> dict[str, Any]:
    config = optimizer.get_config()
    inner = config.get("inner_optimizer")
    return inner["config"] if isinstance(inner, dict) else config


def _loss_at(losses: Any, position: int, names: list[str]) -> Any:
    if isinstance(losses, dict):
        return losses.get(names[position])
    if isinstance(losses, (list, tuple)):
        return losses[position]
    return losses


def _layer_text(layer: Any) -> str:
    if not isinstance(layer, keras.Layer):
        return f"keras.ops.{layer.__name__}"
    config = {k: v for k, v in layer.get_config().items() if k in SHOWN and v}
    settings = ", ".join(f"{key}={_text(value)}" for key, value in config.items())
    return f"{type(layer).__name__}({settings})"


def _is_told(setting: Any) -> bool:
    """Numbers, lists of them, and what has settings of its own."""
    if isinstance(setting, dict):
        return "class_name" in setting
    return isinstance(setting, (int, float, list)) and not isinstance(setting, bool)


def _text(value: Any) -> str:
    if isinstance(value, dict):
        inner = value.get("config")
        numbers = inner if isinstance(inner, dict) else {}
        settings = ", ".join(
            f"{key}={_text(each)}" for key, each in numbers.items() if _is_told(each)
        )
        name = str(value.get("class_name", value))
        return f"{name}({settings})" if settings else name
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, np.ndarray):
        value = value.ravel().tolist()
    if isinstance(value, list):
        if len(value) > 6:
            return f"[{len(value)} numbers]"
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, keras.Layer) or hasattr(value, "get_config"):
        return type(value).__name__
    return repr(value)


@dataclass(frozen=True, eq=False)
class Case:
    """What a remedy reads.

    Attributes:
        facts: `Facts` of the model that it is for.
        finding: `Finding`, the cause.
        recipe: `Recipe` that the remedy goes on from.
        num_updates: Int, how many updates a training takes at most.
    """

    facts: Facts
    finding: Finding
    recipe: Recipe
    num_updates: int = 1000

    @property
    def model(self) -> keras.Model:
        """The model that is not changed."""
        return self.facts.model

    @property
    def layers(self) -> list[Any]:
        """All layers that are no models."""
        return [
            layer
            for layer in flat_layers(self.model)
            if not isinstance(layer, keras.Model)
        ]

    @property
    def hidden(self) -> list[Any]:
        """Dense and convolution layers, but for those that give outputs."""
        ends = {each.end.name for each in self.facts.outputs}
        return [
            layer
            for layer in self.layers
            if getattr(layer, "kernel_initializer", None) is not None
            and not isinstance(layer, keras.layers.RNN)
            and layer.name not in ends
        ]

    @property
    def output(self) -> tuple[int, OutputFacts] | None:
        """The output that the finding is about, with its position."""
        outputs = self.facts.outputs
        for position, each in enumerate(outputs):
            if each.end.name == self.finding.where:
                return position, each
        return (0, outputs[0]) if len(outputs) == 1 else None


Recipes = Sequence[Recipe | None]
Remedy = Callable[[Case], Recipes]
"""From a case to the recipes that may help, the likeliest first."""


def changed_or_none(recipe: Recipe, before: Recipe) -> Recipes:
    """A recipe, if it is another than the one before."""
    return [] if recipe is before else [recipe]
