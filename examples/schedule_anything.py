"""Schedule any number of the optimizer as a function of the step.

python examples/schedule_anything.py
"""

import keras
from sklearn.datasets import load_digits

from keras_deeptools.callbacks import HyperparameterScheduler
from keras_deeptools.schedules import CosineRestarts, LinearRamp, Warmup


def main(epochs: int = 12, batch_size: int = 64) -> dict[str, list[float]]:
    """Returns the values at the end of each epoch."""
    keras.utils.set_random_seed(0)
    x, y = load_digits(return_X_y=True)
    hidden = [keras.layers.Dense(64, "relu"), keras.layers.Dense(10, "softmax")]
    model = keras.Sequential([keras.Input((64,)), *hidden])
    model.compile(
        keras.optimizers.AdamW(weight_decay=0.01), "sparse_categorical_crossentropy"
    )
    updates = -(-len(x) // batch_size)
    rate = Warmup(CosineRestarts(0.01, 4 * updates), updates)
    decay = LinearRamp(0.0, 0.1, epochs * updates)
    scheduler = HyperparameterScheduler({"learning_rate": rate, "weight_decay": decay})
    history = model.fit(
        x / 16,
        y,
        batch_size=batch_size,
        epochs=epochs,
        callbacks=[scheduler],
        verbose=0,
    )
    found = {name: history.history[name] for name in ("learning_rate", "weight_decay")}
    for name, values in found.items():
        print(name, " ".join(f"{value:.4f}" for value in values))
    return found


if __name__ == "__main__":
    main()
