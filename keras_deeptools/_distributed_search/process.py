"""What a launcher of a search is to start, and one such process."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NoReturn

from keras_deeptools._arguments import message

VISIBLE = "CUDA_VISIBLE_DEVICES"
ASKING = 30.0

ESCAPE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
KEPT = 20


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


def plain(line: str) -> str:
    """A line without colours, and of what was overwritten only what was seen last."""
    visible = ESCAPE.sub("", line).replace("\b", "").rstrip()
    return visible.rpartition("\r")[2]


class Log:
    """Copies a stream of a process to a file, line by line, from a thread.

    Args:
        stream: What the process prints.
        path: Path of the file; lines are added to it.
        show: Function that is given each line, too, or None.
    """

    def __init__(
        self, stream: IO[bytes], path: Path, show: Callable[[str], None] | None
    ) -> None:
        self.path = path
        self.last: deque[str] = deque(maxlen=KEPT)
        self._stream = stream
        self._show = show
        self._thread = threading.Thread(target=self._copy, daemon=True)
        self._thread.start()

    def finish(self, timeout: float) -> None:
        """Waits until all that the process printed is in the file."""
        self._thread.join(timeout)

    def _copy(self) -> None:
        with self._stream, self.path.open("a", encoding="utf-8") as file:
            for line in self._stream:
                text = plain(line.decode("utf-8", errors="replace"))
                self.last.append(text)
                file.write(text + "\n")
                file.flush()
                if self._show is not None:
                    self._show(text)


LAST_LINES = 5.0


class Process:
    """A process in its own group, which ends with this one.

    It reads messages from a pipe. When this process ends, for whatever reason, the pipe
    closes, and the process at the other end kills its group.

    Args:
        name: Str, its `KERASTUNER_TUNER_ID`.
        command: Its command line.
        environment: Variables in addition to those of this process.
        log: Path of the file for what it prints.
        show: Function that is given each line with the name before it, or None.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        show: Callable[[str], None] | None = None,
    ) -> None:
        self.name = name
        self._popen = subprocess.Popen(
            command,
            env=os.environ | environment | {"KERAS_DEEPTOOLS_LAUNCHED": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert self._popen.stdin is not None and self._popen.stdout is not None
        self._pipe = self._popen.stdin
        prefixed = show and (lambda line: show(f"[{name}] {line}"))
        self.log = Log(self._popen.stdout, log, prefixed)

    def code(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._popen.poll()

    def tell(self, news: Mapping[str, Any]) -> None:
        """Sends it a line, if it still listens."""
        try:
            self._pipe.write(json.dumps(news).encode() + b"\n")
            self._pipe.flush()
        except OSError:
            return

    def end(self) -> None:
        """Asks it to end."""
        if self.code() is None:
            self._popen.terminate()

    def bury(self, patience: float = 0.0) -> int:
        """Kills what is left of its group, and waits for its last lines.

        Args:
            patience: Float >= 0, seconds that it gets to end by itself.

        Returns:
            The exit code.
        """
        try:
            self._popen.wait(patience)
        except subprocess.TimeoutExpired:
            self._popen.kill()
        try:
            os.killpg(self._popen.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass  # Nothing is left of it.
        code = self._popen.wait()
        self.log.finish(LAST_LINES)
        try:
            self._pipe.close()
        except OSError:
            pass  # It had not read the last line.
        return code


def ending(code: int) -> str:
    """Says how a process ended."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
