"""Brier score and likelihoods, against scikit-learn and closed forms."""

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from scipy.stats import norm
from sklearn.metrics import brier_score_loss, log_loss

from calibration_data import binary, classified
from keras_deeptools.uncertainty import (
    brier_decomposition,
    brier_score,
    gaussian_negative_log_likelihood,
    negative_log_likelihood,
)

pytestmark = pytest.mark.backend_free


@pytest.mark.parametrize("data", [binary(), classified()])
def test_the_brier_score_is_that_of_scikit_learn(data):
    probabilities, labels, weights = data
    expected = brier_score_loss(labels, probabilities, sample_weight=weights)
    found = brier_score(probabilities, labels, sample_weight=weights)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_two_columns_have_the_brier_score_of_one():
    probabilities, labels, _ = binary()
    both = np.stack([1 - probabilities, probabilities], axis=1)
    assert brier_score(both, labels) == pytest.approx(brier_score_loss(labels, both))
    assert brier_score(both, labels) == brier_score(probabilities, labels)


@pytest.mark.parametrize("binning", ["equal_width", "adaptive"])
@pytest.mark.parametrize("data", [binary(), classified()])
def test_the_parts_of_the_brier_score_add_up(data, binning):
    probabilities, labels, weights = data
    parts = brier_decomposition(
        probabilities, labels, binning=binning, sample_weight=weights
    )
    total = parts.reliability - parts.resolution + parts.uncertainty
    np.testing.assert_allclose(total + parts.within_bins, parts.score, rtol=1e-12)
    assert parts.score == brier_score(probabilities, labels, sample_weight=weights)
    assert abs(parts.within_bins) < 0.02


def test_forecasts_of_few_values_have_murphys_parts():
    # Murphy, 1973: sums over the distinct forecasts, and nothing within them.
    random = np.random.default_rng(0)
    forecasts = random.choice([0.05, 0.25, 0.55, 0.95], 500)
    labels = (random.uniform(size=500) < 0.5 * forecasts + 0.2).astype(int)
    parts = brier_decomposition(forecasts, labels, num_bins=10)
    rates = {f: labels[forecasts == f].mean() for f in set(forecasts)}
    shares = {f: (forecasts == f).mean() for f in set(forecasts)}
    base = labels.mean()
    reliability = sum(shares[f] * (f - rates[f]) ** 2 for f in rates)
    resolution = sum(shares[f] * (rates[f] - base) ** 2 for f in rates)
    np.testing.assert_allclose(parts.reliability, reliability, rtol=1e-9)
    np.testing.assert_allclose(parts.resolution, resolution, rtol=1e-9)
    np.testing.assert_allclose(parts.uncertainty, base * (1 - base), rtol=1e-12)
    np.testing.assert_allclose(parts.within_bins, 0, atol=1e-12)


@pytest.mark.parametrize("data", [binary(), classified()])
def test_the_likelihood_is_that_of_scikit_learn(data):
    probabilities, labels, weights = data
    expected = log_loss(labels, probabilities, sample_weight=weights)
    found = negative_log_likelihood(probabilities, labels, sample_weight=weights)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_large_logits_neither_overflow_nor_saturate():
    logits = np.array([[1000.0, 0.0, -1000.0], [0.0, 500.0, 400.0]])
    expected = -log_softmax(logits, axis=1)[[0, 1], [2, 2]].mean()
    found = negative_log_likelihood(logits, [2, 2], from_logits=True)
    np.testing.assert_allclose(found, expected)
    found = negative_log_likelihood([800.0, -800.0], [0, 1], from_logits=True)
    np.testing.assert_allclose(found, 800.0)


@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_a_probability_of_zero_costs_much_but_not_infinitely_much(kind):
    limits = np.finfo(kind)
    one_hot = np.array([[1.0, 0.0]], kind)
    assert negative_log_likelihood(one_hot, [1]) == pytest.approx(-np.log(limits.tiny))
    assert negative_log_likelihood(one_hot[:, 1], [1]) == pytest.approx(
        -np.log(limits.tiny)
    )
    assert negative_log_likelihood(one_hot[:, 0], [0]) == pytest.approx(
        -np.log(limits.epsneg), rel=1e-6
    )


def test_the_gaussian_likelihood_is_that_of_scipy_and_of_pytorch():
    random = np.random.default_rng(0)
    mean, targets = random.normal(size=(2, 200, 3))
    std = random.uniform(0.5, 2, size=(200, 3))
    found = gaussian_negative_log_likelihood(mean, std, targets)
    np.testing.assert_allclose(found, -norm.logpdf(targets, mean, std).mean())
    loss = torch.nn.GaussianNLLLoss(full=True)
    expected = loss(*map(torch.tensor, (mean, targets, std**2)))
    np.testing.assert_allclose(found, float(expected), rtol=1e-9)


def test_the_gaussian_likelihood_weighs_rows_and_takes_one_spread_for_all():
    random = np.random.default_rng(0)
    mean, targets, weights = random.uniform(1, 2, size=(3, 50))
    found = gaussian_negative_log_likelihood(mean, 0.7, targets, sample_weight=weights)
    expected = np.average(-norm.logpdf(targets, mean, 0.7), weights=weights)
    np.testing.assert_allclose(found, expected)
    column = gaussian_negative_log_likelihood(
        mean[:, None], 0.7, targets, sample_weight=weights
    )
    assert column == found


@pytest.mark.parametrize(
    ("mean", "std", "targets", "words"),
    [
        ([0.0], 0.0, [1.0], "`std` must be > 0.*Add the noise of the data"),
        ([0.0], [[1.0, 2.0]], [1.0], "`std` must be a float or have the shape"),
        ([0.0, 1.0], 1.0, [1.0], "`targets` must have as many values"),
        ([0.0, np.inf], 1.0, [1.0, 1.0], "`mean` must be finite.*1 values"),
        ([], 1.0, [], "`mean` must have shape .*n > 0"),
        (0.0, 1.0, 0.0, "`mean` must have shape"),
    ],
)
def test_a_wrong_regression_is_named_with_its_remedy(mean, std, targets, words):
    with pytest.raises(ValueError, match=f"^gaussian_negative_log_likelihood: {words}"):
        gaussian_negative_log_likelihood(mean, std, targets)
