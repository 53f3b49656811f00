"""A worker of a search over several processes: its signs of life, and its calls.

What workers tell the chief beside KerasTuner's own calls is a service of its own, for
which the chief takes `handler` from here.
"""

import json
import os
import sys
import threading
import time
import uuid
from typing import Any

import grpc
from keras_tuner.engine.trial import TrialStatus
from keras_tuner.errors import FatalError

from keras_deeptools._distributed_search.keras_tuner_private import (
    OracleClient,
    stub_of,
)
from keras_deeptools._distributed_search.settings import SearchSettings

SERVICE = "keras_deeptools.Workers"
# Headers of every call of a worker: its name, its run, and why a trial failed.
NAME, RUN, NOTE = "worker-name", "worker-run", "trial-note-bin"
# Of headers, gRPC takes 8 KB.
LONGEST_NOTE = 4000
GOODBYE = 5.0
# KerasTuner asks again at once while there is nothing to do.
IDLE_PAUSE = 0.5
UNREACHABLE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


def packed(thing: Any) -> bytes:
    """The bytes of a message."""
    return json.dumps(thing).encode()


def handler(answers: dict[str, Any]) -> Any:
    """What a server answers the calls of `SERVICE` with.

    Args:
        answers: Name of the call -> function from message and gRPC context to answer.
    """
    return grpc.method_handlers_generic_handler(
        SERVICE,
        {
            name: grpc.unary_unary_rpc_method_handler(
                answer,
                request_deserializer=json.loads,
                response_serializer=packed,
            )
            for name, answer in answers.items()
        },
    )


def call(channel: Any, name: str) -> Any:
    """The function that makes a call of `SERVICE` over a channel."""
    return channel.unary_unary(
        f"/{SERVICE}/{name}",
        request_serializer=packed,
        response_deserializer=json.loads,
    )


class WorkerClient(OracleClient):
    """KerasTuner's client; with every call, it says which process calls.

    Args:
        oracle: KerasTuner's `Oracle`, for its settings.
        settings: How long to wait.
    """

    def __init__(self, oracle: Any, settings: SearchSettings) -> None:
        super().__init__(oracle)
        address = os.environ["KERASTUNER_ORACLE_IP"]
        port = os.environ["KERASTUNER_ORACLE_PORT"]
        channel = grpc.insecure_channel(f"{address}:{port}")
        self.stub = _SignedStub(channel, self._signature)
        self._headers = [(NAME, self.tuner_id), (RUN, uuid.uuid4().hex)]
        self._note = ""
        self._is_over = False
        self._leave = call(channel, "Leave")
        self._beats = Beats(call(channel, "Beat"), self._headers, settings)

    def create_trial(self, tuner_id: str) -> Any:
        # Not before: the chief waits for whoever gave a sign of life.
        self._beats.start()
        trial = super().create_trial(self.tuner_id)
        if trial.status == TrialStatus.IDLE:
            time.sleep(IDLE_PAUSE)
        if trial.status == TrialStatus.STOPPED:
            self._beats.stop()
            self._is_over = True
        return trial

    def end_trial(self, trial: Any) -> None:
        # KerasTuner's message leaves out why a trial failed.
        self._note = trial.message or ""
        try:
            super().end_trial(trial)
        finally:
            self._note = ""

    def leave(self, error: BaseException) -> None:
        """Tells the chief that this worker leaves before the search is over."""
        self._beats.stop()
        reason = f"{type(error).__name__}: {error}".rstrip(": ")
        message = {"reason": reason, "fatal": isinstance(error, FatalError)}
        try:
            self._leave(message, timeout=GOODBYE, metadata=self._headers)
        except grpc.RpcError:
            return  # The chief is gone, or will notice the silence.

    def _signature(self) -> list[tuple[str, str | bytes]]:
        if self._is_over:
            # Results are for the chief to show; it may have left already.
            sys.exit(0)
        note = self._note.encode()[-LONGEST_NOTE:]
        return [*self._headers, (NOTE, note)]


class _SignedStub:
    """The calls of KerasTuner's service with headers."""

    def __init__(self, channel: Any, headers: Any) -> None:
        self._stub = stub_of(channel)
        self._headers = headers

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._stub, name)
        return lambda request, **options: method(
            request, metadata=self._headers(), **options
        )


class Beats:
    """Signs of life from a thread; ends the process when the search was ended.

    Args:
        call: Function that makes the call.
        headers: What says who calls.
        settings: How often, and how long to go on without an answer.
    """

    def __init__(
        self, call: Any, headers: list[tuple[str, str]], settings: SearchSettings
    ) -> None:
        self._call = call
        self._headers = headers
        self._settings = settings
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def start(self) -> None:
        """Begins, if it has not begun."""
        if self._thread.ident is None:
            self._thread.start()

    def stop(self) -> None:
        """Ends; a sign that is under way may still arrive."""
        self._stopped.set()

    def _beat(self) -> None:
        answered = time.monotonic()
        while not self._stopped.is_set():
            try:
                timeout = self._settings.worker_timeout
                answer = self._call({}, timeout=timeout, metadata=self._headers)
                answered = time.monotonic()
            except grpc.RpcError as error:
                answer = {"ended": None}
                if error.code() not in UNREACHABLE:
                    answered = time.monotonic()
            silence = time.monotonic() - answered
            if silence > self._settings.patience:
                _end_process(f"the chief did not answer for {silence:.0f} s")
            if answer["ended"] is not None and not self._stopped.is_set():
                _end_process(f"the search was ended: {answer['ended']}")
            self._stopped.wait(self._settings.beat)


def _end_process(reason: str) -> None:
    """Ends a process whose main thread may be in the middle of training."""
    print(f"This worker ends, because {reason}", file=sys.stderr, flush=True)
    sys.stdout.flush()
    os._exit(1)
