"""The numbers about signals and gradients are right, and the verdict follows."""

import builtins
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from keras_deeptools.diagnosis import LayerSignal, SignalPropagation, signal_propagation
from keras_deeptools.diagnosis._signal_propagation.statistics import (
    of_outputs,
    saturation_bands,
)

RNG = np.random.default_rng(0)
X = RNG.normal(size=(32, 6)).astype("float32")
Y = RNG.normal(size=(32, 3)).astype("float32")


def tanh_net() -> keras.Model:
    make = keras.initializers.RandomNormal
    return keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(5, "tanh", kernel_initializer=make(stddev=1.0, seed=1)),
            layers.Dense(4, "relu", kernel_initializer=make(stddev=1.0, seed=2)),
            layers.Dense(3, kernel_initializer=make(stddev=1.0, seed=3)),
        ]
    )


@pytest.fixture(scope="module")
def measured() -> tuple[keras.Model, SignalPropagation]:
    model = tanh_net()
    return model, signal_propagation(model, X, Y, "mse", jacobian_rows=2)


def numpy_pass(model: keras.Model) -> dict[str, np.ndarray]:
    w1, _, w2, _, w3, _ = (np.asarray(w, "float64") for w in model.get_weights())
    z1 = X @ w1
    a1 = np.tanh(z1)
    z2 = a1 @ w2
    a2 = np.maximum(z2, 0)
    z3 = a2 @ w3
    d3 = 2 * (z3 - Y) / Y.size
    d2 = d3 @ w3.T * (z2 > 0)
    d1 = d2 @ w2.T * (1 - a1**2)
    jacobians = [w3.T * (z2[row] > 0) @ (w2.T * (1 - a1[row] ** 2)) for row in range(2)]
    return {
        "z": [z1, z2, z3],
        "a": [a1, a2, z3],
        "d": [d1, d2, d3],
        "w": [X.T @ d1, a1.T @ d2, a2.T @ d3],
        "j": jacobians,
    }


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def test_forward_statistics_are_those_of_numpy(measured: tuple) -> None:
    model, result = measured
    expected = numpy_pass(model)
    for layer, z, a in zip(result.layers, expected["z"], expected["a"], strict=True):
        assert layer.mean == pytest.approx(a.mean(), abs=1e-5)
        assert layer.std == pytest.approx(a.std(), rel=1e-4)
        assert layer.pre_activation_std == pytest.approx(z.std(), rel=1e-4)
        assert layer.zero == pytest.approx((a == 0).mean())


def test_gradients_are_those_of_numpy(measured: tuple) -> None:
    model, result = measured
    expected = numpy_pass(model)
    for layer, d, w in zip(result.layers, expected["d"], expected["w"], strict=True):
        assert layer.gradient_std == pytest.approx(rms(d), rel=1e-4)
        assert layer.gradient_mean == pytest.approx(d.mean(), abs=1e-6)
        assert layer.weight_gradient_std == pytest.approx(rms(w), rel=1e-4)


def test_singular_values_of_the_jacobian_are_those_of_numpy(measured: tuple) -> None:
    model, result = measured
    expected = [np.linalg.svd(j, compute_uv=False) for j in numpy_pass(model)["j"]]
    found = result.layers[0].singular_values
    np.testing.assert_allclose(found, expected, atol=1e-4)
    np.testing.assert_allclose(result.layers[-1].singular_values, 1, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "slope"),
    [
        ("tanh", lambda z: 1 - np.tanh(z) ** 2),
        ("sigmoid", lambda z: 4 * np.exp(-z) / (1 + np.exp(-z)) ** 2),
    ],
)
def test_saturated_is_where_the_slope_is_a_twentieth(
    name: str, slope: Callable[[np.ndarray], np.ndarray]
) -> None:
    init = keras.initializers.RandomNormal(stddev=2.0, seed=1)
    dense = layers.Dense(200, name, kernel_initializer=init)
    model = keras.Sequential([keras.Input((6,)), dense])
    z = X @ np.array(dense.kernel, "float64")
    found = signal_propagation(model, X).layers[0].saturated
    assert found == pytest.approx((slope(z) < 0.05).mean(), abs=0.02)


def test_relu_does_not_saturate_and_relu6_does() -> None:
    inputs = keras.Input((6,))
    outputs = layers.ReLU(6.0)(layers.Dense(8, "relu")(inputs))
    model = keras.Model(inputs, outputs)
    model.set_weights([np.full((6, 8), 9.0), np.zeros(8)])
    first, second = signal_propagation(model, X).layers
    assert np.isnan(first.saturated)
    over = (9 * X.sum(axis=1) > 6).mean()
    assert second.saturated == pytest.approx(over, abs=1e-6)


def test_a_unit_that_is_zero_for_every_row_is_dead() -> None:
    dense = layers.Dense(4, "relu")
    model = keras.Sequential([keras.Input((6,)), dense])
    bias = np.array([0.0, -1e3, 0.0, -1e3])
    model.set_weights([np.array(dense.kernel), bias])
    assert signal_propagation(model, X).layers[0].dead == 0.5


def test_channels_that_come_first_are_units_too() -> None:
    out = np.ones((2, 4, 3, 3), "float32")
    out[:, 1] = 0.0
    out = keras.ops.convert_to_tensor(out)
    assert float(of_outputs(out, out, [], 1)["dead"]) == 0.25
    assert float(of_outputs(out, out, [], -1)["dead"]) == 0.0


# Glorot and Bengio, 2010, figures 6 and 7: five tanh layers of 1000 units.
GLOROT = {
    "standard": ([0.460, 0.249, 0.141, 0.081, 0.047], 0.084),
    "normalized": ([0.630, 0.487, 0.409, 0.358, 0.322], 0.41),
}


def test_a_function_that_is_constant_up_to_rounding_has_no_limits() -> None:
    def softmax_of_two(x: object) -> np.ndarray:
        # As where vectors of eight and what is left over are computed differently.
        values = np.full(np.shape(x), 0.5, "float32")
        values[-1:] = np.nextafter(np.float32(0.5), np.float32(0))
        return values

    assert saturation_bands(softmax_of_two) == []


@pytest.fixture(scope="module", params=GLOROT)
def glorot(request: pytest.FixtureRequest) -> tuple[str, SignalPropagation]:
    keras.utils.set_random_seed(0)
    limit = 1000**-0.5 if request.param == "standard" else (6 / 2000) ** 0.5
    init = keras.initializers.RandomUniform(-limit, limit)
    hidden = [layers.Dense(1000, "tanh", kernel_initializer=init) for _ in range(5)]
    last = layers.Dense(10, "softmax", kernel_initializer=init)
    model = keras.Sequential([keras.Input((1000,)), *hidden, last])
    x, y = RNG.normal(size=(300, 1000)), RNG.integers(0, 10, 300)
    return request.param, signal_propagation(
        model, x, y, "sparse_categorical_crossentropy"
    )


def test_activations_are_those_of_glorot_and_bengio(glorot: tuple) -> None:
    kind, result = glorot
    found = [layer.std for layer in result.layers[:5]]
    np.testing.assert_allclose(found, GLOROT[kind][0], rtol=0.03)


def test_gradients_go_back_as_in_glorot_and_bengio(glorot: tuple) -> None:
    kind, result = glorot
    found = result.layers[0].gradient_std / result.layers[4].gradient_std
    assert found == pytest.approx(GLOROT[kind][1], rel=0.1)


def test_the_standard_initialization_is_found_out_and_the_normalized_is_not(
    glorot: tuple,
) -> None:
    kind, result = glorot
    kinds = [finding.kind for finding in result.findings]
    vanishing = ["vanishing signal", "vanishing gradient"]
    assert kinds == (vanishing if kind == "standard" else [])
    assert ("Even" in result.verdict) == (kind == "normalized")


def test_a_finding_holds_the_numbers_that_show_it(glorot: tuple) -> None:
    _, result = glorot
    first, last = result.layers[0], result.layers[4]
    for finding in result.findings:
        forward = finding.kind == "vanishing signal"
        ratio = last.std / first.std
        if not forward:
            ratio = first.gradient_std / last.gradient_std
        assert finding.evidence["ratio"] == pytest.approx(ratio)
        assert finding.evidence["most_ratio"] == 5.0 and finding.code


@pytest.mark.one_backend
def test_the_picture_has_the_four_figures_with_a_loss_and_two_without(
    measured: tuple, tmp_path: Path
) -> None:
    model, result = measured
    assert len(result.plot().axes) == 4
    figure = signal_propagation(model, X).plot(str(tmp_path / "signals.png"))
    assert len(figure.axes) == 2 and (tmp_path / "signals.png").stat().st_size > 0


def test_the_picture_without_matplotlib_names_the_extra(
    measured: tuple, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = builtins.__import__

    def without(name: str, *arguments: object, **options: object) -> object:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return original(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"keras-deeptools\[plot\]"):
        measured[1].plot()


@pytest.mark.one_backend
def test_the_table_has_a_line_per_layer_and_no_empty_columns(measured: tuple) -> None:
    model, result = measured
    lines = result.table().splitlines()
    assert len(lines) == 4 and "weight gradient" in lines[0] and "s.v." in lines[0]
    assert "gradient" not in signal_propagation(model, X).table()


def test_layers_in_nested_and_shared_and_recurrent_models_are_listed() -> None:
    shared = layers.Dense(4, "relu", name="shared")
    inner = keras.Sequential([keras.Input((5, 4)), layers.LSTM(4)], name="inner")
    inputs = keras.Input((5,))
    x = layers.Embedding(9, 4, name="table")(inputs)
    x = inner(x + layers.MultiHeadAttention(1, 4, name="heads")(x, x))
    model = keras.Model(inputs, [shared(x), shared(shared(x))])
    tokens = RNG.integers(0, 9, (8, 5))
    zeros = np.zeros((8, 4))
    result = signal_propagation(model, tokens, [zeros, zeros], ["mse", "mse"])
    names = [layer.name for layer in result.layers]
    assert names[0] == "table" and names[5].startswith("inner/lstm")
    assert names[6:] == ["shared", "shared#2", "shared#3"]
    assert all(np.isfinite(layer.gradient_std) for layer in result.layers)
    assert result.layers[0].weight_gradient_std > 0


class Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.hidden = layers.Dense(4, "tanh", name="hidden")
        self.head = layers.Dense(3, name="head")

    def call(self, inputs: object) -> object:
        return self.head(self.hidden(inputs))


def test_a_subclassed_model_is_measured_and_stays_as_it_is() -> None:
    model = Subclassed()
    model.compile("sgd", "mse", metrics=["mae"])
    model.train_on_batch(X, Y)
    before = [np.array(v) for v in model.variables + model.metrics_variables]
    result = signal_propagation(model, X, Y)
    assert [layer.name for layer in result.layers] == ["hidden", "head"]
    after = model.variables + model.metrics_variables
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old, np.array(new))


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_is_measured_within_its_rounding(policy: str) -> None:
    expected = signal_propagation(tanh_net(), X, Y, "mse")
    keras.config.set_dtype_policy(policy)
    found = signal_propagation(tanh_net(), X, Y, "mse")
    for a, b in zip(expected.layers, found.layers, strict=True):
        assert b.std == pytest.approx(a.std, rel=0.03)
        assert b.gradient_std == pytest.approx(a.gradient_std, rel=0.05)


def chain(stds: list[float], gradients: list[float], **more: float) -> list[str]:
    found = [
        LayerSignal(f"d{i}", "Dense", mean=0.0, std=s, gradient_std=g, **more)
        for i, (s, g) in enumerate(zip(stds, gradients, strict=True))
    ]
    return [finding.kind for finding in SignalPropagation(tuple(found)).findings]


def test_each_rule_speaks_up_for_what_it_is_there_for() -> None:
    even = [1.0, 1.0, 1.0, 1.0]
    assert chain(even, even) == []
    assert chain([1, 0.4, 0.1, 1], even) == ["vanishing signal"]
    assert chain([1, 4, 16, 1], even) == ["exploding signal"]
    assert chain(even, [0.1, 0.4, 1, 1]) == ["vanishing gradient"]
    assert chain(even, [16, 4, 1, 1]) == ["exploding gradient"]
    assert chain(even, even, saturated=0.7) == ["saturated"]
    assert chain(even, even, dead=0.7) == ["dead"]
    assert chain([1, np.inf, 1, 1], even) == ["non-finite"]
    assert chain([1, np.nan, 1, 1], even) == ["non-finite"]


def line(kind: str, *stds: float, **more: object) -> list[LayerSignal]:
    return [LayerSignal("d", kind, mean=0.0, std=each, **more) for each in stds]


def kinds_of(*hidden: LayerSignal, is_trained: bool = False) -> list[str]:
    layers = (*hidden, LayerSignal("last", "Dense", mean=0.0, std=1.0))
    result = SignalPropagation(layers, is_trained=is_trained)
    return [finding.kind for finding in result.findings]


def test_layers_of_two_kinds_are_not_compared() -> None:
    assert kinds_of(*line("Embedding", 0.03, 0.3), *line("GRU", 0.001)) == []


def test_layers_of_two_shapes_may_differ_more() -> None:
    ends = [
        *line("Conv2D", 1.0, shape=(8, 8, 4)),
        *line("Conv2D", 0.1, shape=(4, 4, 8)),
    ]
    assert kinds_of(*ends) == []
    assert kinds_of(*ends, *line("Conv2D", 0.01, shape=(2, 2, 8))) == [
        "vanishing signal"
    ]


def test_across_a_normalization_layers_may_differ_more() -> None:
    after = line("Dense", 10.0, normalizations=1)
    assert kinds_of(*line("Dense", 1.0), *after) == []
    assert kinds_of(*line("Dense", 1.0, 10.0)) == ["exploding signal"]


def test_trained_layers_may_differ_more() -> None:
    assert kinds_of(*line("Dense", 1.0, 50.0), is_trained=True) == []
    assert kinds_of(*line("Dense", 1.0, 500.0), is_trained=True) == ["exploding signal"]


def test_gradients_are_compared_by_the_norm_of_a_sample() -> None:
    shapes = [(16, 16, 4), (4, 4, 4)]
    first, last = (
        LayerSignal("c", "Conv2D", shape=shape, mean=0.0, std=1.0, gradient_std=rms)
        for shape, rms in zip(shapes, (0.01, 0.4), strict=True)
    )
    assert kinds_of(first, last) == []


def test_a_limit_of_zero_on_one_side_is_no_saturation() -> None:
    for name in ("gelu", "silu", "softplus", "exponential"):
        assert saturation_bands(keras.activations.get(name)) == []
    assert len(saturation_bands(keras.activations.sigmoid)) == 2


@pytest.mark.one_backend
def test_a_residual_branch_that_begins_at_zero_is_not_dead_and_zeros_are() -> None:
    inputs = keras.Input((6,))
    x = layers.Dense(6, "relu")(inputs)
    x = x + layers.Dense(6, kernel_initializer="zeros")(x)
    branch = keras.Model(inputs, layers.Dense(3)(x))
    hidden = [layers.Dense(6, "relu", kernel_initializer="zeros") for _ in "ab"]
    zeros = keras.Sequential([keras.Input((6,)), *hidden, layers.Dense(3)])
    for y in (Y, None):
        found = [signal_propagation(m, X, y, "mse").findings for m in (branch, zeros)]
        assert [[f.kind for f in each] for each in found] == [[], ["dead"]]


@pytest.mark.one_backend
def test_batch_normalization_normalizes_by_the_batch_and_keeps_its_averages() -> None:
    norm = layers.BatchNormalization()
    model = keras.Sequential(
        [keras.Input((6,)), layers.Dense(8), norm, layers.Activation("linear")]
    )
    found = signal_propagation(model, X).layers[-1]
    assert found.std == pytest.approx(1.0, abs=0.01)
    assert float(keras.ops.max(keras.ops.abs(norm.moving_mean))) == 0.0


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"jacobian_rows": -1}, "`jacobian_rows` must be an int"),
        ({"jacobian_rows": 99}, "`jacobian_rows` must be an int"),
        ({"y": Y[:4]}, "same number of samples"),
        ({"x": X[:, :2]}, "shape of the model's input"),
    ],
)
def test_bad_input_is_named(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=f"^signal_propagation: .*{message}"):
        signal_propagation(tanh_net(), **{"x": X, "loss": "mse", **arguments})


@pytest.mark.one_backend
def test_jacobians_of_many_outputs_are_refused() -> None:
    wide = keras.Sequential([keras.Input((6,)), layers.Dense(300)])
    with pytest.raises(ValueError, match="at most 256 units"):
        signal_propagation(wide, X, jacobian_rows=1)
    inputs = keras.Input((6,))
    two = keras.Model(inputs, [layers.Dense(2)(inputs), layers.Dense(2)(inputs)])
    with pytest.raises(ValueError, match="one output"):
        signal_propagation(two, X, jacobian_rows=1)
