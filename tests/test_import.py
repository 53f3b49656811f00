"""Importing the package costs what Keras costs, and brings nothing else along."""

import importlib
import json
import subprocess
import sys
import warnings

import pytest

import keras_deeptools
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
    [
        # Every room has the package among its names: elsewhere that one run says both.
        pytest.param(
            ["keras_deeptools"], id="the package", marks=pytest.mark.one_backend
        ),
        pytest.param([room.__name__ for room in public_api.rooms()], id="every room"),
    ],
)
def test_importing_adds_only_the_package_itself_to_keras(names: list[str]) -> None:
    assert modules_beyond_keras(*names) == ["keras_deeptools"]


@pytest.mark.backend_free
def test_importing_the_package_imports_no_room_and_no_keras() -> None:
    code = "import sys, keras_deeptools; print([m for m in sys.modules if 'ker' in m])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=public_api.PACKAGE.parent,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=300,
    )
    assert done.stdout.strip() == "['keras_deeptools']"


@pytest.mark.backend_free
def test_rooms_and_the_names_used_most_are_completed() -> None:
    rooms = {room.__name__.rpartition(".")[2] for room in public_api.rooms()[1:]}
    assert {*keras_deeptools.__all__, *rooms} - {"demo"} <= set(dir(keras_deeptools))


@pytest.mark.backend_free
def test_names_at_the_top_are_those_of_their_rooms() -> None:
    for name in keras_deeptools.__all__:
        room = importlib.import_module(
            f"keras_deeptools.{keras_deeptools._ROOM_OF[name]}"
        )
        assert getattr(keras_deeptools, name) is getattr(room, name)


@pytest.mark.backend_free
def test_a_name_that_is_not_there_is_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'GradientMonitr'"):
        _ = keras_deeptools.GradientMonitr


REPORT_WARNINGS = """
import importlib, sys, warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for name in sys.argv[1:]:
        importlib.import_module(name)
for each in caught:
    print(each.filename, each.message)
"""


@pytest.mark.one_backend
def test_importing_every_room_warns_of_nothing_in_the_package() -> None:
    names = [room.__name__ for room in public_api.rooms()]
    command = [sys.executable, "-c", REPORT_WARNINGS, *names]
    done = subprocess.run(
        command,
        cwd=public_api.PACKAGE.parent,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=300,
    )
    # What other packages warn of, in files of their own, is theirs to change.
    ours = [line for line in done.stdout.splitlines() if "keras_deeptools" in line]
    assert not ours


@pytest.mark.backend_free
def test_the_package_itself_is_imported_with_warnings_as_errors() -> None:
    command = [sys.executable, "-W", "error", "-c", "import keras_deeptools"]
    folder = public_api.PACKAGE.parent
    assert subprocess.run(command, cwd=folder, timeout=300).returncode == 0


@pytest.mark.backend_free
def test_no_source_file_warns_when_it_is_compiled() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for path in sorted(public_api.PACKAGE.rglob("*.py")):
            compile(path.read_text(encoding="utf-8"), str(path), "exec")
