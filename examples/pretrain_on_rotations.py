"""Few labels: learn first how images are rotated, because these labels cost nothing.

A network learns by which quarter turn a digit was rotated. Its lower layers then go,
copied, under a new head that learns the ten digits from 100 labels.

python examples/pretrain_on_rotations.py
"""

import keras
import numpy as np
from sklearn.datasets import load_digits

from keras_deeptools.transfer import reuse_layers


def network(num_classes: int) -> keras.Model:
    """Three convolutions, the mean over the last map, and a head."""
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(32, 3, activation="relu", padding="same"),
            keras.layers.Conv2D(64, 3, activation="relu", padding="same", strides=2),
            keras.layers.Conv2D(64, 3, activation="relu", padding="same"),
            keras.layers.GlobalAveragePooling2D(name="features"),
            keras.layers.Dense(num_classes, "softmax", name="head"),
        ]
    )


def train(
    model: keras.Model, x: np.ndarray, y: np.ndarray, epochs: int, batch_size: int
) -> None:
    """Compiles and fits."""
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, batch_size=batch_size, epochs=epochs, verbose=0)


def main(epochs: int = 10) -> dict[str, float]:
    """Returns the accuracies from scratch and after the auxiliary task."""
    keras.utils.set_random_seed(0)
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = (x[order] / 16).astype("float32").reshape(-1, 8, 8, 1), y[order]
    seen, test, labelled = slice(0, 1300), slice(1300, None), slice(0, 100)

    turned = np.concatenate([np.rot90(x[seen], turn, (1, 2)) for turn in range(4)])
    turns = np.repeat(np.arange(4), len(x[seen]))
    auxiliary = network(num_classes=4)
    train(auxiliary, turned, turns, epochs, batch_size=64)

    head = keras.layers.Dense(10, "softmax", name="digits")
    models = {
        "from scratch": network(num_classes=10),
        "after the auxiliary task": reuse_layers(auxiliary, head, until="features"),
    }
    found = {}
    for name, model in models.items():
        train(model, x[labelled], y[labelled], 6 * epochs, batch_size=20)
        scores = model.evaluate(x[test], y[test], verbose=0, return_dict=True)
        found[name] = scores["accuracy"]
        print(f"{name}: accuracy {found[name]:.3f}")
    return found


if __name__ == "__main__":
    main()
