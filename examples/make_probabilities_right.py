"""Calibrate probabilities: fit a temperature, and save the model with it.

python examples/make_probabilities_right.py
"""

import keras
import numpy as np
from sklearn.datasets import load_digits

from keras_deeptools.uncertainty import (
    TemperatureScaling,
    expected_calibration_error,
    negative_log_likelihood,
)


def main(epochs: int = 100) -> dict[str, float]:
    """Returns likelihood and calibration error before and after, on test samples."""
    keras.utils.set_random_seed(0)
    x, y = load_digits(return_X_y=True)
    noise = np.random.default_rng(0).normal(0, 6, x.shape)
    parts = np.split((x + noise) / 16, [600, 1000])
    labels = np.split(y, [600, 1000])
    model = keras.Sequential(
        [
            keras.Input((64,)),
            keras.layers.Dense(256, "relu"),
            keras.layers.Dense(256, "relu"),
            keras.layers.Dense(10),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss)
    model.fit(parts[0], labels[0], epochs=epochs, verbose=0)

    scaling = TemperatureScaling(from_logits=True)
    scaling.fit(model.predict(parts[1], verbose=0), labels[1])
    before = keras.Sequential([model, keras.layers.Softmax()])
    after = keras.Sequential([model, scaling])
    found = {"temperature": scaling.temperature}
    for name, each in (("before", before), ("after", after)):
        probabilities = each.predict(parts[2], verbose=0)
        likelihood = negative_log_likelihood(probabilities, labels[2])
        error = expected_calibration_error(probabilities, labels[2])
        found[f"negative log-likelihood {name}"] = float(likelihood)
        found[f"calibration error {name}"] = float(error)
    for name, value in found.items():
        print(f"{name}: {value:.3f}")
    return found


if __name__ == "__main__":
    main()
