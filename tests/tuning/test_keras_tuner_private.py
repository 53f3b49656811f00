"""One test for each private name of KerasTuner: what it is for, and that it works.

Where one fails after a release of KerasTuner, its function in
`_distributed_search/keras_tuner_private.py` says what breaks.
"""

import grpc
import keras_tuner
import pytest
from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.engine.trial import TrialStatus
from keras_tuner.src import utils
from keras_tuner.src.distribute import oracle_chief, oracle_client

from keras_deeptools._distributed_search import keras_tuner_private as private
from keras_deeptools._distributed_search.chief import Chief
from keras_deeptools._distributed_search.worker import WorkerClient
from tuning.search_in_threads import make_oracle

pytestmark = pytest.mark.backend_free


@pytest.fixture
def oracle(tmp_path) -> keras_tuner.Oracle:
    return make_oracle("random", tmp_path)


def overridden(cls: type, base: type) -> set[str]:
    """Methods of a class that stand in place of those of its base."""
    public = {name for name in vars(cls) if not name.startswith("_")}
    return {name for name in public if callable(getattr(base, name, None))}


def test_the_chief_answers_the_calls_of_keras_tuners_servicer() -> None:
    assert overridden(Chief, private.OracleServicer) == {
        "CreateTrial",
        "EndTrial",
        "GetBestTrials",
        "GetSpace",
        "GetTrial",
        "UpdateSpace",
        "UpdateTrial",
    }


def test_a_servicer_keeps_its_oracle_and_notes_the_end_of_a_search(oracle) -> None:
    servicer = private.OracleServicer(oracle)
    assert servicer.oracle is oracle
    assert servicer.stop_triggered is False


def test_a_worker_makes_the_calls_of_keras_tuners_client() -> None:
    assert overridden(WorkerClient, private.OracleClient) == {
        "create_trial",
        "end_trial",
    }


def test_a_client_calls_through_its_stub_by_its_name(oracle, monkeypatch) -> None:
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    monkeypatch.setenv("KERASTUNER_ORACLE_PORT", "1")
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "tuner0")
    client = private.OracleClient(oracle)
    assert client.tuner_id == "tuner0"
    assert client.stub.CreateTrial


def test_an_answer_holds_a_trial(oracle) -> None:
    trial = oracle.create_trial("tuner0")
    answer = private.messages().CreateTrialResponse(trial=trial.to_proto())
    again = keras_tuner.engine.trial.Trial.from_proto(answer.trial)
    assert again.trial_id == trial.trial_id
    assert private.messages().UpdateTrialResponse
    assert private.messages().EndTrialResponse


def test_a_stub_has_every_call_of_the_service() -> None:
    stub = private.stub_of(grpc.insecure_channel("127.0.0.1:1"))
    for name in overridden(Chief, private.OracleServicer):
        assert callable(getattr(stub, name))


def test_a_server_takes_the_servicer() -> None:
    added = []

    class Server:
        def add_generic_rpc_handlers(self, handlers) -> None:
            added.extend(handlers)

        def add_registered_method_handlers(self, service, handlers) -> None:
            """What newer versions of gRPC call as well."""

    private.add_to_server(object.__new__(private.OracleServicer), Server())
    assert [one.service_name() for one in added] == ["keras_tuner.Oracle"]


def tuner_of(oracle: keras_tuner.Oracle, folder) -> BaseTuner:
    return BaseTuner(oracle, lambda hp: None, directory=folder, project_name="project")


def test_the_tuner_of_a_chief_starts_the_server_that_was_given(
    oracle, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(oracle_chief, "start_server", oracle_chief.start_server)
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "chief")
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    monkeypatch.setenv("KERASTUNER_ORACLE_PORT", "0")
    served = []
    private.serve_with(served.append)
    tuner_of(oracle, tmp_path).search()
    assert served == [oracle]


def test_the_tuner_of_a_worker_makes_the_client_that_was_given(
    oracle, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(oracle_client, "OracleClient", oracle_client.OracleClient)
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "tuner0")
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    monkeypatch.setenv("KERASTUNER_ORACLE_PORT", "1")
    private.make_clients_with(lambda given: given)
    tuner = tuner_of(oracle, tmp_path)
    assert tuner.oracle is oracle
    assert private.is_worker(tuner)


def test_a_tuner_alone_is_no_worker(oracle, tmp_path) -> None:
    assert not private.is_worker(tuner_of(oracle, tmp_path))


def test_tuners_are_wrapped_once(monkeypatch) -> None:
    plain = {name: getattr(BaseTuner, name) for name in ("__init__", "search")}
    plain = {n: getattr(it, "__wrapped__", it) for n, it in plain.items()}
    for name, method in plain.items():
        monkeypatch.setattr(BaseTuner, name, method)
    wrapped = []

    def wrapper(method):
        def stand_in(*args, **kwargs):
            return method(*args, **kwargs)

        wrapped.append(method)
        stand_in.__wrapped__ = method
        return stand_in

    private.wrap_tuners(wrapper, wrapper)
    private.wrap_tuners(wrapper, wrapper)
    assert wrapped == list(plain.values())


def test_oracles_write_their_files_with_the_function_that_is_wrapped(
    oracle, monkeypatch
) -> None:
    plain = getattr(utils.save_json, "__wrapped__", utils.save_json)
    monkeypatch.setattr(utils, "save_json", plain)
    written = []

    def wrapper(save_json):
        def noting(path, thing):
            written.append(path)
            return save_json(path, thing)

        noting.__wrapped__ = save_json
        return noting

    private.wrap_saving(wrapper)
    private.wrap_saving(wrapper)
    oracle.create_trial("tuner0")
    names = [path.rpartition("/")[2] for path in written]
    assert names == ["trial.json", "oracle.json"]


def test_a_trial_in_the_queue_is_the_next_that_is_given_out(oracle) -> None:
    trial = oracle.create_trial("tuner0")
    oracle.ongoing_trials.pop("tuner0")
    private.trials_to_run_again(oracle).append(trial.trial_id)
    assert oracle.create_trial("tuner1").trial_id == trial.trial_id
    assert private.trials_to_run_again(oracle) == []


def test_the_file_of_a_trial_says_how_it_stands(oracle, tmp_path) -> None:
    trial = oracle.create_trial("tuner0")
    trial.status = TrialStatus.INVALID
    private.save_trial(oracle, trial)
    [file] = tmp_path.rglob("trial.json")
    again = keras_tuner.engine.trial.Trial.load(str(file))
    assert again.status == TrialStatus.INVALID


def test_a_trial_that_is_cleared_has_no_result(oracle) -> None:
    trial = oracle.create_trial("tuner0")
    oracle.update_trial(trial.trial_id, {"score": 1.0})
    trial = oracle.trials[trial.trial_id]
    trial.score = 1.0
    private.clear_result(trial)
    assert trial.score is None
    assert not trial.metrics.exists("score")
    oracle.update_trial(trial.trial_id, {"score": 3.0})
    assert oracle.trials[trial.trial_id].metrics.get_best_value("score") == 3.0


def test_an_oracle_answers_again_after_one_of_its_methods_raised(oracle) -> None:
    with pytest.raises(KeyError):
        oracle.update_trial("unknown", {"score": 1.0})
    assert private.oracle_module.LOCKS[oracle].locked()
    private.unlock(oracle)
    assert oracle.create_trial("tuner0").status == TrialStatus.RUNNING


def values(oracle: keras_tuner.Oracle) -> list[tuple]:
    trials = oracle.trials.values()
    return [tuple(one.hyperparameters.values.values()) for one in trials]


def run_grid(oracle: keras_tuner.Oracle, most: int = 100) -> None:
    for _ in range(most):
        trial = oracle.create_trial("tuner0")
        if trial.status == TrialStatus.STOPPED:
            return
        oracle.update_trial(trial.trial_id, {"score": 1.0})
        trial.status = TrialStatus.COMPLETED
        oracle.end_trial(trial)


def test_a_grid_search_goes_on_where_it_was(tmp_path) -> None:
    first = make_oracle("grid", tmp_path, max_trials=None)
    run_grid(first, most=3)
    first.save()
    again = make_oracle("grid", tmp_path, max_trials=None)
    again.reload()
    private.order_grid(again)
    private.next_in_grid(again, [*again.start_order[:1], *again.end_order])
    run_grid(again)
    assert len(set(values(again))) == len(again.trials) == 9


def test_of_other_oracles_no_grid_is_ordered(oracle) -> None:
    private.order_grid(oracle)
    private.next_in_grid(oracle, ["0"])
    assert not {"_ordered_ids", "_populate_next"} & set(vars(oracle))
