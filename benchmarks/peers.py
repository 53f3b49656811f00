"""Ours beside packages of others: what they cost, suggest and compute.

    KERAS_BACKEND=torch python benchmarks/peers.py [--peers fastai lightning]

steps        Seconds per training step with 1cycle, gradient norms and averages of
             weights, each over the plain step of the same trainer.
range        Range tests: seconds, suggested rates, and the accuracy of training with
             them.
calibration  Measures of calibration: do they agree, and what do they take?
mc           Monte Carlo dropout: seconds of 100 passes.

The peers are no part of any extra:

    pip install torch==2.13.0 fastai lightning torchmetrics torch-lr-finder \
        torch-uncertainty keras-proba cockpit-for-pytorch "setuptools<81"

Those that are missing are named and left out. All ways run in turn in one process, so
nothing else should run meanwhile. Prints Markdown tables.
"""

import argparse
import json
import os
import platform
import random
import warnings
from pathlib import Path
from typing import Any

import keras
import peer_calibration
import peer_mc_dropout
import peer_range_tests
import peer_steps
from peer_packages import PEERS, find, needs_torch, versions

PARTS = ("steps", "range", "calibration", "mc")


def main() -> None:
    """Runs the chosen parts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS))
    parser.add_argument("--rounds", type=int, default=40, help="timed runs of each")
    parser.add_argument("--steps", type=int, default=20, help="batches timed at once")
    parser.add_argument("--width", type=int, default=256, help="units of a layer")
    parser.add_argument("--seeds", type=int, default=5, help="range tests of each")
    parser.add_argument("--epochs", type=int, default=10, help="with a suggested rate")
    parser.add_argument("--quantile", type=float, default=0.1)
    parser.add_argument("--out", type=Path, help="file for all that was measured, JSON")
    options = parser.parse_args()
    needs_torch()
    here, missing = find(options.peers)
    cores = f"{os.cpu_count()}-core {platform.machine()} machine"
    print(f"Python {platform.python_version()}, {cores}, one thread: ", end="")
    print(os.environ.get("OMP_NUM_THREADS") == "1")
    for name, version in (versions() | here).items():
        print(f"{name} {version}")
    for name, why in missing.items():
        print(f"missing: {name}: {why}")
    for message in ("Full backward hook", "You are shadowing"):
        warnings.filterwarnings("ignore", message)
    keras.utils.set_random_seed(0)
    random.seed(0)
    names = list(here)
    measured: dict[str, Any] = {"versions": versions() | here, "missing": missing}
    parts = {
        "steps": lambda: peer_steps.report(
            names, options.width, options.rounds, options.steps, options.quantile
        ),
        "range": lambda: peer_range_tests.report(names, options.seeds, options.epochs),
        "calibration": lambda: peer_calibration.report(
            names, options.rounds, options.quantile
        ),
        "mc": lambda: peer_mc_dropout.report(
            names, max(options.rounds // 8, 2), options.quantile
        ),
    }
    for part in options.parts:
        print(f"\n{part}", flush=True)
        measured[part] = parts[part]()
    if options.out:
        options.out.write_text(json.dumps(measured, indent=1), "utf-8")


if __name__ == "__main__":
    main()
