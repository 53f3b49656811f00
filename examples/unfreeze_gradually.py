"""Unfreeze a pretrained network group by group, inside one fit.

python examples/unfreeze_gradually.py
"""

import keras
from sklearn.datasets import load_digits

from keras_deeptools.callbacks import OneCycleScheduler
from keras_deeptools.transfer import (
    DiscriminativeLearningRates,
    GradualUnfreezing,
    layer_groups,
    reuse_layers,
)


def network() -> keras.Model:
    """Three convolutions and a head for five classes."""
    options = {"padding": "same", "activation": "relu"}
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(16, 3, name="block1_conv", **options),
            keras.layers.Conv2D(32, 3, strides=2, name="block2_conv", **options),
            keras.layers.Conv2D(64, 3, strides=2, name="block3_conv", **options),
            keras.layers.GlobalAveragePooling2D(name="pooling"),
            keras.layers.Dense(5, "softmax", name="head"),
        ]
    )


def main(epochs: int = 20) -> float:
    """Returns the accuracy on digits 5 to 9, from 50 labels."""
    keras.utils.set_random_seed(0)
    x, y = load_digits(return_X_y=True)
    x, new = x.reshape(-1, 8, 8, 1) / 16, y >= 5
    loss = "sparse_categorical_crossentropy"
    teacher = network()
    teacher.compile("adam", loss)
    teacher.fit(x[~new], y[~new], epochs=epochs, verbose=0)

    head = keras.layers.Dense(5, "softmax", name="new_head")
    model = reuse_layers(teacher, head, until="pooling")
    x, y = x[new], y[new] - 5
    rates = DiscriminativeLearningRates("adam", slice(1e-4, 1e-2), layer_groups(model))
    model.compile(rates, loss, metrics=["accuracy"])
    unfreezing = GradualUnfreezing(epochs=max(1, epochs // 4))
    model.fit(
        x[:50],
        y[:50],
        batch_size=10,
        epochs=epochs,
        callbacks=[unfreezing, OneCycleScheduler(1e-2)],
        verbose=0,
    )
    print(unfreezing.table())
    accuracy = model.evaluate(x[50:], y[50:], verbose=0, return_dict=True)["accuracy"]
    print(f"accuracy {accuracy:.3f}")
    return accuracy


if __name__ == "__main__":
    main()
