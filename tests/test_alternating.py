"""How benchmarks time several ways in turn."""

from collections import Counter
from collections.abc import Iterator
from types import ModuleType

import numpy as np
import pytest

from benchmark_modules import benchmark_modules

pytestmark = pytest.mark.backend_free


@pytest.fixture(scope="module")
def alternating() -> Iterator[ModuleType]:
    with benchmark_modules("alternating") as [module]:
        yield module


def test_every_way_runs_once_a_round_after_its_warmup(
    alternating: ModuleType,
) -> None:
    runs: Counter = Counter()

    def way(name: str) -> tuple[float, float]:
        runs[name] += 1
        return 1.0, 0.0

    ways = {name: lambda name=name: way(name) for name in "abc"}
    found = alternating.alternate(ways, rounds=5, quantile=0.1, warmup=2)
    assert runs == {"a": 7, "b": 7, "c": 7}
    assert {name: s.shape for name, s in found.seconds.items()} == dict.fromkeys(
        "abc", (5, 2)
    )


def test_a_way_that_raises_is_named_and_the_others_are_timed(
    alternating: ModuleType,
) -> None:
    ways = {"broken": lambda: 1 / 0, "whole": lambda: (1.0, 0.0)}
    found = alternating.alternate(ways, rounds=2, quantile=0.1)
    assert list(found.seconds) == ["whole"]
    assert isinstance(found.failed["broken"], ZeroDivisionError)


def test_the_ratio_is_of_low_quantiles(alternating: ModuleType) -> None:
    plain, slow = np.arange(1.0, 12), np.arange(2.0, 13)
    seconds = {"plain": plain, "slow": slow}
    seconds = {name: np.stack([s, 0 * s], 1) for name, s in seconds.items()}
    found = alternating.Rounds(seconds, {}, quantile=0.1)
    assert found.ratio("slow", "plain") == 3 / 2


def test_ways_in_step_with_their_baseline_have_no_error(
    alternating: ModuleType,
) -> None:
    seconds = np.random.default_rng(0).uniform(1, 2, (20, 2))
    found = alternating.Rounds({"plain": seconds, "slow": 2 * seconds}, {}, 0.1)
    assert found.ratio_error("slow", "plain") < 1e-12
