"""Choose the dropout rate with the best validation likelihood.

python examples/choose_a_dropout_rate.py
"""

import keras
from sklearn.datasets import load_digits

from keras_deeptools.layers import MCDropout
from keras_deeptools.uncertainty import tune_dropout_rate


def main(epochs: int = 30) -> float:
    """Returns the best dropout rate."""
    keras.utils.set_random_seed(0)
    x, y = load_digits(return_X_y=True)
    x = x / 16
    model = keras.Sequential(
        [
            keras.Input((64,)),
            keras.layers.Dense(128, "relu"),
            MCDropout(0.1),
            keras.layers.Dense(10, "softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    tuning = tune_dropout_rate(
        model,
        x[:500],
        y[:500],
        validation_data=(x[500:1000], y[500:1000]),
        rates=(0.1, 0.3, 0.5),
        num_samples=50,
        epochs=epochs,
        verbose=0,
    )
    print(tuning)
    return tuning.best_rate


if __name__ == "__main__":
    main()
