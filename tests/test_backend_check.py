"""Without its backend the package says so in one line, wherever it is asked for."""

from pathlib import Path

import pytest

import public_api
from hiding import run_python
from keras_deeptools._backend_check import installed_backends

pytestmark = pytest.mark.backend_free

ALL = ("tensorflow", "jax", "torch")
ROOMS = [room.__name__ for room in public_api.rooms()[1:]]
NONE_IS = "keras_deeptools: a backend of Keras must be installed"
COMMANDS = ("demo", "tune --workers 1 script.py", "tune --join script.py")


def last_line(code: str, *hidden: str, **environment: str) -> str:
    """What a process that fails says at the end."""
    done = run_python(code, *hidden, **environment)
    assert done.returncode == 1, done.stdout
    return done.stderr.splitlines()[-1]


def command(line: str) -> str:
    """Code that runs `python -m keras_deeptools` with what follows."""
    words = ["keras_deeptools", *line.split()]
    return (
        f"import runpy; sys.argv = {words!r}; "
        "runpy.run_module('keras_deeptools', run_name='__main__')"
    )


def test_every_module_says_that_no_backend_is_installed() -> None:
    code = f"""
import importlib
for name in {ROOMS!r}:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        print(error)
"""
    done = run_python(code, *ALL)
    said = done.stdout.splitlines()
    assert len(said) == len(ROOMS), done.stderr
    assert all(line.startswith(NONE_IS) for line in said)


def test_so_does_a_name_at_the_top_without_what_keras_says() -> None:
    done = run_python("import keras_deeptools; keras_deeptools.GradientMonitor", *ALL)
    assert NONE_IS in done.stderr.splitlines()[-1]
    assert "No module named" not in done.stderr


@pytest.mark.parametrize("line", COMMANDS)
def test_so_does_the_command_line(line: str) -> None:
    assert last_line(command(line), *ALL).startswith(NONE_IS)


@pytest.mark.parametrize("part", ['[tensorflow]"`', "[jax]", "[torch]", "[cpu]"])
def test_the_line_names_each_extra(part: str) -> None:
    assert part in last_line("import keras_deeptools.engine", *ALL)


def test_the_line_names_the_variable_that_chooses() -> None:
    said = last_line("import keras_deeptools.engine", *ALL)
    assert "KERAS_BACKEND=jax" in said


def test_help_and_the_version_need_no_backend() -> None:
    code = "import keras_deeptools; print(keras_deeptools.__version__)"
    assert run_python(code, *ALL).returncode == 0
    assert run_python(command("--help"), *ALL).returncode == 0


def test_a_backend_that_the_environment_names_and_that_is_missing_is_named() -> None:
    said = last_line("import keras_deeptools.engine", "jax", KERAS_BACKEND="jax")
    assert "the backend jax must be installed. Received: KERAS_BACKEND=jax." in said
    others = [name for name in installed_backends() if name != "jax"]
    assert f"Installed: {', '.join(others)}. Set KERAS_BACKEND={others[0]} " in said


def test_the_default_of_keras_is_named_where_it_is_missing(tmp_path: Path) -> None:
    # In a home of its own, where no file names another default.
    variables = {"KERAS_BACKEND": "", "KERAS_HOME": str(tmp_path)}
    said = last_line("import keras_deeptools.engine", "tensorflow", **variables)
    assert "KERAS_BACKEND is not set, and Keras takes tensorflow" in said
    assert "Set KERAS_BACKEND=jax before Keras is imported" in said


@pytest.mark.parametrize("line", COMMANDS)
def test_the_command_line_names_a_backend_that_is_missing(line: str) -> None:
    said = last_line(command(line), "jax", KERAS_BACKEND="jax")
    assert "the backend jax must be installed. Received: KERAS_BACKEND=jax." in said


def test_an_option_that_names_a_backend_that_is_missing_is_named() -> None:
    said = last_line(command("demo --backend jax"), "jax")
    assert "Received: --backend jax. Installed: tensorflow" in said
    assert "Give --backend tensorflow, or install" in said


def test_another_module_that_is_missing_is_not_taken_for_a_backend() -> None:
    said = last_line("import keras_deeptools.engine", "absl")
    assert said == "ModuleNotFoundError: No module named 'absl'"
