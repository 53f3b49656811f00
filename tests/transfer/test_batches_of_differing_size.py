"""Batches of several lengths or image sizes go through as `predict` takes them."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_deeptools.transfer import cache_features, freeze, probe_depth

layers = keras.layers
RANDOM = np.random.default_rng(0)
LENGTHS = (5, 9, 5, 7)
TEXT = [RANDOM.integers(0, 20, (6, length)) for length in LENGTHS]
CLASSES = [np.arange(6) % 2 for _ in LENGTHS]
TAGS = [tokens % 2 for tokens in TEXT]
PHOTOS = [RANDOM.normal(size=(3, s, s + 1, 1)).astype("float32") for s in (6, 8, 6)]


class Batches(keras.utils.PyDataset):
    def __init__(self, x: list, y: list | None = None) -> None:
        super().__init__()
        self.batches = list(zip(x, y, strict=True)) if y is not None else x

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> Any:
        return self.batches[index]


def generator() -> Iterator:
    yield from zip(TEXT, CLASSES, strict=True)


def dataset() -> tf.data.Dataset:
    rows = [(x, y) for xs, ys in generator() for x, y in zip(xs, ys, strict=True)]
    signature = (tf.TensorSpec((None,), "int64"), tf.TensorSpec((), "int64"))
    data = tf.data.Dataset.from_generator(
        lambda: iter(rows), output_signature=signature
    )
    return data.bucket_by_sequence_length(
        lambda x, y: tf.shape(x)[0], [6, 8], [6, 6, 6], drop_remainder=False
    )


def reader(tags: bool = False) -> keras.Model:
    """Reads text of any length, padded with zeros."""
    first = keras.initializers.GlorotUniform(1)
    stack = [
        layers.Embedding(20, 4, first, mask_zero=True, name="embedding"),
        layers.SimpleRNN(4, return_sequences=tags, name="recurrent"),
        layers.Dense(2, "softmax", kernel_initializer=first, name="head"),
    ]
    model = keras.Sequential([keras.Input((None,), dtype="int32"), *stack])
    model.compile(keras.optimizers.SGD(0.5), "sparse_categorical_crossentropy")
    return model


def looker() -> keras.Model:
    conv = layers.Conv2D(3, 3, name="conv")
    pool = layers.GlobalAveragePooling2D()
    stack = [conv, pool, layers.Dense(2, "softmax", name="head")]
    model = keras.Sequential([keras.Input((None, None, 1)), *stack])
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


@pytest.mark.alternates("kind")
@pytest.mark.parametrize("kind", ["PyDataset", "Dataset", "generator"])
def test_features_of_text_are_those_of_each_batch_by_itself(kind: str) -> None:
    data = {
        "PyDataset": lambda: Batches(TEXT, CLASSES),
        "Dataset": dataset,
        "generator": generator,
    }[kind]()
    model = reader()
    freeze(model, ["embedding", "recurrent"])
    cached = cache_features(model, data, verbose=0)
    body = keras.Model(model.inputs[0], model.get_layer("recurrent").output)
    expected = np.concatenate([body.predict_on_batch(x) for x in TEXT])
    found = cached.features[0]
    assert found.shape == (24, 4) == (cached.num_rows, 4)
    if kind == "Dataset":  # in an order of its own
        found, expected = (np.sort(each, axis=0) for each in (found, expected))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert len(cached.fit(epochs=2, verbose=0).history["loss"]) == 2


def test_features_of_images_of_several_sizes() -> None:
    model = looker()
    freeze(model, "conv")
    y = [np.arange(3) % 2] * 3
    cached = cache_features(model, Batches(PHOTOS, y), verbose=0)
    body = keras.Model(model.inputs[0], model.layers[1].output)
    expected = np.concatenate([body.predict_on_batch(x) for x in PHOTOS])
    np.testing.assert_allclose(cached.features[0], expected, atol=1e-6)


@pytest.mark.alternates("tags")
@pytest.mark.parametrize(
    ("frozen", "tags"), [(["embedding"], False), (["embedding", "recurrent"], True)]
)
def test_training_on_sequences_of_several_lengths_is_that_of_the_model(
    frozen: list[str], tags: bool
) -> None:
    data = Batches(TEXT, TAGS if tags else CLASSES)
    plain, model = reader(tags), reader(tags)
    model.set_weights(plain.get_weights())
    freeze(plain, frozen)
    freeze(model, frozen)
    expected = plain.fit(
        data, epochs=2, shuffle=False, validation_data=data, verbose=0
    ).history
    cached = cache_features(model, data, verbose=0)
    assert cached.num_rows == 24 and len(cached.batches()) == 4
    found = cached.fit(epochs=2, shuffle=False, validation_data=data, verbose=0).history
    for name, values in expected.items():
        assert found[name] == pytest.approx(values, rel=1e-5), name
    for this, that in zip(model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(this, that, atol=1e-6)


def test_shuffled_batches_of_several_lengths_keep_their_rows_and_labels() -> None:
    model = reader()
    freeze(model, "embedding")
    cached = cache_features(model, Batches(TEXT, CLASSES), verbose=0)
    before = model.evaluate(Batches(TEXT, CLASSES), verbose=0)
    cached.fit(epochs=5, verbose=0)
    assert model.evaluate(Batches(TEXT, CLASSES), verbose=0) < before


@pytest.mark.one_backend
def test_sequences_of_several_lengths_make_no_array_and_no_file() -> None:
    model = reader()
    freeze(model, "embedding")
    cached = cache_features(model, Batches(TEXT, CLASSES), verbose=0)
    with pytest.raises(ValueError, match="CachedFeatures.rows: .*Take `batches"):
        cached.rows()
    with pytest.raises(ValueError, match="`directory` must be None for features of"):
        cache_features(model, Batches(TEXT, CLASSES), directory="here", verbose=0)


@pytest.mark.one_backend
def test_probes_read_each_batch_by_itself() -> None:
    model, y = looker(), [np.arange(3) % 2] * 3
    together = probe_depth(model, Batches(PHOTOS, y), num_folds=2)
    rows = [row for photos in PHOTOS for row in np.split(photos, 3)]
    classes = np.split(np.concatenate(y), 9)
    alone = probe_depth(model, Batches(rows, classes), num_folds=2)
    assert together.num_rows == 9
    np.testing.assert_array_equal(alone.fold_accuracy, together.fold_accuracy)
    assert probe_depth(reader(), dataset(), num_folds=2).num_rows == 24
