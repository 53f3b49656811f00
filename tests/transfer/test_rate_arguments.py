"""What rates mean, and what is said where they cannot be."""

from collections.abc import Callable

import keras
import pytest

from keras_deeptools.transfer import DiscriminativeLearningRates, layer_groups

pytestmark = pytest.mark.one_backend

of = keras.optimizers


@pytest.fixture(scope="module")
def model() -> keras.Model:
    names = ("first", "second", "third")
    layers = [keras.layers.Dense(2, name=name) for name in names]
    return keras.Sequential([keras.Input((2,)), *layers])


@pytest.fixture
def kernels(model: keras.Model) -> Callable[[DiscriminativeLearningRates], list[float]]:
    """A function that gives the rates of the three kernels."""

    def rates(optimizer: DiscriminativeLearningRates) -> list[float]:
        rate = float(keras.ops.convert_to_numpy(optimizer.learning_rate))
        return [rate * optimizer.multiplier(layer.kernel) for layer in model.layers]

    return rates


def close(*rates: float) -> object:
    return pytest.approx(list(rates), rel=1e-6)


def test_a_slice_is_geometric(model: keras.Model, kernels: Callable) -> None:
    optimizer = DiscriminativeLearningRates("adam", slice(1e-5, 1e-3), model)
    assert kernels(optimizer) == close(1e-5, 1e-4, 1e-3)


def test_a_slice_without_beginning_is_a_tenth_for_all_but_the_last(
    model: keras.Model, kernels: Callable
) -> None:
    optimizer = DiscriminativeLearningRates("adam", slice(1e-2), model)
    assert kernels(optimizer) == close(1e-3, 1e-3, 1e-2)


def test_a_list_has_a_rate_for_each_group(
    model: keras.Model, kernels: Callable
) -> None:
    groups = layer_groups(model)
    optimizer = DiscriminativeLearningRates("adam", [0.1, 0.3, 0.2], groups)
    assert kernels(optimizer) == close(0.1, 0.3, 0.2)


def test_a_shorter_list_makes_fewer_groups_of_a_model(
    model: keras.Model, kernels: Callable
) -> None:
    optimizer = DiscriminativeLearningRates("adam", [0.1, 0.2], model)
    assert kernels(optimizer) == close(0.1, 0.1, 0.2)


def test_of_patterns_the_first_that_fits_counts(
    model: keras.Model, kernels: Callable
) -> None:
    rates = {"first": 0.1, "*ir*": 0.4, "*": 0.2}
    optimizer = DiscriminativeLearningRates("adam", rates, model)
    assert kernels(optimizer) == close(0.1, 0.2, 0.4)


def test_layer_decay_counts_from_the_last_group(
    model: keras.Model, kernels: Callable
) -> None:
    optimizer = DiscriminativeLearningRates(of.Adam(0.1), groups=model, layer_decay=0.5)
    assert kernels(optimizer) == close(0.025, 0.05, 0.1)


def test_groups_can_be_lists_of_layers(model: keras.Model, kernels: Callable) -> None:
    first, second, third = model.layers
    groups = [[first, second], third]
    optimizer = DiscriminativeLearningRates("adam", [0.1, 0.2], groups)
    assert kernels(optimizer) == close(0.1, 0.1, 0.2)


def test_multipliers_are_of_a_schedule_too(
    model: keras.Model, kernels: Callable
) -> None:
    schedule = of.schedules.ExponentialDecay(0.2, 1, 0.5)
    optimizer = DiscriminativeLearningRates(
        of.Adam(schedule), multipliers=slice(0.25, 1.0), groups=model
    )
    assert kernels(optimizer) == close(0.05, 0.1, 0.2)


def test_the_table_shows_rates_now(model: keras.Model) -> None:
    optimizer = DiscriminativeLearningRates("adam", slice(1e-5, 1e-3), model)
    optimizer.learning_rate = 0.5
    assert optimizer.table().splitlines() == [
        "group      layers  parameters  multiplier  rate now",
        "0  first        1           6        0.01     0.005",
        "1  second       1           6         0.1      0.05",
        "2  third        1           6           1       0.5",
    ]


def test_the_table_of_several_optimizers_has_no_rate(model: keras.Model) -> None:
    several = of.MultiOptimizer(of.OptimizerMap(of.Adam()))
    optimizer = DiscriminativeLearningRates(
        several, multipliers=[0.5, 0.5, 1.0], groups=model
    )
    assert optimizer.table().splitlines()[1].endswith("0.5         -")


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({}, ValueError, "one of `rates`, .* Received: none"),
        ({"rates": [1.0] * 3, "layer_decay": 0.5}, ValueError, "rates, layer_decay"),
        ({"rates": [0.1, 0.0, 0.1]}, ValueError, "`rates` must be .* > 0"),
        ({"rates": 0.1}, TypeError, "`rates` must be a slice, a list"),
        ({"rates": slice(0.1, None)}, ValueError, r"`slice\(low, high\)`"),
        ({"rates": slice(0.1, 0.2, 3)}, ValueError, r"`slice\(low, high\)`"),
        ({"rates": {}}, ValueError, "not empty"),
        ({"rates": {"nowhere": 0.1}}, ValueError, "have weights.*'nowhere'.*Available"),
        ({"layer_decay": 1.5}, ValueError, "`layer_decay` must be .* <= 1"),
        ({"rates": [0.1, 0.2], "groups": 3}, TypeError, "`groups` must be"),
        ({"rates": [0.1], "groups": ["first"]}, TypeError, "made of layers"),
        ({"rates": {"*": 0.1}, "groups": []}, TypeError, "built `keras.Model`"),
    ],
)
def test_bad_arguments_are_named(
    model: keras.Model, options: dict, error: type[Exception], text: str
) -> None:
    options = {"groups": model} | options
    with pytest.raises(error, match=f"DiscriminativeLearningRates: .*{text}"):
        DiscriminativeLearningRates("adam", **options)


def test_a_list_that_does_not_fit_the_groups_is_named(model: keras.Model) -> None:
    with pytest.raises(ValueError, match="a list of 3 numbers"):
        DiscriminativeLearningRates("adam", [0.1, 0.2], layer_groups(model))


def test_rates_for_a_schedule_are_refused(model: keras.Model) -> None:
    schedule = of.schedules.ExponentialDecay(0.2, 1, 0.5)
    with pytest.raises(ValueError, match="cannot be set.*give `multipliers`"):
        DiscriminativeLearningRates(of.Adam(schedule), slice(0.1, 1.0), model)


def test_variables_with_the_same_path_can_have_different_rates() -> None:
    layers = [keras.layers.Dense(2, name="same") for _ in range(2)]
    for layer in layers:
        layer.build((None, 2))
    optimizer = DiscriminativeLearningRates("adam", [0.1, 0.2], layers)
    found = [optimizer.multiplier(layer.kernel) for layer in layers]
    assert found == [0.5, 1.0]


def test_an_optimizer_that_is_built_for_other_variables_is_refused(
    model: keras.Model,
) -> None:
    adam = of.Adam()
    adam.build([keras.Variable(1.0)])
    optimizer = DiscriminativeLearningRates(adam, slice(0.1), model)
    with pytest.raises(ValueError, match="built for other ones"):
        optimizer.build(model.trainable_variables)


def test_a_variable_in_no_group_has_no_multiplier(model: keras.Model) -> None:
    optimizer = DiscriminativeLearningRates("adam", slice(0.1), model)
    with pytest.raises(ValueError, match="`variable` must be in a group"):
        optimizer.multiplier(keras.Variable(1.0))


def test_a_model_that_is_given_in_the_place_of_rates_is_told_its_name() -> None:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    with pytest.raises(TypeError, match="Give the model by name: `groups=model`"):
        DiscriminativeLearningRates("sgd", model)
