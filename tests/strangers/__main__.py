"""The exam in whole: `python -m tests.strangers`, from the folder of the repository."""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "strangers.md"
BACKENDS = ("tensorflow", "jax", "torch")


def main() -> None:
    """Runs each backend in a process of its own and writes the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.strangers")
    parser.add_argument("--backend", choices=BACKENDS, action="append")
    parser.add_argument("--program", action="append", help="part of a name")
    parser.add_argument("--feature", action="append")
    parser.add_argument(
        "--page", type=Path, help="Markdown file to write", default=None
    )
    parser.add_argument(
        "--keep", type=Path, help="JSON file of outcomes, to which others are added"
    )
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        _examine(options)
        return
    found = _kept(options.keep)
    for backend in options.backend or BACKENDS:
        command = [sys.executable, "-m", "tests.strangers", "--one"]
        for name in ("program", "feature"):
            for value in getattr(options, name) or ():
                command += [f"--{name}", value]
        environment = os.environ | {"KERAS_BACKEND": backend}
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, text=True
        ) as process:
            for line in process.stdout:
                if line.startswith("{"):
                    row = json.loads(line)
                    key = (row["topic"], row["program"], row["source"])
                    known = found.setdefault(key, {}).setdefault(backend, {})
                    known |= row["outcomes"]
                    _show(backend, row)
                    if options.keep:
                        rows = [[*key, outcomes] for key, outcomes in found.items()]
                        options.keep.write_text(json.dumps(rows), encoding="utf-8")
    if options.page:
        from .page import page

        options.page.write_text(page(found), encoding="utf-8")


def _kept(path: Path | None) -> dict:
    """Outcomes of earlier runs."""
    if path is None or not path.exists():
        return {}
    rows = json.loads(path.read_text("utf-8"))
    return {tuple(key): outcomes for *key, outcomes in rows}


def is_fault(outcome: str) -> bool:
    """Whether an outcome is neither a pass nor what anybody would expect."""
    return outcome not in ("passed", "-") and not outcome.startswith("refused: ")


def _show(backend: str, row: dict) -> None:
    faults = {f: o for f, o in row["outcomes"].items() if is_fault(o)}
    print(f"{backend:10} {row['program']:42} {row['seconds']:5.1f} s", flush=True)
    for feature, text in faults.items():
        print(f"    {feature}: {' '.join(text.split())[:600]}", flush=True)


def _examine(options: argparse.Namespace) -> None:
    import keras

    from .features import FEATURES, judged
    from .program import PROGRAMS

    backend = keras.backend.backend()
    for name, program in PROGRAMS.items():
        wanted = options.program is None or any(p in name for p in options.program)
        if not wanted or backend not in program.backends:
            continue
        start = time.perf_counter()
        outcomes = {}
        for feature in options.feature or FEATURES:
            outcomes[feature] = judged(program, feature)
        row = {
            "program": name,
            "topic": program.topic,
            "source": program.source,
            "seconds": time.perf_counter() - start,
            "outcomes": outcomes,
        }
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
