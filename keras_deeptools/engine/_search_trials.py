"""Trials of workers that were lost, and of a search that is started again."""

import functools
from collections import Counter
from typing import Any

from keras_tuner.oracles import GridSearchOracle
from keras_tuner.src.engine.metrics_tracking import MetricsTracker
from keras_tuner.src.engine.trial import TrialStatus

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
    trial.metrics, trial.score = MetricsTracker(), None
    trial.message = f"Lost with worker {name} ({reason}), loss {count} of this trial."
    if count >= max_losses:
        trial.status = TrialStatus.FAILED
        oracle.end_trial(trial)
    else:
        trial.status = TrialStatus.INVALID
        oracle.ongoing_trials.pop(name)
        oracle._retry_queue.append(trial.trial_id)
        oracle._save_trial(trial)
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
            trial.metrics, trial.score = MetricsTracker(), None
        elif trial_id not in oracle.end_order:
            oracle.end_order.append(trial_id)
            oracle.update_space(trial.hyperparameters)
    oracle.ongoing_trials = {}
    # The queue's end is run first.
    oracle._retry_queue = waiting[::-1]
    if isinstance(oracle, GridSearchOracle):
        _restore_grid(oracle)


def _restore_grid(oracle: Any) -> None:
    """Finds out where a grid search was, which its file does not say."""
    values = {
        trial_id: trial.hyperparameters.values
        for trial_id, trial in oracle.trials.items()
    }

    def compare(one: str, other: str) -> int:
        return oracle._compare(values[one], values[other])

    oracle._ordered_ids = type(oracle._ordered_ids)()
    for trial_id in sorted(values, key=functools.cmp_to_key(compare)):
        oracle._ordered_ids.insert(trial_id)
    # What comes after the first is known from its start, after others from their end.
    oracle._populate_next = [*oracle.start_order[:1], *oracle.end_order]
