"""`rebalance` minimizes what it says, and evens gradients out where they grow."""

import keras
import numpy as np
import pytest
from keras import layers
from scipy import optimize

from keras_deeptools.initializers import rebalance
from keras_deeptools.initializers._rebalance import minimize

RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 6)).astype("float32")
Y = RNG.normal(size=(64, 2)).astype("float32")
WIDTHS = (16, 8, 4)


def funnel() -> keras.Model:
    """Gets narrower, where signals and gradients cannot both be even."""
    init = keras.initializers.RandomNormal
    hidden = [
        layers.Dense(n, "tanh", kernel_initializer=init(stddev=0.3, seed=n))
        for n in WIDTHS
    ]
    last = layers.Dense(2, kernel_initializer=init(stddev=0.3, seed=1))
    return keras.Sequential([keras.Input((6,)), *hidden, last])


def numpy_objective(logs: np.ndarray, kernels: list[np.ndarray]) -> float:
    scaled = [np.exp(log) * kernel for log, kernel in zip(logs, kernels, strict=True)]
    outputs, pre = [X.astype("float64")], []
    for index, kernel in enumerate(scaled):
        pre.append(outputs[-1] @ kernel)
        last = index == len(scaled) - 1
        outputs.append(pre[-1] if last else np.tanh(pre[-1]))
    gradients = [2 * (outputs[-1] - Y) / Y.size]
    for index in range(len(scaled) - 1, 0, -1):
        slope = 1 - outputs[index] ** 2
        gradients.insert(0, gradients[0] @ scaled[index].T * slope)
    signals = np.log([np.std(z) for z in pre])
    back = np.log([np.sqrt(np.mean(g**2)) for g in gradients])
    level = np.mean(signals)
    return 0.5 * np.var(signals) + 0.5 * np.var(back) + 0.005 * level**2


@pytest.fixture(scope="module")
def balanced() -> tuple:
    model = funnel()
    kernels = [np.asarray(w, "float64") for w in model.get_weights()[::2]]
    return model, kernels, rebalance(model, X, Y, loss="mse", verbose=0)


def test_the_objective_is_that_of_numpy_before_and_after(balanced: tuple) -> None:
    _, kernels, report = balanced
    before = numpy_objective(np.zeros(4), kernels)
    after = numpy_objective(np.log([x.scale for x in report.layers]), kernels)
    assert report.objective_before == pytest.approx(before, rel=1e-3)
    assert report.objective_after == pytest.approx(after, rel=1e-3)


def test_the_minimum_is_that_which_scipy_finds(balanced: tuple) -> None:
    _, kernels, report = balanced
    found = optimize.minimize(numpy_objective, np.zeros(4), (kernels,), "Nelder-Mead")
    assert report.objective_after <= 1.02 * found.fun
    assert report.objective_after < 0.5 * report.objective_before


def test_the_weights_are_scaled_by_what_the_report_says(balanced: tuple) -> None:
    model, kernels, report = balanced
    for layer, kernel, new in zip(
        report.layers, kernels, model.get_weights()[::2], strict=True
    ):
        np.testing.assert_allclose(new, layer.scale * kernel, rtol=1e-5)
    assert "gradient after" in report.table() and "objective" in str(report)


def selu_net(depth: int, width: int) -> keras.Model:
    keras.utils.set_random_seed(1)
    hidden = [
        layers.Dense(width, "selu", kernel_initializer="lecun_normal")
        for _ in range(depth)
    ]
    last = layers.Dense(10, kernel_initializer="lecun_normal")
    return keras.Sequential([keras.Input((64,)), *hidden, last])


def growth(gradients: list[float]) -> float:
    """How many times the gradient grows from the last hidden layer to the first."""
    return gradients[0] / gradients[-2]


@pytest.mark.slow
def test_the_gradient_of_fifty_selu_layers_grows_less_than_half_again() -> None:
    model = selu_net(50, 256)
    x = RNG.normal(size=(256, 64))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    report = rebalance(model, x, RNG.integers(0, 10, 256), loss=loss, verbose=0)
    assert growth([layer.gradient_before for layer in report.layers]) > 4.5
    assert growth([layer.gradient_after for layer in report.layers]) < 1.5
    hidden = [layer.std_after for layer in report.layers[:-1]]
    assert max(hidden) / min(hidden) < 1.5


def test_signals_that_vanish_are_brought_back() -> None:
    small = keras.initializers.RandomNormal(stddev=0.01, seed=2)
    hidden = [layers.Dense(16, "relu", kernel_initializer=small) for _ in "abcde"]
    model = keras.Sequential([keras.Input((6,)), *hidden, layers.Dense(2)])
    report = rebalance(model, X, Y, loss="mse", verbose=0)
    stds = [layer.std_after for layer in report.layers]
    assert report.objective_after < 0.05 and max(stds) < 3 * min(stds)


def test_the_compiled_loss_is_taken_and_metrics_stay() -> None:
    model = funnel()
    model.compile("sgd", "mse", metrics=["mae"])
    report = rebalance(model, X, Y, max_iterations=1, verbose=0)
    assert np.isfinite(report.objective_after)
    assert model.optimizer.iterations == 0


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"forward_weight": 1.5}, "`forward_weight` must be in"),
        ({"level_weight": -1}, "`level_weight` must be a number"),
        ({"target": 0}, "`target` must be a number"),
        ({"y": None}, "`y` must be the targets"),
        ({"y": Y[:3]}, "same number of samples"),
    ],
)
def test_bad_input_is_named_and_changes_nothing(arguments: dict, message: str) -> None:
    model = funnel()
    before = model.get_weights()
    with pytest.raises(ValueError, match=f"^rebalance: .*{message}"):
        rebalance(model, X, **{"y": Y, "loss": "mse", "verbose": 0, **arguments})
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_least_squares_finds_the_minimum_of_rosenbrocks_function() -> None:
    found = minimize(
        lambda p: np.array([10 * (p[1] - p[0] ** 2), 1 - p[0]]),
        np.array([-1.2, 1.0]),
        200,
    )
    np.testing.assert_allclose(found.point, [1, 1], atol=1e-2)
