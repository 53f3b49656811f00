"""What keeps frozen layers from being computed once is said, with what to do."""

from pathlib import Path

import keras
import numpy as np
import pytest

from keras_deeptools.transfer import InferenceMode, cache_features, fine_tune, freeze
from transfer.pretrained import INPUTS, LABELS, pretrained

layers = keras.layers


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Small images of two classes: dark and bright."""
    draw = np.random.default_rng(0)
    for name, low in (("dark", 0), ("bright", 150)):
        (tmp_path / name).mkdir()
        for number in range(6):
            pixels = draw.integers(low, low + 100, (10, 12, 3), "uint8")
            keras.utils.save_img(tmp_path / name / f"{number}.png", pixels)
    return tmp_path


def images(folder: Path, shuffle: bool = True) -> object:
    return keras.utils.image_dataset_from_directory(
        folder, image_size=(8, 8), batch_size=4, shuffle=shuffle, seed=1, verbose=False
    )


def network() -> keras.Model:
    stack = [
        layers.Rescaling(1 / 255),
        layers.Conv2D(3, 3, name="body"),
        layers.GlobalAveragePooling2D(),
        layers.Dense(2, "softmax", name="head"),
    ]
    return keras.Sequential([keras.Input((8, 8, 3)), *stack])


@pytest.mark.one_backend
def test_images_of_a_directory_are_trained_on_and_the_notice_is_printed(
    folder: Path, capsys: pytest.CaptureFixture
) -> None:
    model = network()
    result = fine_tune(model, images(folder), epochs=1, frozen_epochs=2, verbose=2)
    assert model.loss == "sparse_categorical_crossentropy"
    assert not result.phases[0].cached
    [notice] = result.notices
    assert "in every epoch" in notice and "Dataset" in notice
    assert "`cache_features(model, x)`" in notice and "frozen_epochs=0" in notice
    assert notice in str(result)
    assert capsys.readouterr().out.count(notice) == 1


@pytest.mark.one_backend
def test_the_remedy_for_a_dataset_works(folder: Path) -> None:
    model, data = network(), images(folder)
    freeze(model, "body")
    model.compile("sgd", "sparse_categorical_crossentropy")
    cache_features(model, data, verbose=0).fit(epochs=2, verbose=0)
    result = fine_tune(model, data, epochs=1, frozen_epochs=0, verbose=0)
    assert result.notices == () and result.epoch == [0]


@pytest.mark.one_backend
def test_dropout_inside_of_a_backbone_is_named() -> None:
    result = fine_tune(
        pretrained(body_dropout=0.5), INPUTS, LABELS, epochs=1, verbose=0
    )
    [notice] = result.notices
    assert "'block2_dropout'" in notice and "InferenceMode" in notice


@pytest.mark.one_backend
def test_nothing_is_said_where_features_are_cached_or_not_wanted() -> None:
    for cache in ("auto", False):
        result = fine_tune(
            pretrained(), INPUTS, LABELS, epochs=1, cache=cache, verbose=0
        )
        assert result.notices == ()
        assert result.phases[0].cached == (cache == "auto")


def test_a_backbone_with_dropout_is_cached_in_inference_mode() -> None:
    stack = [layers.Dense(4), layers.Dropout(0.5), layers.Dense(4)]
    body = keras.Sequential([keras.Input((6,)), *stack])
    head = layers.Dense(3, "softmax", name="head")
    model = keras.Sequential([keras.Input((6,)), InferenceMode(body), head])
    result = fine_tune(model, INPUTS, LABELS, epochs=1, verbose=0)
    assert result.phases[0].cached and result.notices == ()


class Poisons(keras.callbacks.Callback):
    """Makes weights NaN at the end of an epoch, as a last update does."""

    def __init__(self, epoch: int) -> None:
        super().__init__()
        self.epoch = epoch

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if epoch >= self.epoch:
            bias = self.model.get_layer("head").bias
            bias.assign(np.full(3, np.nan))


@pytest.mark.alternates("first")
@pytest.mark.parametrize("first", [1, 0])
def test_an_epoch_that_ends_with_nan_in_its_weights_is_never_the_best(
    first: int,
) -> None:
    model = pretrained()
    result = fine_tune(
        model,
        INPUTS,
        LABELS,
        epochs=2,
        callbacks=[Poisons(first)],
        monitor="accuracy",
        verbose=0,
    )
    if first:
        assert result.best_epoch == 0 and result.restored
        assert all(np.isfinite(each).all() for each in model.get_weights())
    else:
        assert result.best_epoch is None and not result.restored
        assert "finite in no epoch" in str(result)
