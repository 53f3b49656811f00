"""torch: two processes give what one does, in loops and in Keras 3.16's own `fit`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest
from packaging.version import Version

import keras_deeptools

PROGRAM = Path(__file__).with_name("in_two_processes.py")
TOLERANCE = 2e-6
"""Of weights after a few updates, losses and norms, which are around 1."""


def assert_equal(folder: Path, *cases: str) -> None:
    """Between the processes to the bit, and within the tolerance from one process."""
    root = str(Path(keras_deeptools.__file__).parents[1])
    path = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])
    result = subprocess.run(
        [sys.executable, str(PROGRAM), str(folder), *cases],
        env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert result.returncode == 0, result.stderr
    for case, gaps in json.loads(result.stdout.splitlines()[-1]).items():
        assert gaps["between"] == 0.0, (case, gaps)
        assert gaps["from one"] < TOLERANCE, (case, gaps)


if keras.backend.backend() == "torch":

    def test_callbacks_train_in_two_processes_as_in_one(tmp_path):
        in_step = ("gradient_monitor", "one_cycle", "scheduler", "clipper")
        on_weights = ("max_norm", "averaging", "group_rates")
        assert_equal(tmp_path, *in_step, *on_weights)

    def test_loops_in_two_processes_freeze_and_go_on_from_a_file(tmp_path):
        assert_equal(tmp_path, "freezing", "resumed")

    @pytest.mark.skipif(
        not hasattr(keras.Sequential(), "ddp_model"),
        reason="Keras before 3.16 fits in one process",
    )
    def test_fit_trains_in_two_processes_as_in_one(tmp_path):
        fits = ("fitted", "fitted_in_several_steps", "fitted_and_frozen")
        assert_equal(tmp_path, *fits, "range_test", "fitted_and_resumed")

    @pytest.mark.skipif(
        Version(keras.version()) < Version("3.15"),
        reason="not looked at on older ones; 3.10 has no keras.distribution on torch",
    )
    def test_split_weights_are_refused_on_torch(monkeypatch):
        mesh = keras.distribution.DeviceMesh((1, 1), ("batch", "model"), ["cpu:0"])
        split = keras.distribution.ModelParallel(
            layout_map=keras.distribution.LayoutMap(mesh), batch_dim_name="batch"
        )
        monkeypatch.setattr(keras.distribution, "distribution", lambda: split)
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        model.compile("sgd", loss="mse")
        from keras_deeptools.callbacks import GradientMonitor

        with pytest.raises(ValueError, match="each process must have whole weights"):
            keras_deeptools.attach(model, GradientMonitor())
