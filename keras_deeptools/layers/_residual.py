"""A branch of layers beside a skip connection: the base of the residual layers."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_deeptools._arguments import message

PROBE = 64
"""Length that stands for an unknown one when a branch's stride is measured."""


def checked_layers(owner: str, argument: str, value: Any) -> list[keras.Layer]:
    """Return one layer or a sequence of layers as a list, or raise."""
    layers = list(value) if isinstance(value, Sequence) else [value]
    rule = "a layer or a list of layers, at least one"
    if not all(isinstance(layer, keras.Layer) for layer in layers):
        raise TypeError(message(owner, argument, rule, value))
    if not layers:
        raise ValueError(message(owner, argument, rule, value))
    return layers


class Residual(keras.layers.Layer):
    """Runs a branch and a skip, which the subclass joins in `join`."""

    def __init__(self, branch: Any, projection: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        owner = type(self).__name__
        self.branch = checked_layers(owner, "branch", branch)
        if projection is not None and not isinstance(projection, keras.Layer):
            rule = "a layer or None"
            raise TypeError(message(owner, "projection", rule, projection))
        self.given_projection = projection
        self.projection = projection

    def build(self, input_shape: Any) -> None:
        """Builds the branch and, if it changes the shape, the projection."""
        shape = input_shape
        for layer in self.branch:
            if not layer.built:
                layer.build(shape)
            shape = layer.compute_output_shape(shape)
        # Two unknown lengths may differ, so a probe of known lengths decides.
        probe = tuple(PROBE if size is None else size for size in input_shape)
        reached = self.compute_output_shape(probe)
        if self.projection is None and reached != probe:
            data_format = next(
                (x.data_format for x in self.branch if hasattr(x, "data_format")), None
            )
            self.projection = projection_between(
                probe, reached, data_format, self.dtype_policy
            )
        if self.projection is not None:
            if not self.projection.built:
                self.projection.build(input_shape)
            skipped = tuple(self.projection.compute_output_shape(probe))
            if skipped != reached:
                raise ValueError(
                    message(
                        type(self).__name__,
                        "projection",
                        f"a layer from {probe} to {reached}, as the branch is",
                        self.projection,
                        f"It gives {skipped}.",
                    )
                )
        super().build(input_shape)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Joins the branch of `inputs` with `inputs` or their projection."""
        outputs = inputs
        for layer in self.branch:
            outputs = layer(outputs)
        skip = inputs if self.projection is None else self.projection(inputs)
        return self.join(skip, outputs)

    def join(self, skip: Any, outputs: Any) -> Any:
        """Returns the sum of the skip and the branch's outputs; subclasses scale it."""
        return skip + outputs

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Returns the branch's output shape."""
        for layer in self.branch:
            input_shape = layer.compute_output_shape(input_shape)
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments, with layers in serialized form."""
        serialize = keras.saving.serialize_keras_object
        return super().get_config() | {
            "branch": [serialize(layer) for layer in self.branch],
            "projection": serialize(self.given_projection),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Residual":
        """Makes the layer that `get_config` describes."""
        deserialize = keras.saving.deserialize_keras_object
        layers = {"branch": [deserialize(layer) for layer in config["branch"]]}
        for name in ("projection", "scale"):
            if config.get(name) is not None:
                layers[name] = deserialize(config[name])
        return cls(**(config | layers))


def projection_between(
    input_shape: tuple, output_shape: tuple, data_format: str | None, dtype: Any
) -> keras.Layer:
    """A linear layer of LeCun normal weights, without bias, from shape to shape.

    It is a dense layer if only the last axis differs, otherwise a convolution of kernel
    size 1 that takes every `stride`-th position; both keep mean 0 and variance 1.
    """
    options = {
        "use_bias": False,
        "kernel_initializer": "lecun_normal",
        "name": "projection",
        "dtype": dtype,
    }
    rank = len(input_shape) - 2
    data_format = data_format or keras.config.image_data_format()
    flat = rank == 0 or data_format == "channels_last"
    if input_shape[:-1] == output_shape[:-1] and flat:
        return keras.layers.Dense(output_shape[-1], **options)
    first = 1 if data_format == "channels_last" else 2
    places = range(first, first + rank)
    fits = len(input_shape) == len(output_shape) and 1 <= rank <= 3
    strides = [round(input_shape[i] / output_shape[i]) for i in places] if fits else []
    if not fits or any(
        stride < 1 or -(-input_shape[i] // stride) != output_shape[i]
        for i, stride in zip(places, strides, strict=True)
    ):
        raise ValueError(
            message(
                "Residual layers",
                "projection",
                f"given for a branch from {input_shape} to {output_shape}, since no "
                "stride leads there",
                None,
                'Give a layer with the same shapes, or padding="same" in the branch.',
            )
        )
    kinds = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)
    channels = output_shape[-1 if data_format == "channels_last" else 1]
    return kinds[rank - 1](
        channels, 1, strides=tuple(strides), data_format=data_format, **options
    )
