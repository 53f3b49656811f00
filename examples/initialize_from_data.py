"""Signals vanish in depthwise convolutions: see it, and scale the weights.

python examples/initialize_from_data.py
"""

import keras
import numpy as np
from sklearn.datasets import load_digits

from keras_deeptools.diagnosis import signal_propagation
from keras_deeptools.initializers import lsuv


def network(depth: int) -> keras.Model:
    """Depthwise and pointwise convolutions in turn, as Keras initializes them."""
    conv, depthwise = keras.layers.Conv2D, keras.layers.DepthwiseConv2D
    hidden = []
    for number in range(depth):
        hidden += [
            depthwise(3, padding="same", activation="relu", name=f"depthwise_{number}"),
            conv(32, 1, activation="relu", name=f"pointwise_{number}"),
        ]
    top = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(10, "softmax")]
    return keras.Sequential([keras.Input((8, 8, 1)), *hidden, *top])


def main(epochs: int = 5, depth: int = 6) -> dict[str, float]:
    """Returns the accuracies on training samples, as initialized and scaled."""
    x, y = load_digits(return_X_y=True)
    x = (x.reshape(-1, 8, 8, 1) - x.mean()) / x.std()
    found = {}
    for name in ("as initialized", "scaled on a batch"):
        keras.utils.set_random_seed(0)
        model = network(depth)
        if name != "as initialized":
            report = lsuv(model, x[:128], verbose=0)
            smallest = min(layer.std_before for layer in report.layers)
            print(f"smallest standard deviation of a layer was {smallest:.1e}")
        signal = signal_propagation(
            model, x[:128], y[:128], "sparse_categorical_crossentropy"
        )
        for finding in signal.findings[:1]:
            print(finding)
        model.compile(
            keras.optimizers.SGD(0.02, momentum=0.9),
            "sparse_categorical_crossentropy",
            metrics=["accuracy"],
        )
        history = model.fit(x, y, epochs=epochs, verbose=0)
        found[name] = float(np.max(history.history["accuracy"]))
        print(f"{name}: accuracy {found[name]:.3f}")
    return found


if __name__ == "__main__":
    main()
