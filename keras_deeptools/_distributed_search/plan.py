"""What a launcher is to start."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from keras_deeptools._arguments import message

VISIBLE = "CUDA_VISIBLE_DEVICES"
ASKING = 30.0


def gpus(environment: Mapping[str, str]) -> list[str]:
    """Names of the GPUs that may be used, without importing a backend.

    Args:
        environment: Where `CUDA_VISIBLE_DEVICES` says which; else `nvidia-smi` is
            asked.
    """
    if VISIBLE in environment:
        return [
            name.strip() for name in environment[VISIBLE].split(",") if name.strip()
        ]
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    asked = [program, "--query-gpu=index", "--format=csv,noheader"]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=ASKING)
    return done.stdout.split() if done.returncode == 0 else []


def device_environments(
    owner: str, found: Sequence[str], workers: int, gpus_per_worker: int
) -> list[dict[str, str]]:
    """What the environment of each worker says about devices.

    Every worker has GPUs of its own, as far as there are enough; then workers share
    them in turn, and no backend may take a whole GPU's memory. Without GPUs the cores
    are divided.

    Args:
        owner: Who asks, for errors.
        found: Names of the GPUs.
        workers: Int >= 1.
        gpus_per_worker: Int >= 1.
    """
    if not found:
        threads = str(max(1, (os.cpu_count() or 1) // workers))
        names = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")
        return [{n: os.environ.get(n, threads) for n in names} for _ in range(workers)]
    if gpus_per_worker > len(found):
        rule = f"at most {len(found)}, as many GPUs as there are"
        raise ValueError(message(owner, "gpus_per_worker", rule, gpus_per_worker))
    groups = [
        ",".join(found[first : first + gpus_per_worker])
        for first in range(0, len(found) - gpus_per_worker + 1, gpus_per_worker)
    ]
    shared = {}
    if workers > len(groups):
        shared = {
            "TF_FORCE_GPU_ALLOW_GROWTH": "true",
            "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        }
    return [{VISIBLE: groups[i % len(groups)]} | shared for i in range(workers)]


OWNER = "tune --join"
MEMBER = Path(__file__).with_name("member.py")

NEEDED = {
    "KERASTUNER_TUNER_ID": "`chief`, or a name that no other worker has",
    "KERASTUNER_ORACLE_IP": "the address where the chief listens",
    "KERASTUNER_ORACLE_PORT": "the port where the chief listens",
}


def command(script: str | Path, arguments: Sequence[str]) -> list[str]:
    """The command line of one process of a search."""
    return [sys.executable, str(MEMBER), str(script), *arguments]


def environment(settings: Mapping[str, Any]) -> dict[str, str]:
    """The environment variables that tell a process of a search its settings."""
    return {"KERAS_DEEPTOOLS_SEARCH": json.dumps(settings), "PYTHONUNBUFFERED": "1"}


def run_as_member(
    script: str, arguments: Sequence[str], settings: Mapping[str, Any]
) -> NoReturn:
    """Turns this process into one process of a search.

    Args:
        script: Path of the script.
        arguments: What the script is given.
        settings: Fields of `SearchSettings`.

    Raises:
        ValueError: If the environment does not say which process this is.
    """
    missing = [name for name in NEEDED if not os.environ.get(name)]
    if missing:
        what = "; ".join(f"{name} ({NEEDED[name]})" for name in missing)
        raise ValueError(
            f"{OWNER}: the environment must say which process of the search this is. "
            f"Missing: {what}. Set them, or give `--workers N` to start all on this "
            "machine."
        )
    arguments = command(script, arguments)
    variables = os.environ | environment(settings)
    if sys.platform == "win32":
        # There `execve` leaves its process behind instead of waiting for it.
        sys.exit(_code_of(arguments, variables))
    os.execve(arguments[0], arguments, variables)


def _code_of(arguments: Sequence[str], variables: Mapping[str, str]) -> int:
    """The exit code of a command; an interrupt is for it to answer."""
    with subprocess.Popen(arguments, env=variables) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                continue


ADDRESS = "127.0.0.1"


@dataclass(frozen=True)
class Plan:
    """A search on one machine.

    Args:
        command: Command line of every process.
        directory: Folder for what they print.
        devices: What the environment of each worker says about devices.
        restarts: Int >= 0, how often each worker is started again.
        settings: Fields of `SearchSettings`.
    """

    command: list[str]
    directory: Path
    devices: list[dict[str, str]]
    restarts: int
    settings: Mapping[str, Any]

    @property
    def names(self) -> list[str]:
        """Names of the workers."""
        return [f"tuner{i}" for i in range(len(self.devices))]

    def log(self, name: str) -> Path:
        """Path of what a process prints."""
        return self.directory / f"{name}.log"

    def environment_of(self, name: str, port: int) -> dict[str, str]:
        """Variables of one process.

        Args:
            name: `"chief"` or one of `names`.
            port: Where the chief listens; 0 for any free port.
        """
        if name == "chief":
            # It builds models but trains none: the GPUs are for the workers.
            devices = {"CUDA_VISIBLE_DEVICES": ""}
        else:
            devices = self.devices[self.names.index(name)]
        return {
            **environment({**self.settings, "status": str(self._status)}),
            "KERASTUNER_TUNER_ID": name,
            "KERASTUNER_ORACLE_IP": ADDRESS,
            "KERASTUNER_ORACLE_PORT": str(port),
            "NO_COLOR": "1",
            **devices,
        }

    def prepare(self) -> None:
        """Makes the folder, without what an earlier search left there."""
        self.directory.mkdir(parents=True, exist_ok=True)
        stale = [self._status, *map(self.log, ["chief", *self.names])]
        for path in stale:
            path.unlink(missing_ok=True)

    def status(self) -> dict[str, Any]:
        """What the chief says of the search; empty until it listens."""
        try:
            return json.loads(self._status.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}

    @property
    def _status(self) -> Path:
        return Path(os.path.abspath(self.directory)) / "status.json"
