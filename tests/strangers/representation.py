"""Siamese and contrastive networks, autoencoders, distillation."""

import keras
import numpy as np
from keras import layers, ops

from .program import Script, program


def _images(count=24):
    rng = np.random.default_rng(0)
    return rng.random((count, 8, 8, 1), dtype="float32"), rng.integers(0, 3, count)


@program("metric learning", "Keras example vision/siamese_contrastive: shared network")
def siamese_network():
    x, y = _images()
    base_input = layers.Input((8, 8, 1))
    h = layers.BatchNormalization()(base_input)
    h = layers.Conv2D(4, 3, activation="tanh")(h)
    h = layers.Flatten()(h)
    embedding = keras.Model(base_input, layers.Dense(6, activation="tanh")(h))
    left, right = layers.Input((8, 8, 1)), layers.Input((8, 8, 1))

    def distance(vectors):
        a, b = vectors
        total = ops.sum(ops.square(a - b), axis=1, keepdims=True)
        return ops.sqrt(ops.maximum(total, 1e-7))

    merged = layers.Lambda(distance, output_shape=(1,))(
        [embedding(left), embedding(right)]
    )
    normal = layers.BatchNormalization()(merged)
    model = keras.Model([left, right], layers.Dense(1, activation="sigmoid")(normal))

    def contrastive(y_true, y_pred):
        y_true = ops.cast(y_true, y_pred.dtype)
        margin = ops.square(ops.maximum(1.0 - y_pred, 0))
        return ops.mean((1 - y_true) * ops.square(y_pred) + y_true * margin)

    model.compile(loss=contrastive, optimizer="RMSprop", metrics=["accuracy"])
    same = (y == y[::-1]).astype("float32")
    return Script(
        model,
        dict(x=[x, x[::-1]], y=same, batch_size=8, epochs=2),
        custom_objects={"contrastive": contrastive, "distance": distance},
    )


@program("metric learning", "public issues on triplet loss: loss over the whole batch")
def batch_hard_triplets():
    def triplet(labels, vectors):
        labels = ops.reshape(labels, (-1, 1))
        gaps = ops.sum(ops.square(vectors[:, None] - vectors[None]), -1)
        same = ops.cast(ops.equal(labels, ops.transpose(labels)), gaps.dtype)
        hardest = ops.max(gaps * same, 1)
        nearest = ops.min(gaps + 1e6 * same, 1)
        return ops.maximum(hardest - nearest + 0.5, 0.0)

    x, y = _images()
    model = keras.Sequential(
        [
            layers.Flatten(),
            layers.Dense(16, activation="relu"),
            layers.Dense(4),
            layers.UnitNormalization(),
        ]
    )
    model.compile("adam", loss=triplet)
    return Script(
        model,
        dict(x=x, y=y, batch_size=12, epochs=2),
        custom_objects={"triplet": triplet},
    )


@program("autoencoders", "Keras blog, building autoencoders: target is the input")
def convolutional_denoiser():
    x, _ = _images()
    noisy = np.clip(x + 0.3 * np.random.default_rng(1).normal(size=x.shape), 0, 1)
    inputs = layers.Input(shape=(8, 8, 1))
    h = layers.Conv2D(8, (3, 3), activation="relu", padding="same")(inputs)
    h = layers.MaxPooling2D((2, 2), padding="same")(h)
    h = layers.Conv2DTranspose(8, (3, 3), strides=2, activation="relu", padding="same")(
        h
    )
    h = layers.Conv2D(1, (3, 3), activation="sigmoid", padding="same")(h)
    model = keras.Model(inputs, h)
    model.compile(optimizer="adam", loss="binary_crossentropy")
    return Script(model, dict(x=noisy.astype("float32"), y=x, epochs=2, batch_size=12))


@program("autoencoders", "TensorFlow tutorial autoencoder: encoder and decoder inside")
def subclassed_autoencoder():
    class Autoencoder(keras.Model):
        def __init__(self, width):
            super().__init__()
            self.encoder = keras.Sequential(
                [layers.Flatten(), layers.Dense(width, activation="relu")]
            )
            self.decoder = keras.Sequential(
                [layers.Dense(64, activation="sigmoid"), layers.Reshape((8, 8, 1))]
            )

        def call(self, x):
            return self.decoder(self.encoder(x))

    x, _ = _images()
    model = Autoencoder(6)
    model.compile(optimizer="adam", loss=keras.losses.MeanSquaredError())
    return Script(
        model, dict(x=x, y=x, epochs=2), custom_objects={"Autoencoder": Autoencoder}
    )


@program("distillation", "Keras example vision/knowledge_distillation: compute_loss")
def distiller_with_compute_loss():
    class Distiller(keras.Model):
        def __init__(self, student, teacher):
            super().__init__()
            self.student, self.teacher = student, teacher
            self.teacher.trainable = False

        def compile(self, optimizer, metrics, student_loss, alpha=0.1, heat=3):
            super().compile(optimizer=optimizer, metrics=metrics)
            self.student_loss, self.alpha, self.heat = student_loss, alpha, heat

        def compute_loss(
            self, x=None, y=None, y_pred=None, sample_weight=None, allow_empty=False
        ):
            soft = ops.softmax(self.teacher(x, training=False) / self.heat)
            softer = ops.softmax(y_pred / self.heat)
            distance = ops.mean(ops.sum(soft * (ops.log(soft) - ops.log(softer)), -1))
            loss = ops.mean(self.student_loss(y, y_pred))
            return self.alpha * loss + (1 - self.alpha) * distance

        def call(self, x):
            return self.student(x)

    x, y = _images()
    teacher = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Flatten(),
            layers.Dense(12, "relu"),
            layers.Dense(3),
        ]
    )
    student = keras.Sequential(
        [keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(3)]
    )
    model = Distiller(student, teacher)
    model.compile(
        optimizer=keras.optimizers.Adam(),
        metrics=[keras.metrics.SparseCategoricalAccuracy()],
        student_loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    return Script(
        model,
        dict(x=x, y=y, epochs=2),
        custom_objects={"Distiller": Distiller},
        network=student,
    )


@program("fine-tuning", "Keras API enable_lora on Dense and Embedding")
def low_rank_adaptation():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 20, (30, 6)), rng.integers(0, 3, 30)
    embedding, hidden = layers.Embedding(20, 8), layers.Dense(8, "relu")
    model = keras.Sequential(
        [
            keras.Input((6,)),
            embedding,
            layers.GlobalAveragePooling1D(),
            hidden,
            layers.Dense(3, "softmax"),
        ]
    )
    embedding.enable_lora(2)
    hidden.enable_lora(2)
    model.compile("adam", "sparse_categorical_crossentropy")
    return Script(model, dict(x=x, y=y, epochs=2, batch_size=10))
