"""Batches that differ in length or size are sampled each by itself."""

import keras
import numpy as np
import pytest

from keras_deeptools.uncertainty import last_layer_predict, mc_predict
from keras_deeptools.uncertainty._predictive_likelihood import mc_log_likelihood

RANDOM = np.random.default_rng(0)
LENGTHS = [5, 7, 7, 3]
TEXTS = [RANDOM.integers(1, 20, (3, length)) for length in LENGTHS]
IMAGES = [RANDOM.normal(size=(2, s, s + 1, 3)).astype("float32") for s in (6, 8)]


class Batches(keras.utils.PyDataset):
    def __init__(self, batches, labels=None):
        super().__init__()
        self.batches = batches
        self.labels = labels

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, index):
        x = self.batches[index]
        return x, np.zeros(len(x)) if self.labels is None else self.labels[index]


def generator(batches):
    return ((x, np.zeros(len(x))) for x in batches)


def dataset(batches):
    import tensorflow as tf

    spec = tf.TensorSpec((None,) * batches[0].ndim, batches[0].dtype)
    return tf.data.Dataset.from_generator(lambda: iter(batches), output_signature=spec)


SOURCES = {"PyDataset": Batches, "generator": generator, "tf.data": dataset}


def text_model(per_token=False):
    stack = [
        keras.layers.Embedding(20, 4),
        keras.layers.LSTM(5, return_sequences=per_token),
        keras.layers.Dropout(0.5),
        keras.layers.Dense(3, "softmax"),
    ]
    return keras.Sequential([keras.Input((None,)), *stack])


def image_model():
    stack = [
        keras.layers.Conv2D(4, 3),
        keras.layers.SpatialDropout2D(0.5),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(1, "sigmoid"),
    ]
    return keras.Sequential([keras.Input((None, None, 3)), *stack])


def sampled(model, x, **options):
    options = {"num_samples": 30, "seed": 1, "verbose": 0} | options
    return mc_predict(model, x, **options)


@pytest.mark.alternates("make", "source")
@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES.keys())
@pytest.mark.parametrize(
    ("make", "batches"),
    [(text_model, TEXTS), (image_model, IMAGES)],
    ids=["text", "image"],
)
def test_outputs_of_one_shape_are_joined_as_predict_does(make, batches, source):
    model = make()
    found = sampled(model, source(batches), num_samples=400)
    expected = model.predict(Batches(batches), verbose=0)
    assert found.mean.shape == expected.shape
    assert found.std.min() > 0
    np.testing.assert_allclose(found.mean, expected, atol=0.12)


def test_a_batch_is_sampled_as_if_it_were_alone():
    model = text_model()
    found = sampled(model, Batches(TEXTS))
    alone = sampled(model, TEXTS[0])
    np.testing.assert_allclose(found.mean[:3], alone.mean, rtol=1e-5)


def test_rows_of_each_batch_have_masks_of_their_own():
    model = text_model()
    model.layers[0].set_weights([np.ones((20, 4))])
    same = [np.ones((2, length), int) for length in (4, 5, 4)]
    found = sampled(model, Batches(same), return_samples=True).samples
    assert found.shape == (30, 6, 3)
    for one, other in ((0, 1), (0, 4), (1, 5)):
        assert abs(found[:, one] - found[:, other]).max() > 1e-3


def test_the_size_of_batches_does_not_matter():
    model = text_model()
    found = sampled(model, Batches(TEXTS))
    small = sampled(model, Batches(TEXTS), batch_size=2)
    np.testing.assert_allclose(small.mean, found.mean, rtol=1e-4, atol=1e-6)


def test_outputs_for_each_token_are_arrays_of_their_own_length():
    model = text_model(per_token=True)
    found = sampled(model, Batches(TEXTS), return_samples=True)
    assert [len(each) for each in found.mean] == [n for n in LENGTHS for _ in range(3)]
    for row in (0, 4, 11):
        samples = np.stack([found.samples[i, row] for i in range(30)])
        np.testing.assert_allclose(found.mean[row], samples.mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(
            found.std[row], samples.std(axis=0, ddof=1), rtol=1e-3, atol=1e-7
        )
        np.testing.assert_allclose(
            found.predictive_entropy[row],
            -(found.mean[row] * np.log(found.mean[row])).sum(axis=-1),
            rtol=1e-4,
        )
    assert found.mutual_information[0].shape == (5,)
    assert "shape (5, 3)" in str(found) and "shape (3, 3)" in str(found)


def test_adaptive_goes_on_with_rows_of_any_length():
    model = text_model()
    found = sampled(model, Batches(TEXTS), num_samples=100, adaptive=True)
    assert found.mean.shape == (12, 3)
    assert set(found.num_samples) <= {25, 50, 100} and found.num_samples.max() > 25
    with pytest.raises(ValueError, match="`adaptive` must be False where the outputs"):
        sampled(text_model(per_token=True), Batches(TEXTS), adaptive=True)


def test_the_last_layer_is_predicted_batch_by_batch():
    model = text_model()
    found = last_layer_predict(model, Batches(TEXTS))
    expected = np.concatenate([last_layer_predict(model, x).mean for x in TEXTS])
    np.testing.assert_allclose(found.mean, expected, rtol=1e-5)
    model = text_model(per_token=True)
    found = last_layer_predict(model, Batches(TEXTS))
    np.testing.assert_allclose(
        found.std[4], last_layer_predict(model, TEXTS[1]).std[1], rtol=1e-4
    )


@pytest.mark.alternates("per_token", "num_samples")
@pytest.mark.parametrize("num_samples", [0, 20])
@pytest.mark.parametrize("per_token", [False, True])
def test_the_likelihood_of_texts_is_that_of_all_their_labels(per_token, num_samples):
    model = text_model(per_token)
    model.compile(loss="sparse_categorical_crossentropy")
    shapes = [x.shape if per_token else x.shape[:1] for x in TEXTS]
    labels = [RANDOM.integers(0, 3, shape) for shape in shapes]
    logs, _ = mc_log_likelihood(
        model, Batches(TEXTS, labels), None, "auto", num_samples, 0
    )
    if num_samples:
        mean = mc_predict(model, Batches(TEXTS), num_samples, seed=0, verbose=0).mean
    else:
        mean = [row for x in TEXTS for row in model.predict(x, verbose=0)]
    rows = [label for each in labels for label in each]
    told = [
        np.log(np.atleast_2d(p)[np.arange(np.size(y)), y])
        for p, y in zip(mean, rows, strict=True)
    ]
    assert len(logs) == 12
    assert logs.mean() == pytest.approx(np.concatenate(told).mean(), rel=1e-4)
