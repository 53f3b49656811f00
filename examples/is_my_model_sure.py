"""Measure how sure a model is, on digits it has learned and on others.

python examples/is_my_model_sure.py
"""

import keras
import numpy as np
from sklearn.datasets import load_digits

from keras_deeptools.layers import MCDropout
from keras_deeptools.uncertainty import mc_predict, risk_coverage_curve


def main(epochs: int = 30, num_samples: int = 100) -> dict[str, float]:
    """Trains on digits 0 to 7; returns what is found on them, and on 8 and 9."""
    keras.utils.set_random_seed(0)
    x, y = load_digits(return_X_y=True)
    known = y < 8
    x_train, y_train = x[known][:1000] / 16, y[known][:1000]
    x_test, y_test, x_other = x[known][1000:] / 16, y[known][1000:], x[~known] / 16
    model = keras.Sequential(
        [
            keras.Input((64,)),
            keras.layers.Dense(128, "relu"),
            MCDropout(0.3),
            keras.layers.Dense(128, "relu"),
            MCDropout(0.3),
            keras.layers.Dense(8, "softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(x_train, y_train, epochs=epochs, verbose=0)

    known = mc_predict(model, x_test, num_samples, seed=0, verbose=0)
    other = mc_predict(model, x_other, num_samples, seed=0, verbose=0)
    correct = known.mean.argmax(axis=-1) == y_test
    curve = risk_coverage_curve(known.mean.max(axis=-1), correct)
    half = np.searchsorted(curve.coverage, 0.5)
    found = {
        "accuracy": float(correct.mean()),
        "errors in the surer half": float(curve.risk[half]),
        "mutual information, known digits": float(known.mutual_information.mean()),
        "mutual information, unknown ones": float(other.mutual_information.mean()),
    }
    for name, value in found.items():
        print(f"{name}: {value:.4f}")
    return found


if __name__ == "__main__":
    main()
