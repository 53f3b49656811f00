"""Expected calibration error and reliability diagrams."""

import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.calibration import calibration_curve

from calibration_data import binary, classified
from keras_deeptools.uncertainty import expected_calibration_error, reliability_diagram

pytestmark = pytest.mark.backend_free


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def looped(probabilities, labels, weights, num_bins, norm):
    """Guo et al., 2017, equation 3, with a loop over bins of equal width."""
    total = np.sum(weights)
    gaps, shares = [], []
    for m in range(num_bins):
        rows = [
            (p.max(), p.argmax() == label, w)
            for p, label, w in zip(probabilities, labels, weights, strict=True)
            if m / num_bins < p.max() <= (m + 1) / num_bins
        ]
        share = sum(w for _, _, w in rows)
        if rows:
            confidence = sum(w * p for p, _, w in rows) / share
            accuracy = sum(w * hit for _, hit, w in rows) / share
            gaps.append(abs(confidence - accuracy))
            shares.append(share / total)
    if norm == "max":
        return max(gaps)
    if norm == "l2":
        return np.sqrt(np.dot(shares, np.square(gaps)))
    return np.dot(shares, gaps)


@pytest.mark.parametrize("norm", ["l1", "l2", "max"])
@pytest.mark.parametrize("num_bins", [1, 10, 15])
def test_the_error_of_the_predicted_class_is_that_of_a_loop(norm, num_bins):
    probabilities, labels, weights = classified()
    found = expected_calibration_error(
        probabilities, labels, num_bins, norm=norm, sample_weight=weights
    )
    expected = looped(probabilities, labels, weights, num_bins, norm)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("binning", "strategy"), [("equal_width", "uniform"), ("adaptive", "quantile")]
)
@pytest.mark.parametrize("num_bins", [5, 15])
def test_the_bins_of_a_binary_model_are_those_of_scikit_learn(
    binning, strategy, num_bins
):
    probabilities, labels, _ = binary(600)
    diagram = reliability_diagram(probabilities, labels, num_bins, binning)
    frequency, confidence = calibration_curve(
        labels, probabilities, n_bins=num_bins, strategy=strategy
    )
    np.testing.assert_allclose(diagram.frequency, frequency, rtol=1e-12)
    np.testing.assert_allclose(diagram.confidence, confidence, rtol=1e-12)


@pytest.mark.parametrize(
    ("binning", "strategy"), [("equal_width", "uniform"), ("adaptive", "quantile")]
)
def test_a_class_against_the_rest_is_that_of_scikit_learn(binning, strategy):
    probabilities, labels, _ = classified(600)
    found = reliability_diagram(probabilities, labels, 10, binning, event=2)
    frequency, confidence = calibration_curve(
        labels == 2, probabilities[:, 2], n_bins=10, strategy=strategy
    )
    np.testing.assert_allclose(found.frequency, frequency, rtol=1e-12)
    np.testing.assert_allclose(found.confidence, confidence, rtol=1e-12)


def test_adaptive_bins_hold_equal_shares_and_keep_ties_together():
    probabilities, labels, _ = classified(600)
    diagram = reliability_diagram(probabilities, labels, 12, "adaptive")
    np.testing.assert_array_equal(diagram.count.round(6), 50)
    tied = np.repeat([0.2, 0.7, 0.9], [10, 50, 3])
    outcomes = (np.arange(63) % 2).astype(int)
    found = reliability_diagram(tied, outcomes, 10, "adaptive")
    np.testing.assert_allclose(found.confidence, [0.2, 0.7, 0.9])
    order = np.random.default_rng(0).permutation(63)
    again = reliability_diagram(tied[order], outcomes[order], 10, "adaptive")
    np.testing.assert_allclose(again.frequency, found.frequency)


def test_a_calibrated_model_has_no_error_but_noise_and_a_sure_one_its_closed_form():
    random = np.random.default_rng(0)
    probabilities = random.uniform(size=400_000)
    labels = (random.uniform(size=400_000) < probabilities).astype(int)
    assert expected_calibration_error(probabilities, labels) < 0.005
    # Said p where p**2 is true: the mean distance is the integral of p - p**2.
    labels = (random.uniform(size=400_000) < probabilities**2).astype(int)
    error = expected_calibration_error(probabilities, labels, 100)
    assert abs(error - 1 / 6) < 0.003


def test_the_two_extremes_0_and_1_are_in_the_first_and_last_bin():
    diagram = reliability_diagram([0.0, 1.0], [0, 1], 4)
    np.testing.assert_array_equal(diagram.lower, [0.0, 0.75])
    np.testing.assert_array_equal(diagram.upper, [0.25, 1.0])
    assert diagram.expected_calibration_error == 0


def test_two_columns_are_judged_by_the_predicted_class_unless_told_otherwise():
    probabilities, labels, _ = binary()
    both = np.stack([1 - probabilities, probabilities], axis=1)
    assert expected_calibration_error(both, labels) == expected_calibration_error(
        probabilities, labels, event="predicted"
    )
    assert expected_calibration_error(
        both, labels, event=1
    ) == expected_calibration_error(probabilities, labels)


def test_the_intervals_are_those_of_scipy():
    probabilities, labels, _ = classified(600)
    diagram = reliability_diagram(probabilities, labels, 10)
    for i in range(len(diagram.count)):
        trials = round(diagram.count[i])
        hits = round(diagram.count[i] * diagram.frequency[i])
        expected = binomtest(hits, trials).proportion_ci(method="wilson")
        np.testing.assert_allclose(diagram.interval[i], expected, atol=1e-6)


def test_the_diagram_and_the_error_are_the_same_number():
    probabilities, labels, weights = classified()
    diagram = reliability_diagram(probabilities, labels, sample_weight=weights)
    assert diagram.expected_calibration_error == expected_calibration_error(
        probabilities, labels, sample_weight=weights
    )
    assert diagram.maximum_calibration_error == expected_calibration_error(
        probabilities, labels, norm="max", sample_weight=weights
    )
    assert diagram.weight.sum() == pytest.approx(1)


def test_the_picture_shows_the_bins():
    diagram = reliability_diagram(*classified()[:2])
    ax = diagram.plot()
    line = ax.containers[-1].lines[0]
    np.testing.assert_array_equal(line.get_xdata(), diagram.confidence)
    np.testing.assert_array_equal(line.get_ydata(), diagram.frequency)
    assert diagram.plot(ax=ax) is ax
    assert str(diagram) == diagram.table()


def test_a_missing_matplotlib_names_the_extra_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"plot: .*keras-deeptools\[plot\]"):
        reliability_diagram([0.5], [1]).plot()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"num_bins": 0}, r"`num_bins` must be an integer >= 1"),
        ({"binning": "quantile"}, "`binning` must be one of 'equal_width', 'adaptive'"),
        ({"event": "top"}, r"`event` must be 'auto', 'predicted' or a class in \[0, 4"),
        ({"event": 4}, "`event` must be"),
        ({"event": True}, "`event` must be"),
    ],
)
@pytest.mark.parametrize("judge", [expected_calibration_error, reliability_diagram])
def test_an_option_out_of_range_is_named(judge, arguments, words):
    with pytest.raises(ValueError, match=f"^{judge.__name__}: {words}"):
        judge(*classified()[:2], **arguments)


def test_an_unknown_norm_is_named():
    with pytest.raises(ValueError, match="`norm` must be one of 'l1', 'l2', 'max'"):
        expected_calibration_error([0.5], [1], norm="linf")
