"""Images: classifiers, segmentation, transfer."""

import tempfile
from pathlib import Path

import keras
import numpy as np
from keras import layers

from .program import Script, program


def _digits(count=32, size=12, channels=1, classes=4):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (count, size, size, channels), dtype="uint8")
    return x, rng.integers(0, classes, count)


@program("vision", "Keras example vision/mnist_convnet")
def convnet_on_scaled_digits():
    x, y = _digits()
    x = x.astype("float32") / 255
    y = keras.utils.to_categorical(y, 4)
    model = keras.Sequential(
        [
            keras.Input(shape=(12, 12, 1)),
            layers.Conv2D(8, kernel_size=(3, 3), activation="relu"),
            layers.MaxPooling2D(pool_size=(2, 2)),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(4, activation="softmax"),
        ]
    )
    model.compile(
        loss="categorical_crossentropy", optimizer="adam", metrics=["accuracy"]
    )
    return Script(model, dict(x=x, y=y, batch_size=8, epochs=2, validation_split=0.25))


@program("vision", "TensorFlow beginner tutorial: Sequential without Input, logits")
def integer_images_without_input():
    x, y = _digits()
    model = keras.Sequential(
        [
            layers.Flatten(),
            layers.Rescaling(1 / 255),
            layers.Dense(16, activation="relu"),
            layers.Dropout(0.2),
            layers.Dense(4),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer="adam", loss=loss, metrics=["accuracy"])
    return Script(model, dict(x=x, y=y, epochs=2))


@program("vision", "Keras example vision/image_classification_from_scratch")
def augmentation_and_separable_convolutions():
    x, y = _digits(channels=3, classes=2)
    inputs = keras.Input(shape=(12, 12, 3))
    h = layers.RandomFlip("horizontal")(inputs)
    h = layers.RandomRotation(0.1)(h)
    h = layers.Rescaling(1.0 / 255)(h)
    h = layers.Conv2D(8, 3, strides=2, padding="same")(h)
    h = layers.BatchNormalization()(h)
    h = layers.Activation("relu")(h)
    previous = h
    h = layers.SeparableConv2D(8, 3, padding="same")(h)
    h = layers.BatchNormalization()(h)
    h = layers.add([h, previous])
    h = layers.GlobalAveragePooling2D()(h)
    h = layers.Dropout(0.25)(h)
    outputs = layers.Dense(1, activation=None)(h)
    model = keras.Model(inputs, outputs)
    model.compile(
        optimizer=keras.optimizers.Adam(3e-4),
        loss=keras.losses.BinaryCrossentropy(from_logits=True),
        metrics=[keras.metrics.BinaryAccuracy(name="acc")],
    )
    return Script(model, dict(x=x, y=y, epochs=2, batch_size=16))


@program("vision", "keras-team/keras issue 19535: subclassed, layers made in __init__")
def subclassed_convnet():
    class ConvNet(keras.Model):
        def __init__(self):
            super().__init__()
            self.conv = layers.Conv2D(4, 3, activation="relu")
            self.pool = layers.GlobalMaxPooling2D()
            self.drop = layers.Dropout(0.3)
            self.out = layers.Dense(4, activation="softmax")

        def call(self, x, training=False):
            x = self.pool(self.conv(x))
            return self.out(self.drop(x, training=training))

    x, y = _digits()
    model = ConvNet()
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    x = x / np.float32(255)
    return Script(
        model,
        dict(x=x, y=y, epochs=2, batch_size=10),
        loads=False,
    )


# On torch, the plain program fails: "grad_input must be contiguous".
@program(
    "vision",
    "Keras example vision/oxford_pets_image_segmentation",
    ("tensorflow", "jax"),
)
def small_unet_with_integer_masks():
    rng = np.random.default_rng(0)
    x = rng.random((16, 16, 16, 3), dtype="float32")
    y = rng.integers(0, 3, (16, 16, 16, 1)).astype("uint8")
    inputs = keras.Input(shape=(16, 16, 3))
    down = layers.Conv2D(8, 3, padding="same", activation="relu")(inputs)
    h = layers.MaxPooling2D(2)(down)
    h = layers.Conv2D(16, 3, padding="same", activation="relu")(h)
    h = layers.Dropout(0.1)(h)
    h = layers.UpSampling2D(2)(h)
    h = layers.Concatenate()([h, down])
    outputs = layers.Conv2D(3, 3, activation="softmax", padding="same")(h)
    model = keras.Model(inputs, outputs)
    model.compile("adam", loss="sparse_categorical_crossentropy")
    return Script(model, dict(x=x, y=y, batch_size=4, epochs=2))


@program("vision", "Keras guide transfer_learning: frozen base, training=False")
def frozen_mobilenet_with_new_head():
    x, y = _digits(count=16, size=32, channels=3, classes=2)
    base = keras.applications.MobileNetV2(
        input_shape=(32, 32, 3), include_top=False, weights=None, alpha=0.35
    )
    base.trainable = False
    inputs = keras.Input(shape=(32, 32, 3))
    h = keras.applications.mobilenet_v2.preprocess_input(inputs)
    h = base(h, training=False)
    h = layers.GlobalAveragePooling2D()(h)
    h = layers.Dropout(0.2)(h)
    model = keras.Model(inputs, layers.Dense(1)(h))
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss=loss)
    return Script(model, dict(x=x.astype("float32"), y=y, epochs=2, batch_size=8))


@program(
    "vision", "TensorFlow tutorial images/transfer_learning: Sequential over a base"
)
def sequential_over_a_base_model():
    x, y = _digits(count=16, size=16, channels=3)
    pixels = keras.Input((16, 16, 3))
    h = pixels
    for width in (8, 16):
        h = layers.Conv2D(width, 3, strides=2, use_bias=False)(h)
        h = layers.ReLU(max_value=6)(layers.BatchNormalization()(h))
    base = keras.Model(pixels, layers.GlobalAveragePooling2D()(h))
    model = keras.Sequential([base, layers.Dropout(0.2), layers.Dense(4)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer="rmsprop", loss=loss, metrics=["accuracy"])
    return Script(model, dict(x=x / np.float32(127.5) - 1, y=y, epochs=1, batch_size=8))


@program("vision", "Keras API image_dataset_from_directory, data pipeline tutorial")
def images_in_a_folder():
    folder = Path(tempfile.mkdtemp())
    rng = np.random.default_rng(0)
    for name in ("cats", "dogs"):
        (folder / name).mkdir()
        for index in range(10):
            pixels = rng.integers(0, 255, (10, 10, 3)).astype("float32")
            keras.utils.save_img(folder / name / f"{index}.png", pixels)
    data = keras.utils.image_dataset_from_directory(
        folder, image_size=(12, 12), batch_size=8, seed=0, verbose=False
    )
    model = keras.Sequential(
        [
            layers.Rescaling(1.0 / 255),
            layers.Conv2D(8, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(2),
        ]
    )
    model.compile(
        optimizer="adam",
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    return Script(model, dict(x=data, epochs=2))


@program("vision", "Keras example vision/image_classification_with_vision_transformer")
def vision_transformer():
    class Patches(layers.Layer):
        def __init__(self, size, **kwargs):
            super().__init__(**kwargs)
            self.size = size

        def call(self, images):
            patches = keras.ops.image.extract_patches(images, size=self.size)
            count, width = patches.shape[1] * patches.shape[2], patches.shape[3]
            return keras.ops.reshape(patches, (-1, count, width))

        def get_config(self):
            return super().get_config() | {"size": self.size}

    class PatchEncoder(layers.Layer):
        def __init__(self, count, width, **kwargs):
            super().__init__(**kwargs)
            self.count, self.width = count, width
            self.project = layers.Dense(width)
            self.position = layers.Embedding(count, width)

        def call(self, patches):
            places = keras.ops.expand_dims(keras.ops.arange(self.count), axis=0)
            return self.project(patches) + self.position(places)

        def get_config(self):
            return super().get_config() | {"count": self.count, "width": self.width}

    x, y = _digits(channels=3)
    inputs = keras.Input(shape=(12, 12, 3))
    patches = Patches(4)(layers.Rescaling(1 / 255)(inputs))
    h = PatchEncoder(9, 16)(patches)
    a = layers.LayerNormalization(epsilon=1e-6)(h)
    a = layers.MultiHeadAttention(2, 8, dropout=0.1)(a, a)
    h = layers.Add()([a, h])
    f = layers.LayerNormalization(epsilon=1e-6)(h)
    f = layers.Dense(32, activation="gelu")(f)
    f = layers.Dropout(0.1)(f)
    f = layers.Dense(16, activation="gelu")(f)
    h = layers.Add()([f, h])
    h = layers.Flatten()(h)
    model = keras.Model(inputs, layers.Dense(4)(layers.Dropout(0.5)(h)))
    model.compile(
        optimizer=keras.optimizers.AdamW(learning_rate=1e-3, weight_decay=1e-4),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.SparseTopKCategoricalAccuracy(2, name="top-2")],
    )
    return Script(
        model, dict(x=x, y=y, batch_size=12, epochs=2),
        custom_objects={"Patches": Patches, "PatchEncoder": PatchEncoder},
    )  # fmt: skip


@program(
    "vision", "Keras example vision/cutmix, vision/mixup: soft labels in a tf.data"
)
def mixed_images_from_tf_data():
    import tensorflow as tf

    x, y = _digits(channels=3)
    x, y = x.astype("float32") / 255, keras.utils.to_categorical(y, 4)
    rng = np.random.default_rng(1)
    share = rng.beta(0.4, 0.4, (len(x), 1)).astype("float32")
    mixed = share[..., None, None] * x + (1 - share[..., None, None]) * x[::-1]
    labels = share * y + (1 - share) * y[::-1]
    data = tf.data.Dataset.from_tensor_slices((mixed, labels.astype("float32")))
    data = data.shuffle(32, seed=0).batch(12).prefetch(1)
    model = keras.Sequential(
        [
            layers.Input((12, 12, 3)),
            layers.Conv2D(8, 3, padding="same", kernel_regularizer="l2"),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.SpatialDropout2D(0.2),
            layers.GlobalAvgPool2D(),
            layers.Dense(4, activation="softmax"),
        ]
    )
    model.compile(loss="categorical_crossentropy", optimizer="nadam")
    return Script(model, dict(x=data, epochs=2))


@program(
    "vision", "Keras example vision/captcha_ocr and multi-task heads: dict outputs"
)
def two_heads_with_dicts():
    x, y = _digits(channels=3)
    inputs = keras.Input((12, 12, 3), name="image")
    h = layers.Conv2D(8, 3, activation="relu")(inputs)
    h = layers.GlobalAveragePooling2D()(h)
    kind = layers.Dense(4, activation="softmax", name="kind")(h)
    size = layers.Dense(1, name="size")(layers.Dropout(0.2)(h))
    model = keras.Model({"image": inputs}, {"kind": kind, "size": size})
    model.compile(
        optimizer="adam",
        loss={"kind": "sparse_categorical_crossentropy", "size": "mse"},
        loss_weights={"kind": 1.0, "size": 0.1},
        metrics={"kind": ["accuracy"]},
    )
    x = {"image": x.astype("float32") / 255}
    y = {"kind": y, "size": (y[:, None] / 4).astype("float32")}
    return Script(model, dict(x=x, y=y, epochs=2, batch_size=8))


@program(
    "vision", "Keras guide on distillation and EfficientNet fine-tuning: swish, SE"
)
def squeeze_and_excite_block():
    x, y = _digits(channels=3)
    inputs = keras.Input((12, 12, 3))
    h = layers.Conv2D(8, 3, padding="same", use_bias=False)(inputs / 255.0)
    h = layers.BatchNormalization()(h)
    h = layers.Activation("swish")(h)
    h = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(h)
    gate = layers.GlobalAveragePooling2D(keepdims=True)(h)
    gate = layers.Conv2D(2, 1, activation="swish")(gate)
    gate = layers.Conv2D(8, 1, activation="sigmoid")(gate)
    h = layers.Multiply()([h, gate])
    h = layers.GroupNormalization(groups=4)(h)
    h = layers.GlobalAveragePooling2D()(h)
    model = keras.Model(inputs, layers.Dense(4, "softmax")(h))
    model.compile(
        keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True),
        "sparse_categorical_crossentropy",
    )
    return Script(model, dict(x=x.astype("float32"), y=y, epochs=2))


@program("vision", "Keras guide mixed_precision: float16 on images")
def mixed_precision_convnet():
    x, y = _digits()
    policy = keras.mixed_precision.DTypePolicy("mixed_float16")
    model = keras.Sequential(
        [
            keras.Input((12, 12, 1)),
            layers.Rescaling(1 / 255, dtype=policy),
            layers.Conv2D(8, 3, activation="relu", dtype=policy),
            layers.Flatten(dtype=policy),
            layers.Dense(4, dtype=policy),
            layers.Activation("softmax", dtype="float32"),
        ]
    )
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(1e-3))
    model.compile(optimizer, "sparse_categorical_crossentropy")
    return Script(model, dict(x=x, y=y, epochs=2, batch_size=16))


@program(
    "vision", "Keras example vision/video_classification: TimeDistributed, ConvLSTM"
)
def convolutions_over_frames():
    rng = np.random.default_rng(0)
    x = rng.random((12, 4, 8, 8, 1), dtype="float32")
    y = rng.integers(0, 2, 12)
    model = keras.Sequential()
    model.add(layers.ConvLSTM2D(4, (3, 3), padding="same", return_sequences=True))
    model.add(layers.TimeDistributed(layers.GlobalAveragePooling2D()))
    model.add(layers.GRU(6))
    model.add(layers.Dense(1, activation="sigmoid"))
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    return Script(model, dict(x=x, y=y, epochs=2, batch_size=5))
