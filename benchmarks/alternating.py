"""Ways to do one thing, timed in turn in one process, each against its own plain way.

Other processes only add time, so ratios are of a low quantile of many rounds; each
round runs every way once, in a new order.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

Timed = Callable[[], tuple[float, float]]
"""Runs once; returns seconds of the work, and of what is done after it."""


@dataclass(frozen=True)
class Rounds:
    """What each way took.

    Attributes:
        seconds: Dict from the name of a way to an array `(rounds, 2)`: the work, and
            what is done after it.
        failed: Dict from the name of a way that raised to its error.
        quantile: Float in [0, 1]. Which quantile of the rounds counts.
    """

    seconds: dict[str, np.ndarray]
    failed: dict[str, Exception]
    quantile: float

    def low(self, name: str, part: int = 0) -> float:
        """Seconds of a way: of the work (part 0), or after it (part 1)."""
        return float(np.quantile(self.seconds[name][:, part], self.quantile))

    def ratio(self, name: str, baseline: str) -> float:
        """How many times as long as the baseline the work takes."""
        return self.low(name) / self.low(baseline)

    def ratio_error(self, name: str, baseline: str) -> float:
        """Standard error of the ratio, over 200 resamples of the rounds."""
        both = np.array([self.seconds[one][:, 0] for one in (name, baseline)])
        return ratio_error(both, self.quantile)


def ratio_error(both: np.ndarray, quantile: float) -> float:
    """Standard error of the ratio of low quantiles, over 200 resamples of the rounds.

    Args:
        both: Array `(2, rounds)`, seconds above and below the line.
        quantile: Float in [0, 1].
    """
    generator = np.random.default_rng(0)
    picks = generator.integers(0, both.shape[1], (200, both.shape[1]))
    low = np.quantile(both[:, picks], quantile, axis=2)
    return float(np.std(low[0] / low[1]))


def alternate(
    ways: Mapping[str, Timed], rounds: int, quantile: float, warmup: int = 3
) -> Rounds:
    """Runs every way once a round.

    A way that raises while it warms up is left out.

    Args:
        ways: Dict from a name to a function that runs the way once.
        rounds: Int >= 1, timed runs of each.
        quantile: Float in [0, 1]. Which quantile of the rounds counts.
        warmup: Int >= 0, runs of each that are not timed.

    Returns:
        `Rounds`.
    """
    failed: dict[str, Exception] = {}
    for name, run in ways.items():
        try:
            for _ in range(warmup):
                run()
        except Exception as error:  # of a package of others, whatever it is
            failed[name] = error
    names = [name for name in ways if name not in failed]
    seconds = {name: np.zeros((rounds, 2)) for name in names}
    for number in range(rounds):
        for name in random.sample(names, len(names)):
            seconds[name][number] = ways[name]()
    return Rounds(seconds, failed, quantile)
