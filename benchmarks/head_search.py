"""What a search of 20 heads on a frozen MobileNetV2 costs, in passes over the images.

    KERAS_BACKEND=torch python benchmarks/head_search.py

2,000 generated images of 96 x 96 (those of `feature_cache.py`), a fifth to validate on.
The backbone has random weights and the statistics of the images in its batch
normalization. Timed, from the cold, each in seconds of the processor, all threads
together, as `time.process_time` counts them, and of the clock:

- pass: what the backbone makes of all images, pooled, by Keras' own `predict`
- heads: the same 20 heads by plain Keras on ready features, one `fit` after the other,
  each made, compiled and trained with its 1cycle
- heads, KerasTuner: a search of 20 heads on ready features, as one writes it by hand
- search: `TransferHyperModel` with RandomSearch, 20 trials, from images, its models
  whole classifiers whose weights are kept in the project

What the search takes over the heads should be at most 1.5 passes. A small search before
all of them loads what is loaded once.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from typing import Any

import keras
import keras_tuner
import numpy as np
from feature_cache import NUM_CLASSES, gratings
from markdown_table import print_table

from keras_deeptools.callbacks import OneCycleScheduler
from keras_deeptools.transfer import backbone
from keras_deeptools.tuning import FloatRange, TransferHyperModel

RATE = FloatRange(1e-4, 3e-2, log=True)
DROPOUT = FloatRange(0.0, 0.5)
DECAY = 0.004


def seconds(run: Callable[[], Any]) -> tuple[np.ndarray, Any]:
    """How long a function takes, of the processor and of the clock; what it returns."""
    start = np.array([time.process_time(), time.perf_counter()])
    result = run()
    return np.array([time.process_time(), time.perf_counter()]) - start, result


def network(size: int, images: np.ndarray) -> keras.Model:
    """The backbone on pixels, its statistics those of the images."""
    body = backbone("MobileNetV2", (size, size, 3), weights=None)
    for layer in body.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    body(images.astype("float32"), training=True)
    return body


def features_of(body: keras.Model, x: np.ndarray) -> np.ndarray:
    """One pass by Keras itself."""
    pooled = keras.layers.GlobalAveragePooling2D()(body.output)
    return keras.Model(body.input, pooled).predict(x, batch_size=32, verbose=0)


def plain_head(width: int, rate: float, dropout: float) -> keras.Model:
    """A head on ready features."""
    layers = [keras.layers.Dropout(dropout), keras.layers.Dense(NUM_CLASSES, "softmax")]
    model = keras.Sequential([keras.Input((width,)), *layers])
    model.compile(
        keras.optimizers.AdamW(rate, weight_decay=DECAY),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


class PlainHeads(keras_tuner.HyperModel):
    """A search of heads on ready features, by hand."""

    def build(self, hp: Any) -> keras.Model:
        """Makes the head of a trial."""
        self.rate = RATE.ask(hp, "optimizer/adamw/learning_rate")
        return plain_head(1280, self.rate, DROPOUT.ask(hp, "head/dropout_rate"))

    def fit(self, hp: Any, model: keras.Model, *args: Any, **kwargs: Any) -> Any:
        """Trains it."""
        callbacks = [OneCycleScheduler(self.rate), *kwargs.pop("callbacks")]
        return model.fit(*args, callbacks=callbacks, **kwargs)


def ours(body: keras.Model, epochs: int) -> TransferHyperModel:
    """The same search on images."""
    return TransferHyperModel(
        NUM_CLASSES,
        max_epochs=epochs,
        backbones=body,
        heads="average",
        depths=(0,),
        dropout_rate=DROPOUT,
        learning_rate=RATE,
    )


def searched(
    model: Any, x: np.ndarray, y: np.ndarray, trials: int, fit: dict[str, Any]
) -> Any:
    """A whole search, and the values of its trials."""
    with tempfile.TemporaryDirectory() as folder:
        tuner = keras_tuner.RandomSearch(
            model, "val_loss", trials, seed=0, directory=folder
        )
        tuner.search(x, y, **fit)
        found = tuner.oracle.trials.values()
        if {trial.status for trial in found} != {"COMPLETED"}:
            raise RuntimeError("A trial has failed.")
        return [(trial.hyperparameters.values, trial.score) for trial in found]


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=10)
    options = parser.parse_args()
    keras.utils.set_random_seed(0)
    x, y = gratings(options.images, options.size, seed=1)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = ((x[order] + 1) * 127.5).astype("uint8"), y[order]
    fit = {"epochs": options.epochs, "validation_split": 0.2, "verbose": 0}
    tiny = keras.Sequential(
        [keras.Input((options.size, options.size, 3)), keras.layers.Conv2D(4, 3, 8)]
    )
    searched(ours(tiny, 1), x[:64], y[:64], 2, fit | {"epochs": 1})
    body = network(options.size, x[:64])

    once, features = seconds(lambda: features_of(body, x))
    search = ours(body, options.epochs)
    whole, results = seconds(lambda: searched(search, x, y, options.trials, fit))

    def heads() -> None:
        for values, _ in results:
            rate = values["optimizer/adamw/learning_rate"]
            model = plain_head(features.shape[-1], rate, values["head/dropout_rate"])
            model.fit(features, y, callbacks=[OneCycleScheduler(rate)], **fit)

    bare, _ = seconds(heads)
    tuned, by_hand = seconds(
        lambda: searched(PlainHeads(), features, y, options.trials, fit)
    )
    again, _ = seconds(lambda: features_of(body, x))

    print(
        f"Keras {keras.version()}, {keras.backend.backend()}, {len(x)} images, "
        f"{options.trials} trials of {options.epochs} epochs"
    )
    table = {
        "pass": once,
        "pass, again": again,
        "heads": bare,
        "heads, KerasTuner": tuned,
        "search": whole,
        "(search - heads) / pass": (whole - bare) / once,
        "(search - heads, KerasTuner) / pass": (whole - tuned) / once,
        "search / 1.5 (pass + heads)": whole / (1.5 * (once + bare)),
    }
    rows = {name: [f"{value:.2f}" for value in both] for name, both in table.items()}
    print_table("seconds, and ratios", ["processor", "clock"], rows)
    best, other = (min(score for _, score in each) for each in (results, by_hand))
    print(f"\nbest validation loss {best:.4f}, by hand {other:.4f}")


if __name__ == "__main__":
    main()
