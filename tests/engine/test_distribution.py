"""Several devices: statistics are of the global gradient."""

import contextlib
import os
import pathlib
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest

import keras_deeptools

BACKEND = keras.backend.backend()

COMMON = """
    import os, sys
    import keras
    import numpy as np
    from keras import ops
    from keras_deeptools.engine import Feature, Recorder, attach

    class Record(Feature):
        def prepare(self, leaf):
            self.recorder = Recorder(leaf, 1)

        def observe_gradients(self, state, leaf, gradients):
            self.recorder.write(
                lambda: ops.stack([sum(ops.sum(g * g) for g in gradients)])
            )

    def make_model():
        model = keras.Sequential(
            [keras.Input((3,)), keras.layers.Dense(1, kernel_initializer="ones")]
        )
        model.compile(keras.optimizers.SGD(0.0), loss="mse")
        return model

    x = np.arange(24, dtype="float32").reshape(8, 3) / 24
    y = np.ones((8, 1), "float32")
"""

PROGRAMS = {
    "jax": """
    devices = keras.distribution.list_devices()
    assert len(devices) == 2
    keras.distribution.set_distribution(keras.distribution.DataParallel(devices=devices))
    model, record = make_model(), Record()
    with attach(model, record):
        model.fit(x, y, batch_size=8, verbose=0)
        print(float(record.recorder.read()[1][0, 0]))
    """,
    "tensorflow": """
    import tensorflow as tf
    cpu = tf.config.list_physical_devices("CPU")[0]
    two = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(cpu, two)
    found = []
    for devices in (["CPU:0"], ["CPU:0", "CPU:1"]):
        with tf.distribute.MirroredStrategy(devices).scope():
            model, record = make_model(), Record()
        with attach(model, record):
            model.fit(x, y, batch_size=8, verbose=0)
            found.append(float(record.recorder.read()[1][0, 0]))
    assert abs(found[0] - found[1]) < 1e-5, found
    print(found[-1])
    """,
    "torch": """
    import datetime
    import torch
    import torch.distributed as dist
    import torch.multiprocessing as mp

    def work(rank, path):
        dist.init_process_group(
            "gloo",
            init_method=f"file://{path}",
            rank=rank,
            world_size=2,
            timeout=datetime.timedelta(seconds=60),
        )
        model, record = make_model(), Record()
        parallel = torch.nn.parallel.DistributedDataParallel(model)
        half = slice(4 * rank, 4 * rank + 4)
        optimizer = model.optimizer
        optimizer.build(model.trainable_variables)
        with attach(model, record):
            error = parallel(torch.tensor(x[half])) - torch.tensor(y[half])
            error.square().mean().backward()
            gradients = [v.value.grad for v in model.trainable_variables]
            optimizer.apply(gradients, model.trainable_variables)
            if rank == 0:
                print(float(record.recorder.read()[1][0, 0]), flush=True)
        dist.barrier()
        # Without destructors: torch joins gloo's threads there while it holds the
        # lock that they wait for, once in ten runs on a busy machine.
        os._exit(0)

    if __name__ == "__main__":
        mp.spawn(work, (sys.argv[1],), nprocs=2)
    """,
}


def output_of(program: str, folder: pathlib.Path) -> subprocess.CompletedProcess:
    """Runs a program of two devices; again where the two never find each other."""
    path = folder / "program.py"
    path.write_text(program)
    root = str(pathlib.Path(keras_deeptools.__file__).parents[1])
    flags = "--xla_force_host_platform_device_count=2"
    for attempt in range(3):
        with contextlib.suppress(subprocess.TimeoutExpired):
            return subprocess.run(
                [sys.executable, str(path), str(folder / f"store_{attempt}")],
                env=os.environ | {"XLA_FLAGS": flags, "PYTHONPATH": root},
                capture_output=True,
                text=True,
                timeout=150,
            )
    raise AssertionError("the program did not end")


def test_statistics_are_of_the_global_gradient(tmp_path):
    program = textwrap.dedent(COMMON) + textwrap.dedent(PROGRAMS[BACKEND])
    result = output_of(program, tmp_path)
    assert result.returncode == 0, result.stderr
    x = np.arange(24).reshape(8, 3) / 24
    residual = 2 * (x.sum(axis=1) - 1) / 8
    expected = np.sum((x.T @ residual) ** 2) + residual.sum() ** 2
    assert float(result.stdout.split()[-1]) == pytest.approx(expected, rel=1e-4)
