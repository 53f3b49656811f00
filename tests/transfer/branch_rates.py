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


def with_an_optimizer_each(make: Make) -> keras.Model:
    """The two branches with plain optimizers, one at each rate; run without compiling.

    The reference for all that discriminative rates are to do.
    """
    slow_and_fast = of.OptimizerMap(make(RATE), {"left/.*": make(RATE * QUARTER)})
    return two_branches(of.MultiOptimizer(slow_and_fast), run_eagerly=True)


def assert_trained_as_plain(
    model: keras.Model,
    make: Make,
    train: Callable[[keras.Model], None],
    tolerance: float = 1e-6,
) -> None:
    """Each branch has become what a plain optimizer at its rate makes of it."""
    plain = with_an_optimizer_each(make)
    train(plain)
    for branch, found in branches(model).items():
        assert_close(found, branches(plain)[branch], tolerance)
