"""A GAN in a loop in TensorFlow: `tf.function`, two optimizers, features for each.

KERAS_BACKEND=tensorflow python examples/loop_in_tensorflow.py
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits

from keras_deeptools import attach
from keras_deeptools.callbacks import GradientClipper, GradientMonitor, WeightAveraging

NUM_LATENT = 16


def network(name: str, inputs: int, outputs: int) -> keras.Model:
    """A generator or a discriminator."""
    hidden = [keras.layers.Dense(64, "leaky_relu") for _ in range(2)]
    last = keras.layers.Dense(outputs)
    return keras.Sequential([keras.Input((inputs,)), *hidden, last], name=name)


def compiled_step(
    generator: keras.Model,
    discriminator: keras.Model,
    g_optimizer: Any,
    d_optimizer: Any,
) -> Any:
    """The step of the training as one compiled function."""
    loss_of = keras.losses.BinaryCrossentropy(from_logits=True)

    @tf.function
    def step(real: Any) -> tuple[Any, Any]:
        noise = tf.random.normal((len(real), NUM_LATENT))
        with tf.GradientTape() as g_tape, tf.GradientTape() as d_tape:
            fakes = tf.sigmoid(generator(noise, training=True))
            of_real = discriminator(real, training=True)
            of_fakes = discriminator(fakes, training=True)
            d_loss = loss_of(0.9 * tf.ones_like(of_real), of_real)
            d_loss += loss_of(tf.zeros_like(of_fakes), of_fakes)
            g_loss = loss_of(tf.ones_like(of_fakes), of_fakes)
        weights = discriminator.trainable_variables
        d_optimizer.apply(d_tape.gradient(d_loss, weights), weights)
        weights = generator.trainable_variables
        g_optimizer.apply(g_tape.gradient(g_loss, weights), weights)
        return g_loss, d_loss

    return step


def main(epochs: int = 30, batch_size: int = 64) -> np.ndarray:
    """Returns images of the averaged generator."""
    keras.utils.set_random_seed(0)
    x = (load_digits().data / 16).astype("float32")
    x = x[: len(x) // batch_size * batch_size]
    generator = network("generator", NUM_LATENT, x.shape[1])
    discriminator = network("discriminator", x.shape[1], 1)
    g_optimizer, d_optimizer = keras.optimizers.Adam(5e-4), keras.optimizers.Adam(2e-4)
    step = compiled_step(generator, discriminator, g_optimizer, d_optimizer)

    g_monitor = GradientMonitor(on_problem="ignore")
    d_monitor = GradientMonitor(on_problem="ignore")
    averaging = WeightAveraging(0.99)
    with (
        attach(g_optimizer, g_monitor, averaging),
        attach(d_optimizer, d_monitor, GradientClipper(global_norm=1.0)),
    ):
        batches = tf.data.Dataset.from_tensor_slices(x).shuffle(len(x), seed=0)
        for _ in range(epochs):
            for real in batches.batch(batch_size):
                g_loss, d_loss = step(real)
        with averaging.shown():
            averages = generator.get_weights()
    generator.set_weights(averages)
    print(f"losses: generator {float(g_loss):.3f}, discriminator {float(d_loss):.3f}")
    print(g_monitor.table())
    print(d_monitor.table())
    noise = tf.random.normal((9, NUM_LATENT), seed=0)
    return tf.sigmoid(generator(noise)).numpy()


if __name__ == "__main__":
    main()
