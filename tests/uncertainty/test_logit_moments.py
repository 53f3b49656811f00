"""Moments of logits and probabilities, against sums over all masks and samples."""

import itertools

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import expit, softmax
from scipy.stats import norm

from keras_deeptools.uncertainty._negative_log_likelihood import (
    log_odds_moments,
    logit_moments,
    mean_field_softmax,
    sigmoid_moments,
    softmax_moments,
)

pytestmark = pytest.mark.backend_free


def head(num_rows=20, num_features=128, num_classes=10, scale=1.0, seed=0):
    random = np.random.default_rng(seed)
    features = np.maximum(random.normal(size=(num_rows, num_features)), 0)
    kernel = random.normal(size=(num_features, num_classes))
    kernel *= scale / np.sqrt(num_features / 2)
    return features, kernel, random.normal(size=num_classes)


def sampled(features, kernel, bias, rate, num_samples=4_000, seed=1):
    """Mean and standard deviation of the softmax over dropout masks."""
    random = np.random.default_rng(seed)
    draws = [
        softmax(
            features * (random.random(features.shape) >= rate) / (1 - rate) @ kernel
            + bias,
            axis=1,
        )
        for _ in range(num_samples)
    ]
    return np.mean(draws, axis=0), np.std(draws, axis=0)


def total_variation(these, those):
    return 0.5 * np.abs(these - those).sum(axis=1).mean()


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_mean_and_covariance_of_the_logits_are_the_sums_over_all_masks(rate):
    features, kernel, bias = head(3, 8, 4)
    masks = np.array(list(itertools.product([0, 1], repeat=8)))
    weights = np.prod(np.where(masks, 1 - rate, rate), axis=1)
    z = (features[:, None] * masks / (1 - rate)) @ kernel + bias
    mean = np.einsum("m,nmk->nk", weights, z)
    covariance = np.einsum(
        "m,nmj,nmk->njk", weights, z - mean[:, None], z - mean[:, None]
    )
    logits = logit_moments(features, kernel, bias, rate)
    np.testing.assert_allclose(logits.mean, mean)
    np.testing.assert_allclose(logits.variance, np.einsum("njj->nj", covariance))
    direction = np.random.default_rng(2).normal(size=(3, 4))
    np.testing.assert_allclose(
        logits.covariance_with(direction),
        np.einsum("njk,nk->nj", covariance, direction),
    )


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (2.0, 0.1), (-3.0, 2.0), (1, 4)])
def test_the_sigmoid_of_a_normal_has_the_moments_of_an_integral(mean, std):
    def moment(power):
        return quad(
            lambda z: expit(z) ** power * norm.pdf(z, mean, std),
            mean - 12 * std,
            mean + 12 * std,
            points=[mean],
        )[0]

    found = sigmoid_moments(np.array([float(mean)]), np.array([float(std) ** 2]))
    np.testing.assert_allclose(found[0], moment(1), atol=2e-4)
    np.testing.assert_allclose(found[1], np.sqrt(moment(2) - moment(1) ** 2), atol=1e-3)


def test_the_log_odds_are_the_delta_method_by_finite_differences():
    features, kernel, bias = head(4, 32, 5, scale=2.0)
    logits = logit_moments(features, kernel, bias, 0.3)
    mean, variance = log_odds_moments(logits)

    def log_odds(z, k):
        return z[k] - np.log(np.exp(np.delete(z, k)).sum())

    step = 1e-4
    for row in range(4):
        z = logits.mean[row]
        covariance = (kernel.T * logits.scale[row]) @ kernel
        eye = np.eye(5) * step
        for k in range(5):
            slopes = [
                (log_odds(z + e, k) - log_odds(z - e, k)) / (2 * step) for e in eye
            ]
            hessian = [
                [
                    log_odds(z + a + b, k)
                    - log_odds(z + a - b, k)
                    - log_odds(z - a + b, k)
                    + log_odds(z - a - b, k)
                    for a in eye
                ]
                for b in eye
            ] / np.float64(4 * step**2)
            expected = log_odds(z, k) + np.trace(hessian @ covariance) / 2
            np.testing.assert_allclose(mean[row, k], expected, rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(
                variance[row, k], slopes @ covariance @ slopes, rtol=1e-5
            )


def test_two_classes_are_the_sigmoid_of_their_difference():
    features, kernel, bias = head(num_classes=2)
    found = softmax_moments(logit_moments(features, kernel, bias, 0.4))
    difference = logit_moments(
        features, kernel[:, 1:] - kernel[:, :1], bias[1:] - bias[:1], 0.4
    )
    expected = sigmoid_moments(difference.mean, difference.variance)
    np.testing.assert_allclose(found[0][:, 1:], expected[0], rtol=1e-9)
    np.testing.assert_allclose(found[1][:, 1:], expected[1], rtol=1e-6)


# Scale 1 gives logits of standard deviation 1 at rate .5; 3 is a very sure network.
@pytest.mark.parametrize(
    ("scale", "rate", "bound"),
    [(1.0, 0.1, 0.006), (1.0, 0.5, 0.02), (3.0, 0.1, 0.02), (3.0, 0.3, 0.06)],
)
@pytest.mark.parametrize("num_classes", [3, 10])
def test_the_softmax_is_within_a_bound_of_many_samples(scale, rate, bound, num_classes):
    features, kernel, bias = head(num_classes=num_classes, scale=scale)
    mean, std = sampled(features, kernel, bias, rate)
    logits = logit_moments(features, kernel, bias, rate)
    found = softmax_moments(logits)
    silent = softmax(logits.mean, axis=1)
    error = total_variation(found[0], mean)
    assert error < bound
    assert error < total_variation(silent, mean) / 3
    assert error < total_variation(
        mean_field_softmax(logits.mean, logits.variance), mean
    )
    assert np.abs(found[1] - std).mean() < bound


def test_very_sure_logits_stay_finite():
    logits = logit_moments(
        np.ones((1, 4)), np.array([[300.0, 0.0, -300.0]] * 4), np.zeros(3), 0.5
    )
    mean, std = softmax_moments(logits)
    assert np.isfinite(mean).all() and np.isfinite(std).all()
    np.testing.assert_allclose(mean.sum(), 1)
    assert np.isfinite(mean_field_softmax(logits.mean, logits.variance)).all()
