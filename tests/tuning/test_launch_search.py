"""The launcher's processes. The stand-in script needs neither Keras nor a tuner."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from keras_deeptools.tuning import SearchRun, launch_search
from tuning import command_line
from tuning.command_line import NAMES, ROOT, tune

pytestmark = pytest.mark.backend_free

time_limit = command_line.time_limit
# Says that it listens, as a chief does, and then does what the test wants.
STAND_IN = """
import json, os, subprocess, sys, time
from pathlib import Path

name = os.environ["KERASTUNER_TUNER_ID"]
status = Path(json.loads(os.environ["KERAS_DEEPTOOLS_SEARCH"])["status"])

def say(phase, **more):
    told = {"phase": phase, "port": 1234, "trials": {}, **more}
    status.with_suffix(".new").write_text(json.dumps(told))
    os.replace(status.with_suffix(".new"), status)

def wait():
    # With a process of its own, as those that load data.
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
    Path(f"{name}.pids").write_text(f"{os.getpid()} {child.pid}")
    time.sleep(100)

"""


def script(text: str) -> Path:
    path = Path("script.py")
    path.write_text(STAND_IN + text)
    return path


def run(text: str, *, workers: int = 1, **options: object) -> tuple[SearchRun, str]:
    """What the launcher returns and says."""
    said: list[str] = []
    found = launch_search(script(text), workers=workers, say=said.append, **options)
    return found, "\n".join(said)


def pids(*names: str) -> list[int]:
    """Process ids of the stand-ins and of what they started, once they all run."""
    files = [Path(f"{name}.pids") for name in names]
    wait_until(lambda: all(len(f.read_text().split()) > 1 for f in files if f.exists()))
    wait_until(lambda: all(f.exists() and f.read_text() for f in files))
    return [int(pid) for file in files for pid in file.read_text().split()]


def wait_until(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    # One that has ended and that nobody has asked about yet.
    return not state.exists() or state.read_text().rpartition(") ")[2][0] != "Z"


WAITING = """
if name == "chief":
    say("searching")
wait()
"""


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGINT, 128 + signal.SIGINT),
        (signal.SIGTERM, 128 + signal.SIGTERM),
        (signal.SIGKILL, -signal.SIGKILL),
    ],
)
def test_no_process_outlives_the_launcher(number: int, code: int) -> None:
    launcher = tune("--workers", "2", str(script(WAITING)))
    try:
        started = pids(*NAMES)
        launcher.send_signal(number)
        launcher.communicate(timeout=60)
    finally:
        launcher.kill()
    assert launcher.returncode == code
    wait_until(lambda: not any(map(is_running, started)))


def test_a_lost_worker_is_started_again_as_often_as_asked_for() -> None:
    text = """
if name == "chief":
    say("searching")
    for line in iter(lambda: Path("starts").read_text().count("x"), 3):
        time.sleep(0.01)
    time.sleep(0.5)
    say("ended")
else:
    Path("starts").open("a").write("x")
    sys.exit(7)
"""
    Path("starts").touch()
    found, said = run(text, restarts=2)
    assert found.ok
    assert found.lost == 3 * ("tuner0 (exit code 7)",)
    assert said.count("it is started again") == 2


def test_news_of_a_lost_worker_imports_nothing_into_the_chief() -> None:
    # A process that ends while a thread imports a library may abort.
    text = """
if name == "chief":
    say("searching")
    while not Path("started").exists():
        time.sleep(0.01)
    time.sleep(1.0)
    say("ended")
    sys.exit("keras" in sys.modules)
else:
    Path("started").touch()
    sys.exit(7)
"""
    found, _ = run(text, restarts=0)
    assert found.ok


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("sys.exit(3)", "failed before the search began (exit code 3)"),
        ("print('done')", "without a call of a tuner's `search`"),
        ("say('searching'); sys.exit(3)", "chief was lost (exit code 3). Start the"),
        ("say('failed', error='no worker left'); sys.exit(1)", "no worker left"),
        ("say('ended'); sys.exit(4)", "failed after the search (exit code 4)"),
    ],
)
def test_a_search_that_did_not_end_says_why(text: str, error: str) -> None:
    found, _ = run(text if "say" not in text else f"if name == 'chief': {text}")
    assert not found.ok
    assert error in found.error
    assert error in str(found)


def test_the_last_lines_of_a_process_that_failed_are_shown() -> None:
    _, said = run("print('\\x1b[31mred\\x1b[0m'); raise OSError('no such data')")
    assert "[chief] red\n" in said
    assert "[chief] OSError: no such data" in said


def test_each_process_has_a_log_without_colours_or_what_was_overwritten() -> None:
    text = "print('1/2\\r2/2 \\x1b[1mdone\\x1b[0m', flush=True); say('ended')"
    _, said = run(text, show_logs=True)
    assert Path("search_logs/chief.log").read_text() == "2/2 done\n"
    assert "[chief] 2/2 done" in said


def test_the_script_gets_its_arguments_and_may_choose_its_backend() -> None:
    text = """
assert sys.argv[1:] == ["--depth", "3"], sys.argv
assert sys.path[0] == str(Path("script.py").resolve().parent)
assert not {"keras", "numpy"} & set(sys.modules)
assert sys.stdin.read() == ""
if name == "chief":
    say("ended")
"""
    found = launch_search(
        script(text), ["--depth", "3"], workers=1, say=lambda line: None
    )
    assert found.ok, found


def test_the_launcher_does_not_import_keras() -> None:
    code = (
        "import sys; sys.argv = ['-m']; import keras_deeptools.__main__, "
        "keras_deeptools._distributed_search; "
        "assert not {'keras', 'numpy'} & set(sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": ROOT}
    subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, timeout=60
    )


def test_the_exit_code_says_whether_the_search_ended() -> None:
    path = str(script("if name == 'chief': say('ended')"))
    ended = tune("--workers", "1", path)
    assert "The search ended after" in ended.communicate(timeout=60)[0]
    assert ended.returncode == 0
    failed = tune("--workers", "1", str(script("sys.exit(3)")))
    assert "exit code 3" in failed.communicate(timeout=60)[0]
    assert failed.returncode == 1


def test_joining_names_what_the_environment_must_say() -> None:
    joined = tune("--join", str(script("")))
    output = joined.communicate(timeout=60)[0]
    assert joined.returncode == 1
    assert "KERASTUNER_TUNER_ID (`chief`, or a name" in output


def test_joining_runs_the_script_as_that_process(monkeypatch) -> None:
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "tuner3")
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    monkeypatch.setenv("KERASTUNER_ORACLE_PORT", "1234")
    Path("joins.py").write_text("import os, sys; print(os.getpid(), *sys.argv)")
    joined = tune("--join", "joins.py", "--depth", "3")
    assert joined.communicate(timeout=60)[0].split() == [
        str(joined.pid),
        "joins.py",
        "--depth",
        "3",
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": 0}, "`workers` must be an integer >= 1"),
        ({"restarts": -1}, "`restarts` must be an integer >= 0"),
        ({"worker_timeout": 0}, "`worker_timeout` must be a finite float > 0"),
        ({"max_losses": 0}, "`max_losses` must be an integer >= 1"),
        ({"gpus_per_worker": 0}, "`gpus_per_worker` must be an integer >= 1"),
    ],
)
def test_a_number_out_of_its_range_is_named(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=f"launch_search: {message}"):
        launch_search(script(""), **{"workers": 1, **options})
