"""Find a learning rate and train with 1cycle.

python examples/find_a_rate_and_train.py
"""

import keras
from sklearn.datasets import load_digits

from keras_deeptools import find_learning_rate
from keras_deeptools.callbacks import MaxNormEnforcer, OneCycleScheduler


def main(epochs: int = 10) -> float:
    """Returns the accuracy on the part that is held out."""
    keras.utils.set_random_seed(0)
    x, y = load_digits(return_X_y=True)
    x, y, x_test, y_test = x[:1400] / 16, y[:1400], x[1400:] / 16, y[1400:]
    model = keras.Sequential(
        [
            keras.Input((64,)),
            keras.layers.Dense(128, "relu", kernel_initializer="he_normal"),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(10),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(momentum=0.9), loss, metrics=["accuracy"])
    found = find_learning_rate(model, x, y, verbose=0)
    print(found)
    model.fit(
        x,
        y,
        epochs=epochs,
        callbacks=[OneCycleScheduler(found), MaxNormEnforcer(3.0)],
        verbose=0,
    )
    accuracy = model.evaluate(x_test, y_test, verbose=0, return_dict=True)["accuracy"]
    print(f"accuracy {accuracy:.3f}")
    return accuracy


if __name__ == "__main__":
    main()
