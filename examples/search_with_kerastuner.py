"""Search how a model is trained, with KerasTuner.

pip install "keras-deeptools[tuner]"
python examples/search_with_kerastuner.py
"""

import tempfile

import keras
import keras_tuner
from sklearn.datasets import load_digits

from keras_deeptools.tuning import DeepHyperModel


def main(epochs: int = 10, max_trials: int = 6) -> float:
    """Returns the best accuracy on the part that is held out."""
    x, y = load_digits(return_X_y=True)
    x, y = x.astype("float32") / 16, keras.utils.to_categorical(y)
    hidden = [keras.layers.Dense(64, "relu") for _ in range(3)]
    top = [keras.layers.Dropout(0.2), keras.layers.Dense(10, "softmax")]
    model = keras.Sequential([keras.Input((64,)), *hidden, *top])
    model.compile(loss="categorical_crossentropy", metrics=["accuracy"])
    with tempfile.TemporaryDirectory() as folder:
        tuner = keras_tuner.RandomSearch(
            DeepHyperModel(model, max_epochs=epochs),
            keras_tuner.Objective("val_accuracy", "max"),
            max_trials=max_trials,
            seed=0,
            directory=folder,
        )
        data = (x[1400:], y[1400:])
        tuner.search(x[:1400], y[:1400], validation_data=data, epochs=epochs, verbose=0)
        [best] = tuner.oracle.get_best_trials()
    print(f"accuracy {best.score:.3f} with")
    for name, value in best.hyperparameters.values.items():
        print(f"  {name}: {value}")
    return best.score


if __name__ == "__main__":
    main()
