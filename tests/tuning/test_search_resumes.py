"""A search that was killed at any moment goes on from its files."""

import shutil
from pathlib import Path

import keras_tuner
import pytest
from keras_tuner.engine.trial import TrialStatus

from keras_deeptools._distributed_search import join_search as _search_seams
from keras_deeptools._distributed_search.join_search import install_hooks
from keras_deeptools._distributed_search.lost_trials import reconcile
from keras_deeptools._distributed_search.settings import SearchSettings
from tuning.search_in_threads import ORACLES, make_oracle, score

pytestmark = pytest.mark.backend_free


def finish(oracle: keras_tuner.Oracle, trial) -> str:
    oracle.update_trial(trial.trial_id, {"score": score(trial)})
    trial.status = TrialStatus.COMPLETED
    oracle.end_trial(trial)
    return trial.trial_id


def run(oracle: keras_tuner.Oracle) -> list[str]:
    """What two workers in turn do until the end; the trials they ran."""
    done, held = [], {}
    while True:
        for name in ("tuner0", "tuner1"):
            if name in held:
                done.append(finish(oracle, held.pop(name)))
            trial = oracle.create_trial(name)
            if trial.status == TrialStatus.RUNNING:
                held[name] = trial
        if not held and trial.status == TrialStatus.STOPPED:
            return done


def values(oracle: keras_tuner.Oracle) -> list[dict]:
    return [trial.hyperparameters.values for trial in oracle.trials.values()]


@pytest.fixture
def snapshots(tmp_path, monkeypatch) -> list[Path]:
    """Copies of the files after each write: what a kill at that moment leaves."""
    install_hooks(SearchSettings())
    write, found = _search_seams.write_whole, []

    def write_and_copy(path, thing):
        text = write(path, thing)
        found.append(tmp_path / f"killed_{len(found)}")
        shutil.copytree(tmp_path / "search", found[-1])
        return text

    monkeypatch.setattr(_search_seams, "write_whole", write_and_copy)
    return found


@pytest.mark.parametrize("kind", ORACLES)
def test_no_trial_is_lost_or_doubled_wherever_the_search_was_killed(
    kind, tmp_path, snapshots, monkeypatch
) -> None:
    options = {} if kind != "grid" else {"max_trials": None}
    whole = make_oracle(kind, tmp_path / "search", **options)
    whole.save()
    run(whole)
    assert len(snapshots) > 2 * len(whole.trials)
    monkeypatch.setattr(_search_seams, "write_whole", lambda path, thing: "")
    for folder in snapshots:
        oracle = make_oracle(kind, folder, **options)
        oracle.reload()
        ended = {i for i, t in oracle.trials.items() if t.status == "COMPLETED"}
        reconcile(oracle)
        done = run(oracle)
        assert sorted([*ended, *done]) == sorted(oracle.trials)
        assert sorted(oracle.trials) == sorted(whole.trials)
        assert sorted(oracle.end_order) == sorted(oracle.trials)
        assert all(t.status == "COMPLETED" for t in oracle.trials.values())
        if kind in ("random", "grid"):
            assert {*map(str, values(oracle))} == {*map(str, values(whole))}
