"""The pixel check looks at what reaches a backbone, whatever stands in front of it."""

from collections.abc import Iterator
from typing import Any

import keras
import keras_tuner
import numpy as np
import pytest
import tensorflow as tf

from keras_deeptools.transfer import (
    InferenceMode,
    backbone,
    check_pixels,
    classifier,
    fine_tune,
)
from keras_deeptools.tuning import TransferHyperModel

layers = keras.layers
IMAGES = np.random.default_rng(0).integers(0, 256, (16, 12, 12, 3), "uint8")
SCALED = (IMAGES / 255).astype("float32")
LABELS = np.arange(16) % 2
ENDS_IN_ONE = r"scaled to \[0, 1\]"


def trunk() -> keras.Model:
    """What `backbone` makes, with two groups of layers."""
    convs = [layers.Conv2D(2, 3, 2, name=f"block{i}_conv") for i in (1, 2)]
    mine = keras.Sequential([keras.Input((8, 8, 3)), *convs], name="mine")
    return backbone(mine, preprocessing="symmetric")


def behind(*front: keras.Layer, size: int = 8) -> keras.Model:
    """A classifier behind layers of one's own."""
    inputs = keras.Input((size, size, 3))
    x: Any = inputs
    for layer in front:
        x = layer(x)
    return keras.Model(inputs, classifier(trunk(), 2)(x))


def nested() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((12, 12, 3)),
            keras.Sequential([layers.Resizing(8, 8), layers.RandomFlip()]),
            InferenceMode(trunk()),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2, "softmax"),
        ]
    )


FRONTS = {
    "resizing": lambda: behind(layers.Resizing(8, 8), size=12),
    "flip": lambda: behind(layers.RandomFlip(), size=8),
    "augmentation": lambda: behind(
        layers.RandomRotation(0.1), layers.RandomCrop(8, 8), size=12
    ),
    "nested": nested,
}


def images_for(model: keras.Model, images: np.ndarray) -> np.ndarray:
    size = model.input_shape[1]
    return images[:, :size, :size]


@pytest.mark.parametrize("kind", FRONTS)
def test_scaled_images_are_refused_behind_layers_in_front(kind: str) -> None:
    model = FRONTS[kind]()
    with pytest.raises(ValueError, match=f"where they reach 'mine_on_p.*{ENDS_IN_ONE}"):
        check_pixels(images_for(model, SCALED), model)
    low, high = check_pixels(images_for(model, IMAGES), model)
    assert low >= 0 and 200 < high <= 255


@pytest.mark.one_backend
@pytest.mark.parametrize("kind", ["resizing", "nested"])
def test_fine_tuning_refuses_scaled_images_behind_layers_in_front(kind: str) -> None:
    model = FRONTS[kind]()
    images = images_for(model, SCALED)
    with pytest.raises(ValueError, match=ENDS_IN_ONE):
        fine_tune(model, images, LABELS, epochs=1)
    assert not model.compiled
    data = tf.data.Dataset.from_tensor_slices((images, LABELS)).batch(8)
    with pytest.raises(ValueError, match=ENDS_IN_ONE):
        fine_tune(model, data, epochs=1)


@pytest.mark.one_backend
def test_a_rescaling_before_that_of_the_backbone_is_named() -> None:
    model = behind(layers.Rescaling(1 / 255, name="mine_too"), layers.RandomFlip())
    with pytest.raises(ValueError, match="'mine_too' .*'preprocessing' .*Leave 'mine_"):
        fine_tune(model, IMAGES[:, :8, :8], LABELS, epochs=1)

    def batches() -> Iterator:
        while True:
            yield IMAGES[:, :8, :8], LABELS

    model.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match="'mine_too'"):
        fine_tune(model, batches(), steps_per_epoch=1, epochs=1)


@pytest.mark.parametrize("preprocessing", ["standardize", "included"])
def test_a_rescaling_before_other_preprocessing_is_named(preprocessing: str) -> None:
    own = [layers.Rescaling(1 / 255)] if preprocessing == "included" else []
    conv = layers.Conv2D(2, 3)
    mine = keras.Sequential([keras.Input((8, 8, 3)), *own, conv])
    on_pixels = backbone(mine, preprocessing=preprocessing)
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Rescaling(1 / 255, name="first"), on_pixels]
    )
    with pytest.raises(ValueError, match="'first' scales down"):
        check_pixels(IMAGES, model)


def test_operations_that_scale_in_front_are_found_in_what_arrives() -> None:
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, classifier(trunk(), 2)(inputs / 255.0))
    with pytest.raises(ValueError, match=f"after '.*divide.*{ENDS_IN_ONE}"):
        check_pixels(IMAGES[:, :8, :8], model)


def test_a_scaling_in_front_that_makes_pixels_is_right() -> None:
    model = behind(layers.Rescaling(255.0))
    assert check_pixels(SCALED[:, :8, :8], model)[1] > 200


def test_dark_images_of_integers_are_not_taken_for_scaled_ones() -> None:
    model = behind(layers.RandomFlip())
    assert check_pixels(IMAGES[:, :8, :8] // 255, model) == (0.0, 1.0)


def test_a_model_without_a_backbone_takes_any_numbers() -> None:
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(2, 3)])
    assert np.isnan(check_pixels(SCALED, model)).all()


def test_one_rescaling_of_ones_own_is_no_fault() -> None:
    scaling = [layers.Rescaling(1 / 255), layers.Rescaling(2.0, offset=-1.0)]
    model = keras.Sequential([keras.Input((8, 8, 3)), *scaling, layers.Conv2D(2, 3)])
    assert np.isnan(check_pixels(IMAGES, model)).all()


@pytest.mark.one_backend
@pytest.mark.parametrize("depth", [0, 1])
@pytest.mark.parametrize("kind", ["arrays", "dataset"])
def test_a_trial_refuses_scaled_images(kind: str, depth: int) -> None:
    hypermodel = TransferHyperModel(
        2, max_epochs=1, backbones=trunk(), heads="average", depths=(depth,)
    )
    hp = keras_tuner.HyperParameters()
    model = hypermodel.build(hp)
    data: tuple = (SCALED[:, :8, :8], LABELS)
    if kind == "dataset":
        data = (tf.data.Dataset.from_tensor_slices(data).batch(8),)
    with pytest.raises(ValueError, match=ENDS_IN_ONE):
        hypermodel.fit(hp, model, *data)


def test_every_backbone_of_a_model_is_looked_at() -> None:
    pixels = [keras.Input((8, 8, 3), name=name) for name in ("left", "right")]
    trunks = [trunk(), trunk()]
    trunks[1].name = "right_trunk"
    outputs = [one(each) for one, each in zip(trunks, pixels, strict=True)]
    both = layers.Concatenate()(outputs)
    model = keras.Model(pixels, both)
    small, scaled = IMAGES[:, :8, :8], SCALED[:, :8, :8]
    assert check_pixels([small, small], model)[1] > 200
    for images in ([small, scaled], [scaled, small]):
        with pytest.raises(ValueError, match=ENDS_IN_ONE):
            check_pixels(images, model)


def test_a_generator_is_refused_with_a_model_as_without_one() -> None:
    for model in (None, trunk()):
        with pytest.raises(TypeError, match="`x` must not be a generator"):
            check_pixels(iter([SCALED]), model)
