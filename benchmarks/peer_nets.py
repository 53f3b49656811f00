"""The same net in Keras and in torch, and data for it."""

from typing import Any

import keras
import numpy as np
from sklearn.datasets import load_digits

NUM_CLASSES = 10


def net(
    inputs: int, width: int, depth: int, rate: float = 0.0, last_only: bool = False
) -> keras.Sequential:
    """Dense layers with rectifiers, and logits of ten classes.

    Args:
        inputs: Int, features.
        width: Int, units of each hidden layer.
        depth: Int, hidden layers.
        rate: Float in [0, 1). Dropout after hidden layers.
        last_only: Bool, whether dropout comes after the last hidden layer alone.
    """
    stack: list[Any] = [keras.Input((inputs,))]
    for number in range(depth):
        stack.append(keras.layers.Dense(width, "relu", kernel_initializer="he_normal"))
        if rate and (number == depth - 1 or not last_only):
            stack.append(keras.layers.Dropout(rate))
    return keras.Sequential([*stack, keras.layers.Dense(NUM_CLASSES)])


def compiled(model: keras.Sequential, optimizer: str, rate: float) -> keras.Sequential:
    """The model, compiled as `torch_optimizer` has it.

    Args:
        model: From `net`.
        optimizer: `"adam"` or `"sgd"` (momentum 0.9).
        rate: Float, learning rate.
    """
    chosen = {
        "adam": lambda: keras.optimizers.Adam(rate, epsilon=1e-7),
        "sgd": lambda: keras.optimizers.SGD(rate, momentum=0.9),
    }[optimizer]()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(chosen, loss, metrics=["accuracy"])
    return model


def twin(model: keras.Sequential) -> Any:
    """A `torch.nn.Sequential` with the same layers and weights."""
    import torch

    stack: list[Any] = []
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dropout):
            stack.append(torch.nn.Dropout(layer.rate))
            continue
        kernel, bias = layer.get_weights()
        linear = torch.nn.Linear(*kernel.shape)
        with torch.no_grad():
            linear.weight.copy_(torch.as_tensor(kernel.T.copy()))
            linear.bias.copy_(torch.as_tensor(bias))
        stack.append(linear)
        if layer.activation is keras.activations.relu:
            stack.append(torch.nn.ReLU())
    return torch.nn.Sequential(*stack)


def torch_optimizer(parameters: Any, optimizer: str, rate: float) -> Any:
    """An optimizer of torch, with the same constants as `compiled`."""
    import torch

    if optimizer == "adam":
        return torch.optim.Adam(parameters, rate, eps=1e-7)
    return torch.optim.SGD(parameters, rate, momentum=0.9)


def digits() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """1,024 of scikit-learn's digits to train on and 773 to judge by."""
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order].astype("float32") / 16, y[order].astype("int64")
    return x[:1024], y[:1024], x[1024:], y[1024:]
