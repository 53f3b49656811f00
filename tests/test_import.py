"""Importing the package costs what Keras costs, and brings nothing else along."""

import json
import subprocess
import sys

import pytest

import public_api

REPORT_NEW_MODULES = """
import sys, json, importlib, keras
before = {name.partition(".")[0] for name in sys.modules}
for name in sys.argv[1:]:
    importlib.import_module(name)
after = {name.partition(".")[0] for name in sys.modules}
print(json.dumps(sorted(after - before - set(sys.stdlib_module_names))))
"""


def modules_beyond_keras(*names: str) -> list[str]:
    """Top-level modules that importing `names` adds to those of `import keras`."""
    command = [sys.executable, "-c", REPORT_NEW_MODULES, *names]
    done = subprocess.run(
        command,
        cwd=public_api.PACKAGE.parent,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=300,
    )
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    "names",
    [["keras_deeptools"], [room.__name__ for room in public_api.rooms()]],
    ids=["the package", "every room"],
)
def test_importing_adds_only_the_package_itself_to_keras(names: list[str]) -> None:
    assert modules_beyond_keras(*names) == ["keras_deeptools"]
