"""Runs the package on the versions that users have: `python tests/versions/run.py`.

    python tests/versions/run.py                          # every row, as a table
    python tests/versions/run.py --row oldest colab       # some of them
    python tests/versions/run.py --page docs/versions.md  # and write the page
    python tests/versions/run.py --kept FOLDER            # with environments kept there

For each row it makes an environment from nothing, installs what the row names, then the
wheel that was built from this folder, looks whether that changed any installed package,
and runs `smoke.py` on each backend of the row. Rows whose Python is not on this machine
are named as not run. Takes some minutes for each row, mostly to download.
"""

import argparse
import datetime
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SMOKE = Path(__file__).with_name("smoke.py")
BESIDE = ("matplotlib", "scikit-learn", "six")


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
        changed: Tuple of str, packages that installing the wheel changed.
        features: Dict from feature to what came of it; empty where none ran.
        error: Str, what went wrong before.
    """

    row: Row
    backend: str
    versions: str = ""
    changed: tuple[str, ...] = ()
    features: dict[str, str] | None = None
    error: str = ""

    @property
    def is_good(self) -> bool:
        """Whether everything works, or is refused by name."""
        bad = any(each.startswith("fails") for each in (self.features or {}).values())
        return bool(self.features) and not bad and not self.changed


def wheel(folder: Path) -> Path:
    """The wheel of this folder's package."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    subprocess.run([*command, "--wheel-dir", str(folder), str(ROOT)], check=True)
    (found,) = folder.glob("keras_deeptools-*.whl")
    return found


def run(
    row: Row, package: Path, folder: Path, kept: Path | None = None
) -> Iterator[Outcome]:
    """Makes the environment of a row and tries the package in it.

    Args:
        row: `Row`.
        package: The wheel.
        folder: Where environments are made that are not kept.
        kept: Where they are kept, and taken from when they are there; or None.
    """
    python = interpreter(row.python)
    if python is None:
        for backend in row.backends:
            yield Outcome(row, backend, error=f"no Python {row.python} here")
        return
    space = (kept or folder) / row.name.replace(" ", "-").replace(",", "")
    own = space / "bin" / "python"
    pip = [str(own), "-m", "pip", "--disable-pip-version-check"]
    if not own.exists():
        subprocess.run([python, "-m", "venv", str(space)], check=True)
        asked = [*row.packages, *BESIDE]
        subprocess.run([*pip, "install", "--quiet", *asked], check=True)
    subprocess.run([*pip, "uninstall", "--quiet", "--yes", "keras-deeptools"])
    before = installed(pip)
    subprocess.run([*pip, "install", "--quiet", str(package)], check=True)
    after = installed(pip)
    changed = tuple(
        f"{name} {version} -> {after.get(name)}"
        for name, version in before.items()
        if after.get(name) != version
    )
    for backend in row.backends:
        yield tried(row, backend, own, folder, versions(after, backend), changed)
    if kept is None:
        shutil.rmtree(space)


def tried(
    row: Row,
    backend: str,
    python: Path,
    folder: Path,
    found: str,
    changed: tuple[str, ...],
) -> Outcome:
    """Runs every feature once on a backend."""
    environment = os.environ | {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [python, str(SMOKE)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    try:
        features = json.loads(done.stdout.splitlines()[-1])["features"]
    except (IndexError, ValueError, KeyError):
        last = (done.stderr.strip() or "nothing printed").splitlines()[-1]
        return Outcome(row, backend, found, changed, error=last)
    return Outcome(row, backend, found, changed, features)


def interpreter(version: str) -> str | None:
    """A Python of this version, None where the machine has none that runs."""
    homes = [shutil.which(f"python{version}"), sys.executable]
    homes += sorted(
        map(str, Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    )
    for home in filter(None, homes):
        asked = [home, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        done = subprocess.run(asked, stdout=subprocess.PIPE, text=True)
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


def table(outcomes: list[Outcome]) -> str:
    """Markdown."""
    lines = [
        "| row | Python | backend | versions | features |",
        "|---|---|---|---|---|",
    ]
    for each in outcomes:
        features = each.features or {}
        works = sum(outcome == "works" for outcome in features.values())
        said = [f"{works} of {len(features)} work"] if features else [each.error]
        said += [f"{n}: {o}" for n, o in features.items() if o != "works"]
        said += [f"installing changed {change}" for change in each.changed]
        cells = (each.row.name, each.row.python, each.backend, each.versions)
        lines.append(f"| {' | '.join([*cells, '; '.join(said)])} |")
    return "\n".join(lines)


PAGE = """# Versions

Written by `python tests/versions/run.py --page docs/versions.md` on {date}, on Linux
with CPUs. Each row is an environment made from nothing: Keras and the backend first,
then the wheel of this package, which must not change what is there. Then every feature
runs once (`tests/versions/smoke.py`), and its result is compared with a number where
there is one. What a version cannot do is refused by an error that names the version
that it needs.

{table}
"""


def main() -> int:
    """Runs the rows; returns how many are not good."""
    parser = argparse.ArgumentParser(prog="python tests/versions/run.py")
    names = [row.name for row in ROWS]
    parser.add_argument("--row", nargs="+", choices=names, default=names)
    parser.add_argument("--page", type=Path, help="Markdown file to write")
    parser.add_argument("--kept", type=Path, help="folder of environments to keep")
    options = parser.parse_args()
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory() as folder:
        package = wheel(Path(folder))
        for row in ROWS:
            if row.name in options.row:
                outcomes += run(row, package, Path(folder), options.kept)
                print(table(outcomes[-len(row.backends) :]), flush=True)
    if options.page:
        text = PAGE.format(date=datetime.date.today(), table=table(outcomes))
        options.page.write_text(text, encoding="utf-8")
    return sum(not each.is_good for each in outcomes)


if __name__ == "__main__":
    sys.exit(main())
