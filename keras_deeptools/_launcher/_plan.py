"""What a launcher is to start."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_deeptools._launcher._join import environment

ADDRESS = "127.0.0.1"


@dataclass(frozen=True)
class Plan:
    """A search on one machine.

    Args:
        command: Command line of every process.
        directory: Folder for what they print.
        devices: What the environment of each worker says about devices.
        restarts: Int >= 0, how often each worker is started again.
        settings: Fields of `engine.SearchSettings`.
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
