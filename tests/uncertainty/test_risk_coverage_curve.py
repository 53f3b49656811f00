"""Risk against coverage."""

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pytest

from calibration_data import binary, classified
from keras_deeptools.uncertainty import RiskCoverageCurve, risk_coverage_curve

pytestmark = pytest.mark.backend_free


def looped(losses, confidence):
    """Geifman & El-Yaniv, 2017: mean loss of the i most confident rows, for every i."""
    order = sorted(range(len(losses)), key=lambda row: -confidence[row])
    return [sum(losses[row] for row in order[:i]) / i for i in range(1, len(order) + 1)]


def test_the_curve_and_its_areas_are_those_of_a_loop():
    probabilities, labels, _ = classified()
    wrong = (probabilities.argmax(axis=1) != labels).astype(float)
    curve = risk_coverage_curve(probabilities, labels)
    expected = looped(wrong, probabilities.max(axis=1))
    np.testing.assert_allclose(curve.risk, expected)
    np.testing.assert_allclose(curve.coverage, np.arange(1, 601) / 600)
    assert curve.area == pytest.approx(np.mean(expected))
    best = np.mean(looped(wrong, -wrong))
    assert curve.optimal_area == pytest.approx(best)
    assert curve.excess_area == pytest.approx(np.mean(expected) - best)


def test_the_optimum_approaches_the_formula_of_geifman():
    random = np.random.default_rng(0)
    wrong = random.uniform(size=100_000) < 0.2
    curve = RiskCoverageCurve.from_losses(wrong, random.normal(size=100_000))
    r = wrong.mean()
    assert curve.optimal_area == pytest.approx(r + (1 - r) * np.log(1 - r), abs=1e-4)
    # A confidence that knows nothing has the error rate everywhere.
    assert curve.area == pytest.approx(r, abs=0.01)


def test_equal_confidences_count_as_the_mean_over_all_their_orders():
    losses, confidence = [1.0, 0.0, 3.0, 2.0, 5.0], [0.9, 0.5, 0.5, 0.5, 0.1]
    curves = [
        looped([losses[i] for i in order], [confidence[i] for i in order])
        for order in itertools.permutations(range(5))
    ]
    found = RiskCoverageCurve.from_losses(losses, confidence)
    np.testing.assert_allclose(found.risk, np.mean(curves, axis=0))
    assert found.area == pytest.approx(np.mean(curves))


def test_the_best_order_has_no_excess_and_the_worst_the_most():
    losses = np.random.default_rng(0).exponential(size=200)
    best = RiskCoverageCurve.from_losses(losses, -losses)
    assert best.excess_area == pytest.approx(0, abs=1e-12)
    worst = RiskCoverageCurve.from_losses(losses, losses)
    other = RiskCoverageCurve.from_losses(losses, np.arange(200))
    assert worst.excess_area > other.excess_area > 0


def test_weights_count_as_repeated_rows_up_to_their_steps():
    probabilities, labels, _ = classified(400)
    counts = np.random.default_rng(1).integers(0, 4, 400)
    weighted = risk_coverage_curve(probabilities, labels, sample_weight=counts)
    repeated = risk_coverage_curve(
        np.repeat(probabilities, counts, 0), np.repeat(labels, counts)
    )
    assert weighted.area == pytest.approx(repeated.area, rel=0.02)
    for coverage in (0.25, 0.5, 1.0):
        assert weighted.risk_at(coverage) == pytest.approx(
            repeated.risk_at(coverage), abs=0.01
        )


def test_a_measure_of_uncertainty_takes_the_place_of_the_confidence():
    probabilities, labels, _ = classified()
    entropy = -(probabilities * np.log(probabilities)).sum(axis=1)
    found = risk_coverage_curve(probabilities, labels, confidence=-entropy)
    wrong = probabilities.argmax(axis=1) != labels
    np.testing.assert_allclose(found.risk, looped(wrong, -entropy))


def test_a_binary_model_is_unsure_near_one_half():
    probabilities, labels, _ = binary()
    found = risk_coverage_curve(probabilities, labels)
    wrong = (probabilities > 0.5) != labels
    np.testing.assert_allclose(found.risk, looped(wrong, abs(probabilities - 0.5)))


def test_the_threshold_keeps_the_risk():
    probabilities, labels, _ = classified()
    curve = risk_coverage_curve(probabilities, labels)
    threshold = curve.threshold_at(0.2)
    answered = probabilities.max(axis=1) >= threshold
    wrong = probabilities.argmax(axis=1) != labels
    assert wrong[answered].mean() <= 0.2
    assert curve.risk_at(answered.mean()) == pytest.approx(wrong[answered].mean())
    assert curve.threshold_at(-1.0) == np.inf


def test_the_picture_shows_the_curve():
    curve = risk_coverage_curve(*classified()[:2])
    ax = curve.plot()
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), curve.risk)
    assert str(curve) == curve.table()
    plt.close("all")


@pytest.mark.parametrize(
    ("losses", "confidence", "words"),
    [
        ([1.0], [1.0, 2.0], "`confidence` must be finite, of shape"),
        ([np.nan], [1.0], "`losses` must be finite"),
        ([[1.0]], [1.0], "`losses` must be finite, of shape"),
        ([], [], "`losses` must be of at least one row"),
    ],
)
def test_wrong_rows_are_named(losses, confidence, words):
    with pytest.raises(ValueError, match=f"^RiskCoverageCurve: {words}"):
        RiskCoverageCurve.from_losses(losses, confidence)


def test_a_coverage_out_of_range_is_named():
    with pytest.raises(ValueError, match="risk_at: `coverage` must be"):
        risk_coverage_curve([0.9], [1]).risk_at(0.0)
