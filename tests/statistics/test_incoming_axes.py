"""The axes are right where changing one unit's weights changes one output only."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_deeptools.statistics import incoming_axes

SEQUENCE, IMAGE, VOLUME = (3, 4), (3, 3, 4), (2, 2, 2, 4)
ONE_OUTPUT_PER_UNIT = {
    "Dense": (lambda: layers.Dense(3), SEQUENCE),
    "Conv1D": (lambda: layers.Conv1D(3, 2), SEQUENCE),
    "Conv2D": (lambda: layers.Conv2D(3, 2), IMAGE),
    "grouped Conv2D": (lambda: layers.Conv2D(6, 2, groups=2), IMAGE),
    "Conv3D": (lambda: layers.Conv3D(3, 2), VOLUME),
    "Conv1DTranspose": (lambda: layers.Conv1DTranspose(3, 2), SEQUENCE),
    "Conv2DTranspose": (lambda: layers.Conv2DTranspose(3, 2), IMAGE),
    "Conv3DTranspose": (lambda: layers.Conv3DTranspose(3, 2), VOLUME),
    "DepthwiseConv1D": (lambda: layers.DepthwiseConv1D(2), SEQUENCE),
    "DepthwiseConv2D": (lambda: layers.DepthwiseConv2D(2, depth_multiplier=2), IMAGE),
    "EinsumDense to heads": (
        lambda: layers.EinsumDense("abc,cde->abde", (None, 2, 3)),
        SEQUENCE,
    ),
    "EinsumDense from heads": (
        lambda: layers.EinsumDense("abcd,cde->abe", (None, 5)),
        (3, 2, 3),
    ),
    "EinsumDense with its kernel turned": (
        lambda: layers.EinsumDense("...x,yx->...y", (5,)),
        (4,),
    ),
    "EinsumDense with weights of their own per feature": (
        lambda: layers.EinsumDense("abc,cd->abcd", (None, 4, 3)),
        SEQUENCE,
    ),
}


@pytest.mark.parametrize("kind", ONE_OUTPUT_PER_UNIT)
def test_the_weights_along_the_axes_feed_one_output_coordinate(kind: str) -> None:
    make, shape = ONE_OUTPUT_PER_UNIT[kind]
    layer = make()
    inputs = np.random.default_rng(0).normal(size=(2, *shape)).astype("float32")
    before = np.array(keras.ops.convert_to_numpy(layer(inputs)))
    kernel = np.array(keras.ops.convert_to_numpy(layer.kernel))
    axes = incoming_axes(layer, "kernel", kernel.ndim)
    unit = [slice(None) if i in axes else -1 for i in range(kernel.ndim)]
    kernel[tuple(unit)] += 1.0
    layer.kernel.assign(kernel)
    after = np.array(keras.ops.convert_to_numpy(layer(inputs)))
    num_units = kernel.size // int(np.prod([kernel.shape[i] for i in axes]))
    changed = (before != after).any(axis=0)
    features = changed.reshape(-1, num_units)
    assert features.any(axis=0).sum() == 1


@pytest.mark.parametrize("cell", ["SimpleRNNCell", "LSTMCell", "GRUCell"])
def test_a_recurrent_cell_has_a_unit_per_gate_in_both_kernels(cell: str) -> None:
    layer = getattr(layers, cell)(3)
    assert incoming_axes(layer, "kernel", 2) == (0,)
    assert incoming_axes(layer, "recurrent_kernel", 2) == (0,)


def test_an_embedding_has_a_unit_per_token() -> None:
    assert incoming_axes(layers.Embedding(9, 4), "embeddings", 2) == (1,)


def test_an_untied_reversible_embedding_has_a_unit_per_token_in_both_arrays() -> None:
    layer = layers.ReversibleEmbedding(9, 4, tie_weights=False)
    assert incoming_axes(layer, "embeddings", 2) == (1,)
    assert incoming_axes(layer, "reverse_embeddings", 2) == (0,)


def test_a_separable_convolution_has_units_in_both_kernels() -> None:
    layer = layers.SeparableConv2D(8, 3)
    assert incoming_axes(layer, "depthwise_kernel", 4) == (0, 1)
    assert incoming_axes(layer, "pointwise_kernel", 4) == (0, 1, 2)


@pytest.mark.parametrize(
    ("layer", "role", "rank"),
    [
        (layers.Dense(3), "bias", 1),
        (layers.GRUCell(3), "bias", 2),
        (layers.EinsumDense("abc,cde->abde", (None, 2, 3)), "bias", 2),
        (layers.LayerNormalization(axis=(1, 2)), "gamma", 2),
        (layers.PReLU(), "alpha", 3),
    ],
)
def test_biases_and_gains_have_no_incoming_weights(
    layer: keras.Layer, role: str, rank: int
) -> None:
    assert incoming_axes(layer, role, rank) is None


def test_a_layer_of_the_user_follows_keras_convention_for_kernels() -> None:
    class Own(keras.Layer):
        pass

    assert incoming_axes(Own(), "kernel", 3) == (0, 1)


@pytest.mark.parametrize("role", ["lora_kernel_a", "class_token"])
def test_weights_of_another_kind_are_not_guessed(role: str) -> None:
    with pytest.raises(ValueError, match=f"role='{role}'"):
        incoming_axes(layers.Dense(3), role, 2)


def test_without_the_layer_a_kernel_of_three_dimensions_is_not_guessed() -> None:
    assert incoming_axes(None, "kernel", 2) == (0,)
    with pytest.raises(ValueError, match="unknown"):
        incoming_axes(None, "kernel", 3)
