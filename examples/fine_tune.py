"""Fine-tune a network on few labels of new classes.

python examples/fine_tune.py
"""

import keras
import numpy as np
from sklearn.datasets import load_digits

from keras_deeptools.transfer import backbone, classifier, fine_tune

NUM_LABELS = 50


def main(epochs: int = 20) -> float:
    """Returns the accuracy on digits 5 to 9, from ten labels of each."""
    keras.utils.set_random_seed(0)
    data = load_digits()
    images, digits = data.images[..., None] * (255 / 16), data.target
    new = digits >= 5

    body = convolutions()
    teacher = classifier(backbone(body, preprocessing="symmetric"), num_classes=5)
    teacher.compile("adam", "sparse_categorical_crossentropy")
    teacher.fit(images[~new], digits[~new], epochs=epochs, verbose=0)

    x, y = images[new], digits[new] - 5
    model = classifier(backbone(body, preprocessing="symmetric"), num_classes=5)
    tuned = fine_tune(
        model,
        x[:NUM_LABELS],
        y[:NUM_LABELS],
        epochs=epochs,
        frozen_epochs=epochs // 2,
        learning_rate=1e-2,
        batch_size=10,
        seed=0,
        verbose=0,
    )
    print(tuned)
    outputs = model.predict(x[NUM_LABELS:], verbose=0)
    accuracy = float(np.mean(outputs.argmax(axis=-1) == y[NUM_LABELS:]))
    print(f"accuracy {accuracy:.3f}")
    return accuracy


def convolutions() -> keras.Model:
    """A small network on images of 8 x 8 pixels."""
    options = {"padding": "same", "activation": "relu"}
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(16, 3, name="block1_conv", **options),
            keras.layers.Conv2D(32, 3, strides=2, name="block2_conv", **options),
            keras.layers.Conv2D(64, 3, strides=2, name="block3_conv", **options),
        ]
    )


if __name__ == "__main__":
    main()
