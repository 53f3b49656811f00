"""A variational autoencoder: your own loss, and its KL weight on a schedule.

Nothing in it depends on the backend, because Keras' own train step takes the gradients:
what is special is in `compute_loss`.

python examples/vae_of_digits.py
"""

from typing import Any

import keras
from keras import ops
from sklearn.datasets import load_digits

from keras_deeptools.callbacks import (
    GradientClipper,
    GradientMonitor,
    HyperparameterScheduler,
    OneCycleScheduler,
    WeightAveraging,
)


class VAE(keras.Model):
    """Encodes an image as a normal distribution, and decodes a sample of it."""

    def __init__(self, size: int, num_latent: int = 4) -> None:
        super().__init__()
        layers = keras.layers
        self.encoder = keras.Sequential(
            [
                keras.Input((size,)),
                layers.Dense(64, "relu"),
                layers.Dense(2 * num_latent),
            ],
            name="encoder",
        )
        self.decoder = keras.Sequential(
            [
                keras.Input((num_latent,)),
                layers.Dense(64, "relu"),
                layers.Dense(size, "sigmoid"),
            ],
            name="decoder",
        )
        self.random = keras.random.SeedGenerator(0)
        # A variable, so that it can change from step to step.
        self.kl_weight = self.add_weight((), "zeros", trainable=False, name="kl_weight")
        self.kl = keras.metrics.Mean(name="kl")

    def call(self, images: Any) -> tuple[Any, Any, Any]:
        """The decoded images, and mean and log variance of their codes."""
        mean, log_variance = ops.split(self.encoder(images), 2, axis=-1)
        noise = keras.random.normal(ops.shape(mean), seed=self.random)
        return (
            self.decoder(mean + ops.exp(0.5 * log_variance) * noise),
            mean,
            log_variance,
        )

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """The error of the decoded images, and what the codes tell about them."""
        decoded, mean, log_variance = y_pred
        error = ops.sum(
            keras.losses.binary_crossentropy(x[:, :, None], decoded[:, :, None]), axis=1
        )
        kl = 0.5 * ops.sum(mean**2 + ops.exp(log_variance) - log_variance - 1, axis=1)
        self.kl.update_state(kl)
        return ops.mean(error + self.kl_weight * kl)


def main(epochs: int = 30) -> dict[str, list[float]]:
    """Returns the history of the training."""
    keras.utils.set_random_seed(0)
    x = (load_digits().data / 16).astype("float32")
    vae = VAE(size=x.shape[1])
    vae.compile(keras.optimizers.Adam())
    num_steps = epochs * -(-len(x) // 64)
    callbacks = [
        GradientMonitor(on_problem="ignore"),
        GradientClipper(global_norm=5.0),
        OneCycleScheduler(3e-3),
        # The code is used from the first step, because it costs nothing at first.
        HyperparameterScheduler(
            {"kl_weight": lambda step: min(1.0, 2 * step / num_steps)}
        ),
        WeightAveraging(0.99),
    ]
    history = vae.fit(x, batch_size=64, epochs=epochs, callbacks=callbacks, verbose=0)
    for name, values in history.history.items():
        print(f"{name}: {values[0]:.4f} -> {values[-1]:.4f}")
    return history.history


if __name__ == "__main__":
    main()
