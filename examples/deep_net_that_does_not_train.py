"""A deep network does not train: see where its gradients vanish, and fix it.

python examples/deep_net_that_does_not_train.py
"""

import keras
from sklearn.datasets import load_digits

from keras_deeptools.callbacks import GradientMonitor


def main(epochs: int = 8, depth: int = 12) -> dict[str, float]:
    """Trains the network with sigmoid and with SELU units; returns both accuracies."""
    x, y = load_digits(return_X_y=True)
    found = {}
    recipes = {"sigmoid": "glorot_uniform", "selu": "lecun_normal"}
    for activation, initializer in recipes.items():
        keras.utils.set_random_seed(0)
        hidden = [
            keras.layers.Dense(64, activation, kernel_initializer=initializer)
            for _ in range(depth)
        ]
        output = keras.layers.Dense(10, "softmax")
        model = keras.Sequential([keras.Input((64,)), *hidden, output])
        model.compile(
            keras.optimizers.SGD(0.01, momentum=0.9),
            "sparse_categorical_crossentropy",
            metrics=["accuracy"],
        )
        monitor = GradientMonitor(on_problem="ignore")
        history = model.fit(x / 16, y, epochs=epochs, callbacks=[monitor], verbose=0)
        found[activation] = history.history["accuracy"][-1]
        print(f"{activation}: accuracy {found[activation]:.3f}")
        for finding in monitor.findings[:1]:
            print(finding)
    return found


if __name__ == "__main__":
    main()
