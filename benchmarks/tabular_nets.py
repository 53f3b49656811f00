"""The multilayer perceptrons that self_normalizing_tabular.py compares.

- ReLU: He initialization, no normalization ("MSRAinit" in the paper)
- ReLU, BatchNorm and ReLU, LayerNorm: normalized before each activation
- SELU: `SelfNormalizingDense`; with AlphaDropout: of rate 0.05
- SELU, residual: `SelfNormalizingResidual` around every two of them
"""

from collections.abc import Callable

import keras

from keras_deeptools.layers import SelfNormalizingDense, SelfNormalizingResidual

layers = keras.layers
WIDTH = 64


def relu(normalization: Callable | None = None) -> list[keras.Layer]:
    """A hidden layer of those that self-normalization is compared with."""
    hidden = [layers.Dense(WIDTH, kernel_initializer="he_normal")]
    if normalization is not None:
        hidden.append(normalization())
    return [*hidden, layers.Activation("relu")]


def selu(rate: float = 0.0) -> list[keras.Layer]:
    """A self-normalizing hidden layer."""
    return [SelfNormalizingDense(WIDTH, rate)]


METHODS: dict[str, Callable[[], list[keras.Layer]]] = {
    "ReLU": relu,
    "ReLU, BatchNorm": lambda: relu(layers.BatchNormalization),
    "ReLU, LayerNorm": lambda: relu(layers.LayerNormalization),
    "SELU": selu,
    "SELU, AlphaDropout": lambda: selu(0.05),
    "SELU, residual": lambda: [SelfNormalizingResidual(selu() + selu())],
}


def net(method: str, depth: int, num_features: int, num_classes: int) -> keras.Model:
    """Hidden layers and a head; one class stands for a regression."""
    times = depth // 2 if method == "SELU, residual" else depth
    hidden = [layer for _ in range(times) for layer in METHODS[method]()]
    activation = "softmax" if num_classes > 1 else None
    head = layers.Dense(num_classes, activation, kernel_initializer="lecun_normal")
    return keras.Sequential([keras.Input((num_features,)), *hidden, head])
