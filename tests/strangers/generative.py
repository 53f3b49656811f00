"""Generative models, with steps of their own as each backend writes them."""

import keras
import numpy as np
from keras import layers, ops

from .program import Script, program


def _images(count=24):
    return np.random.default_rng(0).random((count, 8, 8, 1), dtype="float32")


class Sampling(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seed_generator = keras.random.SeedGenerator(1337)

    def call(self, inputs):
        mean, log_var = inputs
        noise = keras.random.normal(ops.shape(mean), seed=self.seed_generator)
        return mean + ops.exp(0.5 * log_var) * noise


def _encoder():
    inputs = keras.Input(shape=(8, 8, 1))
    h = layers.Conv2D(4, 3, activation="relu", strides=2, padding="same")(inputs)
    h = layers.Dense(8, activation="relu")(layers.Flatten()(h))
    mean = layers.Dense(2, name="z_mean")(h)
    log_var = layers.Dense(2, name="z_log_var")(h)
    return keras.Model(inputs, [mean, log_var, Sampling()([mean, log_var])])


def _decoder():
    inputs = keras.Input(shape=(2,))
    h = layers.Dense(64, activation="relu")(inputs)
    h = layers.Reshape((4, 4, 4))(h)
    h = layers.Conv2DTranspose(1, 3, 2, padding="same", activation="sigmoid")(h)
    return keras.Model(inputs, h)


@program(
    "generative",
    "Keras example generative/vae: no call(), three loss trackers",
    ("tensorflow",),
)
def variational_autoencoder_in_tensorflow():
    import tensorflow as tf

    class VAE(keras.Model):
        def __init__(self, encoder, decoder, **kwargs):
            super().__init__(**kwargs)
            self.encoder, self.decoder = encoder, decoder
            self.total = keras.metrics.Mean(name="total_loss")
            self.kl = keras.metrics.Mean(name="kl_loss")

        @property
        def metrics(self):
            return [self.total, self.kl]

        def train_step(self, data):
            with tf.GradientTape() as tape:
                mean, log_var, z = self.encoder(data)
                rebuilt = self.decoder(z)
                error = keras.losses.binary_crossentropy(data, rebuilt)
                error = ops.mean(ops.sum(error, axis=(1, 2)))
                kl = -0.5 * (1 + log_var - ops.square(mean) - ops.exp(log_var))
                kl = ops.mean(ops.sum(kl, axis=1))
                total = error + kl
            grads = tape.gradient(total, self.trainable_weights)
            self.optimizer.apply_gradients(zip(grads, self.trainable_weights))
            self.total.update_state(total)
            self.kl.update_state(kl)
            return {"loss": self.total.result(), "kl_loss": self.kl.result()}

    model = VAE(_encoder(), _decoder())
    model.compile(optimizer=keras.optimizers.Adam())
    return Script(
        model,
        dict(x=_images(), epochs=2, batch_size=8),
        network=model.encoder,
        loads=False,
    )


@program("generative", "Keras guide custom_train_step_in_torch, a VAE", ("torch",))
def variational_autoencoder_in_torch():
    import torch

    class VAE(keras.Model):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.encoder, self.decoder = _encoder(), _decoder()
            self.loss_tracker = keras.metrics.Mean(name="loss")

        def call(self, x):
            return self.decoder(self.encoder(x)[2])

        def train_step(self, data):
            x = data[0] if isinstance(data, tuple) else data
            self.zero_grad()
            mean, log_var, z = self.encoder(x)
            error = ops.mean(ops.square(x - self.decoder(z)))
            kl = -0.5 * ops.mean(1 + log_var - ops.square(mean) - ops.exp(log_var))
            loss = error + 0.1 * kl
            loss.backward()
            weights = list(self.trainable_weights)
            gradients = [v.value.grad for v in weights]
            with torch.no_grad():
                self.optimizer.apply(gradients, weights)
            self.loss_tracker.update_state(loss)
            return {"loss": self.loss_tracker.result()}

    model = VAE()
    model.compile(optimizer="adam")
    return Script(
        model,
        dict(x=_images(), epochs=2, batch_size=8),
        network=model.encoder,
        loads=False,
    )


@program("generative", "Keras guide custom_train_step_in_jax, a VAE", ("jax",))
def variational_autoencoder_in_jax():
    import jax

    class VAE(keras.Model):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.encoder, self.decoder = _encoder(), _decoder()
            self.loss_tracker = keras.metrics.Mean(name="loss")

        def call(self, x, training=None):
            mean, log_var, z = self.encoder(x)
            return self.decoder(z), mean, log_var

        def compute_loss_and_updates(self, trainable, non_trainable, x):
            (rebuilt, mean, log_var), non_trainable = self.stateless_call(
                trainable, non_trainable, x, training=True
            )
            kl = -0.5 * ops.mean(1 + log_var - ops.square(mean) - ops.exp(log_var))
            return ops.mean(ops.square(x - rebuilt)) + 0.1 * kl, non_trainable

        def train_step(self, state, data):
            trainable, non_trainable, optimizer, metrics = state
            x = data[0] if isinstance(data, tuple) else data
            grad = jax.value_and_grad(self.compute_loss_and_updates, has_aux=True)
            (loss, non_trainable), grads = grad(trainable, non_trainable, x)
            trainable, optimizer = self.optimizer.stateless_apply(
                optimizer, grads, trainable
            )
            metrics = self.loss_tracker.stateless_update_state(metrics, loss)
            logs = {"loss": self.loss_tracker.stateless_result(metrics)}
            return logs, (trainable, non_trainable, optimizer, metrics)

        @property
        def metrics(self):
            return [self.loss_tracker]

    model = VAE()
    model.compile(optimizer="adam")
    return Script(
        model,
        dict(x=_images(), epochs=2, batch_size=8),
        network=model.encoder,
        loads=False,
    )


def _discriminator():
    return keras.Sequential(
        [
            keras.Input(shape=(8, 8, 1)),
            layers.Conv2D(4, kernel_size=3, strides=2, padding="same"),
            layers.LeakyReLU(negative_slope=0.2),
            layers.Flatten(),
            layers.Dropout(0.2),
            layers.Dense(1),
        ]
    )


def _generator():
    return keras.Sequential(
        [
            keras.Input(shape=(6,)),
            layers.Dense(4 * 4 * 4),
            layers.Reshape((4, 4, 4)),
            layers.Conv2DTranspose(4, kernel_size=4, strides=2, padding="same"),
            layers.LeakyReLU(negative_slope=0.2),
            layers.Conv2D(1, kernel_size=3, padding="same", activation="sigmoid"),
        ]
    )


@program(
    "generative",
    "Keras example generative/dcgan_overriding_train_step",
    ("tensorflow",),
)
def adversarial_pair_in_tensorflow():
    import tensorflow as tf

    class GAN(keras.Model):
        def __init__(self, discriminator, generator, latent_dim):
            super().__init__()
            self.discriminator, self.generator = discriminator, generator
            self.latent_dim = latent_dim
            self.seed_generator = keras.random.SeedGenerator(1337)

        def compile(self, d_optimizer, g_optimizer, loss_fn):
            super().compile()
            self.d_optimizer, self.g_optimizer = d_optimizer, g_optimizer
            self.loss_fn = loss_fn
            self.d_loss_metric = keras.metrics.Mean(name="d_loss")
            self.g_loss_metric = keras.metrics.Mean(name="g_loss")

        @property
        def metrics(self):
            return [self.d_loss_metric, self.g_loss_metric]

        def train_step(self, real):
            count = ops.shape(real)[0]
            shape = (count, self.latent_dim)
            noise = keras.random.normal(shape, seed=self.seed_generator)
            images = ops.concatenate([self.generator(noise), real], axis=0)
            labels = ops.concatenate([ops.ones((count, 1)), ops.zeros((count, 1))], 0)
            with tf.GradientTape() as tape:
                d_loss = self.loss_fn(labels, self.discriminator(images))
            weights = self.discriminator.trainable_weights
            grads = tape.gradient(d_loss, weights)
            self.d_optimizer.apply_gradients(zip(grads, weights))
            noise = keras.random.normal(shape, seed=self.seed_generator)
            with tf.GradientTape() as tape:
                judged = self.discriminator(self.generator(noise))
                g_loss = self.loss_fn(ops.zeros((count, 1)), judged)
            weights = self.generator.trainable_weights
            grads = tape.gradient(g_loss, weights)
            self.g_optimizer.apply_gradients(zip(grads, weights))
            self.d_loss_metric.update_state(d_loss)
            self.g_loss_metric.update_state(g_loss)
            return {
                "d_loss": self.d_loss_metric.result(),
                "g_loss": self.g_loss_metric.result(),
            }

    model = GAN(_discriminator(), _generator(), 6)
    model.compile(
        d_optimizer=keras.optimizers.Adam(learning_rate=0.0003),
        g_optimizer=keras.optimizers.Adam(learning_rate=0.0003),
        loss_fn=keras.losses.BinaryCrossentropy(from_logits=True),
    )
    return Script(
        model,
        dict(x=_images(), epochs=2, batch_size=8),
        optimizer="all",
        loss_name="d_loss",
        network=model.discriminator,
    )


@program("generative", "Keras guide custom_train_step_in_torch, a GAN", ("torch",))
def adversarial_pair_in_torch():
    import torch

    class GAN(keras.Model):
        def __init__(self):
            super().__init__()
            self.discriminator, self.generator = _discriminator(), _generator()
            self.seed_generator = keras.random.SeedGenerator(7)
            self.d_loss_tracker = keras.metrics.Mean(name="d_loss")
            self.g_loss_tracker = keras.metrics.Mean(name="g_loss")
            self.built = True

        def compile(self, d_optimizer, g_optimizer):
            super().compile()
            self.d_optimizer, self.g_optimizer = d_optimizer, g_optimizer
            self.loss_fn = keras.losses.BinaryCrossentropy(from_logits=True)

        def train_step(self, real):
            if isinstance(real, tuple):
                real = real[0]
            count = real.shape[0]
            noise = keras.random.normal((count, 6), seed=self.seed_generator)
            images = torch.cat([self.generator(noise).detach(), real], dim=0)
            labels = torch.cat([torch.ones(count, 1), torch.zeros(count, 1)])
            self.zero_grad()
            d_loss = self.loss_fn(labels, self.discriminator(images))
            d_loss.backward()
            self._apply(self.d_optimizer, self.discriminator)
            self.zero_grad()
            noise = keras.random.normal((count, 6), seed=self.seed_generator)
            judged = self.discriminator(self.generator(noise))
            g_loss = self.loss_fn(torch.zeros(count, 1), judged)
            g_loss.backward()
            self._apply(self.g_optimizer, self.generator)
            self.d_loss_tracker.update_state(d_loss)
            self.g_loss_tracker.update_state(g_loss)
            return {
                "d_loss": self.d_loss_tracker.result(),
                "g_loss": self.g_loss_tracker.result(),
            }

        def _apply(self, optimizer, network):
            weights = network.trainable_weights
            with torch.no_grad():
                optimizer.apply([w.value.grad for w in weights], weights)

    model = GAN()
    model.compile(keras.optimizers.Adam(3e-4), keras.optimizers.Adam(3e-4))
    return Script(
        model,
        dict(x=_images(), epochs=2, batch_size=8),
        optimizer="all",
        loss_name="d_loss",
        network=model.discriminator,
    )


@program(
    "generative", "Keras example generative/wgan_gp: five critic steps", ("tensorflow",)
)
def critic_with_gradient_penalty():
    import tensorflow as tf

    class WGAN(keras.Model):
        def __init__(self):
            super().__init__()
            self.critic, self.generator = _discriminator(), _generator()

        def compile(self, optimizers):
            super().compile()
            self.optimizers = optimizers

        def train_step(self, real):
            if isinstance(real, tuple):
                real = real[0]
            count = tf.shape(real)[0]
            for _ in range(2):
                noise = tf.random.normal((count, 6))
                with tf.GradientTape() as tape:
                    fake = self.generator(noise, training=True)
                    share = tf.random.uniform((count, 1, 1, 1))
                    between = real + share * (fake - real)
                    with tf.GradientTape() as inner:
                        inner.watch(between)
                        judged = self.critic(between, training=True)
                    slope = inner.gradient(judged, [between])[0]
                    norm = tf.sqrt(tf.reduce_sum(tf.square(slope), [1, 2, 3]) + 1e-9)
                    loss = tf.reduce_mean(self.critic(fake)) - tf.reduce_mean(
                        self.critic(real)
                    )
                    loss += 10.0 * tf.reduce_mean((norm - 1.0) ** 2)
                weights = self.critic.trainable_variables
                grads = tape.gradient(loss, weights)
                self.optimizers["critic"].apply_gradients(zip(grads, weights))
            with tf.GradientTape() as tape:
                noise = tf.random.normal((count, 6))
                g_loss = -tf.reduce_mean(self.critic(self.generator(noise)))
            weights = self.generator.trainable_variables
            grads = tape.gradient(g_loss, weights)
            self.optimizers["generator"].apply_gradients(zip(grads, weights))
            return {"d_loss": loss, "g_loss": g_loss}

    model = WGAN()
    model.compile(
        {
            "critic": keras.optimizers.Adam(2e-4, beta_1=0.5),
            "generator": keras.optimizers.Adam(2e-4, beta_1=0.5),
        }
    )
    return Script(
        model,
        dict(x=_images(), epochs=1, batch_size=8),
        optimizer="all",
        loss_name="d_loss",
        network=model.critic,
    )


@program("generative", "Keras example generative/ddim: noise as target, EMA network")
def denoising_diffusion_by_fit():
    x = _images(16)
    rng = np.random.default_rng(1)
    noise = rng.normal(size=x.shape).astype("float32")
    rate = rng.uniform(0, 1, (16, 1)).astype("float32")
    noisy = (
        np.sqrt(1 - rate[..., None, None]) * x + np.sqrt(rate)[..., None, None] * noise
    )
    image, level = keras.Input((8, 8, 1)), keras.Input((1,))
    h = layers.Conv2D(8, 3, padding="same", activation="swish")(image)
    scale = layers.Reshape((1, 1, 8))(layers.Dense(8)(level))
    h = layers.Multiply()([h, scale])
    h = layers.Conv2D(1, 3, padding="same", kernel_initializer="zeros")(h)
    model = keras.Model([image, level], h)
    optimizer = keras.optimizers.AdamW(1e-3, use_ema=True, ema_momentum=0.9)
    model.compile(optimizer, loss="mae")
    return Script(model, dict(x=[noisy, rate], y=noise, epochs=1, batch_size=8))


@program("generative", "Keras example generative/pixelcnn: masked convolutions")
def masked_convolutions():
    class MaskedConv(layers.Layer):
        def __init__(self, filters, **kwargs):
            super().__init__(**kwargs)
            self.filters = filters
            self.conv = layers.Conv2D(filters, 3, padding="same", activation="relu")

        def build(self, input_shape):
            self.conv.build(input_shape)
            mask = np.zeros(self.conv.kernel.shape, "float32")
            mask[:1], mask[1, :1] = 1, 1
            self.mask = ops.convert_to_tensor(mask)

        def call(self, x):
            kernel = self.conv.kernel * self.mask
            return ops.relu(ops.conv(x, kernel, padding="same"))

        def get_config(self):
            return super().get_config() | {"filters": self.filters}

    x = (_images() > 0.5).astype("float32")
    inputs = keras.Input(shape=(8, 8, 1))
    h = MaskedConv(6)(inputs)
    h = layers.Conv2D(1, 1, activation="sigmoid")(h)
    model = keras.Model(inputs, h)
    model.compile(optimizer=keras.optimizers.Adam(5e-4), loss="binary_crossentropy")
    return Script(
        model,
        dict(x=x, y=x, batch_size=8, epochs=1),
        custom_objects={"MaskedConv": MaskedConv},
    )
