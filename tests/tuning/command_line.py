"""`python -m keras_deeptools tune` in a process of its own."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import keras_deeptools

ROOT = str(Path(keras_deeptools.__file__).parents[1])
NAMES = ("chief", "tuner0", "tuner1")


@pytest.fixture(autouse=True)
def time_limit() -> Iterator[None]:
    """Ends a test in which the launcher waits for ever, and with it what it started."""

    def late(number: int, frame: object) -> None:
        raise TimeoutError("the launcher did not end")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(400)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def tune(
    *arguments: str, environment: dict[str, str] | None = None
) -> subprocess.Popen:
    """Starts it, with what it prints in a pipe."""
    # Where the tests run in the background, a shell has interrupts ignored, and a
    # process starts with what its parent ignores.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "keras_deeptools", "tune", *arguments],
            env=os.environ | {"PYTHONPATH": ROOT} | (environment or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    finally:
        signal.signal(signal.SIGINT, before)
