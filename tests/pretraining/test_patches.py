import keras
import numpy as np
import pytest

from keras_deeptools.pretraining._pretrain_masked import num_to_mask, random_mask


def drawn(sizes: tuple, patch: tuple, count: int, rows: int = 50) -> np.ndarray:
    seed = keras.random.SeedGenerator(0)
    mask = random_mask(rows, sizes, patch, count, seed)
    return keras.ops.convert_to_numpy(mask)


def test_every_row_hides_as_many_whole_patches() -> None:
    mask = drawn((8, 6), (2, 3), 5)
    assert mask.shape == (50, 8, 6)
    blocks = mask.reshape(50, 4, 2, 2, 3)
    assert (blocks == blocks[:, :, :1, :, :1]).all()
    assert (blocks[:, :, 0, :, 0].sum(axis=(1, 2)) == 5).all()


def test_every_patch_is_hidden_as_often() -> None:
    mask = drawn((10,), (1,), 3, rows=4000)
    np.testing.assert_allclose(mask.mean(axis=0), 0.3, atol=0.03)


def test_the_last_patch_is_cut_off_where_sizes_do_not_divide() -> None:
    mask = drawn((7,), (3,), 2)
    assert mask.shape == (50, 7)
    assert set(mask.sum(axis=1)) == {4.0, 6.0}


@pytest.mark.parametrize(
    ("rate", "count"), [(0.5, 8), (0.75, 12), (0.01, 1), (0.99, 15)]
)
def test_at_least_one_patch_is_hidden_and_one_is_seen(rate: float, count: int) -> None:
    assert num_to_mask((8, 8), (2, 2), rate) == count
