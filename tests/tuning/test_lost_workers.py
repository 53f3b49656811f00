import os

import grpc
import keras_tuner
import pytest
from keras_tuner.engine.trial import TrialStatus
from keras_tuner.src.distribute import oracle_chief

from keras_deeptools._distributed_search import chief
from keras_deeptools._distributed_search.keras_tuner_private import messages, stub_of
from keras_deeptools._distributed_search.settings import tell_chief
from tuning import search_in_threads as threads
from tuning.search_in_threads import fail, finish, vanish, wait_until, work

pytestmark = pytest.mark.backend_free

search = threads.search


def statuses(oracle: keras_tuner.Oracle) -> set[str]:
    return {trial.status for trial in oracle.trials.values()}


@pytest.mark.parametrize("kind", threads.ORACLES)
def test_the_trial_of_a_killed_worker_is_run_by_another(kind, search) -> None:
    running = search(kind)
    lost, other = running.worker("tuner0"), running.worker("tuner1")
    trial = lost.create_trial("")
    vanish(lost)
    done = work(other)
    running.end()
    assert running.error is None
    assert trial.trial_id in done
    assert sorted(done) == sorted(running.oracle.trials)
    assert statuses(running.oracle) == {"COMPLETED"}
    assert running.oracle.end_order == done


def test_a_worker_that_is_started_again_gets_its_trial_back(search) -> None:
    running = search()
    first = running.worker("tuner0")
    trial = first.create_trial("")
    vanish(first)
    again = running.worker("tuner0")
    assert again.create_trial("").trial_id == trial.trial_id
    finish(again, trial)
    assert len(work(again)) == 4
    running.end()


def test_a_worker_that_breaks_off_gives_its_trial_back_at_once(search) -> None:
    running = search()
    first, other = running.worker("tuner0"), running.worker("tuner1")
    trial = first.create_trial("")
    first.leave(KeyboardInterrupt())
    assert other.create_trial("").trial_id == trial.trial_id
    assert "KeyboardInterrupt" in running.oracle.trials[trial.trial_id].message
    finish(other, trial)
    work(other)
    running.end()


def test_a_trial_that_loses_two_workers_has_failed_and_says_why(search) -> None:
    running = search()
    for name in ("tuner0", "tuner1"):
        worker = running.worker(name)
        trial = worker.create_trial("")
        assert trial.trial_id == "0"
        worker.leave(MemoryError())
    last = running.worker("tuner2")
    assert len(work(last)) == 4
    running.end()
    failed = running.oracle.trials["0"]
    assert failed.status == "FAILED"
    assert "tuner1 (MemoryError), loss 2 of this trial" in failed.message


def test_nobody_is_sent_away_while_a_trial_may_have_to_be_run_again(search) -> None:
    running = search()
    busy, idle = running.worker("tuner0"), running.worker("tuner1")
    trial = busy.create_trial("")
    for _ in range(4):
        finish(idle, idle.create_trial(""))
    assert idle.create_trial("").status == TrialStatus.IDLE
    vanish(busy)
    assert work(idle) == [trial.trial_id]
    running.end()


def test_a_late_result_counts_while_no_other_has_the_trial(search) -> None:
    running = search()
    slow = running.worker("tuner0")
    trial = slow.create_trial("")
    vanish(slow)
    wait_until(lambda: not running.oracle.ongoing_trials)
    finish(slow, trial)
    assert running.oracle.trials[trial.trial_id].status == "COMPLETED"
    assert trial.trial_id not in work(slow)
    running.end()


def test_a_late_result_is_dropped_where_another_has_the_trial(search) -> None:
    running = search()
    slow, other = running.worker("tuner0"), running.worker("tuner1")
    trial = slow.create_trial("")
    vanish(slow)
    wait_until(lambda: not running.oracle.ongoing_trials)
    again = other.create_trial("")
    assert again.trial_id == trial.trial_id
    fail(slow, trial)
    assert running.oracle.trials[trial.trial_id].status == "RUNNING"
    finish(other, again)
    fail(slow, trial)
    assert running.oracle.trials[trial.trial_id].status == "COMPLETED"
    work(other)
    running.end()


def test_a_chief_without_workers_ends_with_an_error_that_names_them(search) -> None:
    running = search(patience=0.2)
    for name in ("tuner0", "tuner1"):
        worker = running.worker(name)
        worker.create_trial("")
        vanish(worker)
    running.end()
    message = str(running.error)
    assert "no worker left" in message and "overwrite=False" in message
    assert "tuner0" in message and "tuner1" in message
    assert "0 trials ended, 2 wait to be run again" in message


def test_why_a_trial_failed_reaches_the_chief(search) -> None:
    running = search()
    worker = running.worker()
    fail(worker, worker.create_trial(""), "the loss was not finite in epoch 3")
    assert running.oracle.trials["0"].message == "the loss was not finite in epoch 3"
    work(worker)
    running.end()


def test_too_many_failed_trials_end_the_chief(search) -> None:
    running = search()
    worker = running.worker()
    for _ in range(3):
        fail(worker, worker.create_trial(""))
    assert worker.create_trial("").status == TrialStatus.STOPPED
    running.end()
    assert "consecutive failures" in str(running.error)


def test_an_error_that_is_fatal_ends_all_processes(search) -> None:
    running = search()
    first, other = running.worker("tuner0"), running.worker("tuner1")
    first.create_trial("")
    other.create_trial("")
    first.leave(keras_tuner.errors.FatalValueError("no objective"))
    running.end()
    vanish(other)
    assert isinstance(running.error, keras_tuner.errors.FatalError)
    assert "tuner0 ended the search: FatalValueError: no objective" in str(
        running.error
    )
    assert "tuner0 ended the search" in threads.ENDS[0]


def test_results_are_for_the_chief_to_show(search) -> None:
    running = search()
    worker = running.worker()
    work(worker)
    with pytest.raises(SystemExit) as ended:
        worker.get_best_trials()
    assert ended.value.code == 0
    running.end()


def test_a_worker_goes_on_with_a_chief_that_was_started_again(
    search, tmp_path, monkeypatch
) -> None:
    running = search()
    worker = running.worker()
    finish(worker, worker.create_trial(""))
    trial = worker.create_trial("")

    def killed(chief):
        raise RuntimeError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(chief.Chief, "is_over", killed)
        running.end()
    running.oracle = threads.make_oracle("random", tmp_path)
    running.oracle.reload()
    running.error = None
    running.start()
    finish(worker, trial)
    assert work(worker) == ["2", "3", "4"]
    running.end()
    assert running.error is None
    assert statuses(running.oracle) == {"COMPLETED"}
    assert sorted(running.oracle.end_order) == sorted(running.oracle.trials)


def test_a_worker_without_its_chief_ends(search, monkeypatch) -> None:
    running = search()
    work(running.worker())
    running.end()
    running.settings = running.settings.__class__(0.1, patience=0.2)
    alone = running.worker()
    alone._beats.start()
    wait_until(lambda: threads.ENDS)
    vanish(alone)
    assert "the chief did not answer" in threads.ENDS[0]


def test_a_worker_that_cannot_be_watched_is_told_how_to_start_it(search) -> None:
    running = search()
    port = os.environ["KERASTUNER_ORACLE_PORT"]
    channel = grpc.insecure_channel(f"127.0.0.1:{port}")
    stub = stub_of(channel)
    request = messages().CreateTrialRequest(tuner_id="tuner0")
    with pytest.raises(grpc.RpcError, match="keras_deeptools tune"):
        stub.CreateTrial(request, timeout=10)
    work(running.worker())
    running.end()


def test_a_port_that_another_search_has_is_refused(search) -> None:
    running = search()
    with pytest.raises(RuntimeError):
        oracle_chief.start_server(running.oracle)
    work(running.worker())
    running.end()


def test_a_worker_never_deletes_the_files_of_the_search(search, tmp_path) -> None:
    running = search()
    running.monkeypatch.setenv("KERASTUNER_TUNER_ID", "tuner0")
    kept = tmp_path / "project" / "trial_0"
    kept.mkdir(parents=True)
    tuner = keras_tuner.engine.base_tuner.BaseTuner(
        running.oracle,
        lambda hp: None,
        directory=tmp_path,
        project_name="project",
        overwrite=True,
    )
    assert kept.exists()
    work(tuner.oracle)
    running.end()


def test_what_the_launcher_knows_counts_at_once(search) -> None:
    running = search()
    lost, other = running.worker("tuner0"), running.worker("tuner1")
    trial = lost.create_trial("")
    vanish(lost)
    tell_chief({"lost": "tuner0", "reason": "killed by SIGKILL"})
    assert other.create_trial("").trial_id == trial.trial_id
    message = running.oracle.trials[trial.trial_id].message
    assert (
        message == "Lost with worker tuner0 (killed by SIGKILL), loss 1 of this trial."
    )
    vanish(other)
    tell_chief({"lost": "tuner1", "reason": "exit code 1"})
    tell_chief({})
    running.end()
    assert "tuner0 (killed by SIGKILL), tuner1 (exit code 1)" in str(running.error)


def test_a_search_that_is_over_needs_no_worker(search) -> None:
    running = search(patience=0.1)
    work(running.worker())
    tell_chief({})
    running.end()
    assert running.error is None
