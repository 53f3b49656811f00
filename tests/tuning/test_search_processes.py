"""Whole searches with a chief and two workers, in which processes are killed."""

import signal
import socket
from pathlib import Path

import pytest

from keras_deeptools.tuning import launch_search
from tuning import command_line
from tuning.command_line import NAMES, tune

pytestmark = pytest.mark.backend_free

time_limit = command_line.time_limit
SEARCH = Path(__file__).with_name("searching_script.py")


def test_a_killed_worker_does_not_keep_the_search_from_ending() -> None:
    found = launch_search(SEARCH, ["tuner0"], workers=2, restarts=0)
    assert found.ok, found
    assert found.trials == {str(i): "COMPLETED" for i in range(5)}
    assert found.lost == ("tuner0 (killed by SIGKILL)",)
    assert found.objective == "val_loss" and found.best > 0
    logs = {name: Path(f"search_logs/{name}.log").read_text() for name in NAMES}
    assert "Worker tuner0 was lost: killed by SIGKILL; trial" in logs["chief"]
    assert logs["chief"].count("trials: " + " ".join(5 * ["COMPLETED"])) == 1
    assert "trials:" not in logs["tuner1"]


@pytest.mark.slow
def test_a_search_of_which_everything_was_killed_goes_on_with_the_same_command(
    tmp_path,
) -> None:
    first = tune("--workers", "2", str(SEARCH), "launcher")
    try:
        first.communicate(timeout=300)
    finally:
        first.kill()
    assert first.returncode == -signal.SIGKILL
    again = launch_search(SEARCH, ["launcher"], workers=2)
    assert again.ok and not again.lost
    assert again.trials == {str(i): "COMPLETED" for i in range(5)}


@pytest.mark.slow
def test_a_killed_worker_that_nobody_watches_over_is_found_out_by_its_silence() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    started = {}
    for name in NAMES:
        member = {
            "KERASTUNER_TUNER_ID": name,
            "KERASTUNER_ORACLE_IP": "127.0.0.1",
            "KERASTUNER_ORACLE_PORT": port,
        }
        limits = ("--join", "--worker-timeout", "5")
        started[name] = tune(
            *limits, str(SEARCH), "tuner0", "hyperband", environment=member
        )
    try:
        output = started["chief"].communicate(timeout=400)[0]
        started["tuner1"].communicate(timeout=60)
    finally:
        for process in started.values():
            process.kill()
            process.communicate()
    codes = [started[name].returncode for name in NAMES]
    assert codes == [0, -signal.SIGKILL, 0]
    assert "Worker tuner0 was lost: nothing heard of it for 5 s; trial" in output
    # A bracket of two and then one, and one of two.
    assert "trials: " + " ".join(5 * ["COMPLETED"]) in output
