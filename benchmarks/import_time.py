"""How much `import keras_deeptools` adds to `import keras`.

Each run is a fresh process, the two kinds alternate, and the order of a pair swaps
from pair to pair, so that a slow spell of the machine falls on both alike.

    python benchmarks/import_time.py --pairs 15
"""

import argparse
import subprocess
import sys

import numpy as np
from markdown_table import print_table, standard_error

MEASURE = """
import time
start = time.perf_counter()
import {modules}
print(time.perf_counter() - start)
"""
KINDS = ("keras", "keras, keras_deeptools")


def seconds_to_import(modules: str) -> float:
    """Seconds that one fresh process spends on the import."""
    command = [sys.executable, "-c", MEASURE.format(modules=modules)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.splitlines()[-1])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=15, help="default: 15")
    pairs = parser.parse_args().pairs
    seconds: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for kind in KINDS:
        seconds_to_import(kind)  # fills the file cache and the .pyc files
    for pair in range(pairs):
        for kind in KINDS if pair % 2 else KINDS[::-1]:
            seconds[kind].append(seconds_to_import(kind))
    plain, ours = (np.array(seconds[kind]) for kind in KINDS)
    ratios = ours / plain
    ratio = f"{np.median(ratios):.3f} ± {standard_error(ratios):.3f}"
    rows = {
        f"`import {kind}`": [f"{np.median(values):.3f} s", f"{min(values):.3f} s", over]
        for (kind, values), over in zip(seconds.items(), ("", ratio), strict=True)
    }
    print(
        f"{pairs} pairs; added: {np.median(ours - plain):.3f} s, median of differences"
    )
    print_table("process", ["median", "least", "over keras alone"], rows)


if __name__ == "__main__":
    main()
