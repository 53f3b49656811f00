"""A changed copy of a model, written down as what differs from the original."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import keras

from keras_deeptools.diagnosis._repair.changed_copy import (
    changed_copy,
    is_wrappable,
    preprocessing,
    with_ends,
)
from keras_deeptools.diagnosis._repair.differences import differences
from keras_deeptools.engine._keras_private.layers import flat_layers
from keras_deeptools.engine._passes.compiled_with import compile_arguments

UNCHANGED: Any = object()


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
