import copy
import pickle

import keras
import keras_tuner
import numpy as np
import pytest

from keras_deeptools.tuning import (
    DeepHyperModel,
    IntRange,
    OneOf,
    cnn_family,
    mlp_family,
    residual_family,
)

pytestmark = pytest.mark.one_backend

RANDOM = np.random.default_rng(0)
ROWS = RANDOM.normal(5.0, 3.0, size=(16, 6)).astype("float32")
IMAGES = RANDOM.normal(5.0, 3.0, size=(16, 8, 8, 2)).astype("float32")
# Not narrower: on CPUs without AVX-512, torch 2.13 writes past its memory on the way
# back through 1 x 1 convolutions of 4 to 7 channels with strides.
SMALL = {"depth": IntRange(1, 2), "width": IntRange(8, 12)}

FAMILIES = {
    "mlp": lambda *a, **k: mlp_family(6, *a, **SMALL | k),
    "cnn": lambda *a, **k: cnn_family((8, 8, 2), *a, **SMALL | k),
    "rows": lambda *a, **k: residual_family((6,), *a, **SMALL | k),
    "images": lambda *a, **k: residual_family((8, 8, 2), *a, **SMALL | k),
}
families = pytest.mark.parametrize("family", FAMILIES)


def inputs_of(family: str) -> np.ndarray:
    return IMAGES if family in ("cnn", "images") else ROWS


def space_of(build: object) -> keras_tuner.HyperParameters:
    """Every hyperparameter, as a tuner comes to know them before the first trial."""
    tuner = keras_tuner.RandomSearch(build, "val_loss", max_trials=1)
    return tuner.oracle.get_space()


def point(hp: keras_tuner.HyperParameters, seed: int) -> keras_tuner.HyperParameters:
    """Values drawn as KerasTuner draws them."""
    random = np.random.default_rng(seed)
    hp = hp.copy()
    for one in hp.space:
        hp.values[one.name] = one.prob_to_value(random.random())
    return hp


@families
def test_drawn_models_have_the_outputs_and_hyperparameters_known_before(
    family: str,
) -> None:
    build = FAMILIES[family](3)
    hp = space_of(build)
    known = {one.name for one in hp.space}
    prefix = {"rows": "residual", "images": "residual"}.get(family, family)
    assert {f"{prefix}/activation", f"{prefix}/normalization"} <= known
    assert {"optimizer/sgd/learning_rate", "optimizer/adamw/learning_rate"} <= known
    seen = set()
    for seed in range(6):
        one = point(hp, seed)
        model = build(one)
        assert {each.name for each in one.space} == known
        assert model.output_shape == (None, 3)
        assert model.compiled
        seen.add(tuple(type(layer).__name__ for layer in model.layers))
    assert len(seen) > 3


TASKS = {
    "classification": (3, RANDOM.integers(0, 3, size=16), "softmax", "accuracy"),
    "binary": (1, RANDOM.integers(0, 2, size=(16, 1)), "sigmoid", "accuracy"),
    "regression": (2, RANDOM.normal(size=(16, 2)), "linear", "mean_absolute_error"),
}


@pytest.mark.parametrize("logits", [False, True])
@pytest.mark.parametrize("task", TASKS)
def test_a_model_has_the_outputs_loss_and_metric_of_its_task(
    task: str, logits: bool
) -> None:
    outputs, y, activation, metric = TASKS[task]
    build = FAMILIES["mlp"](outputs, task, logits=logits)
    model = build(keras_tuner.HyperParameters())
    end = model.layers[-1].activation.__name__
    assert end == ("linear" if logits else activation)
    x, y = ROWS.astype("float32"), y.astype("float32")
    found = model.evaluate(x, y, verbose=0, return_dict=True)
    assert metric in found
    predicted = model.predict(x, verbose=0)
    if task == "binary":
        threshold = 0.0 if logits else 0.5
        expected = np.mean((predicted > threshold) == y)
    elif task == "classification":
        expected = np.mean(predicted.argmax(axis=1) == y)
    else:
        expected = np.mean(np.abs(predicted - y))
    assert found[metric] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("family", "seed"), [("cnn", 1), ("images", 2), ("rows", 3)])
def test_a_drawn_model_trains(family: str, seed: int) -> None:
    build = FAMILIES[family](3)
    model = build(point(space_of(build), seed))
    x, y = inputs_of(family), TASKS["classification"][1]
    history = model.fit(x, y, epochs=1, verbose=0).history
    assert np.isfinite(history["loss"]).all()


@families
def test_inputs_are_standardized_by_the_rows_that_were_given(family: str) -> None:
    x = inputs_of(family)
    build = FAMILIES[family](3, adapt_to=x)
    model = build(keras_tuner.HyperParameters())
    values = keras.ops.convert_to_numpy(model.layers[1](x))
    axes = tuple(range(x.ndim - 1))
    np.testing.assert_allclose(values.mean(axes), 0, atol=1e-4)
    np.testing.assert_allclose(values.std(axes), 1, atol=1e-3)


def standard_deviation(activation: str, normalization: str) -> float:
    """Of the last hidden features of a deep stack, from inputs of variance 1."""
    hp = keras_tuner.HyperParameters()
    hp.values |= {"mlp/activation": activation, "mlp/normalization": normalization}
    hp.values |= {"mlp/alpha_dropout_rate": 0.0}
    model = mlp_family(256, 3, depth=10, width=256)(hp)
    hidden = keras.Model(model.inputs, model.layers[-1].input)
    x = np.random.default_rng(1).normal(size=(256, 256)).astype("float32")
    return float(np.asarray(hidden.predict(x, verbose=0)).std())


@pytest.mark.parametrize("activation", ["relu", "elu", "silu", "selu"])
def test_initialization_and_activation_fit_together_over_ten_layers(
    activation: str,
) -> None:
    assert 0.3 < standard_deviation(activation, "none") < 3


def test_selu_comes_with_neither_normalization_nor_plain_dropout() -> None:
    hp = keras_tuner.HyperParameters()
    hp.values |= {"mlp/activation": "selu", "mlp/normalization": "batch"}
    kinds = [type(layer).__name__ for layer in FAMILIES["mlp"](3, depth=4)(hp).layers]
    hidden = ["Dense", "Activation", "AlphaDropout"]
    assert kinds == ["InputLayer", *4 * hidden, "Dense"]


@pytest.mark.parametrize(
    ("depth", "offered"), [(3, False), (IntRange(1, 3), False), (OneOf((2, 4)), True)]
)
def test_selu_is_offered_where_perceptrons_may_be_deep(
    depth: object, offered: bool
) -> None:
    hp = space_of(mlp_family(6, 3, depth=depth))
    choices = next(one for one in hp.space if one.name == "mlp/activation").values
    assert ("selu" in choices) == offered


@families
def test_one_activation_is_not_searched(family: str) -> None:
    build = FAMILIES[family](3, activations=["tanh"])
    hp = space_of(build)
    assert not any(one.name.endswith("/activation") for one in hp.space)
    model = build(point(hp, 0))
    used = {
        layer.activation.__name__
        for layer in model.layers
        if isinstance(layer, keras.layers.Activation)
    }
    assert used <= {"tanh"}


def test_selu_alone_has_no_hyperparameters_of_other_activations() -> None:
    hp = space_of(mlp_family(6, 3, activations=["selu"]))
    names = {one.name for one in hp.space if one.name.startswith("mlp/")}
    assert names == {"mlp/depth", "mlp/width", "mlp/alpha_dropout_rate"}


def test_the_first_activation_is_the_default() -> None:
    hp = space_of(cnn_family((8, 8, 2), 3, activations=["mish", "relu", "selu"]))
    assert hp.get("cnn/activation") == "mish"


def test_a_residual_net_without_normalization_starts_as_its_stem_and_head() -> None:
    hp = keras_tuner.HyperParameters()
    hp.values["residual/normalization"] = "none"
    model = residual_family(6, 2, "regression", depth=3, width=4)(hp)
    stem, head = model.layers[1], model.layers[-1]
    expected = keras.ops.convert_to_numpy(head(keras.ops.relu(stem(ROWS))))
    np.testing.assert_allclose(model.predict(ROWS, verbose=0), expected, rtol=1e-4)


def test_sizes_may_be_given_or_searched_otherwise() -> None:
    build = mlp_family(6, 3, depth=2, width=OneOf((4, 9)))
    hp = keras_tuner.HyperParameters()
    hp.values["mlp/width"] = 9
    model = build(hp)
    dense = [one.units for one in model.layers if isinstance(one, keras.layers.Dense)]
    assert dense == [9, 9, 3]
    assert "mlp/depth" not in {one.name for one in hp.space}


@families
def test_the_function_can_be_copied_and_pickled(family: str) -> None:
    build = FAMILIES[family](3, adapt_to=inputs_of(family))
    for again in (copy.deepcopy(build), pickle.loads(pickle.dumps(build))):
        assert again(keras_tuner.HyperParameters()).output_shape == (None, 3)


def test_a_deep_hypermodel_searches_the_optimizer_in_place_of_the_family() -> None:
    options = {"max_epochs": 2, "parts": ["optimizer"], "optimizers": ["lion", "adam"]}
    hypermodel = DeepHyperModel(FAMILIES["mlp"](3), **options)
    names = {one.name for one in space_of(hypermodel).space}
    assert "optimizer/lion/learning_rate" in names
    assert "optimizer/sgd/learning_rate" not in names


def test_without_the_optimizer_among_its_parts_that_of_the_family_is_searched() -> None:
    build = FAMILIES["mlp"](3, optimizers=["sgd"])
    hypermodel = DeepHyperModel(build, max_epochs=2, parts=["one_cycle"])
    hp = keras_tuner.HyperParameters()
    assert isinstance(hypermodel.build(hp).optimizer, keras.optimizers.SGD)
    assert "optimizer/sgd/learning_rate" in hp.values


def test_an_optimizer_need_not_be_searched() -> None:
    hp = keras_tuner.HyperParameters()
    model = FAMILIES["mlp"](3, optimizers=())(hp)
    assert isinstance(model.optimizer, keras.optimizers.AdamW)
    assert not any(name.startswith("optimizer") for name in hp.values)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: mlp_family(0, 3), ValueError, "mlp_family: `input_shape` must be"),
        (lambda: mlp_family(4, 0), ValueError, "mlp_family: `num_outputs` must be"),
        (lambda: mlp_family(4, 3, "sorting"), ValueError, "mlp_family: `task` must be"),
        (lambda: mlp_family(4, 3, depth=0), ValueError, "mlp_family: `depth` must be"),
        (lambda: mlp_family(4, 3, logits=1), TypeError, "mlp_family: `logits` must be"),
        (
            lambda: mlp_family(4, 3, prefix=""),
            TypeError,
            "mlp_family: `prefix` must be",
        ),
        (
            lambda: mlp_family(4, 3, activations="relu"),
            ValueError,
            "mlp_family: `activations` must be a sequence of names",
        ),
        (
            lambda: cnn_family((8, 8, 1), 3, activations=["rulu"]),
            ValueError,
            "cnn_family: `activations` must be one of",
        ),
        (
            lambda: residual_family(4, 3, activations=["relu", "selu"]),
            ValueError,
            "residual_family: `activations` must be one of",
        ),
        (
            lambda: cnn_family((8, 8), 3),
            ValueError,
            "cnn_family: `input_shape` must be",
        ),
        (
            lambda: residual_family(4, 3, width=OneOf(("4", "8"))),
            ValueError,
            "residual_family: `width` must be",
        ),
        (
            lambda: cnn_family((8, 8, 1), 3, adapt_to=IMAGES),
            ValueError,
            r"`adapt_to` must be .*\(rows, 8, 8, 1\)",
        ),
    ],
)
def test_a_wrong_argument_is_named(
    make: object, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        make()
