"""Train on all devices there are, with gradients watched and 1cycle in the step.

On JAX, `keras.distribution` splits every batch over the devices. To try it on one CPU:

    KERAS_BACKEND=jax XLA_FLAGS=--xla_force_host_platform_device_count=2 \
        python examples/many_devices.py

On TensorFlow and torch the same script runs on one device: docs/engine.md says what
works there with several.
"""

import keras
from sklearn.datasets import load_digits

from keras_deeptools.callbacks import GradientMonitor, OneCycleScheduler


def use_all_devices() -> int:
    """Splits batches over all devices, where Keras can; returns their number."""
    if keras.backend.backend() != "jax":
        return 1
    devices = keras.distribution.list_devices()
    if len(devices) > 1:
        split = keras.distribution.DataParallel(devices=devices)
        keras.distribution.set_distribution(split)
    return len(devices)


def main(epochs: int = 10, batch_size: int = 64) -> float:
    """Returns the accuracy on the training rows."""
    number = use_all_devices()
    try:
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
    finally:
        keras.distribution.set_distribution(None)
    accuracy = history.history["accuracy"][-1]
    print(f"{number} device(s): accuracy {accuracy:.3f}")
    print(monitor.table())
    return accuracy


if __name__ == "__main__":
    main()
