"""Two branches, the left one at a quarter of the rate, beside plain ones."""

from collections.abc import Callable

import keras
import numpy as np

from keras_deeptools.transfer import DiscriminativeLearningRates
from transfer.two_branches import two_branches, values

of = keras.optimizers
Make = Callable[[float], keras.optimizers.Optimizer]
RATE, QUARTER = 0.02, 0.25


def discriminative(
    optimizer: keras.optimizers.Optimizer | str, model: keras.Model
) -> DiscriminativeLearningRates:
    """The left branch at a quarter of the optimizer's rate."""
    multipliers = {"left": QUARTER, "*": 1.0}
    return DiscriminativeLearningRates(optimizer, multipliers=multipliers, groups=model)


def with_rates(
    optimizer: keras.optimizers.Optimizer | str, **options: object
) -> keras.Model:
    """The two branches, compiled with discriminative rates."""
    model = two_branches("sgd")
    model.compile(discriminative(optimizer, model), loss=["mse", "mse"], **options)
    return model


def branches(model: keras.Model) -> dict[str, dict[str, np.ndarray]]:
    """Weights and slots of both branches."""
    return {branch: values(model, branch) for branch in ("left", "right")}


def assert_close(these: dict, those: dict, tolerance: float = 1e-6) -> None:
    """Equal by name; the names of slots are those of the variables."""
    assert these.keys() == those.keys() and these
    for name, value in these.items():
        np.testing.assert_allclose(
            value, those[name], rtol=1e-6, atol=tolerance, err_msg=name
        )


def assert_trained_as_plain(
    model: keras.Model, make: Make, train: Callable[[keras.Model], None]
) -> None:
    """Each branch has become what a plain optimizer at its rate makes of it."""
    found = branches(model)
    for branch, rate in (("left", RATE * QUARTER), ("right", RATE)):
        plain = two_branches(make(rate))
        train(plain)
        assert_close(found[branch], branches(plain)[branch])
