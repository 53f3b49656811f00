"""A trial on two devices: what works, and an error that ends the search else."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import keras

import keras_deeptools

COMMON = """
    import keras
    import keras_tuner
    import numpy as np
    from keras_deeptools.tuning import DeepHyperModel

    x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    y = keras.utils.to_categorical((x[:, 0] > 0).astype(int), 2)

    def make_model(hp=None):
        hidden = [keras.layers.Dense(8, "relu"), keras.layers.Dropout(0.2)]
        top = keras.layers.Dense(2, "softmax")
        model = keras.Sequential([keras.Input((4,)), *hidden, top])
        model.compile("adam", "categorical_crossentropy")
        return model

    def search(build, parts, **options):
        hypermodel = DeepHyperModel(build, max_epochs=2, parts=parts)
        tuner = keras_tuner.RandomSearch(
            hypermodel, "val_loss", max_trials=1, seed=0, overwrite=True, **options
        )
        data = {"validation_data": (x, y), "epochs": 2}
        tuner.search(x, y, verbose=0, **data)
        (trial,) = tuner.oracle.trials.values()
        assert trial.status == "COMPLETED", trial.message
"""
PROGRAMS = {
    "jax": """
    devices = keras.distribution.list_devices()
    assert len(devices) == 2
    keras.distribution.set_distribution(keras.distribution.DataParallel(devices=devices))
    parts = ["optimizer", "one_cycle", "max_norm", "clipping", "dropout_rate"]
    search(make_model, [*parts, "label_smoothing", "batch_size"])
    print("as in one")
    """,
    "tensorflow": """
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    two = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(cpu, two)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    parts = ["optimizer", "initializer", "dropout_rate", "label_smoothing"]
    search(make_model(), [*parts, "batch_size"], distribution_strategy=strategy)
    parts = ["learning_rate", "one_cycle", "max_norm", "clipping", "weight_averaging"]
    search(make_model, parts, distribution_strategy=strategy)

    def refused():
        model = make_model()
        model.compile("adam", "categorical_crossentropy", steps_per_execution=2)
        return model

    try:
        search(lambda hp: refused(), ["max_norm"], distribution_strategy=strategy)
    except keras_tuner.errors.FatalValueError as error:
        assert "steps_per_execution" in str(error), error
        assert "leave what joins the optimizer's update out" in str(error), error
        print("as in one")
    """,
}


def output_of(program: str, folder: Path) -> subprocess.CompletedProcess:
    path = folder / "program.py"
    path.write_text(program)
    root = str(Path(keras_deeptools.__file__).parents[1])
    flags = "--xla_force_host_platform_device_count=2"
    return subprocess.run(
        [sys.executable, str(path)],
        env=os.environ | {"XLA_FLAGS": flags, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        timeout=300,
    )


# On torch, Keras has neither.
if keras.backend.backend() in PROGRAMS:

    def test_a_trial_runs_on_two_devices(tmp_path: Path) -> None:
        program = COMMON + PROGRAMS[keras.backend.backend()]
        result = output_of(textwrap.dedent(program), tmp_path)
        assert result.returncode == 0, result.stderr
        assert "as in one" in result.stdout
