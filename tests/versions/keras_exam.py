"""Keras' own tests, plain and with this package attached to every `fit`.

    python tests/versions/keras_exam.py --backend torch
    python tests/versions/keras_exam.py --backend jax --part callbacks trainers

The wheel of Keras carries its tests. They run twice: as they are, and with
GradientMonitor, a HyperparameterScheduler that sets the learning rate to what it is, a
MaxNormEnforcer that never bites and WeightAveraging among the callbacks of every `fit`.
What passes plain must pass again; what does not is listed with its error.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

PARTS = {
    "optimizers": ("optimizers",),
    "callbacks": ("callbacks",),
    "trainers": ("trainers",),
    "saving": ("saving",),
    "models": ("models",),
}
ATTACH = "KERAS_DEEPTOOLS_EXAM"


def pytest_configure(config: Any) -> None:
    """Attaches to every `fit`, in the second run; pytest finds this by its name."""
    config.addinivalue_line("markers", "requires_trainable_backend: of Keras' tests")
    if not os.environ.get(ATTACH):
        return
    import keras

    from keras_deeptools.callbacks import (
        GradientMonitor,
        HyperparameterScheduler,
        MaxNormEnforcer,
        WeightAveraging,
    )

    plain = keras.Model.fit

    def attached(model: keras.Model) -> list[keras.callbacks.Callback]:
        rate = getattr(model.optimizer, "_learning_rate", None)
        found: list[keras.callbacks.Callback] = [GradientMonitor()]
        if isinstance(rate, keras.Variable):
            value = float(rate.numpy() if hasattr(rate, "numpy") else rate)
            found.append(HyperparameterScheduler({"learning_rate": lambda _: value}))
        return [*found, MaxNormEnforcer(1e9), WeightAveraging()]

    def fit(self: keras.Model, *args: Any, **kwargs: Any) -> Any:
        given = kwargs.get("callbacks")
        # A list of callbacks that a test made itself is as it wants it.
        if len(args) <= 5 and not isinstance(given, keras.callbacks.CallbackList):
            given = given if isinstance(given, list | tuple) else [given] * bool(given)
            kwargs["callbacks"] = [*given, *attached(self)]
        return plain(self, *args, **kwargs)

    for trainer in {keras.Model, *keras.Model.__mro__}:
        if "fit" in vars(trainer):
            trainer.fit = fit
            break


def outcomes(parts: list[str], backend: str, attach: bool) -> dict[str, str]:
    """Name of each test -> "passed", "skipped" or the last line of its error."""
    import importlib.util

    spec = importlib.util.find_spec("keras")
    folder = Path(spec.origin).parent / "src" if spec and spec.origin else Path()
    files = sorted(
        str(file)
        for part in parts
        for name in PARTS[part]
        for file in (folder / name).glob("*_test.py")
    )
    here = Path(__file__).parent
    environment = os.environ | {
        "KERAS_BACKEND": backend,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONPATH": os.pathsep.join(
            [str(here), str(here.parents[1]), os.environ.get("PYTHONPATH", "")]
        ),
        ATTACH: "1" if attach else "",
    }
    with tempfile.TemporaryDirectory() as space:
        report = Path(space, "report.xml")
        command = [
            sys.executable,
            "-m",
            "pytest",
            *files,
            "--quiet",
            "-p",
            "keras_exam",
        ]
        command += ["--rootdir", space, "-c", os.devnull, f"--junitxml={report}"]
        command += ["-p", "no:cacheprovider", "--import-mode=importlib"]
        subprocess.run(
            command, cwd=space, env=environment, stdout=subprocess.DEVNULL, check=False
        )
        return dict(read(report))


def read(report: Path) -> list[tuple[str, str]]:
    """The outcomes in a report of pytest."""
    found = []
    for case in ElementTree.parse(report).iter("testcase"):
        name = f"{case.get('classname', '').rpartition('.')[2]}.{case.get('name')}"
        module = case.get("classname", "").split(".")[-2:-1]
        bad = [each for each in case if each.tag in ("failure", "error")]
        if bad:
            lines = (bad[0].get("message") or "").strip().splitlines()
            outcome = lines[0] if lines else "failed"
        else:
            outcome = "skipped" if case.find("skipped") is not None else "passed"
        found.append((".".join([*module, name]), outcome))
    return found


def main() -> int:
    """Prints the counts, and what changed; returns how many did."""
    parser = argparse.ArgumentParser(prog="python tests/versions/keras_exam.py")
    parser.add_argument("--backend", default="tensorflow")
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS))
    options = parser.parse_args()
    plain = outcomes(options.part, options.backend, attach=False)
    again = outcomes(options.part, options.backend, attach=True)
    passed = [name for name, outcome in plain.items() if outcome == "passed"]
    changed = {n: again.get(n, "gone") for n in passed if again.get(n) != "passed"}
    print(
        f"{options.backend}: {len(passed)} of {len(plain)} tests of Keras pass plain,"
    )
    print(f"{len(passed) - len(changed)} of them with everything attached.")
    for name, outcome in changed.items():
        print(f"- {name}: {outcome[:300]}")
    return len(changed)


if __name__ == "__main__":
    sys.exit(main())
