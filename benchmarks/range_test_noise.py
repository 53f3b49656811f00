"""How far learning-rate suggestions are off on noisy range tests.

    python benchmarks/range_test_noise.py [--seeds 30]

The curves come from `keras_deeptools.statistics.RangeTestCurve`: flat at 2.3, a descent
to 0.6 whose steepest point is known, and a blow-up; 100 steps from 1e-7 to 10, with
Gaussian noise on the loss. All combinations of shape, width, position and gap are taken
with every seed. The rules were tuned on the shapes named in `TUNED_ON` with other
seeds; the other shapes, and noise that is not Gaussian, were kept back.

`fastai` and `Lightning` are reimplemented here from the definitions in their sources
(fastai/callback/schedule.py; lightning/pytorch/tuner/lr_finder.py): both read a running
average with beta 0.98 and stop at four times its minimum; fastai leaves out the first
tenth and the last five steps and takes the middle of the longest decreasing
subsequence; Lightning leaves out ten and one and takes the steepest slope over the
learning rate itself (over the step number before version 2.6).
"""

import argparse
import itertools

import numpy as np

from keras_deeptools.statistics import (
    RangeTestCurve,
    exponential_smoothing,
    suggest_learning_rate,
)

NOISES = (0.05, 0.1, 0.2)
WIDTHS = (0.8, 1.5, 2.5)
STEEPEST = (1e-4, 10**-2.5, 1e-1)
GAPS = (0.5, 1.5)
TUNED_ON = ("sigmoid", "normal", "late tail", "step before")
OURS = ("suggestion", "valley", "steepest", "slide", "minimum")


def stopped(losses: np.ndarray, beta: float, factor: float = 4.0) -> int:
    """Number of steps until the running average exceeds `factor` x its minimum."""
    average = exponential_smoothing(losses, beta)
    over = np.flatnonzero(average > factor * np.minimum.accumulate(average))
    return int(over[0]) + 1 if len(over) else len(losses)


def fastai_valley(rates: np.ndarray, losses: np.ndarray) -> float:
    """Middle of the longest decreasing subsequence of the running average."""
    end = stopped(losses, 0.98) - 5
    losses = exponential_smoothing(losses, 0.98)[10:end]
    length = [1] * len(losses)
    start = stop = 0
    for i in range(1, len(losses)):
        for j in range(i):
            if losses[i] < losses[j] and length[i] < length[j] + 1:
                length[i] = length[j] + 1
            if length[stop] < length[i]:
                stop, start = i, i - length[i]
    third = (stop - start) / 3
    return float(rates[10 + start + int(third) + int(third / 2)])


def fastai_slide(rates: np.ndarray, losses: np.ndarray) -> float:
    """Left end of a 15-step interval, slid left until its slopes agree."""
    end = stopped(losses, 0.98) - 5
    slopes = np.gradient(exponential_smoothing(losses, 0.98)[10:end])
    left = len(slopes) - 16
    found = left
    while left >= 0 and abs(slopes[left + 15] - slopes[left]) > 0.005:
        found = left
        left -= 1
    return float(rates[10 + found])


def fastai_minimum(rates: np.ndarray, losses: np.ndarray) -> float:
    """A tenth of the rate with the lowest running average."""
    end = stopped(losses, 0.98) - 5
    losses = exponential_smoothing(losses, 0.98)[10:end]
    return float(rates[10 + np.argmin(losses)] / 10)


def lightning(rates: np.ndarray, losses: np.ndarray, over_rate: bool = True) -> float:
    """Steepest slope of the running average."""
    end = stopped(losses, 0.98) - 1
    rates = rates[10:end]
    losses = exponential_smoothing(losses, 0.98)[10:end]
    slopes = np.gradient(losses, rates) if over_rate else np.gradient(losses)
    return float(rates[np.argmin(slopes)])


def lightning_before(rates: np.ndarray, losses: np.ndarray) -> float:
    """Lightning's rule before it divided by the distance of the rates."""
    return lightning(rates, losses, over_rate=False)


PEERS = {
    "fastai valley": fastai_valley,
    "fastai slide": fastai_slide,
    "fastai minimum": fastai_minimum,
    "Lightning": lightning,
    "Lightning, older": lightning_before,
}


def noisy(curve: RangeTestCurve, noise: float, seed: int, kind: str) -> tuple:
    """One range test with noise of the given kind."""
    rates, losses = curve.sample(noise if kind == "Gaussian" else 0.0, seed)
    random = np.random.default_rng(seed)
    if kind == "heavy-tailed":
        losses = losses + noise * random.standard_t(3, len(losses)) / np.sqrt(3)
    if kind == "growing":
        # As in training: small steps repeat the loss, large ones scatter it.
        scale = np.linspace(0.5, 1.5, len(losses))
        losses = losses + noise * scale * random.normal(size=len(losses))
    return rates, losses


def errors(shapes: tuple, noise: float, seeds: range, kind: str) -> list[dict]:
    """Distances from the true steepest point in decades, by rule, for every curve."""
    found = []
    for case in itertools.product(shapes, WIDTHS, STEEPEST, GAPS, seeds):
        shape, width, steepest, gap, seed = case
        curve = RangeTestCurve(steepest, shape, width, gap)
        rates, losses = noisy(curve, noise, seed, kind)
        end = stopped(losses, 0.9)
        ours = suggest_learning_rate(rates[:end], losses[:end])
        guesses = {"suggestion": ours.suggestion, **ours.rules}
        guesses |= {name: rule(rates, losses) for name, rule in PEERS.items()}
        row = {name: abs(np.log10(rate / steepest)) for name, rate in guesses.items()}
        low, high = ours.interval
        inside = {"inside interval": low <= steepest <= high}
        found.append(row | inside | {"case": (shape, width, noise)})
    return found


def print_table(title: str, shapes: tuple, seeds: range, kind: str) -> list[dict]:
    """Share within half a decade, median and 90% error, for each noise."""
    print(f"\n{title}: {', '.join(shapes)}; {kind} noise, {len(seeds)} seeds")
    tables = [errors(shapes, noise, seeds, kind) for noise in NOISES]
    print(f"{'':18}" + "".join(f"{f'noise {noise:g}':>24}" for noise in NOISES))
    print(f"{'':18}" + f"{'<= 0.5':>10}{'median':>7}{'90%':>7}" * len(NOISES))
    for name in (*OURS, *PEERS):
        cells = ""
        for table in tables:
            distance = np.array([row[name] for row in table])
            cells += f"{np.mean(distance <= 0.5):10.1%}"
            cells += f"{np.median(distance):7.2f}{np.quantile(distance, 0.9):7.2f}"
        print(f"{name:18}{cells}", flush=True)
    inside = [np.mean([row["inside interval"] for row in table]) for table in tables]
    cells = "".join(f"{share:10.1%}{'':14}" for share in inside)
    print(f"{'inside interval':18}{cells}", flush=True)
    return [row for table in tables for row in table]


def print_hardest(rows: list[dict]) -> None:
    """The curves on which our suggestion is within half a decade least often."""
    hits: dict[tuple, list] = {}
    for row in rows:
        hits.setdefault(row["case"], []).append(row["suggestion"] <= 0.5)
    print("\nsuggestion within half a decade, the five hardest (shape, width, noise):")
    for case in sorted(hits, key=lambda case: np.mean(hits[case]))[:5]:
        print(f"{np.mean(hits[case]):8.1%}  {case}")


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=30)
    seeds = parser.parse_args().seeds
    shapes = RangeTestCurve.shapes
    held_out = tuple(shape for shape in shapes if shape not in TUNED_ON)
    print("Distance from the true steepest point, in decades")
    rows = print_table("Tuned on", TUNED_ON, range(seeds), "Gaussian")
    rows += print_table("Held out", held_out, range(seeds), "Gaussian")
    for kind in ("heavy-tailed", "growing"):
        print_table("Held out", shapes, range(max(1, seeds // 10)), kind)
    print_hardest(rows)


if __name__ == "__main__":
    main()
