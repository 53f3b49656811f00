"""What `import keras_deeptools` costs, alone and with its modules beside Keras.

The package itself imports nothing: its modules come when they are first asked for.
Each run is a fresh process, and each round runs every kind once, beginning with
another one, so that a slow spell of the machine falls on all alike.

    python benchmarks/import_time.py --rounds 15
"""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
from markdown_table import print_table, standard_error

MEASURE = """
import time
start = time.perf_counter()
import {modules}
print(time.perf_counter() - start)
"""
PACKAGE = Path(__file__).parents[1] / "keras_deeptools"
EVERY = [
    f"keras_deeptools.{folder.parent.name}"
    for folder in sorted(PACKAGE.glob("[a-z]*/__init__.py"))
]
KERAS = "`import keras`"
KINDS = {
    KERAS: ["keras"],
    "`import keras_deeptools`": ["keras_deeptools"],
    "`import keras, keras_deeptools.callbacks`": ["keras", "keras_deeptools.callbacks"],
    "`import keras` and every module of the package": ["keras", *EVERY],
}


def seconds_to_import(modules: list[str]) -> float:
    """Seconds that one fresh process spends on the imports."""
    command = [sys.executable, "-c", MEASURE.format(modules=", ".join(modules))]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.splitlines()[-1])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15, help="default: 15")
    rounds = parser.parse_args().rounds
    kinds = list(KINDS)
    for kind in kinds:
        seconds_to_import(KINDS[kind])  # fills the file cache and the .pyc files
    taken: dict[str, list[float]] = {kind: [] for kind in kinds}
    for turn in range(rounds):
        first = turn % len(kinds)
        for kind in kinds[first:] + kinds[:first]:
            taken[kind].append(seconds_to_import(KINDS[kind]))
    seconds = {kind: np.array(values) for kind, values in taken.items()}
    rows = {}
    for kind, values in seconds.items():
        rows[kind] = [f"{np.median(values):.3f} s", f"{min(values):.3f} s", ""]
        if kind != KERAS:
            ratios = values / seconds[KERAS]
            error = standard_error(ratios)
            rows[kind][-1] = f"{np.median(ratios):.3f} ± {error:.3f}"
    print(f"{rounds} rounds")
    print_table("process", ["median", "least", "over keras alone"], rows)


if __name__ == "__main__":
    main()
