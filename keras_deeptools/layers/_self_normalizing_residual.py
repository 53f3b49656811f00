"""A branch of layers beside a skip connection, and such a block of variance 1."""

import math
from collections.abc import Sequence
from typing import Any

import keras

from keras_deeptools._arguments import checked_float, message

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


@keras.saving.register_keras_serializable(package="keras_deeptools")
class SelfNormalizingResidual(Residual):
    """A branch of layers with a skip connection, joined so that variance stays 1.

    `Add` sums variances: after fifty skips, a variance of 1 has grown to 2^50. Here the
    squares of the weights sum to one: `sqrt(1 - a) * skip + sqrt(a) * branch`, by
    default `(x + f(x)) / sqrt(2)`, so that variance 1 stays 1 as long as branch and
    skip are uncorrelated, as they are with random weights.

    Args:
        branch: A layer, or a list of layers that are applied one after another.
        branch_fraction: Float in (0, 1). The branch's part `a` of the output's
            variance. Small values let deep networks start near the identity.
        projection: Layer for the skip. None takes the identity or, if the branch
            changes the shape, a linear projection with LeCun normal weights (dense, or
            a convolution of kernel size 1 with the branch's stride).
        **kwargs: As for every Keras layer, such as `name` and `dtype`.

    Call arguments:
        inputs: Tensor `(batch, ...)` of mean 0 and variance 1.
        training: Bool. Passed on to the branch.

    Returns:
        Tensor of the branch's output shape.

    Raises:
        ValueError: If `branch_fraction` is outside (0, 1). When built: if no
            projection results in the branch's output shape.
        TypeError: If an argument is of the wrong type.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.layers import (
    ...     SelfNormalizingDense, SelfNormalizingResidual
    ... )
    >>> blocks = [
    ...     SelfNormalizingResidual(SelfNormalizingDense(256, seed=i))
    ...     for i in range(20)
    ... ]
    >>> x = np.random.default_rng(0).normal(size=(512, 256)).astype("float32")
    >>> y = np.asarray(keras.Sequential(blocks).predict(x, verbose=0))
    >>> bool(abs(y.std() - 1) < 0.1)
    True

    Reference:
        Klambauer et al., 2017. https://arxiv.org/abs/1706.02515; for weights whose
        squares sum to one: Brock et al., 2021, section 2.
        https://arxiv.org/abs/2101.08692
    """

    def __init__(
        self,
        branch: keras.Layer | list[keras.Layer],
        branch_fraction: float = 0.5,
        projection: keras.Layer | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(branch, projection, **kwargs)
        self.branch_fraction = checked_float(
            type(self).__name__,
            "branch_fraction",
            branch_fraction,
            above=0,
            below=1,
            rule="in (0, 1)",
            remedy="0.5 weighs branch and skip alike.",
        )

    def join(self, skip: Any, outputs: Any) -> Any:
        """Returns the weighted sum of the skip and the branch's outputs."""
        fraction = self.branch_fraction
        return math.sqrt(1 - fraction) * skip + math.sqrt(fraction) * outputs

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments, with layers in serialized form."""
        return super().get_config() | {"branch_fraction": self.branch_fraction}
