"""Likelihood under a mixture over dropout masks."""

import keras
import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp, softmax
from scipy.stats import norm

from keras_deeptools.uncertainty._predictive_likelihood import (
    classification_log_likelihood,
    likelihood_of_loss,
    regression_log_likelihood,
)

pytestmark = pytest.mark.backend_free


def test_the_likelihood_of_a_class_is_the_log_of_the_mean_probability():
    logits = np.random.default_rng(0).normal(size=(7, 20, 4))
    labels = np.arange(20) % 4
    mean = softmax(logits, axis=-1).mean(axis=0)
    expected = np.log(mean[np.arange(20), labels])
    for outputs, from_logits in ((softmax(logits, axis=-1), False), (logits, True)):
        found = classification_log_likelihood("it", outputs, labels, from_logits)
        np.testing.assert_allclose(found, expected)


def test_the_likelihood_of_a_binary_label_is_that_of_its_side():
    logits = np.random.default_rng(0).normal(size=(7, 20, 1))
    labels = np.arange(20) % 2
    positive = (1 / (1 + np.exp(-logits))).mean(axis=0)[:, 0]
    expected = np.log(np.where(labels == 1, positive, 1 - positive))
    found = classification_log_likelihood("it", logits, labels, True)
    np.testing.assert_allclose(found, expected)
    probabilities = 1 / (1 + np.exp(-logits))
    found = classification_log_likelihood("it", probabilities, labels[:, None], False)
    np.testing.assert_allclose(found, expected)


def test_the_likelihood_of_a_target_is_gal_and_ghahramanis_at_its_best_precision():
    random = np.random.default_rng(0)
    outputs = random.normal(size=(50, 30, 2))
    targets = random.normal(size=(30, 2)) * 2

    def rows(log_noise):
        densities = norm.logpdf(targets, outputs, np.exp(log_noise)).sum(axis=-1)
        return logsumexp(densities, axis=0) - np.log(50)

    best = minimize_scalar(lambda s: -rows(s).mean(), bounds=(-5, 5), method="bounded")
    found, noise = regression_log_likelihood(outputs, targets)
    assert noise == pytest.approx(np.exp(best.x), rel=1e-3)
    np.testing.assert_allclose(found, rows(np.log(noise)))
    assert found.mean() == pytest.approx(-best.fun, abs=1e-6)


def test_one_sample_has_the_noise_of_its_own_error():
    random = np.random.default_rng(0)
    outputs, targets = random.normal(size=(1, 40, 1)), random.normal(size=(40, 1))
    _, noise = regression_log_likelihood(outputs, targets)
    assert noise == pytest.approx(np.sqrt(np.mean((outputs[0] - targets) ** 2)))


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("sparse_categorical_crossentropy", ("classification", False)),
        ("binary_crossentropy", ("classification", False)),
        (
            keras.losses.CategoricalCrossentropy(from_logits=True),
            ("classification", True),
        ),
        (keras.losses.binary_crossentropy, ("classification", False)),
        ("mse", ("regression", False)),
        (keras.losses.Huber(), ("regression", False)),
        (keras.losses.mean_absolute_error, ("regression", False)),
    ],
)
def test_the_loss_tells_the_likelihood(loss, expected):
    assert likelihood_of_loss("it", loss) == expected


def test_a_loss_that_tells_nothing_is_named():
    with pytest.raises(ValueError, match="^it: `likelihood` must be given"):
        likelihood_of_loss("it", "kl_divergence")
