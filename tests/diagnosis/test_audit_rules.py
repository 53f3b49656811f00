"""Each trap is found in a model that has it, and in no twin that has not."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from keras_deeptools.diagnosis import audit
from keras_deeptools.initializers import FanScaling, initializer_for

layers = keras.layers
initializers = keras.initializers
Make = Callable[[], keras.Model]


def chain(*parts: Any, inputs: tuple = (8,)) -> keras.Model:
    """A functional model of calls in a row."""
    x = given = keras.Input(inputs)
    for part in parts:
        x = part(x)
    return keras.Model(given, x)


def compiled(model: keras.Model, loss: Any = "mse", optimizer: Any = "sgd") -> Any:
    model.compile(optimizer, loss)
    return model


def after(model: keras.Model, change: Callable[[keras.Model], Any]) -> keras.Model:
    change(model)
    return model


def base(**settings: Any) -> keras.Model:
    norm = layers.BatchNormalization(**settings)
    return keras.Sequential([keras.Input((8,)), layers.Dense(8, use_bias=False), norm])


def selu(initializer: str = "lecun_normal", units: int = 8) -> keras.Layer:
    return layers.Dense(units, "selu", kernel_initializer=initializer)


def selu_skip(*tail: Any) -> keras.Model:
    inputs = keras.Input((8,))
    x = selu()(inputs)
    x = layers.Add()([x, selu()(x)])
    for part in tail:
        x = part(x)
    return keras.Model(inputs, x)


def loss(from_logits: bool) -> keras.losses.Loss:
    return keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits)


def binary(from_logits: bool) -> keras.losses.Loss:
    return keras.losses.BinaryCrossentropy(from_logits=from_logits)


def built(optimizer: keras.optimizers.Optimizer, **settings: Any) -> keras.Model:
    model = compiled(chain(layers.Dense(2)), optimizer=optimizer)
    optimizer.build(model.trainable_variables)
    for name, value in settings.items():
        setattr(optimizer, name, value)
    return model


def decay(rate: float = 0.1) -> Any:
    return keras.optimizers.schedules.ExponentialDecay(rate, 10, 0.9)


SGD = keras.optimizers.SGD

CASES: dict[str, tuple[str, Make, Make]] = {
    "training=True": (
        "disabled MC dropout",
        lambda: chain(lambda x: layers.Dropout(0.5)(x, training=True)),
        lambda: chain(layers.Dropout(0.5)),
    ),
    "training=True on a nested model": (
        "disabled MC dropout",
        lambda: chain(lambda x: chain(layers.Dropout(0.5))(x, training=True)),
        lambda: chain(lambda x: chain(layers.Dropout(0.0))(x, training=True)),
    ),
    "training=True on a recurrent layer": (
        "disabled MC dropout",
        lambda: chain(
            lambda x: layers.LSTM(2, dropout=0.5)(x, training=True), inputs=(3, 2)
        ),
        lambda: chain(lambda x: layers.LSTM(2)(x, training=True), inputs=(3, 2)),
    ),
    "one seed in two layers": (
        "shared seeds",
        lambda: chain(layers.Dropout(0.5, seed=1), layers.Dropout(0.5, seed=1)),
        lambda: chain(layers.Dropout(0.5, seed=1), layers.Dropout(0.5, seed=2)),
    ),
    "one seed in an attention layer": (
        "shared seeds",
        lambda: chain(*[layers.GaussianDropout(0.5, seed=1) for _ in "12"]),
        lambda: chain(
            lambda x: layers.MultiHeadAttention(2, 4, dropout=0.1, seed=1)(x, x),
            inputs=(3, 8),
        ),
    ),
    "alpha dropout of everything": (
        "dropout rate of 1",
        lambda: chain(layers.AlphaDropout(1.0)),
        lambda: chain(layers.AlphaDropout(0.9)),
    ),
    "dropout and then a normalization": (
        "dropout before BatchNormalization",
        lambda: chain(
            layers.Dropout(0.5), layers.Dense(4), layers.BatchNormalization()
        ),
        lambda: chain(layers.BatchNormalization(), layers.Dropout(0.5)),
    ),
    "dropout of samples": (
        "dropout before BatchNormalization",
        lambda: chain(layers.Dropout(0.5), layers.BatchNormalization()),
        lambda: chain(
            layers.Dropout(0.5, noise_shape=(None, 1)), layers.BatchNormalization()
        ),
    ),
    "training=False on a trainable base": (
        "BatchNormalization that will drift",
        lambda: chain(lambda x: base()(x, training=False)),
        lambda: chain(lambda x: base(trainable=False)(x, training=False)),
    ),
    "base without training=False": (
        "BatchNormalization that will drift",
        lambda: chain(lambda x: layers.BatchNormalization()(x, training=False)),
        lambda: chain(base()),
    ),
    "bias": (
        "bias before BatchNormalization",
        lambda: chain(layers.Dense(4), layers.BatchNormalization()),
        lambda: chain(layers.Dense(4, use_bias=False), layers.BatchNormalization()),
    ),
    "bias before an activation": (
        "bias before BatchNormalization",
        lambda: chain(
            layers.Conv2D(4, 3), layers.BatchNormalization(), inputs=(8, 8, 3)
        ),
        lambda: chain(layers.Dense(4, "relu"), layers.BatchNormalization()),
    ),
    "bias before a frozen normalization": (
        "bias before BatchNormalization",
        lambda: chain(layers.Dense(4), layers.BatchNormalization(center=False)),
        lambda: chain(layers.Dense(4), layers.BatchNormalization(trainable=False)),
    ),
    "alpha dropout before a normalization": (
        "dropout before BatchNormalization",
        lambda: chain(layers.GaussianDropout(0.5), layers.BatchNormalization()),
        lambda: chain(layers.AlphaDropout(0.5), layers.BatchNormalization()),
    ),
    "copy of a layer": (
        "equal kernels",
        lambda: after(
            chain(layers.Dense(8), layers.Dense(8)),
            lambda m: m.layers[2].set_weights(m.layers[1].get_weights()),
        ),
        lambda: after(
            chain(layers.Dense(8), layers.Dense(8, trainable=False)),
            lambda m: m.layers[2].set_weights(m.layers[1].get_weights()),
        ),
    ),
    "shared initializer": (
        "equal kernels",
        lambda: (
            lambda it: chain(
                layers.Dense(8, kernel_initializer=it),
                layers.Dense(8, kernel_initializer=it),
            )
        )(initializers.HeNormal()),
        lambda: (
            lambda it: chain(
                layers.Dense(8, kernel_initializer=it),
                layers.Dense(8, kernel_initializer=it),
            )
        )(FanScaling()),
    ),
    "one seed in two initializers": (
        "equal kernels",
        lambda: chain(
            layers.Dense(8, kernel_initializer=initializers.HeNormal(1)),
            layers.Dense(8, kernel_initializer=initializers.HeNormal(1)),
        ),
        lambda: chain(
            layers.Dense(8, kernel_initializer="identity"),
            layers.Dense(8, kernel_initializer="identity"),
        ),
    ),
    "depthwise": (
        "wrong fans",
        lambda: chain(layers.DepthwiseConv2D(3), inputs=(8, 8, 64)),
        lambda: chain(
            layers.DepthwiseConv2D(
                3, depthwise_initializer=initializer_for(None, "depthwise_conv")
            ),
            inputs=(8, 8, 64),
        ),
    ),
    "depthwise that was trained": (
        "wrong fans",
        lambda: chain(layers.SeparableConv2D(4, 3), inputs=(8, 8, 64)),
        lambda: after(
            chain(layers.DepthwiseConv2D(3), inputs=(8, 8, 64)),
            lambda m: m.variables[0].assign(m.variables[0] * 5),
        ),
    ),
    "transposed": (
        "wrong fans",
        lambda: chain(
            layers.Conv2DTranspose(4, 4, 2, kernel_initializer="he_normal"),
            inputs=(8, 8, 64),
        ),
        lambda: chain(
            layers.Conv2D(4, 4, 2, kernel_initializer="he_normal"),
            inputs=(8, 8, 64),
        ),
    ),
    "dropout with SELU": (
        "plain dropout with SELU",
        lambda: chain(selu(), layers.Dropout(0.1)),
        lambda: chain(selu(), layers.AlphaDropout(0.1)),
    ),
    "dropout with SELU elsewhere": (
        "plain dropout with SELU",
        lambda: chain(layers.Dense(8), keras.ops.selu, layers.Dropout(0.1)),
        lambda: chain(selu(), layers.Dense(8), keras.ops.relu, layers.Dropout(0.1)),
    ),
    "he_normal with SELU": (
        "initializer that is not for SELU",
        lambda: chain(selu("he_normal")),
        lambda: chain(selu()),
    ),
    "he_normal with SELU and training since": (
        "initializer that is not for SELU",
        lambda: chain(
            layers.Conv2D(8, 3, activation="selu", kernel_initializer="he_uniform"),
            inputs=(8, 8, 3),
        ),
        lambda: after(
            chain(selu("he_normal", 64)),
            lambda m: m.variables[0].assign(m.variables[0] * 3),
        ),
    ),
    "glorot with SELU": (
        "initializer that is not for SELU",
        lambda: chain(selu("glorot_uniform", 64)),
        lambda: chain(selu("glorot_uniform", 8)),
    ),
    "skip with SELU": (
        "skip without scaling in a SELU network",
        lambda: selu_skip(layers.Dense(2)),
        lambda: selu_skip(layers.Rescaling(2**-0.5), layers.Dense(2)),
    ),
    "skip with SELU scaled by an operation": (
        "skip without scaling in a SELU network",
        lambda: selu_skip(),
        lambda: selu_skip(lambda x: x * 2**-0.5),
    ),
    "softmax twice": (
        "softmax with from_logits=True",
        lambda: compiled(chain(layers.Dense(3, "softmax")), loss(True)),
        lambda: compiled(chain(layers.Dense(3, "softmax")), loss(False)),
    ),
    "sigmoid twice": (
        "sigmoid with from_logits=True",
        lambda: compiled(
            chain(layers.Dense(1), layers.Activation("sigmoid")), binary(True)
        ),
        lambda: compiled(chain(layers.Dense(1)), binary(True)),
    ),
    "logits as probabilities": (
        "logits with from_logits=False",
        lambda: compiled(chain(layers.Dense(3)), "sparse_categorical_crossentropy"),
        lambda: compiled(chain(layers.Dense(3)), "mse"),
    ),
    "logits as probabilities through an operation": (
        "logits with from_logits=False",
        lambda: compiled(
            chain(layers.Dense(3), layers.Dropout(0.1)), "categorical_crossentropy"
        ),
        lambda: compiled(
            chain(layers.Dense(3), keras.ops.softmax), "categorical_crossentropy"
        ),
    ),
    "softmax of one": (
        "softmax over one unit",
        lambda: chain(layers.Dense(1, "softmax")),
        lambda: chain(layers.Dense(1, "sigmoid")),
    ),
    "two clips": (
        "several kinds of clipping",
        lambda: built(SGD(clipnorm=1.0), global_clipnorm=2.0),
        lambda: built(SGD(clipnorm=1.0)),
    ),
    "scheduled decay": (
        "weight decay that is no number",
        lambda: built(SGD(), weight_decay=decay()),
        lambda: built(SGD(weight_decay=0.1)),
    ),
    "late momentum": (
        "momentum without velocities",
        lambda: built(SGD(), momentum=0.9),
        lambda: built(SGD(momentum=0.9), momentum=0.5),
    ),
    "schedule under accumulation": (
        "schedule that runs ahead",
        lambda: built(SGD(decay(), gradient_accumulation_steps=4)),
        lambda: built(SGD(0.1, gradient_accumulation_steps=4)),
    ),
    "schedule": (
        "schedule that runs ahead",
        lambda: built(SGD(decay(), gradient_accumulation_steps=2)),
        lambda: built(SGD(decay())),
    ),
    "averages and constraints": (
        "averages outside their constraint",
        lambda: compiled(
            chain(layers.Dense(2, kernel_constraint="max_norm")),
            optimizer=SGD(use_ema=True),
        ),
        lambda: compiled(chain(layers.Dense(2)), optimizer=SGD(use_ema=True)),
    ),
    "unfrozen after building": (
        "trainable changed without compiling",
        lambda: after(built(SGD()), lambda m: setattr(m.layers[1], "trainable", False)),
        lambda: after(
            compiled(chain(layers.Dense(2))),
            lambda m: setattr(m.layers[1], "trainable", False),
        ),
    ),
    "negative learning rate": (
        "learning rate not positive",
        lambda: compiled(chain(layers.Dense(2)), optimizer=SGD(-0.1)),
        lambda: compiled(chain(layers.Dense(2)), optimizer=SGD(decay())),
    ),
    "steps as large as the weights": (
        "learning rate too high",
        lambda: compiled(chain(layers.Dense(2)), optimizer=keras.optimizers.Adam(3.0)),
        lambda: compiled(chain(layers.Dense(2)), optimizer=keras.optimizers.Adam(0.01)),
    ),
    "steps of nothing": (
        "learning rate too low",
        lambda: compiled(chain(layers.Dense(2)), optimizer=keras.optimizers.Adam(1e-9)),
        lambda: compiled(chain(layers.Dense(2)), optimizer=SGD(1e-9)),
    ),
    "clipping of everything": (
        "clipping stops learning",
        lambda: compiled(chain(layers.Dense(2)), optimizer=SGD(0.1, clipnorm=1e-7)),
        lambda: compiled(chain(layers.Dense(2)), optimizer=SGD(0.1, clipnorm=0.1)),
    ),
    "clipping under epsilon": (
        "clipping stops learning",
        lambda: compiled(
            chain(layers.Dense(2)),
            optimizer=keras.optimizers.Adam(1e-3, clipvalue=1e-12),
        ),
        lambda: compiled(
            chain(layers.Dense(2)), optimizer=keras.optimizers.Adam(clipvalue=1e-3)
        ),
    ),
    "Glorot under many ReLU layers": (
        "vanishing signal",
        lambda: chain(*[layers.Dense(16, "relu") for _ in range(20)], layers.Dense(2)),
        lambda: chain(
            *[
                layers.Dense(16, "relu", kernel_initializer="he_normal")
                for _ in range(20)
            ],
            layers.Dense(2),
        ),
    ),
    "many sigmoid layers": (
        "vanishing gradient",
        lambda: chain(*[layers.Dense(16, "sigmoid") for _ in range(6)]),
        lambda: chain(
            *[
                part
                for _ in range(6)
                for part in (layers.Dense(16, "sigmoid"), layers.BatchNormalization())
            ]
        ),
    ),
    "not a number": (
        "non-finite weights",
        lambda: after(
            chain(layers.Dense(2)),
            lambda m: m.variables[0].assign(np.full((8, 2), np.nan)),
        ),
        lambda: chain(layers.Dense(2)),
    ),
    "all frozen": (
        "everything is frozen",
        lambda: compiled(chain(layers.Dense(2, trainable=False))),
        lambda: chain(layers.Dense(2, trainable=False)),
    ),
    "late constraint": (
        "constraint without effect",
        lambda: after(
            chain(layers.Dense(2)),
            lambda m: setattr(
                m.layers[1], "kernel_constraint", keras.constraints.MaxNorm(1)
            ),
        ),
        lambda: chain(layers.Dense(2, kernel_constraint="max_norm")),
    ),
    "late regularizer": (
        "regularizer without effect",
        lambda: after(
            chain(layers.DepthwiseConv2D(3), inputs=(8, 8, 3)),
            lambda m: setattr(
                m.layers[1], "depthwise_regularizer", keras.regularizers.L2(0.1)
            ),
        ),
        lambda: chain(
            layers.DepthwiseConv2D(3, depthwise_regularizer="l2"), inputs=(8, 8, 3)
        ),
    ),
}


@pytest.mark.alternates("case")
@pytest.mark.parametrize("case", CASES)
def test_a_trap_is_found_with_a_remedy_and_not_in_its_twin(case: str) -> None:
    kind, trap, twin = CASES[case]
    (finding,) = [it for it in audit(trap()).findings if it.kind == kind]
    assert all([finding.where, finding.message, finding.remedy, finding.reference])
    assert kind not in audit(twin()).kinds
