"""No error is raised, but the model is worse than it should be: find the mistakes.

python examples/find_silent_mistakes.py
"""

import keras
from sklearn.datasets import load_digits

from keras_deeptools.diagnosis import audit


def faulty() -> keras.Model:
    """A model with five mistakes that raise no error."""
    inputs = keras.Input((64,))
    same = keras.initializers.HeNormal(seed=0)
    x = keras.layers.Dense(64, "selu", kernel_initializer=same, name="hidden_1")(inputs)
    x = keras.layers.Dropout(0.2, name="mc")(x, training=True)
    x = keras.layers.Dense(64, "selu", kernel_initializer=same, name="hidden_2")(x)
    outputs = keras.layers.Dense(10, name="head")(x)
    model = keras.Model(inputs, outputs)
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def fixed() -> keras.Model:
    """The same without them."""
    inputs = x = keras.Input((64,))
    for number in (1, 2):
        name = f"hidden_{number}"
        x = keras.layers.Dense(
            64, "selu", kernel_initializer="lecun_normal", name=name
        )(x)
        x = keras.layers.AlphaDropout(0.05, name=f"dropout_{number}")(x)
    model = keras.Model(inputs, keras.layers.Dense(10, name="head")(x))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = keras.optimizers.SGD(momentum=0.9)
    model.compile(optimizer, loss, metrics=["accuracy"])
    return model


def main(epochs: int = 10) -> dict[str, int]:
    """Returns the number of findings in both models."""
    x, y = load_digits(return_X_y=True)
    x = (x - x.mean()) / x.std()
    found = {}
    for name, build in (("faulty", faulty), ("fixed", fixed)):
        keras.utils.set_random_seed(0)
        model = build()
        report = audit(model)
        print(report)
        history = model.fit(x, y, epochs=epochs, verbose=0)
        print(f"{name}: accuracy {history.history['accuracy'][-1]:.3f}\n")
        found[name] = len(report.findings)
    return found


if __name__ == "__main__":
    main()
