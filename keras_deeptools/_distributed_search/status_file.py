"""The file by which a chief says how its search is going."""

import math
from typing import Any

from keras_deeptools._files import write_json


class StatusFile:
    """Written whenever something changed.

    Args:
        path: Path, or None for no file.
        port: Int, where the chief can be reached.
    """

    def __init__(self, path: str | None, port: int) -> None:
        self.path = path
        self.port = port
        self._last: dict[str, Any] = {}

    def write(
        self, phase: str, oracle: Any, workers: list[str], error: Exception | None
    ) -> None:
        """Says what is true now.

        Args:
            phase: `"searching"`, `"ended"` or `"failed"`.
            oracle: KerasTuner's `Oracle`.
            workers: Names of the workers that are there.
            error: What the search failed with, or None.
        """
        if self.path is None:
            return
        trials = list(oracle.trials.values())
        best = oracle.get_best_trials()
        score = best[0].score if best else None
        status = {
            "phase": phase,
            "port": self.port,
            "trials": {trial.trial_id: trial.status for trial in trials},
            "max_trials": oracle.max_trials,
            "objective": oracle.objective.name,
            "best": score if score is not None and math.isfinite(score) else None,
            "workers": workers,
            "error": None if error is None else str(error),
        }
        if status != self._last:
            write_json(self.path, status)
            self._last = status
