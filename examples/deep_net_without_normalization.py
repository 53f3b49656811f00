"""Sixteen layers on a table of numbers, without batch normalization.

python examples/deep_net_without_normalization.py
"""

import keras
from sklearn.datasets import load_breast_cancer

from keras_deeptools.callbacks import OneCycleScheduler
from keras_deeptools.diagnosis import check_self_normalizing
from keras_deeptools.layers import self_normalizing_mlp


def main(epochs: int = 20, depth: int = 16) -> float:
    """Returns the accuracy on held-out samples."""
    keras.utils.set_random_seed(0)
    x, y = load_breast_cancer(return_X_y=True)
    x, y, x_test, y_test = x[:400], y[:400], x[400:], y[400:]
    # Raw columns, from 0.001 to 4,000: the first layer standardizes them.
    units = [128] * depth
    model = self_normalizing_mlp(
        30, 1, units, output_activation="sigmoid", adapt_to=x, seed=0
    )
    print(check_self_normalizing(model, x[:256]))
    optimizer = keras.optimizers.Adam()
    model.compile(optimizer, "binary_crossentropy", metrics=["accuracy"])
    model.fit(x, y, epochs=epochs, callbacks=[OneCycleScheduler(3e-3)], verbose=0)
    accuracy = model.evaluate(x_test, y_test, verbose=0, return_dict=True)["accuracy"]
    print(f"accuracy {accuracy:.3f}")
    return accuracy


if __name__ == "__main__":
    main()
