"""A GAN: your own train step with two optimizers, and callbacks on each.

One `train_step` for all three backends. What differs between them, how gradients are
taken, is a function of a few lines.

python examples/gan_of_digits.py
"""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops
from sklearn.datasets import load_digits

from keras_deeptools.callbacks import (
    GradientClipper,
    GradientMonitor,
    HyperparameterScheduler,
    WeightAveraging,
)
from keras_deeptools.schedules import ExponentialRamp

BACKEND = keras.backend.backend()


class GAN(keras.Model):
    """A generator, and a discriminator that tells its images from real ones."""

    def __init__(self, size: int, num_latent: int = 16) -> None:
        super().__init__()
        layers = keras.layers
        self.num_latent = num_latent
        self.generator = keras.Sequential(
            [
                keras.Input((num_latent,)),
                layers.Dense(64, "relu"),
                layers.Dense(64, "relu"),
                layers.Dense(size, "sigmoid"),
            ],
            name="generator",
        )
        self.discriminator = keras.Sequential(
            [
                keras.Input((size,)),
                layers.Dense(64, "leaky_relu"),
                layers.Dropout(0.3, seed=0),
                layers.Dense(64, "leaky_relu"),
                layers.Dense(1),
            ],
            name="discriminator",
        )
        self.random = keras.random.SeedGenerator(0)
        self.g_loss = keras.metrics.Mean(name="g_loss")
        self.d_loss = keras.metrics.Mean(name="d_loss")
        self.built = True

    def compile(self, g_optimizer: Any, d_optimizer: Any) -> None:
        """Takes an optimizer for each of the two."""
        super().compile()
        self.g_optimizer, self.d_optimizer = g_optimizer, d_optimizer
        g_optimizer.build(self.generator.trainable_variables)
        d_optimizer.build(self.discriminator.trainable_variables)
        if BACKEND == "jax":
            # A step on JAX sees and returns the variables that the model holds.
            self.states = [*g_optimizer.variables, *d_optimizer.variables]

    def fake(self, real: Any) -> Any:
        """As many images of the generator as there are real ones."""
        shape = (ops.shape(real)[0], self.num_latent)
        return self.generator(keras.random.normal(shape, seed=self.random))

    def loss_of(self, images: Any, target: float) -> Any:
        """How far the discriminator is from saying `target` of all images."""
        scores = self.discriminator(images, training=True)
        wanted = target * ops.ones_like(scores)
        return ops.mean(keras.losses.binary_crossentropy(wanted, scores, True))

    def step(self, real: Any) -> dict[str, Any]:
        """Trains the discriminator, then the generator."""
        fakes = ops.stop_gradient(self.fake(real))
        variables = self.discriminator.trainable_variables
        loss, gradients = self.gradients(
            lambda: self.loss_of(real, 0.9) + self.loss_of(fakes, 0.0), variables
        )
        self.d_optimizer.apply(gradients, variables)
        self.d_loss.update_state(loss)

        variables = self.generator.trainable_variables
        loss, gradients = self.gradients(
            lambda: self.loss_of(self.fake(real), 1.0), variables
        )
        self.g_optimizer.apply(gradients, variables)
        self.g_loss.update_state(loss)
        return {"g_loss": self.g_loss.result(), "d_loss": self.d_loss.result()}

    def gradients(self, loss_of: Callable[[], Any], variables: list) -> tuple[Any, Any]:
        """The loss, and its gradient for each of the variables."""
        if BACKEND == "tensorflow":
            import tensorflow as tf

            with tf.GradientTape() as tape:
                loss = loss_of()
            return loss, tape.gradient(loss, variables)
        if BACKEND == "torch":
            import torch

            loss = loss_of()
            gradients = torch.autograd.grad(loss, [v.value for v in variables])
            return loss.detach(), gradients
        import jax

        held = [*self.variables, *self.metrics_variables]

        def loss_and_state(values: list) -> tuple[Any, list]:
            now = [(v, v.value) for v in held]
            with keras.StatelessScope(
                [*now, *zip(variables, values, strict=True)]
            ) as scope:
                loss = loss_of()
            return loss, [scope.get_current_value(v) for v in held]

        now = [v.value for v in variables]
        (loss, state), gradients = jax.value_and_grad(loss_and_state, has_aux=True)(now)
        trained = {id(v) for v in variables}
        for v, value in zip(held, state, strict=True):
            if id(v) not in trained:
                v.assign(value)
        return loss, gradients

    def train_step(self, *arguments: Any) -> Any:
        """What `fit` calls: with the data, on JAX with all that is variable too."""
        if BACKEND != "jax":
            return self.step(*arguments)
        state, data = arguments
        held = (
            self.trainable_variables,
            self.non_trainable_variables,
            self.optimizer.variables,
            self.metrics_variables,
        )
        pairs = [
            pair
            for vs, values in zip(held, state, strict=True)
            for pair in zip(vs, values, strict=True)
        ]
        with keras.StatelessScope(pairs) as scope:
            logs = self.step(data)
        return logs, tuple([scope.get_current_value(v) for v in vs] for vs in held)


def main(epochs: int = 60) -> dict[str, list[float]]:
    """Returns the history of the training."""
    keras.utils.set_random_seed(0)
    x = (load_digits().data / 16).astype("float32")
    gan = GAN(size=x.shape[1])
    gan.compile(keras.optimizers.Adam(2e-4), keras.optimizers.Adam(2e-4))
    num_steps = epochs * -(-len(x) // 64)
    callbacks = [
        GradientMonitor(optimizer="g_optimizer", on_problem="ignore"),
        GradientMonitor(optimizer="d_optimizer", on_problem="ignore"),
        GradientClipper(global_norm=5.0, optimizer="d_optimizer"),
        HyperparameterScheduler(
            {"learning_rate": ExponentialRamp(1e-3, 1e-4, num_steps)},
            optimizer="g_optimizer",
        ),
        # The generator of the end is the mean of its last ones.
        WeightAveraging(0.99, optimizer="g_optimizer"),
    ]
    history = gan.fit(x, batch_size=64, epochs=epochs, callbacks=callbacks, verbose=0)
    for name, values in history.history.items():
        print(f"{name}: {values[0]:.4f} -> {values[-1]:.4f}")
    return history.history


if __name__ == "__main__":
    main()
