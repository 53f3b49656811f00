"""What pretraining gives on few labels: scikit-learn's digits.

A seed splits the 1,797 digits (8 x 8, divided by 16) into 100 rows with labels, 1,200
without, and 497 to test on. Nets are trained on the 100 labels for 200 epochs (Adam,
.001, batches of 20), from their initial weights and after pretraining on all 1,300 rows
without labels. All arms of a net start from the same weights; pretraining is as by
default, if not said otherwise:

- none: the labels alone
- none, augmented: the labels alone, on shifted, turned and zoomed images, so that it is
  told what contrastive pretraining is told
- layerwise: `pretrain_layerwise`, where the net is a chain without normalization
- denoising: `pretrain_denoising`
- masked: `pretrain_masked`, patches of 2 x 2
- contrastive: `pretrain_contrastive` with the same shifts, turns and zooms

The number is the test accuracy after the last epoch: mean, and standard error over the
seeds. The difference to none is taken seed by seed.

    KERAS_BACKEND=jax python benchmarks/pretraining_digits.py
"""

import argparse
import sys
from collections.abc import Callable

import keras
import numpy as np
from sklearn.datasets import load_digits

from keras_deeptools.pretraining import (
    pretrain_contrastive,
    pretrain_denoising,
    pretrain_layerwise,
    pretrain_masked,
)

layers = keras.layers
LABELLED, UNLABELLED = 100, 1200


def dense(activation: str, initializer: str, depth: int) -> list[keras.Layer]:
    """Hidden layers of 200 units."""
    hidden = [
        layers.Dense(200, activation, kernel_initializer=initializer)
        for _ in range(depth)
    ]
    return [layers.Flatten(), *hidden]


def convolutional() -> list[keras.Layer]:
    """Three convolutions with batch normalization, and the mean of the last map."""
    found: list[keras.Layer] = []
    for filters, strides in ((32, 1), (64, 2), (64, 1)):
        found += [
            layers.Conv2D(filters, 3, strides=strides, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
        ]
    return [*found, layers.GlobalAveragePooling2D()]


NETS: dict[str, Callable[[], list[keras.Layer]]] = {
    "5 x 200 sigmoid, Glorot": lambda: dense("sigmoid", "glorot_uniform", 5),
    "5 x 200 ReLU, He": lambda: dense("relu", "he_normal", 5),
    "3 convolutions": convolutional,
}


def views() -> keras.Sequential:
    """Shifts by up to a pixel, turns by up to 18 degrees, zooms by up to a tenth."""
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.RandomTranslation(0.125, 0.125, fill_mode="constant"),
            layers.RandomRotation(0.05, fill_mode="constant"),
            layers.RandomZoom(0.1, fill_mode="constant"),
        ]
    )


def net(hidden: Callable[[], list[keras.Layer]], seed: int) -> keras.Model:
    """The net of a seed."""
    keras.utils.set_random_seed(seed)
    head = layers.Dense(10, "softmax", name="head")
    return keras.Sequential([keras.Input((8, 8, 1)), *hidden(), head])


def accuracy(
    model: keras.Model, data: tuple[np.ndarray, ...], epochs: int, seed: int
) -> float:
    """Test accuracy after training on the labels."""
    x, y, _, *test = data
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    keras.utils.set_random_seed(seed)
    model.fit(x, y, batch_size=20, epochs=epochs, verbose=0)
    return model.evaluate(*test, batch_size=497, verbose=0)[1]


def split(seed: int) -> tuple[np.ndarray, ...]:
    """Labelled rows and labels, all rows to pretrain on, test rows and labels."""
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype("float32").reshape(-1, 8, 8, 1)
    order = np.random.default_rng(seed).permutation(len(x))
    labelled, seen = order[:LABELLED], order[: LABELLED + UNLABELLED]
    test = order[LABELLED + UNLABELLED :]
    return x[labelled], y[labelled], x[seen], x[test], y[test]


def mean_and_error(values: list[float] | np.ndarray, sign: str = "") -> str:
    """Mean and standard error."""
    values = np.asarray(values)
    error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return f"{values.mean():{sign}.3f} ± {error:.3f}"


EPOCHS = {"layerwise": 50, "denoising": 50, "masked": 50, "contrastive": 100}


def pretrain(
    arm: str, model: keras.Model, x: np.ndarray, scale: float, seed: int
) -> None:
    """Pretrains as the arm says, with `scale` times its epochs."""
    if arm not in EPOCHS:
        return
    epochs = max(1, round(scale * EPOCHS[arm]))
    options = {"epochs": epochs, "seed": seed, "verbose": 0}
    if arm == "layerwise":
        pretrain_layerwise(model, x, **options)
    elif arm == "denoising":
        pretrain_denoising(model, x, **options)
    elif arm == "masked":
        pretrain_masked(model, x, patch_size=2, **options)
    else:
        pretrain_contrastive(model, x, augmentation=views(), **options)


def main() -> None:
    """Train all arms of all nets and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=200, help="on the labels")
    parser.add_argument("--scale", type=float, default=1, help="of pretraining epochs")
    parser.add_argument("--nets", nargs="*", default=list(NETS), choices=list(NETS))
    arms = ["none, augmented", *EPOCHS]
    parser.add_argument("--arms", nargs="*", default=arms, choices=arms)
    chosen = parser.parse_args()
    print(f"{keras.backend.backend()}, {vars(chosen)}\n")
    print("| net | pretraining | accuracy | difference |")
    print("|---|---|---|---|")
    for name in chosen.nets:
        arms = ["none", *chosen.arms]
        if name == "3 convolutions" and "layerwise" in arms:
            arms.remove("layerwise")
        found: dict[str, list[float]] = {arm: [] for arm in arms}
        for seed in range(chosen.first_seed, chosen.first_seed + chosen.seeds):
            data = split(seed)
            for arm, values in found.items():
                model = net(NETS[name], seed)
                pretrain(arm, model, data[2], chosen.scale, seed)
                if arm == "none, augmented":
                    model = keras.Sequential([*views().layers, *model.layers])
                values.append(accuracy(model, data, chosen.epochs, seed))
                print(name, seed, arm, round(values[-1], 3), file=sys.stderr)
        for arm, values in found.items():
            difference = np.subtract(values, found["none"])
            print(
                f"| {name} | {arm} | {mean_and_error(values)} | "
                f"{mean_and_error(difference, '+')} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
