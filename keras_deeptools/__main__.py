"""The command line: `python -m keras_deeptools demo`."""

import argparse
import importlib.util
import os
import sys
from collections.abc import Sequence

BACKENDS = ("tensorflow", "jax", "torch")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns the exit code."""
    options = _parser().parse_args(arguments)
    os.environ["KERAS_BACKEND"] = options.backend or _installed_backend()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from keras_deeptools.demo import run_demo

    return 0 if run_demo(options.output, options.seed) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m keras_deeptools")
    commands = parser.add_subparsers(required=True, metavar="command")
    demo = commands.add_parser(
        "demo",
        help="repair a deep network that does not learn, in under two minutes",
        description="Trains a deep network that does not learn, finds out why, repairs "
        "it and trains it again, on scikit-learn's handwritten digits. Exits with 0 if "
        "the repaired network learned more, else with 1.",
    )
    demo.add_argument(
        "--backend",
        choices=BACKENDS,
        help="Keras backend (default: KERAS_BACKEND, else the first one installed)",
    )
    demo.add_argument(
        "--output",
        default="keras_deeptools_demo",
        help="folder for the pictures (default: %(default)s)",
    )
    demo.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    return parser


def _installed_backend() -> str:
    chosen = os.environ.get("KERAS_BACKEND")
    if chosen:
        return chosen
    for backend in BACKENDS:
        if importlib.util.find_spec(backend) is not None:
            return backend
    sys.exit(
        "keras_deeptools: a Keras backend must be installed. "
        'Install one with `pip install "keras-deeptools[tensorflow]"`.'
    )


if __name__ == "__main__":
    sys.exit(main())
