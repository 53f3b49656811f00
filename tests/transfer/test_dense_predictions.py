"""A class for each pixel or token: losses told, masks, ignored classes and weights."""

from typing import Any

import keras
import numpy as np
import pytest

from keras_deeptools.transfer import FineTuning, fine_tune
from keras_deeptools.transfer._fine_tune.chosen_loss import chosen_loss

layers = keras.layers
RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.normal(size=(12, 4, 6, 1)).astype("float32")
MASKS = (IMAGES[..., 0] > 0).astype("uint8") + (IMAGES[..., 0] > 1).astype("uint8")
TOKENS = RANDOM.integers(1, 9, (12, 5))
TAGS = TOKENS % 3
SPARSE = "sparse_categorical_crossentropy"


def unet(activation: Any = "softmax", classes: int = 3) -> keras.Model:
    """Pixels to classes of pixels, the same weights every time."""

    def conv(filters: int, name: str, seed: int, end: Any) -> keras.Layer:
        start = keras.initializers.GlorotUniform(seed)
        return layers.Conv2D(
            filters, 3, 1, "same", activation=end, kernel_initializer=start, name=name
        )

    stack = [conv(4, "body", 1, "relu"), conv(classes, "head", 2, activation)]
    return keras.Sequential([keras.Input((4, 6, 1)), *stack])


def tagger(length: int | None = None, masked: bool = False) -> keras.Model:
    start = keras.initializers.GlorotUniform(1)
    stack = [
        layers.Embedding(9, 4, start, mask_zero=masked, name="words"),
        layers.SimpleRNN(
            4,
            kernel_initializer=start,
            recurrent_initializer=keras.initializers.Orthogonal(seed=1),
            return_sequences=True,
        ),
        layers.TimeDistributed(layers.Dense(3, "softmax", kernel_initializer=start)),
    ]
    return keras.Sequential([keras.Input((length,), dtype="int32"), *stack])


def tuned(model: keras.Model, x: Any, y: Any, **options: Any) -> FineTuning:
    defaults: dict = {"epochs": 1, "seed": 0, "verbose": 0, "batch_size": 6}
    return fine_tune(model, x, y, **{**defaults, **options})


ONE_HOT = np.eye(3, dtype="float32")[MASKS]
TARGETS = {
    "masks": (MASKS, SPARSE),
    "masks with a channel": (MASKS[..., None], SPARSE),
    "masks of floats": (MASKS.astype("float32"), SPARSE),
    "one-hot masks": (ONE_HOT, "categorical_crossentropy"),
}


@pytest.mark.alternates("kind")
@pytest.mark.parametrize("kind", TARGETS)
def test_the_loss_of_pixels_is_told_from_their_targets(kind: str) -> None:
    y, expected = TARGETS[kind]
    model, reference = unet(), unet()
    reference.compile("sgd", SPARSE)
    loss = reference.evaluate(IMAGES, MASKS, verbose=0)
    result = tuned(model, IMAGES, y, frozen_epochs=0, batch_size=12)
    assert model.loss == expected
    assert result.history["loss"] == [pytest.approx(loss, rel=1e-5)]
    right = unet().predict(IMAGES, verbose=0).argmax(axis=-1) == MASKS
    assert result.history["accuracy"] == [pytest.approx(right.mean(), abs=1e-6)]


@pytest.mark.alternates("y")
@pytest.mark.parametrize("y", [MASKS > 0, (MASKS > 0)[..., None]])
def test_the_loss_of_yes_and_no_pixels_is_told(y: np.ndarray) -> None:
    model = unet("sigmoid", classes=1)
    result = tuned(model, IMAGES, y, frozen_epochs=0, batch_size=12)
    assert model.loss == "binary_crossentropy"
    share = unet("sigmoid", classes=1).predict(IMAGES, verbose=0)[..., 0]
    wanted = MASKS > 0
    expected = -np.log(np.where(wanted, share, 1 - share)).mean()
    assert result.history["loss"] == [pytest.approx(expected, rel=1e-4)]
    right = ((share > 0.5) == wanted).mean()
    assert result.history["accuracy"] == [pytest.approx(right, abs=1e-6)]


def test_the_loss_of_tokens_is_told() -> None:
    model = tagger()
    result = tuned(model, TOKENS, TAGS, frozen_epochs=0, batch_size=12)
    assert model.loss == SPARSE
    shares = tagger().predict(TOKENS, verbose=0)
    right = np.take_along_axis(shares, TAGS[..., None], axis=-1)
    expected = -np.log(right).mean()
    assert result.history["loss"] == [pytest.approx(expected, rel=1e-4)]


ENDS = {
    "softmax, then enlarged": lambda: [
        layers.Conv2D(3, 1, activation="softmax"),
        layers.UpSampling2D(2),
    ],
    "softmax layer": lambda: [layers.Conv2D(3, 1), layers.Softmax()],
    "activation in float32": lambda: [
        layers.Conv2D(3, 1, activation="softmax"),
        layers.Activation("linear", dtype="float32"),
    ],
}


@pytest.mark.one_backend
@pytest.mark.parametrize("kind", ENDS)
def test_the_softmax_is_found_behind_what_does_not_change_its_values(kind: str) -> None:
    model = keras.Sequential([keras.Input((2, 3, 1)), *ENDS[kind]()])
    sizes = model.output_shape[1:3]
    assert chosen_loss("fine_tune", model, np.zeros((4, *sizes), "int32")) == SPARSE


def test_the_softmax_operation_is_found() -> None:
    inputs = keras.Input((2, 3, 1))
    model = keras.Model(inputs, keras.ops.softmax(layers.Conv2D(3, 1)(inputs)))
    assert chosen_loss("fine_tune", model, np.zeros((4, 2, 3), "int32")) == SPARSE


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("y", "words"),
    [
        (MASKS[:, :2], r"the outputs are of shape \(None, 4, 6, 3\) and `y`"),
        (MASKS[:, 0, 0], "the outputs are of shape"),
        (MASKS + np.float32(0.5), r"`y` holds \d.5, which is no class"),
    ],
    ids=["other size", "one for each image", "halves"],
)
def test_targets_that_fit_no_loss_are_named(y: np.ndarray, words: str) -> None:
    with pytest.raises(ValueError, match=f"`loss` must be given.*{words}"):
        tuned(unet(), IMAGES, y)


@pytest.mark.alternates("ignored")
@pytest.mark.parametrize("ignored", [255, -1])
def test_an_ignored_class_counts_for_nothing(ignored: int) -> None:
    y = MASKS.astype("int32")
    y[:, :2] = ignored
    with pytest.raises(ValueError, match=rf"ignore_class={ignored}\)"):
        tuned(unet(), IMAGES, y)
    loss = keras.losses.SparseCategoricalCrossentropy(ignore_class=ignored)
    result = tuned(unet(), IMAGES, y, loss=loss, frozen_epochs=0, batch_size=12, seed=0)
    shares = unet().predict(IMAGES, verbose=0)[:, 2:]
    right = np.take_along_axis(shares, MASKS[:, 2:, :, None].astype(int), axis=-1)
    expected = -np.log(right).sum() / MASKS.size
    whole = -np.log(right).mean()
    assert result.history["loss"][0] == pytest.approx(whole, rel=1e-4) or (
        result.history["loss"][0] == pytest.approx(expected, rel=1e-4)
    )


def test_weights_of_pixels_weight_the_loss() -> None:
    weights = np.zeros(MASKS.shape, "float32")
    weights[:, 2:] = 1
    result = tuned(
        unet(), IMAGES, MASKS, sample_weight=weights, frozen_epochs=0, batch_size=12
    )
    shares = unet().predict(IMAGES, verbose=0)[:, 2:]
    right = np.take_along_axis(shares, MASKS[:, 2:, :, None].astype(int), axis=-1)
    loss = result.history["loss"][0]
    assert loss == pytest.approx(-np.log(right).sum() / MASKS.size, rel=1e-4)


def test_both_phases_train_on_pixels_with_weights_and_validation() -> None:
    weights = np.ones(MASKS.shape, "float32")
    model = unet()
    held = (IMAGES, MASKS, weights)
    result = tuned(
        model, IMAGES, MASKS, sample_weight=weights, validation_data=held, epochs=3
    )
    assert result.epoch == [0, 1, 2, 3] and result.phases[0].cached
    assert result.history["val_loss"][-1] < result.history["val_loss"][0]


def test_masked_tokens_count_for_nothing_with_and_without_cached_features() -> None:
    tokens = TOKENS.copy()
    tokens[:, 3:] = 0
    options: dict = {"frozen_epochs": 2, "epochs": 1, "shuffle": False}
    cached, plain = (
        tuned(tagger(masked=True), tokens, TAGS, cache=cache, **options)
        for cache in (True, False)
    )
    assert cached.phases[0].cached and not plain.phases[0].cached
    for name, values in plain.history.items():
        assert cached.history[name] == pytest.approx(values, rel=1e-4), name


@pytest.mark.one_backend
def test_class_weight_is_refused_for_pixels_and_tokens() -> None:
    for model, x, y in ((unet(), IMAGES, MASKS), (tagger(), TOKENS, TAGS)):
        with pytest.raises(ValueError, match="`class_weight` must .*each place"):
            tuned(model, x, y, class_weight={0: 2.0})
