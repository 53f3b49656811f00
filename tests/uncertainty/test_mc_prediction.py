"""The statistics of Monte Carlo prediction, against numpy and closed forms."""

import copy
import pickle

import keras
import numpy as np
import pytest

from keras_deeptools.uncertainty import MCPrediction, mc_predict
from keras_deeptools.uncertainty._output_statistics import (
    OutputStatistics,
    decided,
    entropy,
    joined,
    kind_of,
    stacked,
    statistics_of,
)

DRAW = np.random.default_rng(0)


def softmax(logits: np.ndarray) -> np.ndarray:
    p = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return (p / p.sum(axis=-1, keepdims=True)).astype("float32")


def in_parts(samples: np.ndarray, sizes: list[int]) -> OutputStatistics:
    """Statistics of samples `(rows, samples, ...)`, gathered part by part."""
    ends = np.cumsum(sizes)
    result = statistics_of(samples[:, : ends[0]])
    for start, end in zip(ends[:-1], ends[1:], strict=True):
        part = statistics_of(samples[:, start:end])
        result = joined(result, int(start), part, int(end - start))
    return result


def prediction(samples: np.ndarray) -> MCPrediction:
    rows, count = samples.shape[:2]
    sizes = [1, 7, count - 8] if count > 9 else [count]
    return MCPrediction([in_parts(samples, sizes)], None, np.full(rows, count), 0)


PROBABILITIES = softmax(DRAW.normal(0, 2, (4, 50, 3)))


def test_mean_and_deviation_are_those_of_numpy() -> None:
    found = prediction(PROBABILITIES)
    np.testing.assert_allclose(found.mean, PROBABILITIES.mean(axis=1), rtol=1e-6)
    np.testing.assert_allclose(
        found.std, PROBABILITIES.std(axis=1, ddof=1, dtype="float64"), rtol=1e-6
    )
    np.testing.assert_allclose(found.standard_error, found.std / np.sqrt(50))


def test_the_deviation_survives_a_large_offset() -> None:
    samples = (1e4 + DRAW.normal(0, 0.01, (2, 100, 1))).astype("float64")
    expected = samples.std(axis=1, ddof=1)
    np.testing.assert_allclose(prediction(samples).std, expected, rtol=1e-6)


def test_entropies_are_those_of_their_definitions() -> None:
    found = prediction(PROBABILITIES)
    p = PROBABILITIES.astype("float64")
    each = -(p * np.log(p)).sum(axis=2)
    mean = p.mean(axis=1)
    total = -(mean * np.log(mean)).sum(axis=1)
    np.testing.assert_allclose(found.predictive_entropy, total, rtol=1e-6)
    np.testing.assert_allclose(found.expected_entropy, each.mean(axis=1), rtol=1e-6)
    np.testing.assert_allclose(
        found.expected_entropy_error, each.std(axis=1, ddof=1) / np.sqrt(50), rtol=1e-6
    )
    np.testing.assert_allclose(
        found.mutual_information, (total - each.mean(axis=1)) * 50 / 49, rtol=1e-5
    )


def test_entropy_is_that_of_scipy() -> None:
    import scipy.stats as stats

    p = PROBABILITIES.astype("float64")
    np.testing.assert_allclose(
        entropy(p, "categorical"), stats.entropy(p, axis=-1), atol=1e-6
    )


@pytest.mark.parametrize("num_samples", [5, 10])
def test_mutual_information_from_few_samples_is_not_biased(num_samples: int) -> None:
    logits = np.random.default_rng(1).normal(0, 1.5, (1, 40_000, 3))
    samples = softmax(logits)
    exact = prediction(samples).mutual_information[0]
    few = prediction(samples.reshape(-1, num_samples, 3)).mutual_information
    assert abs(few.mean() / exact - 1) < 0.03


def test_the_variation_ratio_counts_the_votes() -> None:
    votes = np.eye(3, dtype="float32")[[[0, 0, 0, 1], [2, 1, 0, 2]]]
    np.testing.assert_allclose(prediction(votes).variation_ratio, [0.25, 0.5])


def test_one_probability_is_that_of_yes() -> None:
    samples = DRAW.uniform(size=(3, 40, 1)).astype("float32")
    found = prediction(samples)
    p = samples.astype("float64")
    each = -(p * np.log(p) + (1 - p) * np.log(1 - p))
    np.testing.assert_allclose(found.expected_entropy, each.mean(axis=1), rtol=1e-6)
    yes = (p >= 0.5).mean(axis=1)
    np.testing.assert_allclose(
        found.variation_ratio, np.minimum(yes, 1 - yes), rtol=1e-5
    )


@pytest.mark.parametrize(
    ("samples", "kind"),
    [
        (PROBABILITIES, "categorical"),
        (PROBABILITIES.astype("float16"), "categorical"),
        (PROBABILITIES[..., :1], "Bernoulli"),
        (PROBABILITIES[..., :2], "Bernoulli"),
        (PROBABILITIES * 2, "values"),
        (PROBABILITIES - 0.5, "values"),
    ],
)
def test_what_outputs_are_is_seen_by_their_values(
    samples: np.ndarray, kind: str
) -> None:
    assert kind_of(samples) == kind


def test_outputs_are_probabilities_only_if_all_are() -> None:
    parts = [statistics_of(PROBABILITIES), statistics_of(PROBABILITIES - 1)]
    assert stacked(parts).kind == "values"
    assert joined(parts[0], 50, parts[1], 50).kind == "values"


def test_values_have_no_entropy() -> None:
    with pytest.raises(ValueError, match="entropies are for outputs that are prob"):
        _ = prediction(PROBABILITIES - 1).predictive_entropy


def test_samples_that_were_not_kept_are_not_there() -> None:
    with pytest.raises(ValueError, match="return_samples=True"):
        _ = prediction(PROBABILITIES).samples


def test_one_sample_tells_no_deviation() -> None:
    found = prediction(PROBABILITIES[:, :1])
    assert np.isnan(found.std).all()
    assert np.isnan(found.mutual_information).all()
    assert np.isfinite(found.mean).all()


def test_the_variance_is_that_of_the_law_of_total_variance() -> None:
    """Mixtures of normals: epistemic and aleatoric variance add up to theirs."""
    means = DRAW.normal(0, 2, (3, 4000, 1))
    variances = DRAW.uniform(0.5, 1.5, (3, 4000, 1))
    found = prediction(np.concatenate([means, variances], axis=-1))
    parts = found.variance(mean=0, variance=1)
    drawn = means + np.sqrt(variances) * DRAW.normal(size=means.shape)
    np.testing.assert_allclose(parts.total, drawn.var(axis=1)[:, 0], rtol=0.1)
    np.testing.assert_allclose(parts.epistemic, means.var(axis=1)[:, 0], rtol=1e-2)
    np.testing.assert_allclose(parts.aleatoric, variances.mean(axis=1)[:, 0], 1e-5)
    assert "of the model" in str(parts)


def test_without_a_predicted_variance_all_of_it_is_of_the_model() -> None:
    parts = prediction(PROBABILITIES - 1).variance()
    assert (parts.aleatoric == 0).all()
    np.testing.assert_array_equal(parts.total, parts.epistemic)


def test_outputs_of_a_model_are_named_as_the_model_does() -> None:
    inputs = keras.Input((2,))
    x = keras.layers.Dropout(0.5)(inputs)
    outputs = {"mean": keras.layers.Dense(1)(x), "variance": keras.ops.exp(x)}
    model = keras.Model(inputs, outputs)
    found = mc_predict(model, np.ones((3, 2)), 10, seed=0, verbose=0)
    assert found.variance(mean="mean", variance="variance").total.shape == (3, 2)
    assert "mean: values, shape (1,)" in str(found)
    with pytest.raises(ValueError, match="`mean` must name one of the outputs"):
        found.variance(mean="other")


def test_a_negative_variance_is_refused() -> None:
    with pytest.raises(ValueError, match="never negative"):
        prediction(PROBABILITIES - 1).variance(mean=0, variance=1)


def test_a_result_is_copied_and_pickled_with_its_arrays() -> None:
    found = prediction(PROBABILITIES)
    for again in (copy.deepcopy(found), pickle.loads(pickle.dumps(found))):
        np.testing.assert_array_equal(
            again.mutual_information, found.mutual_information
        )


def test_a_summary_says_how_much_of_the_entropy_is_of_the_model() -> None:
    text = str(prediction(PROBABILITIES))
    assert "4 rows, 50 samples each" in text
    assert "predictive entropy" in text


def test_a_class_is_decided_where_the_intervals_do_not_meet() -> None:
    clear = np.array([0.9, 0.1]) + DRAW.normal(0, 0.01, (1, 30, 1)) * [1, -1]
    close = np.array([0.5, 0.5]) + DRAW.normal(0, 0.2, (1, 30, 1)) * [1, -1]
    samples = np.concatenate([clear, close]).clip(0, 1)
    counts = np.full(2, 30)
    assert decided(statistics_of(samples), counts).tolist() == [True, False]


def test_a_rank_is_decided_where_no_other_interval_is_met() -> None:
    centres = np.array([0.0, 5.0, 5.001, -40.0])
    samples = centres[:, None, None] + DRAW.normal(0, 0.1, (4, 30, 1))
    counts = np.full(4, 30)
    found = decided(statistics_of(samples), counts).tolist()
    assert found == [True, False, False, True]
