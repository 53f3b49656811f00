"""JAX: four devices give what one does, with whole and with split weights."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest

import keras_deeptools

PROGRAM = Path(__file__).with_name("on_four_devices.py")
FLAGS = (
    "--xla_force_host_platform_device_count=4 --xla_backend_optimization_level=0 "
    "--xla_cpu_parallel_codegen_split_count=1"
)
TOLERANCE = 5e-6
"""Of weights after a few updates, losses and norms, which are around 1."""


def differences(*cases: str) -> dict[str, dict[str, float]]:
    """By how much the results of each case differ from those of one device."""
    root = str(Path(keras_deeptools.__file__).parents[1])
    result = subprocess.run(
        [sys.executable, str(PROGRAM), *cases],
        env=os.environ | {"XLA_FLAGS": FLAGS, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert result.returncode == 0, result.stderr
    found: dict[str, dict[str, float]] = json.loads(result.stdout.splitlines()[-1])
    return found


def assert_equal(*cases: str) -> None:
    for case, gaps in differences(*cases).items():
        assert max(gaps.values()) < TOLERANCE, (case, gaps)


if keras.backend.backend() == "jax":

    @pytest.mark.parametrize(
        "cases",
        [
            ("gradient_monitor", "one_cycle", "scheduler", "clipper"),
            ("max_norm", "averaging", "uniform_averaging"),
            ("everything", "group_rates"),
        ],
        ids="+".join,
    )
    def test_callbacks_train_as_on_one_device(cases):
        assert_equal(*cases)

    def test_layers_are_frozen_and_unfrozen_as_on_one_device():
        assert_equal("freezing", "gradual_unfreezing")

    def test_models_are_measured_and_scaled_as_on_one_device():
        assert_equal("range_test", "monte_carlo", "diagnoses", "scaling")

    def test_fit_goes_on_after_an_interruption_as_on_one_device():
        assert_equal("resumed", "saved")

    def test_averages_are_split_over_devices_as_their_weights():
        assert_equal("placed")
