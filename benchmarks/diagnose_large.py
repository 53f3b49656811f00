"""Seconds that `diagnose` takes for MobileNetV2 on small photographs.

KERAS_BACKEND=torch python benchmarks/diagnose_large.py
"""

import time

import keras
import numpy as np

from keras_deeptools.diagnosis import diagnose


def main() -> None:
    """Prints the seconds, and what was found."""
    keras.utils.set_random_seed(0)
    shape = (96, 96, 3)
    trunk = keras.applications.MobileNetV2(
        input_shape=shape, weights=None, include_top=False, pooling="avg"
    )
    scaling = keras.layers.Rescaling(1 / 127.5, offset=-1)
    layers = [keras.Input(shape), scaling, trunk, keras.layers.Dense(10, "softmax")]
    model = keras.Sequential(layers)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    generator = np.random.default_rng(0)
    y = generator.integers(0, 10, 320)
    x = generator.integers(0, 100, (320, *shape)) + 15 * y[:, None, None, None]
    start = time.perf_counter()
    found = diagnose(model, x.astype("uint8"), y)
    seconds = time.perf_counter() - start
    print(
        f"{keras.backend.backend()}: {seconds:.1f} s, {found.learning}, {found.kinds}"
    )


if __name__ == "__main__":
    main()
