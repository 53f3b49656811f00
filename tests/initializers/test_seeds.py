"""One seed in several layers gives several kernels."""

import keras
import numpy as np
import pytest

from keras_deeptools.initializers import (
    DeltaOrthogonal,
    FanScaling,
    ScaledOrthogonal,
    initializer_for,
)


def kernels_of(model: keras.Layer) -> list[np.ndarray]:
    found = [v for v in model.trainable_variables if "kernel" in v.name]
    return [np.array(keras.ops.convert_to_numpy(v)) for v in found]


def assert_all_differ(kernels: list[np.ndarray]) -> None:
    for i, this in enumerate(kernels):
        assert not [j for j in range(i) if np.array_equal(this, kernels[j])]


def stack(initializer: object) -> keras.Model:
    same = [keras.layers.Dense(4, kernel_initializer=initializer) for _ in range(3)]
    return keras.Sequential([keras.Input((4,)), *same])


@pytest.mark.parametrize("cls", [FanScaling, ScaledOrthogonal])
@pytest.mark.parametrize("seed", [7, None])
def test_layers_that_share_an_initializer_have_different_kernels(
    cls: type, seed: int | None
) -> None:
    assert_all_differ(kernels_of(stack(cls(seed=seed))))


def test_keras_own_initializer_gives_layers_that_share_it_equal_kernels() -> None:
    """The control: this is what is prevented."""
    first, second, _ = kernels_of(stack(keras.initializers.HeNormal(seed=7)))
    np.testing.assert_array_equal(first, second)


def test_a_clone_of_a_model_has_different_kernels_in_its_layers() -> None:
    assert_all_differ(kernels_of(keras.models.clone_model(stack(FanScaling(seed=7)))))


def test_layers_of_einsum_that_share_an_initializer_have_different_kernels() -> None:
    shared = FanScaling(seed=7)
    inputs = keras.Input((3, 4))
    x = inputs
    for _ in range(2):
        x = keras.layers.EinsumDense(
            "abc,cd->abd", (None, 4), kernel_initializer=shared
        )(x)
    assert_all_differ(kernels_of(keras.Model(inputs, x)))


def test_attention_layers_that_share_an_initializer_have_different_kernels() -> None:
    shared = initializer_for(None, "attention", seed=7)
    x = inputs = keras.Input((3, 8))
    for _ in range(2):
        x = keras.layers.MultiHeadAttention(2, 4, kernel_initializer=shared)(x, x)
    kernels = kernels_of(keras.Model(inputs, x))
    assert len(kernels) == 8
    assert_all_differ(kernels)


def test_two_initializers_with_one_seed_differ_where_a_layer_names_its_parts() -> None:
    kernels = {}
    for place in ("query", "key", "dense_1", "dense_2"):
        with keras.name_scope(place):
            kernel = FanScaling(seed=7)((4, 4))
        kernels[place] = keras.ops.convert_to_numpy(kernel)
    assert_all_differ([kernels["query"], kernels["key"]])
    # What a session counts is no place of its own: the same code, the same numbers.
    np.testing.assert_array_equal(kernels["dense_1"], kernels["dense_2"])


def test_the_same_seed_gives_the_same_kernels_however_many_layers_came_before() -> None:
    first = kernels_of(stack(FanScaling(seed=7)))
    second = kernels_of(stack(FanScaling(seed=7)))
    for this, that in zip(first, second, strict=True):
        np.testing.assert_array_equal(this, that)


def test_without_a_seed_kernels_follow_the_seed_of_the_session() -> None:
    keras.utils.set_random_seed(3)
    first = kernels_of(stack(FanScaling()))
    keras.utils.set_random_seed(3)
    second = kernels_of(stack(FanScaling()))
    np.testing.assert_array_equal(first, second)


def test_a_seed_gives_the_same_numbers_on_every_backend() -> None:
    kernel = keras.ops.convert_to_numpy(FanScaling(seed=7)((2, 2)))
    expected = [[1.5081626, -0.4337762], [-0.1375284, -0.1461755]]
    np.testing.assert_allclose(kernel, expected, rtol=1e-6)


@pytest.mark.parametrize("cls", [FanScaling, DeltaOrthogonal, ScaledOrthogonal])
@pytest.mark.parametrize("seed", [True, 1.5, "7"])
def test_a_seed_that_is_no_integer_is_an_error(cls: type, seed: object) -> None:
    with pytest.raises(TypeError, match=f"{cls.__name__}: `seed` must be None or"):
        cls(seed=seed)


def test_a_model_with_the_initializers_comes_back_from_a_file() -> None:
    model = stack(FanScaling(2.0, "dense", seed=7))
    model.save("model.keras")
    loaded = keras.saving.load_model("model.keras")
    for this, that in zip(kernels_of(model), kernels_of(loaded), strict=True):
        np.testing.assert_array_equal(this, that)
    assert loaded.layers[0].kernel_initializer.gain == 2.0
