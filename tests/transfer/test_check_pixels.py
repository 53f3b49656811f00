"""Images that a backbone must not be given are named before training."""

from collections.abc import Iterator

import keras
import numpy as np
import pytest

from keras_deeptools.transfer import check_pixels

pytestmark = pytest.mark.backend_free

IMAGES = np.random.default_rng(0).integers(0, 256, (300, 4, 4, 3), "uint8")


class Batches(keras.utils.PyDataset):
    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return IMAGES[:8] / np.float32(255), np.zeros(8)


def test_images_in_range_give_their_range() -> None:
    assert check_pixels(IMAGES) == (0.0, 255.0)
    assert check_pixels(keras.ops.convert_to_tensor(IMAGES.astype("float32")))


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (IMAGES / 255, r"scaled to \[0, 1\]"),
        (IMAGES / 127.5 - 1, r"scaled to \[-1, 1\]"),
        ((IMAGES - 120.0) / 58.0, "standardized"),
        (IMAGES.astype("uint16") * 257, "more than 8 bits"),
        (np.where(IMAGES > 9, IMAGES, np.nan), "not all of them finite"),
        (IMAGES[:0], "must hold images"),
    ],
)
def test_images_of_another_range_are_refused(images: np.ndarray, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check_pixels(images)


def test_dark_images_of_integers_are_not_taken_for_scaled_ones() -> None:
    assert check_pixels(IMAGES // 255) == (0.0, 1.0)


def test_only_the_first_rows_are_looked_at() -> None:
    images = IMAGES.astype("float32")
    images[256:] = np.inf
    assert check_pixels(images) == (0.0, 255.0)


def test_the_first_batch_of_a_dataset_is_looked_at() -> None:
    with pytest.raises(ValueError, match=r"float32 values .* scaled to \[0, 1\]"):
        check_pixels(Batches())
    assert check_pixels([(IMAGES[:8], np.zeros(8))]) == (0.0, 255.0)
    assert check_pixels((IMAGES, np.zeros(300))) == (0.0, 255.0)


def test_a_generator_is_refused_before_it_loses_a_batch() -> None:
    def batches() -> Iterator[np.ndarray]:
        yield IMAGES

    generator = batches()
    with pytest.raises(TypeError, match="must not be a generator"):
        check_pixels(generator)
    assert next(generator) is IMAGES


@pytest.mark.parametrize("x", [3, None, np.array(["a"])])
def test_what_is_no_image_is_refused(x: object) -> None:
    with pytest.raises(TypeError, match="check_pixels: `x` must be"):
        check_pixels(x)


def test_a_batch_of_several_inputs_is_refused() -> None:
    with pytest.raises(TypeError, match="one input"):
        check_pixels([{"a": IMAGES, "b": IMAGES}])
