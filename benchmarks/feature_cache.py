"""Seconds for an epoch of a head on a frozen MobileNetV2, on images and on features.

    KERAS_BACKEND=jax python benchmarks/feature_cache.py

2,000 generated images of 96 x 96 in ten classes: gratings of ten directions, with
random phase, period and colours, in noise. The backbone has random weights and the
statistics of the images in its batch normalization, as a fresh one gives features of
1e-12. Both trainings start from the same weights and take rows in the same order. The
first epoch, which compiles, is left out; accuracy is that on 500 other images.
"""

import argparse
import time

import keras
import numpy as np
from markdown_table import print_table

from keras_deeptools.transfer import cache_features, freeze

NUM_CLASSES = 10


class EpochTimes(keras.callbacks.Callback):
    """Seconds of each epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self._start = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Starts the clock."""
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Stops it."""
        self.seconds.append(time.perf_counter() - self._start)


def gratings(count: int, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images `(count, size, size, 3)` in [-1, 1], and their classes."""
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % NUM_CLASSES
    angle = (np.pi * labels / NUM_CLASSES)[:, None, None]
    period = generator.uniform(6, 10, (count, 1, 1))
    phase = generator.uniform(0, 2 * np.pi, (count, 1, 1))
    down, across = np.mgrid[:size, :size]
    place = np.cos(angle) * across + np.sin(angle) * down
    wave = np.sin(2 * np.pi * place / period + phase)[..., None]
    colours = generator.uniform(0.3, 1, (count, 1, 1, 3))
    noise = generator.normal(0, 0.3, (count, size, size, 3))
    return np.clip(wave * colours + noise, -1, 1).astype("float32"), labels


def built(size: int, images: np.ndarray) -> keras.Model:
    """A frozen backbone, its statistics those of the images, and a head."""
    keras.utils.set_random_seed(0)
    body = keras.applications.MobileNetV2(
        (size, size, 3), include_top=False, weights=None
    )
    for layer in body.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    body(images, training=True)
    pooled = keras.layers.GlobalAveragePooling2D()(body.output)
    outputs = keras.layers.Dense(NUM_CLASSES, "softmax", name="head")(pooled)
    model = keras.Model(body.input, outputs)
    freeze(model, [layer for layer in body.layers if layer.weights])
    model.compile(
        keras.optimizers.Adam(1e-2),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def epoch_time(seconds: list[float]) -> str:
    """Mean, and half the range."""
    return f"{np.mean(seconds):.3f} ± {np.ptp(seconds) / 2:.3f} s"


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--frozen-epochs", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=10)
    options = parser.parse_args()
    x, y = gratings(options.images, options.size, seed=1)
    held_out = gratings(options.images // 4, options.size, seed=2)
    print(f"keras {keras.version()} on {keras.backend.backend()}, {len(x)} images")

    plain = built(options.size, x[:64])
    twin = built(options.size, x[:64])
    start = plain.get_weights()
    twin.set_weights(start)

    clock = EpochTimes()
    keras.utils.set_random_seed(1)
    plain.fit(x, y, epochs=options.frozen_epochs, verbose=0, callbacks=[clock])
    frozen = clock.seconds[1:]

    begin = time.perf_counter()
    cached = cache_features(twin, x, y, verbose=0)
    once = time.perf_counter() - begin
    keras.utils.set_random_seed(1)
    clock = EpochTimes()
    cached.fit(epochs=options.frozen_epochs, verbose=0, callbacks=[clock])
    pairs = zip(plain.get_weights(), twin.get_weights(), strict=True)
    difference = max(np.abs(one - two).max() for one, two in pairs)
    accuracy = [plain.evaluate(*held_out, verbose=0)[1]]
    plain.set_weights(twin.get_weights())
    accuracy.append(plain.evaluate(*held_out, verbose=0)[1])
    cached.fit(epochs=options.epochs, verbose=0, callbacks=[clock])
    quick = clock.seconds[1 : options.frozen_epochs]
    quick += clock.seconds[options.frozen_epochs + 1 :]

    ratio = np.mean(frozen) / np.mean(quick)
    rows = {
        "images, frozen": [epoch_time(frozen), f"{ratio:.1f}"],
        "cached features": [epoch_time(quick), "1"],
    }
    print_table("trained on", ["an epoch", "over features"], rows)
    print()
    print(f"features     {once:7.3f} s once, {cached.num_bytes:,} bytes")
    print(f"accuracy     {accuracy[0]:.3f} and {accuracy[1]:.3f} on held-out images")
    print(f"weights      differ by at most {difference:.1e}")


if __name__ == "__main__":
    main()
