"""Gradients of every layer in TensorBoard, beside the losses.

pip install tensorboard
python examples/report_to_tensorboard.py
tensorboard --logdir logs
"""

import tempfile
from pathlib import Path

import keras
from sklearn.datasets import load_digits

from keras_deeptools.callbacks import GradientMonitor, OneCycleScheduler


def main(epochs: int = 10, folder: str | None = None) -> list[str]:
    """Trains, and returns the names of the event files."""
    folder = tempfile.mkdtemp() if folder is None else folder
    keras.utils.set_random_seed(0)
    x, y = load_digits(return_X_y=True)
    hidden = [
        keras.layers.Dense(64, "relu", kernel_initializer="he_normal") for _ in range(4)
    ]
    model = keras.Sequential(
        [keras.Input((64,)), *hidden, keras.layers.Dense(10, "softmax")]
    )
    model.compile(keras.optimizers.SGD(momentum=0.9), "sparse_categorical_crossentropy")
    monitor = GradientMonitor(
        statistics=("norm", "zero_fraction", "update_ratio"), log_dir=folder
    )
    model.fit(x / 16, y, epochs=epochs, callbacks=[monitor, OneCycleScheduler(0.1)])
    files = [path.name for path in sorted(Path(folder).rglob("*tfevents*"))]
    print(f"tensorboard --logdir {folder}")
    return files


if __name__ == "__main__":
    main(folder="logs")
