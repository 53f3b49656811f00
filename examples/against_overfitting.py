"""Few samples, a fifth of them labelled wrong: dropout with max-norm.

python examples/against_overfitting.py

Reference:
    Srivastava et al., 2014, section 5.1 and appendix A.
    https://jmlr.org/papers/v15/srivastava14a.html
"""

import keras
import numpy as np
from sklearn.datasets import load_digits

from keras_deeptools.callbacks import MaxNormEnforcer


def main(epochs: int = 40, seeds: int = 3) -> dict[str, float]:
    """Returns mean accuracies on 1,000 correctly labelled samples, from 400."""
    x, y = load_digits(return_X_y=True)
    x = x / 16
    ways = {"plain": (0.0, []), "dropout and max-norm": (0.5, [MaxNormEnforcer(3.0)])}
    found = {}
    for name, (rate, callbacks) in ways.items():
        accuracies = []
        for seed in range(seeds):
            keras.utils.set_random_seed(seed)
            hidden = []
            for _ in range(2):
                hidden.append(keras.layers.Dense(512, "relu"))
                hidden.append(keras.layers.Dropout(rate))
            output = keras.layers.Dense(10, "softmax")
            model = keras.Sequential([keras.Input((64,)), *hidden, output])
            optimizer = keras.optimizers.SGD(0.05, momentum=0.9)
            model.compile(
                optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"]
            )
            random = np.random.default_rng(seed)
            rows = random.permutation(len(x))
            train, test = rows[:400], rows[-1000:]
            labels = y[train].copy()
            wrong = random.random(400) < 0.2
            labels[wrong] = random.integers(0, 10, wrong.sum())
            model.fit(x[train], labels, epochs=epochs, callbacks=callbacks, verbose=0)
            accuracies.append(model.evaluate(x[test], y[test], verbose=0)[1])
        found[name] = float(np.mean(accuracies))
        error = np.std(accuracies, ddof=1) / np.sqrt(seeds)
        print(f"{name}: accuracy {found[name]:.3f} +- {error:.3f}")
    return found


if __name__ == "__main__":
    main()
