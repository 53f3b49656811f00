"""Resume training after it was killed, with the same result.

python examples/resume.py
"""

import tempfile
from pathlib import Path

import keras
import numpy as np
from sklearn.datasets import load_digits

from keras_deeptools.callbacks import MaxNormEnforcer, OneCycleScheduler


class KilledError(Exception):
    """Simulates a power cut."""


class PowerCut(keras.callbacks.Callback):
    """Ends the training at the beginning of an epoch."""

    def __init__(self, epoch: int) -> None:
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Raises."""
        if epoch == self.epoch:
            raise KilledError


def train(epochs: int, callbacks: list) -> keras.Model:
    """Builds the model and trains it; batches come in the same order each time."""
    keras.utils.set_random_seed(0)
    x, y = load_digits(return_X_y=True)
    layers = [keras.layers.Dense(64, "relu"), keras.layers.Dense(10, "softmax")]
    model = keras.Sequential([keras.Input((64,)), *layers])
    optimizer = keras.optimizers.SGD(momentum=0.9)
    model.compile(optimizer, "sparse_categorical_crossentropy")
    ours = [OneCycleScheduler(0.2), MaxNormEnforcer(2.0)]
    model.fit(
        x / 16,
        y,
        epochs=epochs,
        shuffle=False,
        callbacks=[*ours, *callbacks],
        verbose=0,
    )
    return model


def main(epochs: int = 10) -> float:
    """Returns the largest difference between weights."""
    plain = train(epochs, [])
    with tempfile.TemporaryDirectory() as folder:
        backup = str(Path(folder) / "backup")

        def keeper() -> keras.callbacks.Callback:
            return keras.callbacks.BackupAndRestore(backup)

        try:
            train(epochs, [keeper(), PowerCut(epochs // 2)])
        except KilledError:
            print(f"killed at the beginning of epoch {epochs // 2}")
        # A new process would do the same: build the model, and call fit.
        resumed = train(epochs, [keeper()])
    pairs = zip(plain.get_weights(), resumed.get_weights(), strict=True)
    difference = max(float(np.abs(one - other).max()) for one, other in pairs)
    print(f"weights differ by at most {difference:.1e}")
    return difference


if __name__ == "__main__":
    main()
