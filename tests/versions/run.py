"""Runs the package on the versions that users have: `python tests/versions/run.py`.

    python tests/versions/run.py                          # every row, as a table
    python tests/versions/run.py --row oldest colab       # some of them
    python tests/versions/run.py --page docs/versions.md  # and write the page
    python tests/versions/run.py --kept FOLDER            # with environments kept there
    python tests/versions/run.py --row oldest --suites engine transfer  # tests, too

For each row it makes an environment from nothing, installs what the row names, then the
wheel that was built from this folder, looks whether that changed any installed package,
and runs `smoke.py` on each backend of the row. Rows whose Python is not on this machine
are named as not run, or run with this one where `--python-here` is given. Takes some
minutes for each row, mostly to download.

Tests of `--suites` run against the installed wheel. On TensorFlow and JAX they take up
to an hour; with `--first-values` each parametrized test runs with its first values
alone. Those that need torch are left out where it is not among the row's packages.
"""

import argparse
import datetime
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).parents[2]
SMOKE = Path(__file__).with_name("smoke.py")
BESIDE = ("matplotlib", "scikit-learn", "six")
TEST_TOOLS = ("pytest>=9", "pytest-xdist>=3.8")


@dataclass(frozen=True)
class Row:
    """Versions that are installed together.

    Args:
        name: Str.
        python: Str, such as `"3.11"`.
        packages: Tuple of requirements, Keras first.
        backends: Tuple of Keras' names of backends.
    """

    name: str
    python: str
    packages: tuple[str, ...]
    backends: tuple[str, ...]


ROWS = (
    Row(
        "oldest",
        "3.11",
        (
            "keras==3.10.0",
            "tensorflow-cpu==2.18.1",
            "jax==0.5.3",
            "numpy==1.26.4",
            "keras-tuner==1.4.7",
            "tensorboard<2.19",
        ),
        ("tensorflow", "jax"),
    ),
    Row(
        "Keras 3.12",
        "3.11",
        ("keras==3.12.*", "torch==2.13.0", "keras-tuner==1.4.8"),
        ("torch",),
    ),
    Row(
        "Keras 3.12, Python 3.12",
        "3.12",
        ("keras==3.12.*", "tensorflow-cpu==2.19.*", "keras-tuner", "tensorboard"),
        ("tensorflow",),
    ),
    Row(
        "colab",
        "3.13",
        (
            "keras==3.13.2",
            "tensorflow-cpu==2.20.0",
            "jax==0.7.2",
            "numpy==2.1.3",
            "keras-tuner",
            "tensorboard",
        ),
        ("tensorflow", "jax"),
    ),
    Row(
        "Keras 3.14",
        "3.12",
        ("keras==3.14.*", "jax==0.9.*", "keras-tuner"),
        ("jax",),
    ),
    Row(
        "Keras 3.14, torch",
        "3.11",
        ("keras==3.14.*", "torch==2.13.0", "keras-tuner"),
        ("torch",),
    ),
    Row(
        "newest",
        "3.13",
        ("keras==3.15.*", "tensorflow-cpu", "jax", "keras-tuner", "tensorboard"),
        ("tensorflow", "jax"),
    ),
    Row(
        "newest, torch",
        "3.11",
        ("keras==3.15.*", "torch==2.13.0", "keras-tuner"),
        ("torch",),
    ),
    Row(
        "nightly",
        "3.11",
        ("keras-nightly", "jax", "keras-tuner"),
        ("jax",),
    ),
)


@dataclass(frozen=True)
class Outcome:
    """What a row printed on one backend.

    Args:
        row: `Row`.
        backend: Str.
        versions: Str, of the packages that matter.
        python: Str, the version that ran.
        changed: Tuple of str, packages that installing the wheel changed.
        features: Dict from feature to what came of it; empty where none ran.
        error: Str, what went wrong before.
        tests: Str, how many tests passed; empty where none ran.
    """

    row: Row
    backend: str
    versions: str = ""
    python: str = ""
    changed: tuple[str, ...] = ()
    features: dict[str, str] | None = None
    error: str = ""
    tests: str = ""

    @property
    def is_good(self) -> bool:
        """Whether everything works, or is refused by name."""
        bad = any(each.startswith("fails") for each in (self.features or {}).values())
        bad = bad or bool(re.search(r"\d (failed|error)|ended with", self.tests))
        return bool(self.features) and not bad and not self.changed


def wheel(folder: Path) -> Path:
    """The wheel of this folder's package."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    subprocess.run([*command, "--wheel-dir", str(folder), str(ROOT)], check=True)
    (found,) = folder.glob("keras_deeptools-*.whl")
    return found


@dataclass(frozen=True)
class Settings:
    """How rows are run.

    Args:
        package: The wheel.
        folder: Where environments are made that are not kept.
        kept: Where they are kept, and taken from when they are there; or None.
        suites: List of str, what of `tests/` to run beside the features.
        first_values: Bool, whether parametrized tests run with their first values.
        python_here: Bool, whether a row whose Python is missing takes this one.
    """

    package: Path
    folder: Path
    kept: Path | None
    suites: list[str]
    first_values: bool
    python_here: bool


def run(row: Row, settings: Settings) -> Iterator[Outcome]:
    """Makes the environment of a row and tries the package in it."""
    python = interpreter(row.python)
    version = row.python
    if python is None and settings.python_here:
        python, version = sys.executable, ".".join(map(str, sys.version_info[:2]))
        print(f"{row.name}: Python {version}, as there is no {row.python}", flush=True)
    if python is None:
        for backend in row.backends:
            yield Outcome(row, backend, error=f"no Python {row.python} here")
        return
    home = settings.kept or settings.folder
    space = home / row.name.replace(" ", "-").replace(",", "")
    own = space / "bin" / "python"
    pip = [str(own), "-m", "pip", "--disable-pip-version-check"]
    if not own.exists():
        subprocess.run([python, "-m", "venv", str(space)], check=True)
        asked = [*row.packages, *BESIDE]
        subprocess.run([*pip, "install", "--quiet", *asked], check=True)
    if "keras-deeptools" in installed(pip):
        subprocess.run([*pip, "uninstall", "--quiet", "--yes", "keras-deeptools"])
    before = installed(pip)
    subprocess.run([*pip, "install", "--quiet", str(settings.package)], check=True)
    after = installed(pip)
    changed = tuple(
        f"{name} {version} -> {after.get(name)}"
        for name, version in before.items()
        if after.get(name) != version
    )
    if settings.suites:
        subprocess.run([*pip, "install", "--quiet", *TEST_TOOLS], check=True)
    for backend in row.backends:
        found = versions(after, backend)
        outcome = tried(
            own, settings, Outcome(row, backend, found, version, changed=changed)
        )
        yield outcome
    if settings.kept is None:
        shutil.rmtree(space)


def tried(python: Path, settings: Settings, outcome: Outcome) -> Outcome:
    """Runs every feature once on a backend, and tests where any are wanted."""
    environment = os.environ | {
        "KERAS_BACKEND": outcome.backend,
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [python, str(SMOKE)],
        cwd=settings.folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    try:
        features = json.loads(done.stdout.splitlines()[-1])["features"]
    except (IndexError, ValueError, KeyError):
        last = (done.stderr.strip() or "nothing printed").splitlines()[-1]
        return replace(outcome, error=last)
    outcome = replace(outcome, features=features)
    if not settings.suites:
        return outcome
    return replace(outcome, tests=tested(python, settings, environment))


def tested(python: Path, settings: Settings, environment: dict[str, str]) -> str:
    """Runs tests against the package that is installed; says how many passed."""
    paths = [str(ROOT / "tests" / suite) for suite in settings.suites]
    command = [python, "-m", "pytest", "--quiet", "-p", "no:cacheprovider", *paths]
    command += ["--rootdir", str(ROOT), "-c", str(ROOT / "pyproject.toml")]
    command += ["--first-values"] if settings.first_values else []
    # From elsewhere, as Python finds packages in the working directory first.
    done = subprocess.run(
        command,
        cwd=settings.folder,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    lines = done.stdout.strip().splitlines()
    for line in lines:
        if line.startswith(("FAILED", "ERROR")):
            print(line, flush=True)
    counted = re.findall(r"\d+ (?:passed|failed|errors?|skipped)", "".join(lines[-1:]))
    if not counted or done.returncode not in (0, 1):
        counted.append(f"ended with {done.returncode}")
    said = ", ".join(suite.strip("/") for suite in settings.suites)
    said += " (first values)" if settings.first_values else ""
    return f"{said}: {', '.join(counted)}"


def interpreter(version: str) -> str | None:
    """A Python of this version, None where the machine has none that runs."""
    homes = [shutil.which(f"python{version}"), sys.executable]
    homes += sorted(
        map(str, Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    )
    for home in filter(None, homes):
        asked = [home, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        done = subprocess.run(asked, capture_output=True, text=True)
        if done.returncode == 0 and done.stdout.strip() == version:
            return home
    return None


def installed(pip: list[str]) -> dict[str, str]:
    """Name -> version of every installed package."""
    listing = subprocess.run(
        [*pip, "list", "--format=json"], check=True, stdout=subprocess.PIPE, text=True
    )
    return {
        each["name"].lower().replace("_", "-"): each["version"]
        for each in json.loads(listing.stdout)
    }


def versions(packages: dict[str, str], backend: str) -> str:
    """Those of Keras, the backend, numpy and KerasTuner, in words."""
    of_backend = {"tensorflow": ("tensorflow", "tensorflow-cpu"), "jax": ("jax",)}
    wanted = ("keras", "keras-nightly", *of_backend.get(backend, (backend,)))
    names = (*wanted, "numpy", "keras-tuner")
    return ", ".join(f"{n} {packages[n]}" for n in names if n in packages)


HEAD = (
    "| row | Python | backend | versions | features | tests | run on |",
    "|---|---|---|---|---|---|---|",
)


def table(outcomes: list[Outcome], kept: Sequence[str] = ()) -> str:
    """Markdown.

    Args:
        outcomes: List of `Outcome`.
        kept: Lines of an older table; those of rows that are in `outcomes` are left
            out.
    """
    today = datetime.date.today().isoformat()
    lines: dict[tuple[str, str], str] = {}
    for line in kept:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        lines[cells[0], cells[2]] = line
    for each in outcomes:
        features = each.features or {}
        works = sum(outcome == "works" for outcome in features.values())
        said = [f"{works} of {len(features)} work"] if features else [each.error]
        said += [f"{n}: {o}" for n, o in features.items() if o != "works"]
        said += [f"installing changed {change}" for change in each.changed]
        python = each.python or each.row.python
        cells = (each.row.name, python, each.backend, each.versions, "; ".join(said))
        line = f"| {' | '.join([*cells, each.tests, today])} |"
        lines[each.row.name, each.backend] = line
    order = [(row.name, backend) for row in ROWS for backend in row.backends]
    return "\n".join([*HEAD, *(lines[key] for key in order if key in lines)])


def lines_in(page: Path) -> list[str]:
    """The lines of the table in a page, without its head."""
    if not page.exists():
        return []
    lines = page.read_text("utf-8").splitlines()
    return [line for line in lines if line.startswith("|") and line not in HEAD]


PAGE = """# Versions

Written by `python tests/versions/run.py --page docs/versions.md`, on Linux with CPUs,
row by row (`--row`). Each row is an environment made from nothing: Keras and the
backend first, then the wheel of this package, which must not change what is there. Then
every feature runs once (`tests/versions/smoke.py`), and its result is compared with a
number where there is one. What a version cannot do is refused by an error that names
the version that it needs. The column of tests has the folders of `tests/` that ran
against the installed wheel besides (`--suites`), on one row after another; with "first
values" each parametrized test ran with its first values alone (`--first-values`). Tests
that compare with torch are left out where torch is not installed. On JAX the tests
compile without most of XLA's optimizations, as they do in `.ci/run`.

{table}
"""


def main() -> int:
    """Runs the rows; returns how many are not good."""
    parser = argparse.ArgumentParser(prog="python tests/versions/run.py")
    names = [row.name for row in ROWS]
    parser.add_argument("--row", nargs="+", choices=names, default=names)
    parser.add_argument("--page", type=Path, help="Markdown file to write")
    parser.add_argument("--kept", type=Path, help="folder of environments to keep")
    parser.add_argument(
        "--suites", nargs="+", default=[], help="folders or files of tests/ to run, too"
    )
    parser.add_argument(
        "--first-values",
        action="store_true",
        help="run each parametrized test with its first values alone",
    )
    parser.add_argument(
        "--python-here",
        action="store_true",
        help="run rows whose Python is missing with this one",
    )
    options = parser.parse_args()
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = Settings(
            wheel(folder),
            folder,
            options.kept,
            options.suites,
            options.first_values,
            options.python_here,
        )
        for row in ROWS:
            if row.name in options.row:
                outcomes += run(row, settings)
                print(table(outcomes[-len(row.backends) :]), flush=True)
    if options.page:
        text = PAGE.format(table=table(outcomes, lines_in(options.page)))
        options.page.write_text(text, encoding="utf-8")
    good = [f != "fails" for o in outcomes for f in kinds(o)]
    print(f"{sum(good)} passed, {len(good) - sum(good)} failed")
    return sum(not each.is_good for each in outcomes)


def kinds(outcome: Outcome) -> list[str]:
    """`"works"`, `"refused"` or `"fails"`, for every feature of an outcome."""
    found = (outcome.features or {"": "fails"}).values()
    return [each.partition(":")[0] for each in found]


if __name__ == "__main__":
    sys.exit(main())
