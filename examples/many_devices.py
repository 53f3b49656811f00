"""Train on all devices, with gradients monitored and 1cycle.

On JAX, `keras.distribution` splits every batch over the devices. To try it on one CPU:

    KERAS_BACKEND=jax XLA_FLAGS=--xla_force_host_platform_device_count=2 \
        python examples/many_devices.py

On TensorFlow, `MirroredStrategy` has a copy of the model on every GPU. To try it on one
CPU that counts as two devices:

    KERAS_BACKEND=tensorflow python examples/many_devices.py 2

On torch the same script runs on one device: docs/engine.md says what works there with
several.
"""

import contextlib
import importlib
import sys
from collections.abc import Iterator

import keras
from sklearn.datasets import load_digits

from keras_deeptools.callbacks import GradientMonitor, OneCycleScheduler


@contextlib.contextmanager
def all_devices() -> Iterator[int]:
    """Splits batches over all devices, where Keras can; gives their number.

    The model must be made and compiled in the block.
    """
    if keras.backend.backend() == "tensorflow":
        tensorflow = importlib.import_module("tensorflow")
        kind = "GPU" if tensorflow.config.list_logical_devices("GPU") else "CPU"
        names = [each.name for each in tensorflow.config.list_logical_devices(kind)]
        with tensorflow.distribute.MirroredStrategy(names).scope():
            yield len(names)
    elif keras.backend.backend() == "jax":
        devices = keras.distribution.list_devices()
        if len(devices) > 1:
            split = keras.distribution.DataParallel(devices=devices)
            keras.distribution.set_distribution(split)
        try:
            yield len(devices)
        finally:
            keras.distribution.set_distribution(None)
    else:
        yield 1


def split_cpu(number: int) -> None:
    """Lets TensorFlow take the CPU for several devices, before it uses it."""
    config = importlib.import_module("tensorflow").config
    (cpu,) = config.list_physical_devices("CPU")
    parts = [config.LogicalDeviceConfiguration()] * number
    config.set_logical_device_configuration(cpu, parts)


def main(epochs: int = 10, batch_size: int = 64) -> float:
    """Returns the accuracy on the training samples."""
    with all_devices() as number:
        keras.utils.set_random_seed(0)
        x, y = load_digits(return_X_y=True)
        layers = [keras.layers.Dense(128, "relu"), keras.layers.Dense(10, "softmax")]
        model = keras.Sequential([keras.Input((64,)), *layers])
        model.compile(
            keras.optimizers.SGD(momentum=0.9),
            "sparse_categorical_crossentropy",
            metrics=["accuracy"],
        )
        monitor = GradientMonitor()
        # Whole batches only, so that each splits evenly.
        rows = len(x) // batch_size * batch_size
        history = model.fit(
            x[:rows] / 16,
            y[:rows],
            batch_size=batch_size,
            epochs=epochs,
            callbacks=[monitor, OneCycleScheduler(0.2)],
            verbose=0,
        )
    accuracy = history.history["accuracy"][-1]
    print(f"{number} device(s): accuracy {accuracy:.3f}")
    print(monitor.table())
    return accuracy


if __name__ == "__main__":
    if keras.backend.backend() == "tensorflow" and len(sys.argv) > 1:
        split_cpu(int(sys.argv[1]))
    main()
