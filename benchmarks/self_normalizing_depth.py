"""Mean and standard deviation through fifty layers, of right recipes and broken ones.

Fresh dense layers of width 256 on 512 standard normal rows, in training mode, so that
dropout acts. Prints, over seeds, the moments at the last layer and the largest
departures on the way, and how far the corner of a padded convolution falls behind its
centre; draws docs/images/self-normalizing.png with `--plot`.

    KERAS_BACKEND=torch python benchmarks/self_normalizing_depth.py --plot
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from keras_deeptools.layers import (
    SelfNormalizingConv2D,
    SelfNormalizingDense,
    SelfNormalizingResidual,
)

layers = keras.layers
PICTURE = Path(__file__).parents[1] / "docs" / "images" / "self-normalizing.png"
ROWS, WIDTH = 512, 256
Step = Callable[[object], object]


def plain(activation: str = "selu", initializer: str = "lecun_normal") -> Step:
    """A dense layer of Keras."""
    return layers.Dense(WIDTH, activation, kernel_initializer=initializer)


def with_dropout() -> Step:
    """A right layer and then plain dropout."""
    dense, dropout = plain(), layers.Dropout(0.1)
    return lambda x: dropout(dense(x), training=True)


def added() -> Step:
    """A right layer in a sum that is not scaled."""
    dense = plain()
    return lambda x: x + dense(x)


def dropping() -> Step:
    """Ours, dropout on."""
    dense = SelfNormalizingDense(WIDTH, rate=0.1)
    return lambda x: dense(x, training=True)


RECIPES: dict[str, tuple[Callable[[], Step], float]] = {
    "SelfNormalizingDense, rate .1": (dropping, 1),
    "SelfNormalizingResidual": (
        lambda: SelfNormalizingResidual(SelfNormalizingDense(WIDTH)),
        1,
    ),
    "Dropout .1": (with_dropout, 1),
    "he_normal": (lambda: plain(initializer="he_normal"), 1),
    "ReLU": (lambda: plain("relu"), 1),
    "Add skips": (added, 1),
    "inputs x 100": (plain, 100),
}
"""How to make a layer, and the deviation of the inputs."""


def moments(recipe: str, depth: int, seed: int) -> np.ndarray:
    """Mean and deviation of the outputs of each layer, `(depth, 2)`."""
    keras.utils.set_random_seed(seed)
    make, scale = RECIPES[recipe]
    x = scale * np.random.default_rng(seed).normal(size=(ROWS, WIDTH))
    x = keras.ops.convert_to_tensor(x.astype("float32"))
    found = []
    for _ in range(depth):
        x = make()(x)
        values = keras.ops.convert_to_numpy(x)
        found.append((values.mean(), values.std()))
    return np.array(found)


def edge_ratio(make: Callable[[], Step], depth: int, seed: int) -> float:
    """Deviation in a corner over that in the centre after convolutions on 8 x 8."""
    keras.utils.set_random_seed(seed)
    x = np.random.default_rng(seed).normal(size=(32, 8, 8, 64)).astype("float32")
    for _ in range(depth):
        x = make()(x)
    values = keras.ops.convert_to_numpy(x)
    return float(values[:, 0, 0].std() / values[:, 4, 4].std())


def padded(padding: str) -> Step:
    """A convolution of ours, or Keras' own for `"keras"`."""
    if padding != "keras":
        return SelfNormalizingConv2D(64, 3, padding=padding)
    return layers.Conv2D(
        64, 3, padding="same", activation="selu", kernel_initializer="lecun_normal"
    )


def draw(found: dict[str, np.ndarray]) -> None:
    """Two panels: means, and deviations on a logarithmic axis; seeds as lines."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.6), layout="constrained")
    for number, (recipe, runs) in enumerate(found.items()):
        depth = np.arange(1, runs.shape[1] + 1)
        for panel in range(2):
            for seed, run in enumerate(runs):
                axes[panel].plot(
                    depth,
                    run[:, panel],
                    color=f"C{number}",
                    linewidth=2.2 if number < 2 else 1.2,
                    label=recipe if seed == 0 else None,
                )
    axes[0].set(title="Mean", xlabel="layer", ylim=(-0.6, 1.2))
    axes[1].set(title="Standard deviation", xlabel="layer", yscale="log")
    axes[1].set_ylim(1e-2, 1e3)
    axes[1].legend(fontsize=8, loc="center left", bbox_to_anchor=(1.02, 0.5))
    figure.savefig(PICTURE, dpi=110)


def main() -> None:
    """Print the table; draw the picture where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--depth", type=int, default=50)
    parser.add_argument("--plot", action="store_true")
    chosen = parser.parse_args()
    found = {
        recipe: np.array(
            [moments(recipe, chosen.depth, s) for s in range(chosen.seeds)]
        )
        for recipe in RECIPES
    }
    print(f"{keras.backend.backend()}, {chosen.depth} layers, {chosen.seeds} seeds")
    print(f"{'':31}{'last mean':>18}{'last deviation':>22}{'worst of all layers':>22}")
    for recipe, runs in found.items():
        last = runs[:, -1]
        mean, std = last.mean(axis=0), last.std(axis=0)
        worst = np.abs(runs - [0, 1]).max(axis=(0, 1))
        print(
            f"{recipe:31}{mean[0]:10.3g} ± {std[0]:5.2g}{mean[1]:14.4g} ± {std[1]:5.2g}"
            f"{worst[0]:14.3g}, {worst[1]:.3g}"
        )
    for padding in ("keras", "same", "reflect"):
        ratios = [
            edge_ratio(lambda padding=padding: padded(padding), depth, seed)
            for depth in (10,)
            for seed in range(chosen.seeds)
        ]
        print(
            f"corner / centre after 10 convolutions, {padding}: "
            f"{np.mean(ratios):.3f} ± {np.std(ratios):.3f}"
        )
    if chosen.plot:
        draw(found)


if __name__ == "__main__":
    main()
