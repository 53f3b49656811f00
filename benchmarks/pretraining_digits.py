"""What layerwise pretraining gives on few labels: scikit-learn's digits.

A seed splits the 1,797 digits (8 x 8, divided by 16) into 100 rows with labels, 1,200
without, and 497 to test on. Nets of five hidden layers of 200 units are trained on the
100 labels, from their initial weights and after `pretrain_layerwise` on all 1,300 rows
without labels. All that differs between two arms of a net is the pretraining: initial
weights, epochs, batches and optimizer (Adam, .001) of the training are the same.

The number is the test accuracy after the last epoch: mean, and standard error over the
seeds. The difference is taken seed by seed.

    KERAS_BACKEND=jax python benchmarks/pretraining_digits.py
"""

import argparse

import keras
import numpy as np
from sklearn.datasets import load_digits

from keras_deeptools.pretraining import pretrain_layerwise

NETS = {
    "5 x 200 sigmoid, Glorot": ("sigmoid", "glorot_uniform"),
    "5 x 200 ReLU, He": ("relu", "he_normal"),
}
LABELLED, UNLABELLED = 100, 1200


def net(activation: str, initializer: str, depth: int, seed: int) -> keras.Model:
    """Five hidden layers and a head, compiled."""
    keras.utils.set_random_seed(seed)
    hidden = [
        keras.layers.Dense(200, activation, kernel_initializer=initializer)
        for _ in range(depth)
    ]
    head = keras.layers.Dense(10, "softmax")
    model = keras.Sequential([keras.Input((64,)), *hidden, head])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def accuracy(
    model: keras.Model, data: tuple[np.ndarray, ...], epochs: int, seed: int
) -> float:
    """Test accuracy after training on the labels."""
    x, y, _, *test = data
    keras.utils.set_random_seed(seed)
    model.fit(x, y, batch_size=20, epochs=epochs, verbose=0)
    return model.evaluate(*test, batch_size=497, verbose=0)[1]


def split(seed: int) -> tuple[np.ndarray, ...]:
    """Labelled rows and labels, all rows to pretrain on, test rows and labels."""
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype("float32")
    order = np.random.default_rng(seed).permutation(len(x))
    labelled, seen = order[:LABELLED], order[: LABELLED + UNLABELLED]
    test = order[LABELLED + UNLABELLED :]
    return x[labelled], y[labelled], x[seen], x[test], y[test]


def mean_and_error(values: list[float] | np.ndarray, sign: str = "") -> str:
    """Mean and standard error."""
    values = np.asarray(values)
    error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return f"{values.mean():{sign}.3f} ± {error:.3f}"


def main() -> None:
    """Train all arms and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=200, help="on the labels")
    parser.add_argument("--pretraining-epochs", type=int, default=20)
    parser.add_argument("--noise-level", type=float, default=0.25)
    parser.add_argument("--depth", type=int, default=5)
    parser.add_argument("--nets", type=int, default=len(NETS), help="the first so many")
    chosen = parser.parse_args()
    print(f"{keras.backend.backend()}, {vars(chosen)}\n")
    print("| net | labels alone | pretrained | difference |")
    print("|---|---|---|---|")
    for name, kind in list(NETS.items())[: chosen.nets]:
        plain, pretrained = [], []
        for seed in range(chosen.seeds):
            data = split(seed)
            model = net(*kind, chosen.depth, seed)
            start = model.get_weights()
            plain.append(accuracy(model, data, chosen.epochs, seed))
            model = net(*kind, chosen.depth, seed)
            model.set_weights(start)
            pretrain_layerwise(
                model,
                data[2],
                noise_level=chosen.noise_level,
                epochs=chosen.pretraining_epochs,
                seed=seed,
                verbose=0,
            )
            pretrained.append(accuracy(model, data, chosen.epochs, seed))
        difference = np.subtract(pretrained, plain)
        print(
            f"| {name} | {mean_and_error(plain)} | {mean_and_error(pretrained)} | "
            f"{mean_and_error(difference, '+')} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
