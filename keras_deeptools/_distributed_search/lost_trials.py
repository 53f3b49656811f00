"""Trials of workers that were lost, and of a search that is started again."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from keras_tuner.engine.trial import TrialStatus

from keras_deeptools._distributed_search.keras_tuner_private import (
    clear_result,
    next_in_grid,
    order_grid,
    save_trial,
    trials_to_run_again,
)

ENDED = (TrialStatus.COMPLETED, TrialStatus.FAILED)


def give_back(
    oracle: Any, name: str, reason: str, losses: Counter[str], max_losses: int
) -> str | None:
    """Puts the trial of a lost worker back, to be the next one that is run.

    Args:
        oracle: KerasTuner's `Oracle`.
        name: Str, the worker's `KERASTUNER_TUNER_ID`.
        reason: Str, why it was lost.
        losses: Workers lost so far for each trial; counts this one.
        max_losses: Int >= 1. A trial that lost so many fails instead: it may be what
            ends them.

    Returns:
        The trial's id, or None where the worker had none.
    """
    oracle.tuner_ids.discard(name)
    trial = oracle.ongoing_trials.get(name)
    if trial is None:
        return None
    losses[trial.trial_id] += 1
    count = losses[trial.trial_id]
    # A worker can be lost between reporting its metrics and the end of the trial.
    clear_result(trial)
    trial.message = f"Lost with worker {name} ({reason}), loss {count} of this trial."
    if count >= max_losses:
        trial.status = TrialStatus.FAILED
        oracle.end_trial(trial)
    else:
        trial.status = TrialStatus.INVALID
        oracle.ongoing_trials.pop(name)
        trials_to_run_again(oracle).append(trial.trial_id)
        save_trial(oracle, trial)
    oracle.save()
    return trial.trial_id


def reconcile(oracle: Any) -> None:
    """Makes an oracle that was loaded from files agree with its trials' own files.

    A process can be killed between two writes. A trial that no worker ever got is
    forgotten, and will be drawn again; one that ended is not run again; every other is
    run again, once.

    Args:
        oracle: KerasTuner's `Oracle`, before it gives out trials.
    """
    oracle.trials = {
        trial_id: oracle.trials[trial_id] for trial_id in oracle.start_order
    }
    waiting = []
    for trial_id, trial in oracle.trials.items():
        if trial.status not in ENDED:
            waiting.append(trial_id)
            clear_result(trial)
        elif trial_id not in oracle.end_order:
            oracle.end_order.append(trial_id)
            oracle.update_space(trial.hyperparameters)
    oracle.ongoing_trials = {}
    # The queue's end is run first.
    trials_to_run_again(oracle)[:] = waiting[::-1]
    order_grid(oracle)
    # What comes after the first is known from its start, after others from their end.
    next_in_grid(oracle, [*oracle.start_order[:1], *oracle.end_order])


class WorkerId(NamedTuple):
    """One process of a worker: started again, it has the same name and another run."""

    name: str
    run: str


class Roll:
    """The workers that were heard of and have not been dismissed.

    Args:
        timeout: Float > 0, seconds of silence after which a worker is lost.
        clock: Function to the time in seconds.
    """

    def __init__(
        self, timeout: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.timeout = timeout
        self._clock = clock
        self._heard: dict[WorkerId, float] = {}
        self._dismissed: set[WorkerId] = set()
        self._lock = threading.Lock()
        self._lonely_since = clock()

    def hear(self, worker: WorkerId) -> None:
        """Notes a sign of life; one that was under way when it left does not count."""
        with self._lock:
            if worker not in self._dismissed:
                self._heard[worker] = self._clock()

    def dismiss(self, worker: WorkerId) -> None:
        """Removes a worker."""
        with self._lock:
            self._dismissed.add(worker)
            self._heard.pop(worker, None)
            self._lonely_since = self._clock()

    def welcome(self, worker: WorkerId) -> None:
        """Adds a worker again when it asks for work."""
        with self._lock:
            self._dismissed.discard(worker)
        self.hear(worker)

    def present(self) -> list[WorkerId]:
        """The workers on the roll."""
        with self._lock:
            return list(self._heard)

    def silent(self) -> list[WorkerId]:
        """The workers on the roll that are overdue."""
        with self._lock:
            limit = self._clock() - self.timeout
            return [worker for worker, time in self._heard.items() if time < limit]

    def lonely_for(self) -> float:
        """Seconds since the last worker left, 0 while there is one."""
        with self._lock:
            return 0.0 if self._heard else self._clock() - self._lonely_since
