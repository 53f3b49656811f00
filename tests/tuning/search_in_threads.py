"""A chief and its workers in one process, over real calls, without training."""

import os
import threading
import time
from pathlib import Path

import keras_tuner
import pytest
from keras_tuner.engine.trial import Trial, TrialStatus

from keras_deeptools._distributed_search.chief import serve
from keras_deeptools._distributed_search.join_search import install_hooks
from keras_deeptools._distributed_search.settings import SearchSettings
from keras_deeptools._distributed_search.worker import WorkerClient

TIMEOUT = 1.0
ORACLES = ("random", "bayesian", "grid", "hyperband")


def make_oracle(kind: str, folder: Path, **options: object) -> keras_tuner.Oracle:
    """An oracle over a small space, with files in `folder`."""
    hp = keras_tuner.HyperParameters()
    hp.Choice("x", [1, 2, 3])
    hp.Choice("y", [1, 2, 3])
    options = {"hyperparameters": hp, "seed": 1, **options}
    objective = keras_tuner.Objective("score", "max")
    oracles = keras_tuner.oracles
    makers = {
        "random": lambda: oracles.RandomSearchOracle(objective, 5, **options),
        "bayesian": lambda: oracles.BayesianOptimizationOracle(
            objective, 4, num_initial_points=3, **options
        ),
        "grid": lambda: oracles.GridSearchOracle(objective, **options),
        "hyperband": lambda: oracles.HyperbandOracle(objective, 4, **options),
    }
    oracle = makers[kind]()
    oracle._set_project_dir(str(folder), "project")
    oracle.verbose = 0
    return oracle


class Search:
    """A chief in a thread, and workers that it answers."""

    def __init__(self, oracle: keras_tuner.Oracle, monkeypatch: pytest.MonkeyPatch):
        self.oracle = oracle
        self.monkeypatch = monkeypatch
        self.error: Exception | None = None
        monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
        monkeypatch.setenv("KERASTUNER_ORACLE_PORT", "0")

    def start(self, patience: float = 60.0, max_losses: int = 2) -> None:
        self.settings = SearchSettings(TIMEOUT, patience, max_losses)
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()
        wait_until(lambda: os.environ["KERASTUNER_ORACLE_PORT"] != "0")

    def _serve(self) -> None:
        try:
            serve(self.oracle, self.settings)
        except Exception as error:
            self.error = error

    def worker(self, name: str = "tuner0") -> WorkerClient:
        self.monkeypatch.setenv("KERASTUNER_TUNER_ID", name)
        return WorkerClient(self.oracle, self.settings)

    def end(self) -> None:
        """Waits until the chief has left."""
        self.thread.join(20)
        assert not self.thread.is_alive()


def wait_until(condition) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def vanish(worker: WorkerClient) -> None:
    """Nothing is heard of the worker any more, as when it was killed."""
    worker._beats.stop()


def score(trial: Trial) -> float:
    values = trial.hyperparameters.values
    return float(values["x"] - 0.1 * values["y"])


def finish(worker: WorkerClient, trial: Trial) -> None:
    """Reports the result of a trial."""
    worker.update_trial(trial.trial_id, {"score": score(trial)})
    trial.status = TrialStatus.COMPLETED
    worker.end_trial(trial)


def fail(worker: WorkerClient, trial: Trial, message: str = "") -> None:
    trial.status, trial.message = TrialStatus.FAILED, message
    worker.end_trial(trial)


def work(worker: WorkerClient) -> list[str]:
    """Runs trials until the chief says that the search is over; their ids."""
    done = []
    while True:
        trial = worker.create_trial("")
        if trial.status == TrialStatus.STOPPED:
            return done
        if trial.status == TrialStatus.RUNNING:
            finish(worker, trial)
            done.append(trial.trial_id)


@pytest.fixture
def search(tmp_path, monkeypatch):
    """Makes a search of one kind, with its chief started."""
    from keras_deeptools._distributed_search import worker

    # Nothing may end the process of the tests.
    monkeypatch.setattr(worker, "_end_process", ENDS.append)
    monkeypatch.setattr(worker, "IDLE_PAUSE", 0.02)
    ENDS.clear()
    install_hooks(SearchSettings())

    def make(kind: str = "random", patience=60.0, max_losses=2, **options) -> Search:
        found = Search(make_oracle(kind, tmp_path, **options), monkeypatch)
        found.start(patience, max_losses)
        return found

    return make


ENDS: list[str] = []
