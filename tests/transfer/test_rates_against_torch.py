"""Updates are those of `torch.optim` with a parameter group for each layer group."""

from collections.abc import Callable

import keras
import numpy as np
import pytest
import torch
from keras import ops

from keras_deeptools.transfer import DiscriminativeLearningRates

of = keras.optimizers
SHAPES = [(4, 3), (3,), (3, 5), (5,), (5, 2), (2,)]
RATES = [0.001, 0.003, 0.01]
STEPS, DECAY = 20, 0.1

generator = np.random.default_rng(0)
START = [generator.normal(size=shape).astype("float32") for shape in SHAPES]
GRADIENTS = [
    [generator.normal(size=shape).astype("float32") for shape in SHAPES]
    for _ in range(STEPS)
]

PAIRS: dict[str, tuple[keras.optimizers.Optimizer, Callable]] = {
    "SGD": (of.SGD, lambda groups: torch.optim.SGD(groups)),
    "SGD with momentum": (
        lambda: of.SGD(momentum=0.9),
        lambda groups: torch.optim.SGD(groups, momentum=0.9),
    ),
    "SGD with Nesterov momentum": (
        lambda: of.SGD(momentum=0.9, nesterov=True),
        lambda groups: torch.optim.SGD(groups, momentum=0.9, nesterov=True),
    ),
    "Adam": (
        lambda: of.Adam(epsilon=1e-12),
        lambda groups: torch.optim.Adam(groups, eps=1e-12),
    ),
    "AdamW": (
        lambda: of.AdamW(epsilon=1e-12, weight_decay=DECAY),
        lambda groups: torch.optim.AdamW(groups, eps=1e-12, weight_decay=DECAY),
    ),
    "RMSprop": (
        lambda: of.RMSprop(rho=0.95, epsilon=1e-14),
        lambda groups: torch.optim.RMSprop(groups, alpha=0.95, eps=0.0),
    ),
}


def network() -> keras.Model:
    """Three dense layers with the weights `START`."""
    layers = [keras.layers.Dense(shape[1]) for shape in SHAPES[::2]]
    model = keras.Sequential([keras.Input((4,)), *layers])
    model.set_weights(START)
    return model


def keras_weights(make: Callable) -> list[np.ndarray]:
    """The weights after all updates, each layer with its rate of `RATES`."""
    model = network()
    optimizer = DiscriminativeLearningRates(make(), RATES, model)
    optimizer.build(model.trainable_variables)
    for gradients in GRADIENTS:
        optimizer.apply([ops.convert_to_tensor(g) for g in gradients])
    return model.get_weights()


def torch_weights(make: Callable) -> list[np.ndarray]:
    """The same with a parameter group for each layer."""
    weights = [torch.nn.Parameter(torch.tensor(w, device="cpu")) for w in START]
    groups = [
        {"params": weights[2 * i : 2 * i + 2], "lr": rate}
        for i, rate in enumerate(RATES)
    ]
    optimizer = make(groups)
    for gradients in GRADIENTS:
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.grad = torch.tensor(gradient, device="cpu")
        optimizer.step()
    return [weight.detach().numpy() for weight in weights]


def numpy_lion() -> list[np.ndarray]:
    """Lion as in the paper's algorithm 2: `torch.optim` has none."""
    weights = [w.astype("float64") for w in START]
    momenta = [np.zeros_like(w) for w in weights]
    for gradients in GRADIENTS:
        for i, gradient in enumerate(gradients):
            rate = RATES[i // 2]
            update = np.sign(0.9 * momenta[i] + 0.1 * gradient)
            weights[i] -= rate * (update + DECAY * weights[i])
            momenta[i] = 0.99 * momenta[i] + 0.01 * gradient
    return weights


def assert_same(these: list[np.ndarray], those: list[np.ndarray]) -> None:
    for this, that in zip(these, those, strict=True):
        np.testing.assert_allclose(this, that, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", PAIRS)
def test_updates_are_those_of_parameter_groups(name: str) -> None:
    ours, theirs = PAIRS[name]
    assert_same(keras_weights(ours), torch_weights(theirs))


def test_updates_of_lion_are_those_of_the_paper() -> None:
    make = of.Lion
    assert_same(keras_weights(lambda: make(weight_decay=DECAY)), numpy_lion())
