"""Predictions and labels come in many forms, and bad ones are named."""

import keras
import numpy as np
import pytest

from calibration_data import binary, classified
from keras_deeptools.uncertainty import (
    brier_decomposition,
    brier_score,
    expected_calibration_error,
    mc_predict,
    negative_log_likelihood,
    reliability_diagram,
    risk_coverage_curve,
)

pytestmark = pytest.mark.one_backend

SCORES = [
    brier_score,
    expected_calibration_error,
    negative_log_likelihood,
    lambda *a, **k: brier_decomposition(*a, **k).reliability,
    lambda *a, **k: reliability_diagram(*a, **k).frequency.sum(),
    lambda *a, **k: risk_coverage_curve(*a, **k).area,
]
scores = pytest.mark.parametrize("score", SCORES)


@scores
def test_class_indices_columns_floats_and_one_hot_rows_mean_the_same(score):
    probabilities, labels, _ = classified()
    expected = score(probabilities, labels)
    for same in (
        labels[:, None],
        labels.astype("float32"),
        np.eye(4)[labels],
        np.eye(4, dtype=bool)[labels],
        labels.tolist(),
    ):
        assert score(probabilities, same) == expected


@scores
def test_a_column_and_a_vector_of_binary_probabilities_mean_the_same(score):
    probabilities, labels, _ = binary()
    expected = score(probabilities, labels)
    assert score(probabilities[:, None], labels[:, None]) == expected
    assert score(probabilities, np.eye(2)[labels]) == expected
    assert score(probabilities, labels == 1) == expected


# The area under a risk-coverage curve has a step for every row: see there.
@pytest.mark.parametrize("score", SCORES[:-1])
def test_a_row_of_weight_two_counts_as_two_rows_and_of_weight_zero_as_none(score):
    probabilities, labels, _ = classified(100)
    counts = np.random.default_rng(1).integers(0, 4, 100)
    repeated = score(np.repeat(probabilities, counts, 0), np.repeat(labels, counts))
    weighted = score(probabilities, labels, sample_weight=counts)
    np.testing.assert_allclose(weighted, repeated, rtol=1e-12)


@scores
def test_the_scale_of_the_weights_does_not_matter(score):
    probabilities, labels, weights = classified()
    np.testing.assert_allclose(
        score(probabilities, labels, sample_weight=weights[:, None]),
        score(probabilities, labels, sample_weight=1000 * weights),
        rtol=1e-12,
    )


@scores
def test_what_predict_returns_is_taken_in_half_precision_too(score):
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(4, "softmax", dtype="mixed_bfloat16")]
    )
    inputs = np.random.default_rng(0).normal(size=(50, 3))
    labels = np.arange(50) % 4
    predictions = np.asarray(model.predict(inputs, verbose=0)).astype("float32")
    assert np.isfinite(score(predictions, labels))
    assert np.isfinite(score(predictions.astype("float16"), labels))


@pytest.fixture(scope="module", params=[(4, "softmax"), (1, "sigmoid")])
def mc_mean(request):
    units, activation = request.param
    model = keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(units, activation),
        ]
    )
    inputs = np.random.default_rng(0).normal(size=(50, 3))
    return mc_predict(model, inputs, 10, seed=0, verbose=0).mean


@scores
def test_the_mean_of_a_monte_carlo_prediction_is_taken(score, mc_mean):
    labels = np.arange(50) % max(mc_mean.shape[1], 2)
    assert np.isfinite(score(mc_mean, labels))


@pytest.mark.parametrize(
    ("probabilities", "labels", "weights", "words"),
    [
        ([[2.0, -1.0]], [0], None, "`probabilities` must be in .*Logits need a soft"),
        ([[0.9, 0.9]], [0], None, "`probabilities` of a row must sum to 1.*1.8"),
        ([[np.nan, 0.5]], [0], None, "`probabilities` must be finite.*1 of 1 rows"),
        (np.ones((1, 2, 2)) / 2, [0], None, r"shape \(1, 2, 2\)"),
        ([], [], None, "with n > 0"),
        ([[0.5, 0.5]], [2], None, r"`labels` must be integers in \[0, 2\).*2.0"),
        ([[0.5, 0.5]], [0.3], None, "`labels` must be integers"),
        ([[0.5, 0.5]], [[0.5, 0.5]], None, "must be one-hot"),
        ([[0.5, 0.5]], [0, 1], None, r"`labels` must have shape \(1,\)"),
        ([0.5, 0.5], [0, -1], None, "`labels` must be integers"),
        ([0.5, 0.5], [0, 1], [1.0], "`sample_weight` must have shape"),
        ([0.5, 0.5], [0, 1], [1.0, -1.0], "`sample_weight` must be finite, >= 0"),
        ([0.5, 0.5], [0, 1], [0.0, 0.0], "not all 0"),
    ],
)
@pytest.mark.parametrize("score", [brier_score, risk_coverage_curve])
def test_a_wrong_value_is_named_with_its_remedy(
    score, probabilities, labels, weights, words
):
    with pytest.raises(ValueError, match=rf"^{score.__name__}: .*{words}"):
        score(probabilities, labels, sample_weight=weights)
