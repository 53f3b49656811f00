"""A decoder that mirrors an encoder."""

import keras

from keras_deeptools._arguments import message
from keras_deeptools.engine import Call, calls_of, output_calls_of
from keras_deeptools.pretraining._encoder import Encoder
from keras_deeptools.pretraining._hidden_layers import ACTIVATIONS
from keras_deeptools.pretraining._mirrored_layers import Activation, Decoding


def mirror(owner: str, encoder: Encoder) -> keras.Model:
    """A decoder from the encoder's codes back to its inputs, built.

    Follows what every path from input to codes passes through, backwards: a dense layer
    is mirrored by a dense one, a convolution by a transposed one of its window and
    strides, pooling by repeating, and flattening by its reverse; each with the
    activation that stands before the layer it mirrors, the last one linear. What lies
    on branches has no mirror: of a residual block only the change of shape is undone.
    A mean over a whole map is undone by a dense layer to a map of at most 64 channels.

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
    """The calls that every path from the input to the output passes through."""
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
    """The activation that the output of the last call has gone through."""
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
