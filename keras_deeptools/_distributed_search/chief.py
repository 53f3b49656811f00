"""The chief of a search over several processes: its server, and what it answers."""

import contextlib
import os
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import grpc
from keras_tuner.engine.trial import Trial, TrialStatus
from keras_tuner.errors import FatalRuntimeError

from keras_deeptools._distributed_search.keras_tuner_private import (
    OracleServicer,
    add_to_server,
    messages,
    trials_to_run_again,
    unlock,
)
from keras_deeptools._distributed_search.lost_trials import (
    Roll,
    WorkerId,
    give_back,
    reconcile,
)
from keras_deeptools._distributed_search.settings import (
    NEWS,
    SearchSettings,
    StatusFile,
)
from keras_deeptools._distributed_search.worker import NAME, NOTE, RUN, handler

POLL = 0.1
# Threads are made as they are needed: one for each call that is under way.
MOST_CALLS = 512


def _one_at_a_time(name: str) -> Callable[["Chief", Any, Any], Any]:
    """KerasTuner's answer to a call, while no other call is answered."""
    answer = getattr(OracleServicer, name)

    def answer_alone(self: "Chief", request: Any, context: Any) -> Any:
        with self._turn():
            return answer(self, request, context)

    return answer_alone


class Chief(OracleServicer):
    """Answers the workers' calls, and gives back the trials of lost workers.

    Args:
        oracle: KerasTuner's `Oracle`.
        settings: How long to wait.
    """

    def __init__(self, oracle: Any, settings: SearchSettings) -> None:
        super().__init__(oracle)
        self.error: Exception | None = None
        self._settings = settings
        self._roll = Roll(settings.worker_timeout)
        self._runs: dict[str, WorkerId] = {}
        self._losses: Counter[str] = Counter()
        self._reasons: dict[str, str] = {}
        self._lock = threading.RLock()

    # --- KerasTuner's calls ----------------------------------------------------------

    def CreateTrial(self, request: Any, context: Any) -> Any:
        worker = _caller(context)
        with self._turn():
            self._hear_news()
            self._roll.welcome(worker)
            is_new = self._runs.get(worker.name) != worker
            if is_new and worker.name in self.oracle.ongoing_trials:
                self._lose(worker.name, "it was started again")
            trial = self._next_trial(worker)
            if trial.status == TrialStatus.RUNNING:
                self._runs[worker.name] = worker
            if trial.status == TrialStatus.STOPPED:
                self.stop_triggered = True
                self._roll.dismiss(worker)
        return messages().CreateTrialResponse(trial=trial.to_proto())

    def UpdateTrial(self, request: Any, context: Any) -> Any:
        with self._turn():
            if self._holds(_caller(context), request.trial_id):
                return super().UpdateTrial(request, context)
            trial = self.oracle.get_trial(request.trial_id)
            return messages().UpdateTrialResponse(trial=trial.to_proto())

    def EndTrial(self, request: Any, context: Any) -> Any:
        trial = Trial.from_proto(request.trial)
        trial.message = (
            _headers(context).get(NOTE, b"").decode(errors="replace") or None
        )
        with self._turn():
            if self._holds(_caller(context), trial.trial_id):
                with self._ending_the_search():
                    self.oracle.end_trial(trial)
                    # KerasTuner saves while the trial still counts as running.
                    self.oracle.save()
        return messages().EndTrialResponse()

    GetSpace = _one_at_a_time("GetSpace")
    UpdateSpace = _one_at_a_time("UpdateSpace")
    GetTrial = _one_at_a_time("GetTrial")
    GetBestTrials = _one_at_a_time("GetBestTrials")

    # --- Our own ---------------------------------------------------------------------

    def beat(self, message: dict[str, str], context: Any) -> dict[str, str | None]:
        """A sign of life; the answer says why the search was ended, if it was."""
        worker = _caller(context)
        if self.error is None:
            self._roll.hear(worker)
            return {"ended": None}
        self._roll.dismiss(worker)
        return {"ended": str(self.error)}

    def leave(self, message: dict[str, Any], context: Any) -> None:
        """A worker goes before the search is over."""
        worker = _caller(context)
        with self._turn():
            self._roll.dismiss(worker)
            if self._runs.get(worker.name, worker) == worker:
                self._lose(worker.name, message["reason"])
            if message["fatal"]:
                self.error = FatalRuntimeError(
                    f"Worker {worker.name} ended the search: {message['reason']}"
                )

    def report(self, status: StatusFile, phase: str) -> None:
        """Writes how the search is going."""
        with self._turn():
            names = {worker.name for worker in self._roll.present()}
            status.write(phase, self.oracle, sorted(names), self.error)

    def is_over(self) -> bool:
        """Gives back trials of lost workers; True if the chief can end."""
        with self._turn():
            for worker in self._roll.silent():
                self._roll.dismiss(worker)
                if self._runs.get(worker.name) == worker:
                    seconds = self._settings.worker_timeout
                    self._lose(worker.name, f"nothing heard of it for {seconds:g} s")
            self._hear_news()
            if self._roll.present():
                return False
            if self._roll.lonely_for() > self._settings.patience:
                self._abandon()
            return self._is_done() or self.error is not None

    def _hear_news(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                news = NEWS.get_nowait()
                lost = news.get("lost")
                for worker in self._roll.present():
                    if lost in (None, worker.name):
                        self._roll.dismiss(worker)
                if lost is None:
                    self._abandon()
                # One that said goodbye gave a better reason.
                elif lost in self.oracle.ongoing_trials or lost not in self._reasons:
                    self._lose(lost, news["reason"])

    def _is_done(self) -> bool:
        """True once there is nothing left to run, nor to run again."""
        left = self.oracle.ongoing_trials or trials_to_run_again(self.oracle)
        return self.stop_triggered and not left

    def _next_trial(self, worker: WorkerId) -> Any:
        stopped = Trial(self.oracle.get_space(), status=TrialStatus.STOPPED)
        if self.error is not None:
            return stopped
        with self._ending_the_search():
            trial = self.oracle.create_trial(worker.name)
            if trial.status == TrialStatus.STOPPED and self.oracle.ongoing_trials:
                # Who else would run these, should their workers be lost?
                trial.status = TrialStatus.IDLE
            return trial
        return stopped

    def _holds(self, worker: WorkerId, trial_id: str) -> bool:
        """True for the worker whose result counts: also one taken for lost too soon."""
        ongoing = self.oracle.ongoing_trials
        waiting = trials_to_run_again(self.oracle)
        if trial_id in waiting and worker.name not in ongoing:
            waiting.remove(trial_id)
            ongoing[worker.name] = self.oracle.trials[trial_id]
            self._runs[worker.name] = worker
            self._roll.welcome(worker)
        trial = ongoing.get(worker.name)
        is_its_own = trial is not None and trial.trial_id == trial_id
        return is_its_own and self._runs.get(worker.name) == worker

    def _lose(self, name: str, reason: str) -> None:
        self._reasons[name] = reason
        with self._ending_the_search():
            trial_id = give_back(
                self.oracle, name, reason, self._losses, self._settings.max_losses
            )
            what = "it had no trial"
            if trial_id is not None:
                has_failed = trial_id in self.oracle.end_order
                what = f"trial {trial_id} {'has failed' if has_failed else 'goes back'}"
            print(f"Worker {name} was lost: {reason}; {what}.", flush=True)

    def _abandon(self) -> None:
        if self._is_done():
            return
        trials = self.oracle.trials.values()
        ended = sum(trial.trial_id in self.oracle.end_order for trial in trials)
        reasons = [f"{name} ({reason})" for name, reason in self._reasons.items()]
        lost = ", ".join(reasons) or "none ever came"
        self.error = self.error or RuntimeError(
            f"The search has no worker left. Lost: {lost}. {ended} trials ended, "
            f"{len(trials) - ended} wait to be run again. Start the search again with "
            "the same directory and overwrite=False to go on."
        )

    @contextlib.contextmanager
    def _ending_the_search(self) -> Iterator[None]:
        """What an oracle raises ends the search, as it does in one process."""
        try:
            yield
        except Exception as error:
            unlock(self.oracle)
            self.error = self.error or error

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """One call at a time."""
        with self._lock:
            try:
                yield
            except Exception:
                unlock(self.oracle)
                raise


def _headers(context: Any) -> dict[str, Any]:
    return {item.key: item.value for item in context.invocation_metadata()}


def _caller(context: Any) -> WorkerId:
    """The worker that makes a call."""
    headers = _headers(context)
    if NAME not in headers:
        context.abort(
            grpc.StatusCode.FAILED_PRECONDITION,
            "This chief looks after workers that give signs of life. Start every "
            "process of the search in the same way: with `python -m keras_deeptools "
            "tune`, or call `keras_deeptools.tuning.join_search` in the script.",
        )
    return WorkerId(headers[NAME], headers[RUN])


def serve(oracle: Any, settings: SearchSettings) -> None:
    """Gives out trials until the search has ended; in place of KerasTuner's own.

    Args:
        oracle: KerasTuner's `Oracle`.
        settings: How long to wait.

    Raises:
        RuntimeError: If no worker is left, if too many trials failed in a row, or if a
            worker ended the search.
    """
    reconcile(oracle)
    while not NEWS.empty():
        NEWS.get()  # Of an earlier search.
    chief = Chief(oracle, settings)
    # Two chiefs on one port would share each other's workers.
    options = [("grpc.so_reuseport", 0)]
    server = grpc.server(futures.ThreadPoolExecutor(MOST_CALLS), options=options)
    add_to_server(chief, server)
    answers = {"Beat": chief.beat, "Leave": chief.leave}
    server.add_generic_rpc_handlers((handler(answers),))
    address = os.environ["KERASTUNER_ORACLE_IP"]
    port = os.environ["KERASTUNER_ORACLE_PORT"]
    bound = server.add_insecure_port(f"{address}:{port}")
    # Where any free port was asked for, another search of the script takes the same.
    os.environ["KERASTUNER_ORACLE_PORT"] = str(bound)
    server.start()
    status = StatusFile(settings.status, bound)
    try:
        while not chief.is_over():
            chief.report(status, "searching")
            time.sleep(POLL)
        chief.report(status, "failed" if chief.error else "ended")
    finally:
        # The last answer may still be under way.
        server.stop(grace=2.0).wait()
    if chief.error is not None:
        raise chief.error
