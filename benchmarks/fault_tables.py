"""Tables of what `fault_suite.py` wrote: per fault, misses, alarms, calibration.

    python benchmarks/fault_tables.py tuning.json held_out.json

The first file was written with `--stated`, by which findings keep the confidence that
their rules state, and gives the calibration: how often findings of a confidence were
right, forced to rise with it. The second is measured as users see it.
"""

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from fault_suite import LEAST_HARM
from markdown_table import print_table
from sklearn.isotonic import IsotonicRegression

BINS = (0.0, 0.5, 0.7, 0.8, 0.9, 1.01)


def answers(results: list[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    """Confidence of each finding that was told as a cause, and whether it was right.

    Faults that did no harm are left out: neither answer would be wrong there.
    """
    confidences, right = [], []
    for each in results:
        if each["fault"] != "healthy" and each["harm"] < LEAST_HARM:
            continue
        for kind, severity, confidence, folded in each["findings"]:
            if severity != "note" and not folded and confidence is not None:
                confidences.append(confidence)
                right.append(kind in each["named_by"])
    return np.array(confidences), np.array(right, float)


def calibration(results: list[dict[str, Any]]) -> IsotonicRegression:
    """A rising function from stated confidences to how often they were right."""
    confidences, right = answers(results)
    return IsotonicRegression(out_of_bounds="clip").fit(confidences, right)


def print_faults(results: list[dict[str, Any]]) -> None:
    """A row for each fault: how often first, among three, and what was said else."""
    rows: dict[str, list[str]] = {}
    names = dict.fromkeys(each["fault"] for each in results)
    for name in names:
        own = [each for each in results if each["fault"] == name]
        if name == "healthy":
            continue
        own = [each for each in own if each["harm"] >= LEAST_HARM]
        first = sum(each["kinds"][:1] != [] and named(each, 1) for each in own)
        three = sum(named(each, 3) for each in own)
        instead = Counter(
            (each["kinds"] or ["nothing"])[0] for each in own if not named(each, 1)
        )
        text = ", ".join(f"{kind} ({n})" for kind, n in instead.most_common())
        rows[name] = [str(len(own)), str(first), str(three), text]
    print_table("fault", ["runs", "first", "among three", "first instead"], rows)


def named(result: dict[str, Any], among: int) -> bool:
    """Whether the cause is among so many findings at the front."""
    return bool(set(result["kinds"][:among]) & set(result["named_by"]))


def print_calibration(
    results: list[dict[str, Any]], fit: IsotonicRegression | None
) -> None:
    """Confidence beside how often findings were right; by `fit` if it is given."""
    calibrated, right = answers(results)
    rows, gap = {}, 0.0
    if fit is not None:
        calibrated = fit.predict(calibrated)
    for low, high in zip(BINS, BINS[1:], strict=False):
        inside = (calibrated >= low) & (calibrated < high)
        if inside.any():
            told, was = calibrated[inside].mean(), right[inside].mean()
            gap += abs(told - was) * inside.mean()
            rows[f"{low:g} to {min(high, 1):g}"] = [
                str(int(inside.sum())),
                f"{told:.2f}",
                f"{was:.2f}",
            ]
    print_table("confidence", ["findings", "told", "right"], rows)
    print(f"\nExpected calibration error: {gap:.3f}")


def print_counts(results: list[dict[str, Any]]) -> None:
    """Causes named, alarms and time."""
    sound = [each for each in results if each["fault"] == "healthy"]
    faulty = [
        each
        for each in results
        if each["fault"] != "healthy" and each["harm"] >= LEAST_HARM
    ]
    first, three = (sum(named(each, n) for each in faulty) for n in (1, 3))
    alarms = [each for each in sound if each["problems"]]
    print(
        f"\n{len(faulty)} faulty runs: cause first in {first} "
        f"({first / len(faulty):.1%}), among three in {three} "
        f"({three / len(faulty):.1%}). {len(sound)} healthy runs: a problem in "
        f"{len(alarms)} ({len(alarms) / len(sound):.1%})."
    )
    for each in alarms:
        print(f"- alarm: {each['program']}, seed {each['seed']}: {each['problems']}")
    seconds = [each["seconds"] for each in results]
    print(f"Seconds of a diagnosis: median {np.median(seconds):.1f}.")


def main() -> None:
    """Prints all tables of each file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tuning", type=Path)
    parser.add_argument("held_out", type=Path, nargs="?")
    options = parser.parse_args()
    tuning = json.loads(options.tuning.read_text())
    fit = calibration(tuning)
    knots = zip(fit.X_thresholds_, fit.y_thresholds_, strict=True)
    print("Knots:", [(round(float(x), 3), round(float(y), 3)) for x, y in knots])
    for path, by in ((options.tuning, fit), (options.held_out, None)):
        if path is not None:
            results = json.loads(path.read_text())
            print(f"\n## {path.stem}")
            print_counts(results)
            print_faults(results)
            print_calibration(results, by)


if __name__ == "__main__":
    main()
