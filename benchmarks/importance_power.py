"""How often `search_report` sees what matters, and what does not, by number of trials.

    KERAS_BACKEND=torch python benchmarks/importance_power.py [--searches 200]

Random searches are simulated. Of the variance of the results a rate with a best value
in the middle has 50%, three categories have 20%, noise has 30%; six hyperparameters
have no effect. Prints the share of the searches in which each is called clear, and the
share in which any of the six is; then the same for results that are noise alone.
Standard errors are those of a binomial.
"""

import argparse

import numpy as np

from keras_deeptools.tuning import SearchedTrial, SearchReport

IDLE = tuple(f"idle_{i}" for i in range(6))


def search(num_trials: int, seed: int, has_effects: bool) -> set[str]:
    """Names that the report of one search calls clear."""
    random = np.random.default_rng([num_trials, seed])
    trials = []
    for number in range(num_trials):
        rate = random.uniform(-4, 0)
        kind = str(random.choice(["a", "b", "c"]))
        effect = 1.1 * (kind == "a") - (rate + 1.5) ** 2 / 2
        score = has_effects * effect + random.normal(scale=0.65)
        values = {"rate": 10**rate, "kind": kind}
        values |= {name: random.uniform() for name in IDLE}
        trials.append(
            SearchedTrial(str(number), number + 1, "completed", values, score=score)
        )
    report = SearchReport(tuple(trials), "score", maximize=True)
    return {one.name for one in report.importance if one.is_clear}


def shown(hits: list[bool]) -> str:
    """Percentage and standard error."""
    share = np.mean(hits)
    return f"{share:.0%} ± {np.sqrt(share * (1 - share) / len(hits)):.0%}"


def main() -> None:
    """Prints a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--searches", type=int, default=200)
    options = parser.parse_args()
    print("| trials | rate | category | any of six idle | any of eight, noise alone |")
    print("|---|---|---|---|---|")
    for count in (10, 20, 40, 80):
        found = [search(count, seed, True) for seed in range(options.searches)]
        nothing = [search(count, seed, False) for seed in range(options.searches)]
        cells = [
            shown(["rate" in one for one in found]),
            shown(["kind" in one for one in found]),
            shown([bool(one & set(IDLE)) for one in found]),
            shown([bool(one) for one in nothing]),
        ]
        print(f"| {count} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
