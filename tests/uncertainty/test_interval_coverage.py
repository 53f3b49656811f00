"""Coverage of predicted intervals."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy.stats import norm

from keras_deeptools.uncertainty import interval_coverage

pytestmark = pytest.mark.backend_free


def test_the_coverage_is_the_share_of_targets_between_the_quantiles_of_scipy():
    random = np.random.default_rng(0)
    mean, targets = random.normal(size=(2, 300, 2))
    std = random.uniform(0.5, 2, size=(300, 2))
    weights = random.uniform(size=300)
    levels = [0.1, 0.5, 0.95]
    found = interval_coverage(mean, std, targets, levels, sample_weight=weights)
    for i, level in enumerate(levels):
        low, high = norm.interval(level, mean, std)
        inside = ((low <= targets) & (targets <= high)).mean(axis=1)
        np.testing.assert_allclose(
            found.coverage[i], np.average(inside, weights=weights)
        )
        width = np.average((high - low).mean(axis=1), weights=weights)
        np.testing.assert_allclose(found.width[i], width)
    assert found.calibration_error == pytest.approx(abs(found.coverage - levels).mean())


def test_a_true_model_covers_as_it_says_within_its_standard_errors():
    targets = np.random.default_rng(0).normal(2.0, 3.0, size=20_000)
    found = interval_coverage(np.full(20_000, 2.0), 3.0, targets)
    assert (abs(found.coverage - found.levels) < 3 * found.standard_error).all()
    np.testing.assert_allclose(
        found.standard_error, np.sqrt(found.levels * (1 - found.levels) / 20_000)
    )


def test_a_model_too_sure_of_itself_covers_less():
    targets = np.random.default_rng(0).normal(size=20_000)
    found = interval_coverage(np.zeros(20_000), 0.5, targets)
    expected = 2 * norm.cdf(0.5 * norm.ppf((1 + found.levels) / 2)) - 1
    np.testing.assert_allclose(found.coverage, expected, atol=0.015)


def test_the_picture_shows_the_coverage():
    found = interval_coverage([0.0, 1.0], 1.0, [0.5, 3.0])
    ax = found.plot()
    np.testing.assert_array_equal(ax.lines[1].get_ydata(), found.coverage)
    assert str(found) == found.table()
    plt.close("all")


@pytest.mark.parametrize("levels", [[0.5, 1.0], [0.0], [], 0.5, [np.nan]])
def test_levels_out_of_range_are_named(levels):
    with pytest.raises(ValueError, match=r"`levels` must be floats in \(0, 1\)"):
        interval_coverage([0.0], 1.0, [0.0], levels)
