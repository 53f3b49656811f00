"""Several replicas on TensorFlow: all is as on one device, or an error says why not."""

import contextlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import keras
import pytest

import keras_deeptools
from keras_deeptools.engine._backends.active import training
from keras_deeptools.engine._keras_private.optimizers import APPLY_GRADIENTS
from keras_deeptools.engine._keras_private.versions import multi_optimizers

PROGRAM = Path(__file__).parent / "on_replicas.py"
APART = 1e-6
"""What weights and logs of order 1 may differ by: sums are taken in another order."""

CALLBACKS = (
    "GradientMonitor",
    "GradientClipper",
    "OneCycleScheduler",
    "HyperparameterScheduler",
    "MaxNormEnforcer",
    "WeightAveraging",
    "AdaptiveGradientClipping",
    "PercentileClipping",
    "GradientCentralizer",
    "CautiousUpdates",
    "BestWeights, TimeLimit",
    "GradientNoiseScale, SharpnessMonitor",
    "find_batch_size",
)
SITUATIONS = (
    "all callbacks",
    "run_eagerly",
    "rates by group",
    "unfreezing",
    "a scheduled layer",
    "an embedding",
    "Keras' own clipping",
    "accumulation",
    "use_ema",
    *(("several optimizers",) if multi_optimizers() else ()),
    "overflow on one replica",
    "attach",
    "a loop of one's own",
    "a train step of one's own",
    "the range test",
    "mc_predict",
)
REFUSED = {
    "made outside": "made, and the model compiled, under the strategy of the model",
    "not built": "must be built before something is attached",
    "steps_per_execution": "`steps_per_execution=1`, because Keras itself cannot",
    "jit_compile": "`jit_compile=False`",
    "SpikeGuard": "SpikeGuard: a model must train on one replica",
    "SharpnessAwareMinimization": "a model must train on one replica",
    "AccumulationScheduler": "a model must train on one replica",
}


def started(names: tuple[str, ...], **environment: str) -> subprocess.Popen:
    root = str(Path(keras_deeptools.__file__).parents[1])
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), *names],
        env=os.environ | {"PYTHONPATH": root} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def result_of(process: subprocess.Popen) -> dict:
    output, errors = process.communicate(timeout=580)
    assert process.returncode == 0, errors
    return json.loads(output.splitlines()[-1])


def on_two_replicas(*names: str) -> dict:
    """What the program prints, for each of the names."""
    return result_of(started(names))


def on_two_workers(*names: str) -> list[dict]:
    """What the program prints in two processes; again where they do not meet."""
    for _ in range(3):
        addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
        workers = [
            started(
                names,
                TF_CONFIG=json.dumps(
                    {
                        "cluster": {"worker": addresses},
                        "task": {"type": "worker", "index": index},
                    }
                ),
            )
            for index in range(2)
        ]
        with contextlib.suppress(subprocess.TimeoutExpired):
            return [result_of(worker) for worker in workers]
        for worker in workers:
            worker.kill()
    raise AssertionError("the workers did not end")


def free_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def assert_as_on_one_device(found: dict) -> None:
    apart = {name: numbers for name, numbers in found.items() if too_far(name, numbers)}
    assert not apart


def too_far(name: str, numbers: dict[str, float]) -> bool:
    limit = 1e-3 if name == "mixed_float16" else APART
    copies = numbers.pop("copies")
    return copies != 0 or max(numbers.values()) > limit


if keras.backend.backend() == "tensorflow":  # the strategies are TensorFlow's

    def test_each_callback_trains_as_on_one_device_and_keeps_the_replicas_equal():
        assert_as_on_one_device(on_two_replicas(*CALLBACKS))

    def test_what_cannot_be_joined_is_refused_by_name():
        said = on_two_replicas(*REFUSED)
        assert {name for name, rule in REFUSED.items() if rule in said[name]} == {*said}

    def test_two_worker_processes_train_as_one_device():
        for found in on_two_workers("a loop of one's own"):
            assert_as_on_one_device(found)

    @pytest.mark.slow
    def test_each_way_of_training_gives_what_it_gives_on_one_device():
        assert_as_on_one_device(on_two_replicas(*SITUATIONS, "mixed_float16"))

    @pytest.mark.slow
    def test_a_resumed_run_on_replicas_equals_one_that_was_not_broken_off():
        assert on_two_replicas("resumed")["resumed"] == {"weights": 0.0}

    def test_on_one_device_the_update_is_the_optimizer_s_own():
        optimizer = keras.optimizers.Adam()
        update = getattr(optimizer, APPLY_GRADIENTS)
        assert training.on_each_replica(optimizer, update) is update
        assert training.unmerged_methods(optimizer) == {}
