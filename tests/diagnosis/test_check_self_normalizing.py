"""The linter names each thing that breaks self-normalization, and nothing else."""

import re
from collections.abc import Callable

import keras
import numpy as np
import pytest
from keras import layers

from keras_deeptools.diagnosis import SelfNormalizingReport, check_self_normalizing
from keras_deeptools.layers import (
    SelfNormalizingConv2D,
    SelfNormalizingDense,
    SelfNormalizingResidual,
    self_normalizing_mlp,
)

ROWS, WIDTH = 256, 64
X = np.random.default_rng(0).normal(size=(ROWS, WIDTH)).astype("float32")
IMAGES = np.random.default_rng(1).normal(size=(64, 6, 6, 8)).astype("float32")


def right(units: int = WIDTH, **options: object) -> keras.Layer:
    return layers.Dense(units, "selu", kernel_initializer="lecun_normal", **options)


def stack(*inner: keras.Layer, shape: tuple = (WIDTH,)) -> keras.Model:
    head = layers.Dense(3, "softmax", name="head")
    return keras.Sequential([keras.Input(shape), *inner, head])


def found(report: SelfNormalizingReport) -> list[tuple[str, str]]:
    return [(finding.where, finding.kind) for finding in report.findings]


# --- What is right -------------------------------------------------------------------


def test_a_right_net_has_no_problems_and_a_row_for_each_layer() -> None:
    model = stack(right(name="a"), layers.AlphaDropout(0.1), right(name="b"))
    report = check_self_normalizing(model, X)
    assert report.holds and found(report) == []
    assert [layer.layer_type for layer in report.layers] == [
        "Dense",
        "AlphaDropout",
        "Dense",
        "Dense",
    ]
    values = np.asarray(keras.ops.convert_to_numpy(model.layers[0](X)))
    first = report.layers[0]
    assert first.mean == pytest.approx(float(values.mean()), abs=1e-5)
    assert first.std == pytest.approx(float(values.std()), rel=1e-4)
    kernel = np.asarray(model.layers[0].get_weights()[0], "float64")
    gain = np.sqrt(WIDTH * np.mean(kernel**2))
    assert first.weight_gain == pytest.approx(gain, rel=1e-6)
    assert report.input_std == pytest.approx(float(X.std()), rel=1e-5)


def test_our_own_layers_have_no_problems() -> None:
    convolutions = [
        SelfNormalizingConv2D(32, 3, padding="same", rate=0.1, seed=0),
        SelfNormalizingResidual(
            [
                SelfNormalizingConv2D(32, 3, strides=2, padding="reflect", seed=1),
                SelfNormalizingConv2D(64, 3, padding="same", seed=2),
            ]
        ),
        layers.Flatten(),
        SelfNormalizingResidual(SelfNormalizingDense(128, rate=0.1, seed=3)),
    ]
    report = check_self_normalizing(stack(*convolutions, shape=(6, 6, 8)), IMAGES)
    assert found(report) == [], report.table()


def test_inputs_that_a_layer_standardizes_are_right() -> None:
    x = 50 * X + 100
    model = self_normalizing_mlp(WIDTH, 3, [WIDTH], adapt_to=x, seed=0)
    assert check_self_normalizing(model, x).holds


def test_heads_are_free() -> None:
    x = keras.Input((WIDTH,))
    y = right()(x)
    one = layers.Dense(3, "sigmoid", kernel_initializer="he_normal", name="one")(y)
    two = layers.Dense(1, "softplus", name="two")(y)
    assert check_self_normalizing(keras.Model(x, [one, two]), X).holds


def test_sums_that_are_scaled_afterwards_are_right() -> None:
    x = keras.Input((WIDTH,))
    joined = layers.Rescaling(2**-0.5)(layers.Add()([right()(x), right()(x)]))
    operated = (right()(joined) + right()(joined)) / np.sqrt(2)
    model = keras.Model(x, layers.Dense(2)(operated))
    assert check_self_normalizing(model, X).holds


# --- What is wrong, one at a time ----------------------------------------------------

WRONG: dict[str, tuple[Callable[[], list[keras.Layer]], str, str]] = {
    "he_normal": (
        lambda: [layers.Dense(64, "selu", kernel_initializer="he_normal", name="bad")],
        "initializer",
        r'HeNormal\) has 1.4.*Take kernel_initializer="lecun_normal"',
    ),
    "glorot in a funnel": (
        lambda: [right(256), layers.Dense(32, "selu", name="bad")],
        "initializer",
        "GlorotUniform.*only where fan-in and fan-out are equal",
    ),
    "relu": (
        lambda: [
            layers.Dense(64, "relu", kernel_initializer="lecun_normal", name="bad")
        ],
        "activation",
        "is relu",
    ),
    "a relu of its own": (
        lambda: (
            [layers.Dense(64, kernel_initializer="lecun_normal")]
            + [layers.ReLU(name="bad")]
        ),
        "activation",
        "is ReLU",
    ),
    "tanh by name": (
        lambda: (
            [layers.Dense(64, kernel_initializer="lecun_normal")]
            + [layers.Activation("tanh", name="bad")]
        ),
        "activation",
        "is tanh",
    ),
    "Dropout": (
        lambda: [right(), layers.Dropout(0.5, name="bad")],
        "dropout",
        r"Dropout\(0.5\) raises.*deviation 1.[34].*AlphaDropout\(0.1\)",
    ),
    "AlphaDropout(1.0)": (
        lambda: [right(), layers.AlphaDropout(1.0, name="bad")],
        "dropout",
        "divides by zero",
    ),
    "BatchNormalization": (
        lambda: [right(), layers.BatchNormalization(name="bad")],
        "normalization",
        "Leave it out",
    ),
}


@pytest.mark.alternates("wrong")
@pytest.mark.parametrize("wrong", WRONG)
def test_what_breaks_a_dense_net_is_named_with_evidence_and_remedy(wrong: str) -> None:
    make, kind, words = WRONG[wrong]
    report = check_self_normalizing(stack(*make()), X)
    assert found(report) == [("bad", kind)]
    (finding,) = report.findings
    assert re.search(words, str(finding)), str(finding)


def test_padding_with_zeros_is_named_with_the_corner_measured() -> None:
    bad = layers.Conv2D(
        64, 3, padding="same", activation="selu", kernel_initializer="lecun_normal"
    )
    model = stack(bad, layers.Flatten(), shape=(6, 6, 8))
    report = check_self_normalizing(model, IMAGES)
    assert found(report) == [(bad.name, "padding")]
    # Four of nine taps are on data: sqrt(4 / 9).
    assert report.layers[0].edge_ratio == pytest.approx(2 / 3, abs=0.06)
    assert report.findings[0].evidence["edge_ratio"] == report.layers[0].edge_ratio


def test_pooling_is_named_where_it_moves_the_moments() -> None:
    conv = SelfNormalizingConv2D(32, 3, seed=0)
    pools = [layers.MaxPooling2D(2), layers.AveragePooling2D(2)]
    for pool in pools:
        model = stack(conv, pool, layers.Flatten(), shape=(6, 6, 8))
        report = check_self_normalizing(model, IMAGES)
        assert found(report) == [(pool.name, "pooling")]


def test_sums_of_branches_are_named() -> None:
    x = keras.Input((WIDTH,))
    added = layers.Add(name="added")([x, right()(x)])
    averaged = layers.Average(name="averaged")([x, right()(x)])
    operated = x + right()(x)
    joined = layers.Concatenate()([added, averaged, operated])
    report = check_self_normalizing(keras.Model(x, layers.Dense(2)(joined)), X)
    assert [kind for _, kind in found(report)] == ["skip"] * 3
    assert {"added", "averaged"} < {name for name, _ in found(report)}


def test_inputs_of_pixels_are_named_and_token_ids_are_not() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, size=(ROWS, WIDTH))
    report = check_self_normalizing(stack(right()), pixels.astype("float32"))
    assert found(report)[0] == ("inputs", "inputs")
    assert 120 < report.input_mean < 135
    embedded = [
        layers.Embedding(20, 64, embeddings_initializer="random_normal", name="bad"),
        layers.Flatten(),
        right(),
    ]
    report = check_self_normalizing(stack(*embedded, shape=(4,)), pixels[:, :4] % 20)
    assert found(report) == [("inputs", "inputs")]
    assert report.input_std == pytest.approx(0.05, abs=0.01)


def test_kernels_from_one_seed_are_named() -> None:
    twins = [
        layers.Dense(
            WIDTH,
            "selu",
            kernel_initializer=keras.initializers.LecunNormal(seed=1),
            name=name,
        )
        for name in ("first", "second")
    ]
    report = check_self_normalizing(stack(*twins), X)
    assert ("second", "equal kernels") in found(report)
    shared = right()
    assert check_self_normalizing(stack(shared, shared), X).holds


def test_a_departure_without_a_known_cause_is_drift() -> None:
    shift = layers.Dense(
        WIDTH,
        "selu",
        kernel_initializer="lecun_normal",
        bias_initializer=keras.initializers.Constant(1.0),
        name="shift",
    )
    report = check_self_normalizing(stack(shift), X)
    assert found(report) == [("shift", "drift")]


def test_a_subclassed_model_is_seen_too_and_nothing_in_it_changes() -> None:
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.one = layers.Dense(64, "relu", name="one")
            self.scale = layers.BatchNormalization(name="scale")
            self.two = layers.Dense(2, name="two")

        def call(self, x, training=None):
            return self.two(self.scale(self.one(x), training=training))

    model = Net()
    model(X)
    before = [np.array(keras.ops.convert_to_numpy(v)) for v in model.variables]
    report = check_self_normalizing(model, X)
    assert ("one", "activation") in found(report)
    assert ("scale", "normalization") in found(report)
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), value)


# --- What is printed -----------------------------------------------------------------


@pytest.mark.one_backend
def test_the_report_reads_as_text_and_as_a_table() -> None:
    model = stack(right(name="a"), layers.Dropout(0.5, name="drop"))
    report = check_self_normalizing(model, X)
    assert str(report).startswith("Not self-normalizing: 1 problem.\ndropout at drop: ")
    lines = report.table().splitlines()
    assert lines[0].split() == ["layer", "mean", "std", "weights", "corner"]
    assert lines[3].startswith("drop ") and lines[3].endswith("  dropout")


# --- Bad input -----------------------------------------------------------------------


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "model, x, error, words",
    [
        (lambda: "model", X, TypeError, "`model` must be a keras.Model"),
        (lambda: stack(right()), X[:1], ValueError, "at least two samples"),
        (lambda: stack(right()), X[:, :3], ValueError, "`x` must have the shape"),
        (lambda: stack(right()), [X, X], ValueError, "`x` must have an array for"),
        (
            lambda: keras.Sequential([keras.Input((WIDTH,)), layers.ReLU()]),
            X,
            ValueError,
            "must have weights",
        ),
    ],
)
def test_bad_arguments_are_named(
    model: Callable, x: object, error: type, words: str
) -> None:
    with pytest.raises(error, match=words):
        check_self_normalizing(model(), x)


def test_inputs_that_are_not_finite_are_a_problem_of_their_own() -> None:
    report = check_self_normalizing(stack(right()), np.where(X > 2, np.nan, X))
    assert [finding.kind for finding in report.findings] == ["inputs"]
    assert "NaN" in str(report)
