"""Groups are cut where everything passes through, and never inside a block."""

import keras
import numpy as np
import pytest

from keras_deeptools.transfer import layer_groups
from keras_deeptools.transfer._layer_groups.graph_cuts import (
    block_name,
    cut_points,
    pieces_between,
)

CONV = keras.layers.Conv2D
DENSE = keras.layers.Dense


def cuts_by_removal(parents: list[list[int]], output: int) -> list[int]:
    """The nodes without which the output cannot be reached from any input."""

    def reaches(node: int, removed: int) -> bool:
        if node == removed:
            return False
        return not parents[node] or any(reaches(p, removed) for p in parents[node])

    return [node for node in range(len(parents)) if not reaches(output, node)]


@pytest.mark.one_backend
@pytest.mark.parametrize("seed", range(20))
def test_cut_points_are_the_nodes_whose_removal_parts_inputs_and_output(
    seed: int,
) -> None:
    draw = np.random.default_rng(seed)
    parents: list[list[int]] = [[]]
    for node in range(1, 12):
        count = draw.integers(1, 3)
        near = range(max(0, node - 3), node)
        parents.append(sorted({int(draw.choice(near)) for _ in range(count)}))
    needed = {11}
    for node in range(11, -1, -1):  # a functional model has no dead ends
        needed |= set(parents[node]) if node in needed else set()
    kept = sorted(needed)
    parents = [[kept.index(p) for p in parents[node]] for node in kept]
    assert cut_points(parents, [len(kept) - 1]) == cuts_by_removal(
        parents, len(kept) - 1
    )


def test_two_inputs_are_cut_only_after_they_have_met() -> None:
    assert cut_points([(), (), (0,), (1,), (2, 3), (4,)], [5]) == [4, 5]


def test_nothing_is_cut_after_the_first_of_two_outputs() -> None:
    assert cut_points([(), (0,), (1,), (2,)], [1, 3]) == [0, 1]


def test_a_piece_has_what_its_boundary_needs_even_if_computed_early() -> None:
    assert pieces_between([(), (0,), (0,), (1,), (3, 2)], [3, 4]) == [[0, 1, 3], [2, 4]]


@pytest.mark.backend_free
@pytest.mark.parametrize(
    ("name", "block"),
    [
        ("block_13_expand_relu", "block_13"),
        ("conv4_block6_2_conv", "conv4_block6"),
        ("conv2_block1_concat", "conv2_block1"),
        ("block5_pool", "block5"),
        ("block6h_se_reduce", "block6h"),
        ("block35_10_mixed", "block35_10"),
        ("convnext_tiny_stage_2_block_8_gelu", "convnext_tiny_stage_2_block_8"),
        ("expanded_conv_10_project_bn", "expanded_conv_10"),
        ("expanded_conv_project_BN", "expanded_conv"),
        ("mixed10", "mixed10"),
        ("mixed_7a", "mixed_7a"),
        ("conv_pw_13_bn", "conv_block_13"),
        ("reduction_concat_reduce_4", "cell_reduce_4"),
        ("batch_normalization_7", None),
        ("head_dropout", None),
    ],
)
def test_a_block_is_known_by_the_names_of_its_layers(
    name: str, block: str | None
) -> None:
    assert block_name(name) == block


def residual_network(named: bool = True) -> keras.Model:
    """Two stages of two residual blocks, like the ResNets, and a head."""

    def conv(x: object, name: str, **arguments: object) -> object:
        layer = CONV(4, 3, padding="same", name=name if named else None, **arguments)
        return layer(x)

    inputs = keras.Input((16, 16, 3))
    x = conv(inputs, "stem_conv", strides=2)
    for stage, strides in ((1, 1), (2, 2)):
        for block in (1, 2):
            step = strides if block == 1 else 1
            y = conv(x, f"conv{stage}_block{block}_1_conv", strides=step)
            y = conv(y, f"conv{stage}_block{block}_2_conv")
            if step > 1:
                x = conv(x, f"conv{stage}_block{block}_0_conv", strides=step)
            x = keras.layers.Add()([x, y])
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, DENSE(3, name="outputs" if named else None)(x))


def test_groups_are_cut_at_the_last_place_of_each_resolution() -> None:
    groups = layer_groups(residual_network())
    assert groups.names == [
        "conv1_block1 .. conv1_block2",
        "conv2_block1 .. conv2_block2",
        "outputs",
    ]
    assert groups[0].layers[0].name == "stem_conv"


def test_a_block_is_not_cut_where_it_halves_the_image() -> None:
    layers = [
        CONV(4, 1, name="block_1_expand"),
        CONV(4, 3, strides=2, name="block_1_depthwise"),
        CONV(4, 1, name="block_1_project"),
        CONV(4, 1, name="block_2_expand"),
        CONV(4, 3, strides=2, name="block_2_depthwise"),
    ]
    model = keras.Sequential([keras.Input((32, 32, 3)), *layers])
    assert [len(group.layers) for group in layer_groups(model)] == [3, 2]


def test_every_weight_is_in_exactly_one_group() -> None:
    model = residual_network()
    listed = [
        w for group in layer_groups(model) for la in group.layers for w in la.weights
    ]
    assert len(listed) == len({id(w) for w in listed})
    assert {id(w) for w in listed} == {id(w) for w in model.weights}


@pytest.mark.one_backend
@pytest.mark.parametrize("count", range(1, 7))
def test_there_are_as_many_groups_as_asked_for(count: int) -> None:
    assert len(layer_groups(residual_network(), num_groups=count)) == count


def test_the_head_is_joined_to_another_group_last() -> None:
    names = layer_groups(residual_network(), num_groups=2).names
    assert names == ["conv1_block1 .. conv2_block2", "outputs"]


def test_more_groups_than_cuts_are_refused_with_the_number_there_is() -> None:
    with pytest.raises(ValueError, match="`num_groups` must be at most 6"):
        layer_groups(residual_network(), num_groups=7)


def test_names_do_not_depend_on_the_layers_made_before() -> None:
    names = layer_groups(residual_network(named=False)).names
    assert names == layer_groups(residual_network(named=False)).names
    assert names == ["group_0", "group_1", "group_2"]


def test_a_nested_backbone_is_cut_as_it_is_alone() -> None:
    body = residual_network()
    body = keras.Model(body.input, body.layers[-2].output)
    inputs = keras.Input((16, 16, 3))
    outer = keras.Model(inputs, DENSE(2, name="new")(body(inputs)))
    assert layer_groups(outer).names == [*layer_groups(body).names, "new"]


def test_a_model_without_images_is_cut_at_every_layer() -> None:
    layers = [DENSE(4, name="a"), keras.layers.ReLU(), DENSE(4, name="b")]
    model = keras.Sequential([keras.Input((3,)), *layers])
    assert layer_groups(model).names == ["a", "b"]


def test_a_layer_that_is_used_twice_is_listed_in_its_first_group() -> None:
    shared = DENSE(3, name="shared")
    inputs = keras.Input((3,))
    model = keras.Model(inputs, DENSE(1, name="last")(shared(shared(inputs))))
    assert layer_groups(model).names == ["shared", "last"]


def test_the_summary_follows_when_layers_are_frozen() -> None:
    model = residual_network()
    groups = layer_groups(model)
    assert groups[0].state == "trainable"
    groups[0].layers[0].trainable = False
    assert groups[0].state == "partly frozen"
    model.trainable = False
    assert [group.state for group in groups] == ["frozen"] * 3
    assert "0 of" in str(groups)


def test_moving_statistics_count_as_parameters_that_never_train() -> None:
    norm = keras.layers.BatchNormalization(name="norm")
    group = layer_groups(keras.Sequential([keras.Input((5,)), norm]))[0]
    assert (group.num_parameters, group.num_trainable) == (20, 10)
    assert group.state == "trainable"


def test_a_group_is_found_by_its_name() -> None:
    groups = layer_groups(residual_network())
    assert groups["outputs"] is groups[2]
    with pytest.raises(KeyError, match="Choose from"):
        groups["nowhere"]


def test_a_model_without_a_graph_is_refused() -> None:
    with pytest.raises(ValueError, match="must have a graph"):
        layer_groups(keras.Sequential([DENSE(1)]))


def test_a_model_without_weights_is_refused() -> None:
    with pytest.raises(ValueError, match="must have weights"):
        layer_groups(keras.Sequential([keras.Input((1,)), keras.layers.ReLU()]))
