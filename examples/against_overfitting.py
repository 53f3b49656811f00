"""Few rows, a large net: dropout with max-norm, as they were meant to go together.

python examples/against_overfitting.py

Reference:
    Srivastava et al., 2014, section 5.1 and appendix A.
    https://jmlr.org/papers/v15/srivastava14a.html
"""

import keras
import numpy as np
from sklearn.datasets import load_digits

from keras_deeptools.callbacks import MaxNormEnforcer


def main(epochs: int = 60, seeds: int = 3) -> dict[str, float]:
    """Returns mean accuracies on 1,000 rows, from 200 labels."""
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
            # Max-norm lets the rate be large without weights that run away.
            optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
            model.compile(
                optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"]
            )
            rows = np.random.default_rng(seed).permutation(len(x))
            train, test = rows[:200], rows[-1000:]
            model.fit(x[train], y[train], epochs=epochs, callbacks=callbacks, verbose=0)
            accuracies.append(model.evaluate(x[test], y[test], verbose=0)[1])
        found[name] = float(np.mean(accuracies))
        error = np.std(accuracies, ddof=1) / np.sqrt(seeds)
        print(f"{name}: accuracy {found[name]:.3f} +- {error:.3f}")
    return found


if __name__ == "__main__":
    main()
