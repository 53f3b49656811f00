"""Layers that reverse the change of shape of other layers."""

import math
from typing import Any

import keras

from keras_deeptools._arguments import message
from keras_deeptools.engine._graph.calls import Call, calls_of, output_calls_of
from keras_deeptools.pretraining._encoder import Encoder
from keras_deeptools.pretraining._hidden_layers import ACTIVATIONS
from keras_deeptools.statistics._incoming_axes import CONVOLUTIONS

MOST_CHANNELS = 64
"""Channels of a map that is made of a vector with fewer elements."""

Shape = tuple[int | None, ...]

Activation = tuple[type[keras.Layer], dict[str, Any]]
"""Kind and config of a layer."""


class Decoding:
    """A decoder that is built layer by layer, beginning with the codes.

    Args:
        shape: Tuple of ints, the shape of the codes of a sample.
        policy: `keras.DTypePolicy` of all layers but the last.
        channels_first: Bool, whether the channels of maps come before their sizes.
    """

    def __init__(self, shape: Shape, policy: Any, channels_first: bool) -> None:
        self._inputs = keras.Input(shape, name="codes")
        self._value = self._inputs
        self._policy, self._channels_first = policy, channels_first
        self._count = 0

    def undo(
        self,
        layer: Any,
        target: Shape,
        activation: Activation | None = None,
    ) -> None:
        """Adds layers from the output of a layer to the shape of its input.

        Args:
            layer: `keras.Layer` or `keras.Operation` to mirror.
            target: Tuple of ints, shape of a sample of its inputs.
            activation: Kind and config of a layer to follow one with weights, or None.
        """
        shape = tuple(self._value.shape[1:])
        rank = len(target)
        if isinstance(layer, keras.layers.Dense) and len(shape) == rank:
            self._add(keras.layers.Dense, target[-1])
        elif isinstance(layer, CONVOLUTIONS) and len(shape) == rank:
            padding = "valid" if layer.padding == "valid" else "same"
            strides = layer.strides
            self._convolve(self._channels(target), layer.kernel_size, strides, padding)
            self._fit(target)
        elif shape == target:
            return
        elif math.prod(map(_known, shape)) == math.prod(map(_known, target)):
            self._add(keras.layers.Reshape, target)
            return
        elif len(shape) == rank and rank > 1:
            sizes = zip(self._spatial(shape), self._spatial(target), strict=True)
            factors = tuple(-(-_known(new) // _known(old)) for old, new in sizes)
            if any(factor > 1 for factor in factors):
                self._repeat(factors)
            self._fit(target)
            if self._channels(target) == self._channels(self._value.shape[1:]):
                return
            self._convolve(self._channels(target), (3,) * (rank - 1))
        else:
            self._spread(target)
        if activation is not None:
            kind, config = activation
            name = f"decoder_{self._count}_activation"
            config = {**config, "name": name, "dtype": self._policy, "trainable": True}
            self._value = kind.from_config(config)(self._value)

    def finish(self, target: Shape) -> keras.Model:
        """Returns the decoder, whose last layer is linear and has float32 outputs.

        Args:
            target: Tuple of ints, shape of what is decoded.
        """
        if tuple(self._value.shape[1:]) != target:
            self.undo(None, target)
        outputs = keras.layers.Activation("linear", dtype="float32", name="decoded")
        return keras.Model(self._inputs, outputs(self._value), name="decoder")

    def _convolve(
        self, channels: Any, window: Any, strides: Any = 1, padding: str = "same"
    ) -> None:
        """Adds a transposed convolution."""
        kinds = {
            1: keras.layers.Conv1DTranspose,
            2: keras.layers.Conv2DTranspose,
            3: keras.layers.Conv3DTranspose,
        }
        self._add(
            kinds[len(window)],
            channels,
            window,
            strides=strides,
            padding=padding,
            data_format="channels_first" if self._channels_first else "channels_last",
        )

    def _repeat(self, factors: tuple[int, ...]) -> None:
        """Repeats every element of a map."""
        first = 2 if self._channels_first else 1
        for axis, factor in enumerate(factors, first):
            if factor > 1:
                self._value = keras.ops.repeat(self._value, factor, axis=axis)

    def _fit(self, target: Shape) -> None:
        """Crops a map, or repeats its edge, to the size of the target."""
        first = 2 if self._channels_first else 1
        rank = len(self._value.shape)
        cut, padding = [slice(None)] * rank, [(0, 0)] * rank
        have, want = self._spatial(self._value.shape[1:]), self._spatial(target)
        sizes = zip(map(_known, have), map(_known, want), strict=True)
        for axis, (old, new) in enumerate(sizes, first):
            before = abs(old - new) // 2
            if old > new:
                cut[axis] = slice(before, before + new)
            else:
                padding[axis] = (before, new - old - before)
        if any(each != slice(None) for each in cut):
            self._value = self._value[tuple(cut)]
        if any(each != (0, 0) for each in padding):
            within = zip(padding, self._value.shape, strict=True)
            near = all(max(ends) <= size for ends, size in list(within)[1:])
            mode = "symmetric" if near else "constant"
            self._value = keras.ops.pad(self._value, padding, mode)

    def _spread(self, target: Shape) -> None:
        """Adds a dense layer from the current output to a map or vector."""
        if len(self._value.shape) > 2:
            self._add(keras.layers.Flatten)
        channels = _known(self._channels(target))
        space = list(map(_known, self._spatial(target)))
        if space:
            channels = min(channels, MOST_CHANNELS)
        self._add(keras.layers.Dense, math.prod(space) * channels)
        if space:
            shape = [*space, channels]
            if self._channels_first:
                shape = [channels, *space]
            self._add(keras.layers.Reshape, tuple(shape))

    def _add(self, kind: type, *arguments: Any, **options: Any) -> None:
        self._count += 1
        name = f"decoder_{self._count}"
        layer = kind(*arguments, name=name, dtype=self._policy, **options)
        self._value = layer(self._value)

    def _channels(self, shape: Shape) -> Any:
        first = self._channels_first and len(shape) > 1
        return shape[0] if first else shape[-1]

    def _spatial(self, shape: Shape) -> Shape:
        first = self._channels_first and len(shape) > 1
        return shape[1:] if first else shape[:-1]


def _known(size: int | None) -> int:
    assert size is not None
    return size


def mirror(owner: str, encoder: Encoder) -> keras.Model:
    """Returns a decoder from the encoder's codes back to its inputs, built.

    In reverse order, the decoder mirrors the layers that every path from input to codes
    passes through: a dense layer by a dense one, a convolution by a transposed one with
    its window and strides, pooling by repeating, and flattening by its reverse. Each
    gets the activation that comes before the layer that it mirrors; the last one is
    linear. Layers on branches are not mirrored: of a residual block only the change of
    shape is undone. A mean over a whole map is undone by a dense layer to a map of at
    most 64 channels.

    Args:
        owner: Str, who is named in errors.
        encoder: `Encoder`.

    Raises:
        ValueError: If shapes are not known.
    """
    trunk = _trunk(encoder.graph)
    shapes = [tuple(call.shape[1:]) for call in trunk]
    if any(size is None for shape in (shapes[0], shapes[-1]) for size in shape):
        remedy = "Build the model for inputs of a fixed shape, or give a decoder."
        rule = "None only for a model whose shapes are known"
        raise ValueError(message(owner, "decoder", rule, None, remedy))
    decoding = Decoding(shapes[-1], encoder.policy, encoder.channels_first)
    for position in range(len(trunk) - 1, 0, -1):
        activation = _activation(trunk[:position])
        decoding.undo(trunk[position].operation, shapes[position - 1], activation)
    return decoding.finish(shapes[0])


def _trunk(graph: keras.Model) -> list[Call]:
    """Returns the calls that every path from the input to the output passes through."""
    calls = calls_of(graph)
    ends = output_calls_of(graph)
    assert calls is not None and ends is not None
    into = [0] * len(calls)
    for position, call in enumerate(calls):
        is_input = isinstance(call.operation, keras.layers.InputLayer)
        into[position] = int(is_input) + sum(into[each] for each in call.parents)
    onward = [0] * len(calls)
    onward[ends[0]] = 1
    for position in range(len(calls) - 1, -1, -1):
        for parent in calls[position].parents:
            onward[parent] += onward[position]
    paths = into[ends[0]]
    return [
        call for i, call in enumerate(calls) if paths and into[i] * onward[i] == paths
    ]


def _activation(trunk: list[Call]) -> Activation | None:
    """Returns the activation that was applied to the output of the last call."""
    for call in reversed(trunk):
        layer = call.operation
        if isinstance(layer, ACTIVATIONS):
            return type(layer), layer.get_config()
        if hasattr(layer, "kernel") or hasattr(layer, "kernel_size"):
            own = getattr(layer, "activation", None)
            if own is None or own is keras.activations.linear:
                return None
            return keras.layers.Activation, {"activation": own}
    return None
