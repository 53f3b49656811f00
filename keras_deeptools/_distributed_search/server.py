"""The server of a search over several processes, from its start to its end."""

import os
import time
from concurrent import futures
from typing import Any

import grpc

from keras_deeptools._distributed_search import wire as calls
from keras_deeptools._distributed_search.chief import Chief
from keras_deeptools._distributed_search.keras_tuner_private import add_to_server
from keras_deeptools._distributed_search.lost_trials import reconcile
from keras_deeptools._distributed_search.settings import (
    NEWS,
    SearchSettings,
    StatusFile,
)

POLL = 0.1
# Threads are made as they are needed: one for each call that is under way.
MOST_CALLS = 512


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
    server.add_generic_rpc_handlers((calls.handler(answers),))
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
