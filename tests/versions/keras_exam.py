"""Keras' own tests, plain and with this package attached to every `fit`.

    python tests/versions/keras_exam.py --backend torch
    python tests/versions/keras_exam.py --backend jax --part callbacks trainers
    python tests/versions/keras_exam.py --backend torch --without jit
    python tests/versions/keras_exam.py --backend jax --page docs/keras_exam.md

The wheel of Keras carries its tests. They run twice: as they are, and with
GradientMonitor, a HyperparameterScheduler that sets the learning rate to what it is, a
MaxNormEnforcer that never bites and WeightAveraging among the callbacks of every `fit`
(`attached_fit.py`). What passes plain must pass again, and every `fit` must come to the
same history, weights and variables of the optimizer.
"""

import argparse
import datetime
import importlib.metadata
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PARTS = ("optimizers", "callbacks", "trainers", "saving", "models")
LINES, ATTACH = "KERAS_EXAM_LINES", "KERAS_EXAM_ATTACH"
RELATIVE = 1e-6
"""How far numbers of a `fit` may lie apart, as a part of their size."""

DIVERGED = 1e8
"""From which size on a number need not be the same, but as large."""

EXCEPTIONS = {
    "must choose weights of two or more dimensions": (
        "models that have no kernels, which `MaxNormEnforcer` refuses"
    ),
    "the model must have trainable variables": (
        "models that have nothing to train, which are refused"
    ),
    "test_callbacks_can_update_state_at_batch_boundary": (
        "a callback that assigns trainable weights in validation, in which the model "
        "has its averages for a time"
    ),
    "test_functional_optional_inputs_generator": (
        "generators on TensorFlow at whose end Keras counts one update more than there "
        "were, and with features attached does not"
    ),
    "SwapEMAWeights among the callbacks": (
        "`SwapEMAWeights`, beside which `WeightAveraging` is refused: each would take "
        "the averages of the other for the weights"
    ),
}
"""Part of an error or of a test's name -> what it is about, and why it is right."""


@dataclass
class Run:
    """What the tests of a part came to, plain or attached.

    Args:
        outcomes: Dict from test to "passed", "skipped", or "failed" and its error.
        fits: Dict from test and number of the `fit` in it to what it came to.
    """

    outcomes: dict[str, str] = field(default_factory=dict)
    fits: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)

    @property
    def passed(self) -> list[str]:
        """The tests that pass."""
        return [test for test, said in self.outcomes.items() if said == "passed"]


@dataclass
class Comparison:
    """A part on a backend, plain and attached.

    Args:
        backend: Str.
        part: Str.
        plain: `Run`.
        attached: `Run`.
        unsteady: `Run`, plain again, for fits that differed: what comes to something
            else when nothing has changed cannot be compared.
    """

    backend: str
    part: str
    plain: Run
    attached: Run
    unsteady: set[tuple[str, int]] = field(default_factory=set)

    @property
    def compared(self) -> list[tuple[str, int]]:
        """The fits of tests that pass plain, in both runs."""
        passed = set(self.plain.passed)
        return [
            fit
            for fit in self.plain.fits
            if fit[0] in passed and fit in self.attached.fits
        ]

    @property
    def exact(self) -> int:
        """How many fits come to the same bits."""
        return sum(
            same(self.plain.fits[f], self.attached.fits[f], 0.0) for f in self.compared
        )

    @property
    def differing(self) -> dict[str, str]:
        """Test -> what is different."""
        found = {}
        for test in self.plain.passed:
            said = self.attached.outcomes.get(test, "did not run")
            if said != "passed":
                found[test] = said
        for fit in self.compared:
            plain, attached = self.plain.fits[fit], self.attached.fits[fit]
            if fit not in self.unsteady and not same(plain, attached, RELATIVE):
                found.setdefault(fit[0], difference(plain, attached))
        return found

    @property
    def excepted(self) -> list[str]:
        """The tests that differ for a reason that is listed."""
        return [
            test
            for test, what in self.differing.items()
            if any(part in f"{test} {what}" for part in EXCEPTIONS)
        ]

    @property
    def changed(self) -> dict[str, str]:
        """Test -> what is different, without those that are excepted."""
        left_out = self.excepted
        return {t: what for t, what in self.differing.items() if t not in left_out}


def same(plain: dict[str, Any], attached: dict[str, Any], relative: float) -> bool:
    """Whether a `fit` came to the same; entries that are new in its history may be."""
    return not difference(plain, attached, relative)


def difference(
    plain: dict[str, Any], attached: dict[str, Any], relative: float = RELATIVE
) -> str:
    """What is different in a `fit`, in words; empty where nothing is."""
    missing = plain["history"].keys() - attached["history"].keys()
    if missing:
        return f"the history has no {sorted(missing)}"
    for name, values in plain["history"].items():
        if not near(values, attached["history"][name], relative):
            return f"{name} is {attached['history'][name]}, plain {values}"
    for kind in ("weights", "optimizer"):
        if len(plain[kind]) != len(attached[kind]):
            counts = f"{len(attached[kind])}, plain {len(plain[kind])}"
            return f"the number of variables ({kind}) is {counts}"
        for place, pair in enumerate(zip(plain[kind], attached[kind], strict=True)):
            if not near(*pair, relative):
                return f"{kind}[{place}] comes to {pair[1]}, plain {pair[0]}"
    return ""


def near(first: list[float], second: list[float], relative: float) -> bool:
    """Whether two lists of numbers agree; those that have diverged, in that alone."""
    size = max((abs(v) for v in first if not diverged(v)), default=0.0)
    return len(first) == len(second) and all(
        diverged(a) == diverged(b) and (diverged(a) or abs(a - b) <= relative * size)
        for a, b in zip(first, second, strict=True)
    )


def diverged(value: float) -> bool:
    """Whether a number is past where a MaxNormEnforcer of 1e9 may bite, or NaN."""
    return not abs(value) < DIVERGED


def run(
    part: str,
    backend: str,
    attach: bool,
    tests: Iterable[str] = (),
    kept: Path | None = None,
    without: str = "",
) -> Run:
    """Runs the tests of a part in a process of their own.

    Args:
        part: Str, a folder in Keras' sources.
        backend: Str.
        attach: Bool. Whether every `fit` gets the callbacks.
        tests: Iterable of str, the names of some of them; all where there are none.
        kept: File in which what they write is kept, or found; or None.
        without: Str. Tests with it in their names are left out; none where it is empty.
    """
    if kept is not None and kept.exists():
        return read(kept.read_text(encoding="utf-8").splitlines())
    here, keras = Path(__file__).parent, sources()
    files = [str(keras / test) for test in tests]
    files = files or sorted(map(str, (keras / part).glob("*_test.py")))
    before = os.environ.get("PYTHONPATH")
    paths = [str(here), str(here.parents[1]), *([before] if before else [])]
    with tempfile.TemporaryDirectory() as space:
        lines = Path(space, "lines.json")
        environment = os.environ | {
            "KERAS_BACKEND": backend,
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "PYTHONPATH": os.pathsep.join(paths),
            LINES: str(lines),
            ATTACH: "1" if attach else "",
        }
        command = [sys.executable, "-m", "pytest", *files, "--quiet"]
        command += ["-p", "attached_fit", "-p", "no:cacheprovider", "-p", "no:xdist"]
        command += [
            "--rootdir",
            str(keras),
            "-c",
            os.devnull,
            "--import-mode=importlib",
        ]
        command += ["-k", f"not {without}"] if without else []
        done = subprocess.run(
            command, cwd=space, env=environment, stdout=subprocess.PIPE, text=True
        )
        if not lines.exists():
            raise RuntimeError(f"no test of {part} ran:\n{done.stdout[-2000:]}")
        if kept is not None:
            shutil.copy(lines, kept)
        return read(lines.read_text(encoding="utf-8").splitlines())


def read(lines: list[str]) -> Run:
    """What `attached_fit.py` wrote."""
    found = Run()
    for entry in map(json.loads, lines):
        if "fit" in entry:
            found.fits[entry["test"], entry["fit"]] = entry
        elif entry["outcome"] == "failed":
            first = (entry["error"] or "failed").strip().splitlines()[0]
            found.outcomes[entry["test"]] = f"failed: {first}"
        else:
            found.outcomes.setdefault(entry["test"], entry["outcome"])
    return found


def compared(
    part: str, backend: str, kept: Path | None = None, without: str = ""
) -> Comparison:
    """Runs a part twice, and again what came to other numbers."""

    def file(name: str) -> Path | None:
        return None if kept is None else kept / f"{backend}_{part}_{name}.jsonl"

    plain = run(part, backend, attach=False, kept=file("plain"), without=without)
    attached = run(part, backend, attach=True, kept=file("attached"), without=without)
    name = f"{part} without {without}" if without else part
    found = Comparison(backend, name, plain, attached)
    doubtful = {
        fit
        for fit in found.compared
        if not same(plain.fits[fit], attached.fits[fit], RELATIVE)
    }
    if doubtful:
        tests = sorted({test for test, _ in doubtful})
        again = run(part, backend, attach=False, tests=tests, kept=file("again"))
        found.unsteady = {
            fit
            for fit in doubtful & again.fits.keys()
            if not same(plain.fits[fit], again.fits[fit], RELATIVE)
        }
    return found


def sources() -> Path:
    """The folder of Keras that is installed."""
    spec = importlib.util.find_spec("keras")
    assert spec is not None and spec.origin is not None, "Keras is not installed"
    return Path(spec.origin).parent / "src"


PAGE = """# Keras' own tests, with everything attached

Written by `python tests/versions/keras_exam.py --page docs/keras_exam.md`, one
backend (`--backend`) at a time. The wheel of Keras carries its tests. Each of them
runs twice: as it is, and with `GradientMonitor`, a `HyperparameterScheduler` that sets
the learning rate to what it is, a `MaxNormEnforcer` that never bites and a
`WeightAveraging` that forgets everything but the last weights among the callbacks of
every `fit` of a `keras.Model`. What passes without them must pass with them.

After each `fit`, its history, the model's weights and all variables of the optimizer
are compared as well. They may differ by a millionth of their size; where numbers
diverge, past a hundred million, they must do so in both runs. "Without jit" are rows
that leave out tests with that word in their names (`--without jit`): `torch.compile`
takes most of an hour for them. Fits that come to other
numbers when they run twice without this package are counted as not repeatable.

{table}

{exceptions}
"""
HEAD = (
    "| backend | tests | pass plain | changed | excepted | fits compared | same bits | "
    "not repeatable | versions, date |\n|---|---|---|---|---|---|---|---|---|"
)


def row(each: Comparison) -> str:
    """A line of the table."""
    cells = [
        each.backend,
        each.part,
        len(each.plain.passed),
        len(each.changed),
        len(each.excepted),
        len(each.compared),
        each.exact,
        len(each.unsteady),
        f"{versions(each.backend)}, {datetime.date.today()}",
    ]
    return f"| {' | '.join(map(str, cells))} |"


def versions(backend: str) -> str:
    """Of Keras and of the backend."""
    names = {"tensorflow": ("tensorflow", "tensorflow-cpu")}.get(backend, (backend,))
    said = [f"keras {importlib.metadata.version('keras')}"]
    for name in names:
        try:
            said.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(said)


def write_page(path: Path, rows: list[str]) -> None:
    """Puts rows into the page, in the place of those for the same tests."""
    before = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    held = {
        tuple(line.split(" | ")[:2]): line
        for line in [*before, *rows]
        if line.startswith("| ") and line.count("|") == HEAD.splitlines()[0].count("|")
    }
    lines = [line for line in held.values() if not line.startswith("| backend")]
    reasons = "; ".join(EXCEPTIONS.values())
    said = f"Excepted, and not counted as changed, are tests of {reasons}."
    table = "\n".join([HEAD, *sorted(lines)])
    path.write_text(PAGE.format(table=table, exceptions=said), encoding="utf-8")


def main() -> int:
    """Prints the counts, and what changed; returns how many tests did."""
    parser = argparse.ArgumentParser(prog="python tests/versions/keras_exam.py")
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    parser.add_argument("--backend", default=backend)
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--without", default="", help="leave out tests so named")
    parser.add_argument("--page", type=Path, help="Markdown file to write rows into")
    parser.add_argument("--kept", type=Path, help="folder to keep runs in, and find")
    options = parser.parse_args()
    rows, num_changed = [], 0
    print(HEAD)
    for part in options.part:
        found = compared(part, options.backend, options.kept, options.without)
        rows.append(row(found))
        print(rows[-1], flush=True)
        for test, what in found.changed.items():
            print(f"- {test}: {what[:500]}", flush=True)
        for test in found.excepted:
            print(f"- excepted: {test}", flush=True)
        for fit in sorted(found.unsteady):
            what = difference(found.plain.fits[fit], found.attached.fits[fit])
            print(f"- not repeatable: {fit[0]}, fit {fit[1]}: {what}", flush=True)
        num_changed += len(found.changed)
    if options.page:
        write_page(options.page, rows)
    return num_changed


if __name__ == "__main__":
    sys.exit(main())
