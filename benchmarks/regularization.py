"""What regularizes, at tuned strengths: few of scikit-learn's digits, and a shift.

First, a residual network of convolutions learns 300 images. Each contestant is trained
at its strengths from three seeds; the strength with the lowest mean loss on 300 other
images is judged by 1197 further ones. Then a network that has learned 900 images is
fine-tuned on 40 that are mirrored, and judged on mirrored images and on those as they
were.

    python benchmarks/regularization.py
    python benchmarks/regularization.py --only shift
    python benchmarks/regularization.py --only few --name RDrop

Prints tables in Markdown.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from markdown_table import mean_and_error, print_table
from sklearn.datasets import load_digits

from keras_deeptools.callbacks import L2SP, RDrop
from keras_deeptools.initializers import patch_whitening
from keras_deeptools.layers import (
    DropBlock2D,
    Maxout,
    StochasticDepth,
    WeightNormalization,
    initialize_weight_normalization,
    linear_stochastic_depth,
)
from keras_deeptools.losses import SmoothedSparseCategoricalCrossentropy
from keras_deeptools.regularizers import SoftOrthogonality
from keras_deeptools.transfer import greedy_soup, interpolate_weights, uniform_soup

of = keras.layers
BLOCKS, CHANNELS, BATCH_SIZE = 4, 16, 32


@dataclass(frozen=True)
class Recipe:
    """What a contestant changes of the plain network; strengths are numbers or None."""

    drop: float = 0.0
    depth: float = 0.0
    block: float = 0.0
    orthogonal: float = 0.0
    smoothing: float = 0.0
    agreement: float = 0.0
    norm: str = "batch"
    activation: str = "relu"
    whitening: bool = False


CONTESTANTS: dict[str, tuple[Callable[[float], Recipe], tuple[float, ...]]] = {
    "plain": (lambda _: Recipe(), (0.0,)),
    "Dropout (Keras)": (lambda s: Recipe(drop=s), (0.2, 0.4)),
    "Dropout and `RDrop`": (lambda s: Recipe(drop=0.2, agreement=s), (0.3, 1.0, 3.0)),
    "`StochasticDepth`, linear": (lambda s: Recipe(depth=s), (0.2, 0.5)),
    "`DropBlock2D`, 3 x 3": (lambda s: Recipe(block=s), (0.1, 0.25)),
    "label smoothing": (lambda s: Recipe(smoothing=s), (0.1, 0.2)),
    "`SoftOrthogonality`": (lambda s: Recipe(orthogonal=s), (1e-3, 1e-2)),
    "`WeightNormalization` for batch norm": (lambda _: Recipe(norm="weight"), (0.0,)),
    "`Maxout` for ReLU": (lambda _: Recipe(activation="maxout"), (0.0,)),
    "`patch_whitening`": (lambda _: Recipe(whitening=True), (0.0,)),
}


def digits(*sizes: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Parts of the images `(8, 8, 1)` and labels; the last has the rest."""
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = (x[order] / 16 - 0.3).astype("float32").reshape(-1, 8, 8, 1), y[order]
    ends = [*np.cumsum([0, *sizes]), len(x)]
    return [(x[a:b], y[a:b]) for a, b in zip(ends, ends[1:], strict=False)]


def residual_network(recipe: Recipe) -> keras.Model:
    """A small residual network of convolutions."""
    penalty = SoftOrthogonality(recipe.orthogonal) if recipe.orthogonal else None
    pieces = 2 if recipe.activation == "maxout" else 1

    def convolution(x: Any) -> Any:
        layer = of.Conv2D(
            CHANNELS * pieces, 3, padding="same", kernel_regularizer=penalty
        )
        if recipe.norm == "weight":
            x = WeightNormalization(layer)(x)
        else:
            x = of.BatchNormalization(momentum=0.9)(layer(x))
        return Maxout(2)(x) if pieces == 2 else of.ReLU()(x)

    inputs = keras.Input((8, 8, 1))
    x = convolution(inputs)
    for _ in range(BLOCKS):
        branch = convolution(x)
        branch = DropBlock2D(recipe.block, 3)(branch) if recipe.block else branch
        branch = of.Dropout(recipe.drop)(branch) if recipe.drop else branch
        branch = StochasticDepth(recipe.depth)(branch) if recipe.depth else branch
        x = x + branch
    x = of.Flatten()(of.AveragePooling2D(2)(x))
    return keras.Model(inputs, of.Dense(10)(x))


def trained(recipe: Recipe, seed: int, data: Any, epochs: int) -> keras.Model:
    """A model after training."""
    keras.utils.set_random_seed(seed)
    model = residual_network(recipe)
    if recipe.depth:
        linear_stochastic_depth(model, recipe.depth)
    if recipe.norm == "weight":
        initialize_weight_normalization(model, data[0])
    if recipe.whitening:
        patch_whitening(model, data[0], epsilon=1e-2)
    steps = epochs * -(-len(data[0]) // BATCH_SIZE)
    schedule = keras.optimizers.schedules.CosineDecay(3e-3, steps)
    loss = SmoothedSparseCategoricalCrossentropy(recipe.smoothing, from_logits=True)
    model.compile(keras.optimizers.AdamW(schedule), loss)
    callbacks = [RDrop(recipe.agreement)] if recipe.agreement else []
    model.fit(
        *data, epochs=epochs, batch_size=BATCH_SIZE, verbose=0, callbacks=callbacks
    )
    return model


def judged(model: keras.Model, data: Any) -> tuple[float, float]:
    """Cross-entropy without smoothing, and accuracy in percent."""
    logits, labels = model.predict(data[0], verbose=0, batch_size=512), data[1]
    logits = logits - logits.max(axis=1, keepdims=True)
    logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    accuracy = 100 * (logits.argmax(axis=1) == labels).mean()
    return float(-logs[np.arange(len(labels)), labels].mean()), float(accuracy)


def print_few(seeds: int, epochs: int, part: str) -> None:
    """Prints the table of the first experiment."""
    learned, chosen_by, test = digits(300, 300)
    rows = {}
    for name, (make, strengths) in CONTESTANTS.items():
        if part not in name:
            continue
        found = {}
        for strength in strengths:
            models = [trained(make(strength), s, learned, epochs) for s in range(seeds)]
            loss = np.mean([judged(model, chosen_by)[0] for model in models])
            found[float(loss)] = strength, [judged(model, test) for model in models]
        strength, results = found[min(found)]
        losses, accuracies = np.array(results).T
        rows[name] = [
            f"{strength:g}" if len(strengths) > 1 else "",
            mean_and_error(accuracies),
            mean_and_error(losses, digits=3),
        ]
        print(name, rows[name], flush=True)
    print_table("network", ["strength", "test accuracy, %", "test loss"], rows)


def mirrored(data: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The images seen in a mirror, with their labels."""
    return data[0][:, :, ::-1], data[1]


def tuned(model: keras.Model, start: Any, rate: float, data: Any, pull: float) -> Any:
    """The weights after fine-tuning from others."""
    model.set_weights(start)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(rate, 0.9), loss, metrics=["accuracy"])
    callbacks = [L2SP(pull, head=[])] if pull else []
    model.fit(*data, epochs=30, batch_size=10, verbose=0, callbacks=callbacks)
    return model.get_weights()


def print_shift(seeds: int, epochs: int) -> None:
    """Prints the table of the second experiment."""
    pretraining, rest = digits(900)
    few = mirrored((rest[0][:40], rest[1][:40]))
    choosing = mirrored((rest[0][40:140], rest[1][40:140]))
    test = rest[0][140:], rest[1][140:]
    results: dict[str, list[tuple[float, float]]] = {}
    for seed in range(seeds):
        model = trained(Recipe(), seed, pretraining, epochs)
        start = model.get_weights()

        def note(name: str, model: keras.Model = model) -> None:
            pair = judged(model, mirrored(test))[1], judged(model, test)[1]
            results.setdefault(name, []).append(pair)

        note("pretrained")
        rates = (0.003, 0.01, 0.03)
        ends = [tuned(model, start, rate, few, 0.0) for rate in rates]
        for rate, end in zip(rates, ends, strict=True):
            model.set_weights(end)
            note(f"fine-tuned, learning rate {rate:g}")
        for pull in (0.03, 0.3):
            tuned(model, start, rates[1], few, pull)
            note(f"`L2SP({pull:g})`, learning rate {rates[1]:g}")
        for mix in (0.5, 0.75):
            interpolate_weights(
                model, start, ends[1], mix, batch_norm_data=pretraining[0]
            )
            note(f"`interpolate_weights(mix={mix:g})`, learning rate {rates[1]:g}")
        uniform_soup(model, ends)
        note("`uniform_soup` of the three")
        greedy_soup(model, ends, lambda model: judged(model, choosing)[1])
        note("`greedy_soup` of the three")
    rows = {
        name: [mean_and_error(values) for values in np.array(pairs).T]
        for name, pairs in results.items()
    }
    print_table("weights", ["mirrored, %", "as they were, %"], rows)


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=["few", "shift"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--name", default="", help="part of a contestant's name")
    given = parser.parse_args()
    if given.only != "shift":
        print_few(given.seeds, given.epochs, given.name)
    if given.only != "few":
        print_shift(given.seeds, given.epochs)


if __name__ == "__main__":
    main()
