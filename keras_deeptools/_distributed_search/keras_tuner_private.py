"""Every private name of KerasTuner that this package reads, each behind one function.

KerasTuner offers no way to take part in a search over several processes: its chief, its
client and the queues of its oracles are private. No other module of the package names
them. Each function says what it is for and what breaks without its seam, and has a test
in tests/tuning/test_keras_tuner_private.py that fails by itself where a release of
KerasTuner moved the seam.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.oracles import GridSearchOracle
from keras_tuner.src import protos, utils
from keras_tuner.src.distribute import oracle_chief, oracle_client
from keras_tuner.src.distribute.oracle_chief import OracleServicer
from keras_tuner.src.distribute.oracle_client import OracleClient
from keras_tuner.src.engine import oracle as oracle_module
from keras_tuner.src.engine.metrics_tracking import MetricsTracker

__all__ = [
    "OracleClient",
    "OracleServicer",
    "add_to_server",
    "clear_result",
    "is_worker",
    "make_clients_with",
    "messages",
    "next_in_grid",
    "order_grid",
    "save_trial",
    "serve_with",
    "stub_of",
    "trials_to_run_again",
    "unlock",
    "wrap_saving",
    "wrap_tuners",
]

# --- The calls between chief and workers ----------------------------------------------
#
# `OracleServicer` is what our chief extends, `OracleClient` our client: they turn calls
# into methods of an oracle and back. Without them no worker could ask for a trial.


def messages() -> Any:
    """The classes of the messages, with which our chief answers a worker.

    Without them it could not answer `CreateTrial`, `UpdateTrial` and `EndTrial`.
    """
    return protos.get_service()


def stub_of(channel: Any) -> Any:
    """The calls of KerasTuner's service over a gRPC channel.

    Without it, calls could not carry which process of a worker makes them.
    """
    return protos.get_service_grpc().OracleStub(channel)


def add_to_server(servicer: Any, server: Any) -> None:
    """Lets a gRPC server answer the calls of KerasTuner's service.

    Without it, our chief would have no server.
    """
    protos.get_service_grpc().add_OracleServicer_to_server(servicer, server)


# --- What tuners use in place of KerasTuner's own -------------------------------------


def serve_with(start_server: Callable[[Any], None]) -> None:
    """Lets the tuner of a chief call this function, in place of `start_server`.

    Without it, the chief would wait forever for a worker that was killed.
    """
    oracle_chief.start_server = start_server


def make_clients_with(make_client: Callable[[Any], Any]) -> None:
    """Lets the tuner of a worker make its client with this function.

    Without it, workers would give no signs of life.
    """
    oracle_client.OracleClient = make_client


def wrap_tuners(initialize: Callable[[Any], Any], search: Callable[[Any], Any]) -> None:
    """Wraps the constructor and `search` of every tuner, once in a process.

    Without it, a worker that is started with `overwrite=True` would delete the search
    in which it takes part, and no worker could report that it ends early.

    Args:
        initialize: Function from `BaseTuner.__init__` to what stands in its place.
        search: The same for `BaseTuner.search`.
    """
    if not hasattr(BaseTuner.search, "__wrapped__"):
        BaseTuner.__init__ = initialize(BaseTuner.__init__)
        BaseTuner.search = search(BaseTuner.search)


def wrap_saving(wrapper: Callable[[Any], Any]) -> None:
    """Wraps the function that writes the files of oracles and trials, once.

    Without it, a process that is killed while it writes leaves half a file behind,
    and the search cannot go on.
    """
    if not hasattr(utils.save_json, "__wrapped__"):
        utils.save_json = wrapper(utils.save_json)


def is_worker(tuner: Any) -> bool:
    """Whether the process of a tuner is a worker of a search.

    Without it, the tuner of the chief would say goodbye to itself.
    """
    return tuner._is_worker()


# --- The state of oracles -------------------------------------------------------------


def trials_to_run_again(oracle: Any) -> list[str]:
    """The ids of the trials that are given out before new ones, the last one first.

    The oracle's own list: what is added to it will be run. Without it, the trial of a
    lost worker could not be given back.
    """
    return oracle._retry_queue


def save_trial(oracle: Any, trial: Any) -> None:
    """Writes the file of a trial.

    Without it, a trial that was given back would count as running after the chief
    was started again.
    """
    oracle._save_trial(trial)


def clear_result(trial: Any) -> None:
    """Takes the metrics and the score from a trial, which is to be run again.

    Without it, the values of two runs would be averaged.
    """
    trial.metrics, trial.score = MetricsTracker(), None


def unlock(oracle: Any) -> None:
    """Frees an oracle that KerasTuner keeps locked once one of its methods raised.

    Without it, every later call of any worker would wait forever.
    """
    if oracle_module.LOCKS[oracle].locked():
        oracle_module.THREADS[oracle] = None
        oracle_module.LOCKS[oracle].release()


def order_grid(oracle: Any) -> None:
    """Tells a grid search the order of its trials, which its file does not keep.

    Without it, a grid search that is started again would end too early. Of other
    oracles nothing changes.
    """
    if not isinstance(oracle, GridSearchOracle):
        return
    values = {
        trial_id: trial.hyperparameters.values
        for trial_id, trial in oracle.trials.items()
    }

    def compare(one: str, other: str) -> int:
        return oracle._compare(values[one], values[other])

    oracle._ordered_ids = type(oracle._ordered_ids)()
    for trial_id in sorted(values, key=functools.cmp_to_key(compare)):
        oracle._ordered_ids.insert(trial_id)


def next_in_grid(oracle: Any, trial_ids: Sequence[str]) -> None:
    """Tells a grid search after which trials it has to look for the next ones.

    Without it, as with `order_grid`, a grid search would end too early.
    """
    if isinstance(oracle, GridSearchOracle):
        oracle._populate_next = list(trial_ids)
