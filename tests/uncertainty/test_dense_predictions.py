"""Predictions of every pixel or token, with masks and ignored classes."""

import keras
import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import brier_score_loss, log_loss

from keras_deeptools.uncertainty import (
    TemperatureScaling,
    brier_score,
    expected_calibration_error,
    last_layer_predict,
    mc_predict,
    negative_log_likelihood,
    reliability_diagram,
    risk_coverage_curve,
    tune_dropout_rate,
)

RANDOM = np.random.default_rng(0)
LOGITS = 2 * RANDOM.normal(size=(5, 6, 7, 3))
PROBABILITIES = softmax(LOGITS, axis=-1)
MASKS = np.argmax(LOGITS / 2 + RANDOM.gumbel(size=LOGITS.shape), axis=-1)
IGNORED = np.where(RANDOM.uniform(size=MASKS.shape) < 0.3, 255, MASKS)
ROWS = PROBABILITIES.reshape(-1, 3), MASKS.reshape(-1)
KEPT = IGNORED.reshape(-1) != 255

SCORES = [
    brier_score,
    expected_calibration_error,
    negative_log_likelihood,
    lambda *a, **k: reliability_diagram(*a, **k).frequency.sum(),
    lambda *a, **k: risk_coverage_curve(*a, **k).area,
    lambda p, y, **k: TemperatureScaling().fit(p, y, **k).temperature,
]
scores = pytest.mark.parametrize("score", SCORES)


@scores
def test_every_pixel_is_a_row(score):
    expected = score(*ROWS)
    for masks in (MASKS, MASKS[..., None], np.eye(3)[MASKS]):
        assert score(PROBABILITIES, masks) == pytest.approx(expected)


@scores
def test_pixels_of_an_ignored_class_do_not_count(score):
    expected = score(ROWS[0][KEPT], ROWS[1][KEPT])
    found = score(PROBABILITIES, IGNORED, ignore_class=255)
    assert found == pytest.approx(expected)
    weights = (IGNORED != 255).astype(float)
    found = score(PROBABILITIES, IGNORED, sample_weight=weights)
    assert found == pytest.approx(expected)


def test_the_likelihood_of_pixels_is_scikit_learns_and_keras():
    expected = log_loss(ROWS[1][KEPT], ROWS[0][KEPT])
    found = negative_log_likelihood(PROBABILITIES, IGNORED, ignore_class=255)
    assert found == pytest.approx(expected)
    loss = keras.losses.SparseCategoricalCrossentropy(ignore_class=255)
    assert float(loss(IGNORED, PROBABILITIES)) == pytest.approx(expected, rel=1e-4)


def test_a_weight_for_each_image_counts_for_all_of_its_pixels():
    weights = np.arange(1.0, 6.0)
    each = np.repeat(weights, 42)
    expected = log_loss(ROWS[1], ROWS[0], sample_weight=each)
    found = negative_log_likelihood(PROBABILITIES, MASKS, sample_weight=weights)
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("squeezed", [False, True])
def test_a_binary_mask_is_judged_pixel_by_pixel(squeezed):
    positive = PROBABILITIES[..., 0] if squeezed else PROBABILITIES[..., :1]
    labels = (MASKS == 0).astype(int)
    expected = brier_score_loss(labels.ravel(), PROBABILITIES[..., 0].ravel())
    assert brier_score(positive, labels.reshape(positive.shape)) == pytest.approx(
        expected
    )


def test_images_are_answered_as_a_whole_by_a_confidence_of_their_own():
    confidence = RANDOM.uniform(size=5)
    wrong = (PROBABILITIES.argmax(axis=-1) != MASKS).reshape(5, -1).mean(axis=1)
    curve = risk_coverage_curve(PROBABILITIES, MASKS, confidence=confidence)
    order = np.argsort(-confidence)
    np.testing.assert_allclose(
        curve.risk, np.cumsum(wrong[order]) / np.arange(1, 6), rtol=1e-9
    )
    with pytest.raises(ValueError, match=r"`confidence` must be of shape \(5,\) or"):
        risk_coverage_curve(PROBABILITIES, MASKS, confidence=np.ones(4))


def test_masks_of_another_size_are_refused_with_both_shapes():
    with pytest.raises(ValueError, match=r"\(5, 6, 7\).*\(5, 6, 7, 3\).*\(5, 7, 6\)"):
        brier_score(PROBABILITIES, MASKS.transpose(0, 2, 1))
    with pytest.raises(ValueError, match="ignore_class"):
        brier_score(PROBABILITIES, IGNORED)


def test_the_temperature_of_pixels_is_applied_to_pixels():
    scaling = TemperatureScaling().fit(PROBABILITIES, MASKS)
    assert scaling.temperature == pytest.approx(2, rel=0.3)
    expected = softmax(np.log(PROBABILITIES) / scaling.temperature, axis=-1)
    np.testing.assert_allclose(scaling.apply(PROBABILITIES), expected)
    found = keras.ops.convert_to_numpy(scaling(PROBABILITIES.astype("float32")))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@scores
def test_samples_of_differing_size_are_judged_pixel_by_pixel(score):
    sizes = [(6, 7), (4, 7), (6, 2)]
    parts = [PROBABILITIES[i, :h, :w] for i, (h, w) in enumerate(sizes)]
    masks = [IGNORED[i, :h, :w] for i, (h, w) in enumerate(sizes)]
    held = np.empty(3, object)
    held[:] = parts
    rows = np.concatenate([part.reshape(-1, 3) for part in parts])
    labels = np.concatenate([mask.reshape(-1) for mask in masks])
    expected = score(rows, labels, ignore_class=255)
    for given in (parts, held):
        assert score(given, masks, ignore_class=255) == pytest.approx(expected)
    weights = np.repeat([1.0, 2.0, 3.0], [h * w for h, w in sizes])
    expected = score(rows, labels, ignore_class=255, sample_weight=weights)
    found = score(held, masks, ignore_class=255, sample_weight=[1.0, 2.0, 3.0])
    assert found == pytest.approx(expected)


def segmenter(activation="softmax", rate=0.5):
    return keras.Sequential(
        [
            keras.Input((6, 7, 2)),
            keras.layers.Conv2D(4, 3, padding="same"),
            keras.layers.Dropout(rate),
            keras.layers.Dense(3, activation),
        ]
    )


IMAGES = RANDOM.normal(size=(5, 6, 7, 2)).astype("float32")


def test_pixels_have_a_monte_carlo_prediction_and_a_calibration():
    model = segmenter()
    found = mc_predict(model, IMAGES, 30, seed=0, verbose=0, return_samples=True)
    assert found.mean.shape == (5, 6, 7, 3)
    assert found.mutual_information.shape == found.variation_ratio.shape == (5, 6, 7)
    np.testing.assert_allclose(found.mean, found.samples.mean(axis=0), rtol=1e-4)
    error = expected_calibration_error(found.mean, IGNORED, ignore_class=255)
    assert 0 < error < 1
    exact = last_layer_predict(model, IMAGES)
    np.testing.assert_allclose(found.mean, exact.mean, atol=0.25)


def test_many_samples_of_many_pixels_take_no_more_memory_than_a_few():
    import tracemalloc

    model = segmenter()
    peaks = []
    for num_samples in (20, 200):
        mc_predict(model, IMAGES, num_samples, seed=0, verbose=0)
        tracemalloc.start()
        mc_predict(model, IMAGES, num_samples, seed=0, verbose=0)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 6 * peaks[0]


def test_padding_that_is_masked_does_not_reach_the_other_tokens():
    tokens = np.array([[1, 2, 0, 0], [3, 4, 5, 0]])
    labels = np.array([[1, 2, -1, -1], [0, 1, 2, -1]])
    model = keras.Sequential(
        [
            keras.Input((None,)),
            keras.layers.Embedding(6, 4, mask_zero=True),
            keras.layers.Dropout(0.5),
            keras.layers.LSTM(5, return_sequences=True),
            keras.layers.Dense(3, "softmax"),
        ]
    )
    mean = mc_predict(model, tokens, 20, seed=0, verbose=0).mean
    kept = labels >= 0
    expected = log_loss(labels[kept], mean[kept])
    found = negative_log_likelihood(mean, labels, ignore_class=-1)
    assert found == pytest.approx(expected)


@pytest.mark.alternates("from_logits")
@pytest.mark.parametrize("from_logits", [False, True])
def test_the_dropout_rate_of_a_segmentation_is_tuned_on_pixels_that_count(from_logits):
    model = segmenter(None if from_logits else "softmax")
    loss = keras.losses.SparseCategoricalCrossentropy(
        from_logits=from_logits, ignore_class=255
    )
    model.compile("sgd", loss)
    tuning = tune_dropout_rate(
        model,
        validation_data=(IMAGES, IGNORED),
        rates=[0.0, 0.5],
        retrain=False,
        num_samples=10,
        verbose=0,
    )
    outputs = model.predict(IMAGES, verbose=0)
    plain = negative_log_likelihood(
        outputs, IGNORED, ignore_class=255, from_logits=from_logits
    )
    assert tuning.log_likelihood[0] == pytest.approx(-plain, rel=1e-4)
    assert np.isfinite(tuning.log_likelihood[1])


def labelled():
    labels = (RANDOM.uniform(size=(40, 3)) < 0.5).astype("float32")
    return RANDOM.normal(size=(40, 4)).astype("float32"), labels


def heads(activation, loss):
    model = keras.Sequential(
        [keras.layers.Dropout(0.3), keras.layers.Dense(3, activation)]
    )
    model.compile("sgd", loss)
    return model


@pytest.mark.alternates("from_logits")
@pytest.mark.parametrize("from_logits", [False, True])
def test_the_dropout_rate_of_several_sigmoids_is_tuned_by_the_mean_of_their_likelihoods(
    from_logits,
):
    x, labels = labelled()
    loss = keras.losses.BinaryCrossentropy(from_logits=from_logits)
    model = heads(None if from_logits else "sigmoid", loss)
    options = {"rates": [0.0, 0.3], "num_samples": 10, "verbose": 0}
    tuning = tune_dropout_rate(
        model, validation_data=(x, labels), retrain=False, **options
    )
    expected = float(loss(labels, model.predict(x, verbose=0)))
    assert tuning.log_likelihood[0] == pytest.approx(-expected, rel=1e-4)


class OneBatch(keras.utils.PyDataset):
    def __init__(self, *batch):
        super().__init__()
        self.batch = batch

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return self.batch


@pytest.mark.one_backend
def test_several_labels_under_a_loss_of_one_class_are_refused_before_training():
    x, labels = labelled()
    model = heads("softmax", "categorical_crossentropy")
    for data in ((x, labels), OneBatch(x, labels)):
        with pytest.raises(ValueError, match="tune_dropout_rate: targets must be one"):
            tune_dropout_rate(model, x, labels, validation_data=data, verbose=0)
    assert model.optimizer.iterations == 0


def test_outputs_in_a_dict_are_judged_each_by_its_loss():
    x, labels = labelled()
    inputs = keras.Input((4,))
    h = keras.layers.Dropout(0.3)(keras.layers.Dense(8)(inputs))
    outputs = {
        "tags": keras.layers.Dense(3, "sigmoid", name="tags")(h),
        "kind": keras.layers.Dense(2, "softmax", name="kind")(h),
    }
    model = keras.Model(inputs, outputs)
    losses = {"tags": "binary_crossentropy", "kind": "sparse_categorical_crossentropy"}
    model.compile("sgd", losses)
    y = {"tags": labels, "kind": np.arange(40) % 2}
    tuning = tune_dropout_rate(
        model,
        validation_data=(x, y),
        rates=[0.0, 0.3],
        retrain=False,
        num_samples=10,
        verbose=0,
    )
    found = model.predict(x, verbose=0)
    expected = negative_log_likelihood(found["tags"], y["tags"], multi_label=True)
    expected += negative_log_likelihood(found["kind"], y["kind"])
    assert tuning.log_likelihood[0] == pytest.approx(-expected, rel=1e-4)
