"""Runs the benchmarks one after another and writes what they print into one page.

    python -m benchmarks --list
    python -m benchmarks --only overhead lsuv --backends jax torch
    python -m benchmarks --page docs/measurements.md

Each runs in a process of its own for every backend it is for; nothing else should run
meanwhile. All of them take some hours. What a run printed replaces what the page had of
the same benchmark and backend, so that it can be written in several goes.
"""

import argparse
import os
import platform
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import date
from importlib import metadata
from pathlib import Path

FOLDER = Path(__file__).parent
ALL = ("tensorflow", "jax", "torch")
PACKAGES = ("keras", "tensorflow-cpu", "tensorflow", "jax", "torch", "numpy")
TITLE = """# Measurements

Written by `python -m benchmarks`, which runs the scripts in `benchmarks/`; what each
does is said at its top. What the numbers mean is on the page of [costs](benchmarks.md)
and in the guides.
"""


@dataclass(frozen=True)
class Benchmark:
    """A script and how it is run.

    Attributes:
        name: Str, the script without its ending.
        backends: Tuple of names of Keras backends.
        minutes: Int, about what it takes on two cores, for each backend.
        arguments: Tuple of str for the script.
    """

    name: str
    backends: tuple[str, ...]
    minutes: int
    arguments: tuple[str, ...] = ()


BENCHMARKS = (
    Benchmark("import_time", ("tensorflow",), 2),
    Benchmark("overhead", ALL, 6),
    Benchmark("attach_scaling", ALL, 5),
    Benchmark("range_test_noise", ("jax",), 2),
    Benchmark("initializer_variance", ("jax",), 5),
    Benchmark("lsuv", ALL, 3),
    Benchmark("self_normalizing_depth", ("jax",), 5),
    Benchmark("self_normalizing_tabular", ("jax",), 15),
    Benchmark("norm_free_digits", ("torch",), 30),
    Benchmark("mc_predict", ALL, 15, ("--parts", "mlp")),
    Benchmark("last_layer", ("jax",), 5),
    Benchmark("calibration", ("jax",), 10),
    Benchmark("mc_dropout_fashion", ("torch",), 5),
    Benchmark("discriminative_rates", ALL, 4, ("--rounds", "150")),
    Benchmark("feature_cache", ("tensorflow", "torch"), 4),
    Benchmark("pretraining_digits", ("jax",), 90),
    Benchmark("glorot_2010", ("jax",), 5),
    Benchmark("glorot_figures", ("jax",), 1, ("--folder", "docs/images")),
)


def machine() -> str:
    """The kind of machine, and the versions."""
    versions = []
    for name in PACKAGES:
        try:
            versions.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    kind = f"{os.cpu_count()}-core {platform.machine().replace('_', '-')} machine"
    python = f"Python {platform.python_version()}"
    return f"{kind}, {python}, {', '.join(versions)}, {date.today().isoformat()}"


def section(benchmark: Benchmark, backend: str) -> str:
    """Runs a benchmark; returns its part of the page.

    Raises:
        SystemExit: If the script fails.
    """
    script = FOLDER / f"{benchmark.name}.py"
    command = [sys.executable, str(script), *benchmark.arguments]
    root = str(FOLDER.parent)
    path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    variables = {"KERAS_BACKEND": backend, "PYTHONPATH": path}
    variables["TF_CPP_MIN_LOG_LEVEL"] = "2"
    begun = time.perf_counter()
    done = subprocess.run(
        command,
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{benchmark.name} on {backend} failed: {done.returncode}")
    minutes = (time.perf_counter() - begun) / 60
    shown = " ".join(["python", f"benchmarks/{script.name}", *benchmark.arguments])
    return (
        f"## {benchmark.name}, {backend}\n\n`{shown}`, {minutes:.1f} minutes; "
        f"{machine()}.\n\n{as_markdown(done.stdout)}"
    )


def as_markdown(text: str) -> str:
    """What was printed: tables as they are, other lines as they stand in a terminal."""
    parts: list[str] = []
    is_table = False
    for line in text.strip().splitlines():
        begins_table = line.startswith("|")
        if not parts or begins_table != is_table:
            parts.append("")
            is_table = begins_table
        parts[-1] += line.rstrip() + "\n"
    shown = [
        part if part.startswith("|") else f"```text\n{part.strip()}\n```\n"
        for part in parts
        if part.strip()
    ]
    return "\n".join(shown)


def merged(page: str, new: str) -> str:
    """A page with a section in place of the one of the same heading, or at its end."""
    heading, _ = new.split("\n", 1)
    sections = re.split(r"(?m)^(?=## )", page or TITLE)
    kept = [part.rstrip() for part in sections if not part.startswith(f"{heading}\n")]
    return "\n\n".join([*kept, new.rstrip()]) + "\n"


def main() -> None:
    """Runs what was asked for."""
    names = [one.name for one in BENCHMARKS]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--backends", nargs="+", choices=ALL, default=list(ALL))
    parser.add_argument("--page", type=Path, help="file to write; none: only print")
    parser.add_argument("--list", action="store_true", help="say what there is, only")
    options = parser.parse_args()
    for benchmark in BENCHMARKS:
        if benchmark.name not in options.only:
            continue
        for backend in benchmark.backends:
            if backend not in options.backends:
                continue
            if options.list:
                minutes = f"about {benchmark.minutes} minutes"
                print(f"{benchmark.name} on {backend}, {minutes}")
                continue
            new = section(benchmark, backend)
            print(new, flush=True)
            if options.page:
                old = options.page.read_text("utf-8") if options.page.exists() else ""
                options.page.write_text(merged(old, new), "utf-8")


if __name__ == "__main__":
    main()
