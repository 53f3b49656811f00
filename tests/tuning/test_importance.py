import numpy as np
import pytest

from keras_deeptools.tuning._search_report.hyperparameter_importance import importances

pytestmark = pytest.mark.backend_free


def drawn(seed: int, count: int = 40) -> dict[str, list]:
    random = np.random.default_rng(seed)
    return {
        "rate": list(10 ** random.uniform(-4, 0, count)),
        "kind": list(random.choice(["a", "b", "c"], count)),
        **{f"idle_{i}": list(random.uniform(size=count)) for i in range(6)},
    }


def test_a_best_value_in_the_middle_is_seen_although_no_line_fits() -> None:
    values = drawn(0)
    results = [-abs(np.log10(rate) + 2) for rate in values["rate"]]
    first, *others = importances(values, results, [None] * 40)
    assert first.name == "rate" and first.is_clear and first.share > 0.8
    assert not any(one.is_clear for one in others)
    assert abs(np.corrcoef(np.log10(values["rate"]), results)[0, 1]) < 0.3


def test_a_category_is_seen() -> None:
    values = drawn(1)
    results = [float(kind == "b") for kind in values["kind"]]
    first, *_ = importances(values, results, [None] * 40)
    assert first.name == "kind" and first.share > 0.95


def test_the_share_of_a_category_is_that_of_an_analysis_of_variance() -> None:
    values = drawn(2, 400)
    noise = np.random.default_rng(5).normal(size=400)
    results = np.array([float(kind == "b") for kind in values["kind"]]) + noise
    found = {one.name: one for one in importances(values, list(results), [None] * 400)}
    ranks = results.argsort().argsort() + 0.0
    groups = [ranks[np.array(values["kind"]) == kind] for kind in "abc"]
    between = sum(len(g) * (g.mean() - ranks.mean()) ** 2 for g in groups)
    explained = between / ((ranks - ranks.mean()) ** 2).sum()
    expected_by_chance = 2 / 399
    adjusted = (explained - expected_by_chance) / (1 - expected_by_chance)
    assert found["kind"].share == pytest.approx(adjusted, abs=2e-3)


def test_results_without_a_cause_are_rarely_called_clear() -> None:
    alarms = sum(
        any(
            one.is_clear
            for one in importances(
                drawn(seed, 20),
                list(np.random.default_rng(seed + 99).normal(size=20)),
                [None] * 20,
            )
        )
        for seed in range(40)
    )
    assert alarms <= 5  # of 40, with one in twenty expected: 99% of the time


def test_the_largest_p_value_of_chance_is_uniform() -> None:
    found = [
        one.p_value
        for seed in range(12)
        for one in importances(
            drawn(seed, 20),
            list(np.random.default_rng(seed + 7).normal(size=20)),
            [None] * 20,
        )
    ]
    assert 0.4 < np.mean(found) < 0.6


def test_results_are_compared_within_their_groups_only() -> None:
    random = np.random.default_rng(0)
    groups = [0] * 20 + [1] * 20
    # The larger rates were tried where all results are better.
    rate = [*random.uniform(0, 1, 20), *random.uniform(1, 2, 20)]
    results = [*random.normal(size=20), *(random.normal(size=20) + 100)]
    (pooled,) = importances({"rate": rate}, results, [None] * 40)
    (within,) = importances({"rate": rate}, results, groups)
    assert pooled.is_clear and not within.is_clear


def test_a_hyperparameter_counts_where_it_was_active() -> None:
    values = drawn(3)
    values["part"] = [rate if i % 2 else None for i, rate in enumerate(values["rate"])]
    results = [-np.log10(rate) for rate in values["rate"]]
    found = {one.name: one for one in importances(values, results, [None] * 40)}
    assert found["part"].num_trials == 20 and found["part"].share > 0.95


def test_what_was_tried_once_or_never_changed_has_no_share() -> None:
    values = {
        "rare": [0.5, *[None] * 19],
        "same": [1.0] * 20,
        "names": [f"layer_{i}" for i in range(20)],
    }
    assert importances(values, list(range(20)), [None] * 20) == ()


def test_equal_results_have_no_cause() -> None:
    assert importances(drawn(4, 20), [1.0] * 20, [None] * 20) == ()


def test_failed_trials_count_as_the_worst() -> None:
    values = {"rate": list(np.linspace(0, 1, 20))}
    results = [-np.inf if rate > 0.5 else 1.0 for rate in values["rate"]]
    (found,) = importances(values, results, [None] * 20)
    assert found.is_clear and found.share > 0.7
