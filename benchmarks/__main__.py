"""Runs the benchmarks one after another and writes what they print into one page.

    python -m benchmarks --list
    python -m benchmarks --only overhead lsuv --backends jax torch
    python -m benchmarks --page docs/measurements.md --data FOLDER
    python -m benchmarks --page docs/measurements.md --kept

Each runs in a process of its own for every backend it is for; nothing else should run
meanwhile. All of them take a day. What a run printed replaces what the page had of the
same benchmark and backend, so that it can be written in several goes. At its top is one
table of the ratios in all sections.

Some need `fashion_mnist.npz` or `mnist.npz` (x_train, y_train, x_test, y_test) in the
folder that `--data` names, and are left out without it. Those that train for long keep
their raw runs in `benchmarks/results`: `--kept` prints these, and runs nothing.
"""

import argparse
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import date
from importlib import metadata
from pathlib import Path

from benchmarks.all_ratios import with_ratios

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
        arguments: Tuple of str for the script, where `{fashion}` and `{mnist}` stand
            for files of data and `{runs}` for a new file of runs.
        kept: Tuple of str for the script that prints its runs in `RESULTS`, or None.
    """

    name: str
    backends: tuple[str, ...]
    minutes: int
    arguments: tuple[str, ...] = ()
    kept: tuple[str, ...] | None = None

    def command(self, arguments: tuple[str, ...]) -> str:
        """What a user would type, but for the folders."""
        return " ".join(["python", f"benchmarks/{self.name}.py", *arguments])


def read(name: str) -> tuple[str, ...]:
    """Arguments that print a file of `RESULTS`, where it is given by `--runs`."""
    return ("--runs", f"{RESULTS}/{name}.json", "--tables")


RESULTS = "benchmarks/results"
FASHION = ("--data", "{fashion}")
NEW = ("--runs", "{runs}")
BENCHMARKS = (
    Benchmark("import_time", ("tensorflow",), 6),
    Benchmark("overhead", ALL, 9),
    Benchmark("attach_scaling", ALL, 5),
    Benchmark("peers", ("torch",), 12),
    Benchmark("range_test_noise", ("jax",), 2),
    Benchmark("initializer_variance", ("jax",), 5),
    Benchmark("lsuv", ALL, 1),
    Benchmark("self_normalizing_depth", ("jax",), 5),
    Benchmark(
        "self_normalizing_tabular",
        ("jax",),
        15,
        kept=("--table", f"{RESULTS}/self_normalizing_tabular.json"),
    ),
    Benchmark("norm_free_digits", ("torch",), 30),
    Benchmark("mc_predict", ALL, 2, ("--parts", "mlp", "mobilenet")),
    Benchmark("last_layer", ("jax",), 5),
    Benchmark("calibration", ("jax",), 10),
    Benchmark(
        "mc_dropout_fashion",
        ("torch",),
        5,
        (*FASHION, "--ood", "{mnist}"),
        ("--table", f"{RESULTS}/mc_dropout_fashion.json"),
    ),
    Benchmark("optimizers", ("torch",), 12),
    Benchmark("weight_averaging", ("torch",), 10),
    Benchmark("discriminative_rates", ALL, 4, ("--rounds", "150")),
    Benchmark("feature_cache", ALL, 3),
    Benchmark(
        "few_labels",
        ("torch",),
        600,
        FASHION,
        ("--table", f"{RESULTS}/few_labels.json"),
    ),
    Benchmark("pretraining_digits", ("jax",), 90),
    Benchmark(
        "super_convergence",
        ("torch",),
        80,
        FASHION,
        read("super_convergence"),
    ),
    Benchmark(
        "max_norm_dropout",
        ("torch",),
        20,
        (*NEW, "--data", "{mnist}"),
        read("max_norm_dropout"),
    ),
    Benchmark(
        "lsuv_depth",
        ("jax",),
        25,
        (*NEW, "--data", "{mnist}"),
        read("lsuv_depth"),
    ),
    Benchmark(
        "glorot_2010",
        ("jax",),
        5,
        kept=("--table", f"{RESULTS}/glorot_2010.json"),
    ),
    Benchmark(
        "glorot_long",
        ("jax",),
        60,
        kept=("--table", f"{RESULTS}/glorot_long.json"),
    ),
    Benchmark("glorot_figures", ("jax",), 1, ("--folder", "docs/images")),
    Benchmark("search", ("torch",), 150, (*NEW, *FASHION), read("search")),
    Benchmark(
        "search_choices", ("torch",), 15, (*NEW, *FASHION), read("search_choices")
    ),
    Benchmark("head_search", ("torch",), 10),
    Benchmark("hopeless_trials", ("torch",), 15),
    Benchmark("importance_power", ("jax",), 2),
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


def filled(arguments: tuple[str, ...], data: Path | None, runs: Path) -> list[str]:
    """Arguments with files in place of their names.

    Args:
        arguments: As `Benchmark.arguments`.
        data: Folder of data, or None.
        runs: File to write runs to.

    Raises:
        FileNotFoundError: If a file of data is not there.
    """
    files = {"{runs}": runs}
    for name, file in (("{fashion}", "fashion_mnist.npz"), ("{mnist}", "mnist.npz")):
        if name not in arguments:
            continue
        if data is None or not (data / file).is_file():
            raise FileNotFoundError(f"left out: {file} is not in --data {data}")
        files[name] = (data / file).resolve()
    return [str(files.get(each, each)) for each in arguments]


def section(
    benchmark: Benchmark, backend: str, arguments: tuple[str, ...], data: Path | None
) -> str:
    """Runs a benchmark; returns its part of the page.

    Args:
        benchmark: `Benchmark`.
        backend: Str, name of a Keras backend.
        arguments: Those of the benchmark that run it, or print what was kept.
        data: Folder of data, or None.

    Raises:
        SystemExit: If the script fails.
    """
    script = FOLDER / f"{benchmark.name}.py"
    root = str(FOLDER.parent)
    path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    variables = {"KERAS_BACKEND": backend, "PYTHONPATH": path}
    variables["TF_CPP_MIN_LOG_LEVEL"] = "2"
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        given = filled(arguments, data, Path(folder) / "runs.json")
        done = subprocess.run(
            [sys.executable, str(script), *given],
            cwd=FOLDER.parent,
            env=os.environ | variables,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
    if done.returncode:
        raise SystemExit(f"{benchmark.name} on {backend} failed: {done.returncode}")
    minutes = (time.perf_counter() - begun) / 60
    about = f"{minutes:.1f} minutes; {machine()}"
    if arguments == benchmark.kept:
        about = "raw runs that are kept"
    return (
        f"## {benchmark.name}, {backend}\n\n`{benchmark.command(arguments)}`, "
        f"{about}.\n\n{as_markdown(done.stdout)}"
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
    parser.add_argument("--data", type=Path, help="folder of the npz files")
    parser.add_argument("--kept", action="store_true", help="only print kept runs")
    parser.add_argument("--list", action="store_true", help="say what there is, only")
    options = parser.parse_args()
    for benchmark in BENCHMARKS:
        arguments = benchmark.kept if options.kept else benchmark.arguments
        if benchmark.name not in options.only or arguments is None:
            continue
        for backend in benchmark.backends:
            if backend not in options.backends:
                continue
            if options.list:
                minutes = f"about {benchmark.minutes} minutes"
                print(f"{benchmark.name} on {backend}, {minutes}")
                continue
            try:
                new = section(benchmark, backend, arguments, options.data)
            except FileNotFoundError as error:
                print(f"{benchmark.name}: {error}", file=sys.stderr)
                continue
            print(new, flush=True)
            if options.page:
                old = options.page.read_text("utf-8") if options.page.exists() else ""
                options.page.write_text(with_ratios(merged(old, new)), "utf-8")


if __name__ == "__main__":
    main()
