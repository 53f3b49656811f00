import os

import pytest

from keras_deeptools._distributed_search.process import device_environments, gpus

pytestmark = pytest.mark.backend_free

VISIBLE = "CUDA_VISIBLE_DEVICES"


def visible(found: list[str], workers: int, each: int = 1) -> list[str]:
    return [
        one[VISIBLE]
        for one in device_environments("launch_search", found, workers, each)
    ]


def test_each_worker_has_gpus_of_its_own() -> None:
    assert visible(["0", "1"], 2) == ["0", "1"]
    assert visible(["0", "1", "2", "3"], 2, 2) == ["0,1", "2,3"]
    assert visible(["0", "1", "2"], 1, 2) == ["0,1"]


def test_workers_share_gpus_in_turn_where_there_are_too_few() -> None:
    assert visible(["0", "1"], 3) == ["0", "1", "0"]


def test_a_worker_that_shares_a_gpu_does_not_take_all_of_its_memory() -> None:
    (alone,) = device_environments("launch_search", ["0"], 1, 1)
    assert alone == {VISIBLE: "0"}
    for one in device_environments("launch_search", ["0"], 2, 1):
        assert one["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"
        assert one["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"


def test_more_gpus_than_there_are_are_refused() -> None:
    with pytest.raises(ValueError, match="`gpus_per_worker` must be at most 1"):
        device_environments("launch_search", ["0"], 1, 2)


def test_without_gpus_the_cores_are_divided(monkeypatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "1")
    (one, _, _) = device_environments("launch_search", [], 3, 1)
    assert one == {"OMP_NUM_THREADS": "2", "TF_NUM_INTRAOP_THREADS": "1"}


def test_the_gpus_are_those_that_the_environment_names() -> None:
    assert gpus({VISIBLE: "2, 5"}) == ["2", "5"]
    assert gpus({VISIBLE: ""}) == []


def test_the_gpus_are_those_of_the_driver(tmp_path, monkeypatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\nprintf '0\\n1\\n'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert gpus({}) == ["0", "1"]
    program.write_text("#!/bin/sh\nexit 9\n")
    assert gpus({}) == []
    monkeypatch.setenv("PATH", "")
    assert gpus({}) == []
