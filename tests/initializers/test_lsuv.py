"""After `lsuv` every pre-activation has the target's standard deviation."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_deeptools.initializers import lsuv

RNG = np.random.default_rng(0)
X = RNG.normal(size=(32, 8)).astype("float32")
PICTURES = RNG.normal(size=(4, 12, 12, 3)).astype("float32")
TOKENS = RNG.integers(0, 10, size=(16, 5))


def stds(model: keras.Model, x: np.ndarray, names: list[str]) -> np.ndarray:
    """Standard deviations of the layers' outputs, by Keras' own means."""
    chosen = [model.get_layer(name).output for name in names]
    outputs = keras.Model(model.inputs, chosen).predict(x, verbose=0)
    return np.array([np.std(output) for output in outputs])


def weights_of(model: keras.Model) -> list[np.ndarray]:
    return [np.array(weight) for weight in model.get_weights()]


def assert_unchanged(model: keras.Model, before: list[np.ndarray]) -> None:
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_deep_network_of_linear_layers_and_activations_is_even_after_one_walk() -> (
    None
):
    parts: list[layers.Layer] = [keras.Input((8,))]
    for index in range(8):
        parts += [layers.Dense(16, name=f"d{index}"), layers.Activation("gelu")]
    model = keras.Sequential(parts)
    report = lsuv(model, X, verbose=0)
    names = [f"d{index}" for index in range(8)]
    np.testing.assert_allclose(stds(model, X, names), 1, atol=1e-3)
    assert report.iterations == 1 and not report.unreached


def test_the_factor_of_each_layer_is_that_of_the_sequential_algorithm() -> None:
    model = keras.Sequential(
        [keras.Input((8,)), layers.Dense(16, "tanh"), layers.Dense(4, "tanh")]
    )
    (first, _, second, _) = weights_of(model)
    report = lsuv(model, X, verbose=0)
    scale_1 = 1 / np.std(X @ first)
    scale_2 = 1 / np.std(np.tanh(X @ first * scale_1) @ second)
    found = [layer.scale for layer in report.layers]
    np.testing.assert_allclose(found, [scale_1, scale_2], rtol=1e-4)
    np.testing.assert_allclose(model.get_weights()[2], second * scale_2, rtol=1e-4)


def convolutional() -> keras.Model:
    inputs = keras.Input((12, 12, 3))
    x = layers.Conv2D(8, 3, padding="same", name="conv")(inputs)
    x = layers.BatchNormalization()(x)
    x = layers.ReLU()(x)
    y = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)
    y = layers.SeparableConv2D(8, 3, padding="same", name="separable")(y)
    x = layers.Add()([x, y])
    x = layers.Conv2DTranspose(8, 3, strides=2, name="transposed")(x)
    x = layers.Conv2D(8, 3, groups=4, name="grouped")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(3, name="head")(x))


CONVOLUTIONS = ["conv", "depthwise", "separable", "transposed", "grouped", "head"]


@pytest.fixture(scope="module")
def scaled_convolutions() -> tuple[keras.Model, object, list[np.ndarray]]:
    keras.utils.set_random_seed(0)
    model = convolutional()
    before = stds(model, PICTURES, CONVOLUTIONS)
    return model, lsuv(model, PICTURES, verbose=0), before


def test_convolutions_of_every_kind_are_even_with_normalization_in_inference(
    scaled_convolutions: tuple,
) -> None:
    model, _, _ = scaled_convolutions
    np.testing.assert_allclose(stds(model, PICTURES, CONVOLUTIONS), 1, atol=2e-3)


@pytest.mark.one_backend
def test_the_report_tells_standard_deviations_before_and_after(
    scaled_convolutions: tuple,
) -> None:
    model, report, before = scaled_convolutions
    found = {layer.name: layer.std_before for layer in report.layers}
    np.testing.assert_allclose([found[n] for n in CONVOLUTIONS], before, rtol=1e-3)
    assert "std before" in report.table() and "conv" in str(report)


def test_layers_in_attention_and_nested_models_are_scaled_and_token_ids_taken() -> None:
    block = keras.Sequential([keras.Input((5, 8)), layers.Dense(8, "relu")], name="b")
    inputs = keras.Input((5,))
    x = layers.Embedding(10, 8, name="table")(inputs)
    x = layers.MultiHeadAttention(2, 4, name="attention")(x, x)
    x = layers.LSTM(4, name="memory")(block(x))
    model = keras.Model(inputs, layers.Dense(3, "softmax", name="classes")(x))
    before = weights_of(model)
    report = lsuv(model, TOKENS, verbose=0)
    assert [layer.name.split("/")[0] for layer in report.layers] == [
        *["attention"] * 4,
        "b",
    ]
    assert all(abs(layer.std_after - 1) < 0.01 for layer in report.layers)
    assert set(report.exempt.values()) == {"embedding", "recurrent", "softmax output"}
    np.testing.assert_array_equal(before[0], model.get_weights()[0])


class Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.hidden = layers.Dense(16, "relu")
        self.head = layers.Dense(3)

    def call(self, inputs: object) -> object:
        return self.head(ops.sin(self.hidden(inputs)))


def test_a_subclassed_model_is_scaled() -> None:
    model = Subclassed()
    model(X)
    lsuv(model, X, verbose=0)
    assert np.std(model.predict(X, verbose=0)) == pytest.approx(1, abs=1e-3)


def test_a_bias_stays_and_the_kernel_makes_up_for_it() -> None:
    bias = keras.initializers.RandomNormal(stddev=0.5, seed=1)
    model = keras.Sequential(
        [keras.Input((8,)), layers.Dense(16, bias_initializer=bias)]
    )
    before = weights_of(model)[1]
    lsuv(model, X, verbose=0)
    np.testing.assert_array_equal(before, model.get_weights()[1])
    assert np.std(model.predict(X, verbose=0)) == pytest.approx(1, abs=1e-3)


def test_a_bias_that_is_too_large_for_the_target_is_scaled_with_the_kernel() -> None:
    bias = keras.initializers.RandomNormal(stddev=5.0, seed=1)
    model = keras.Sequential(
        [keras.Input((8,)), layers.Dense(16, bias_initializer=bias)]
    )
    lsuv(model, X, verbose=0)
    assert np.std(model.predict(X, verbose=0)) == pytest.approx(1, abs=1e-3)


def test_a_layer_used_several_times_has_the_target_pooled_over_its_uses() -> None:
    shared = layers.Dense(8, "relu", name="shared")
    model = keras.Sequential([keras.Input((8,)), shared, shared, shared])
    report = lsuv(model, X, verbose=0)
    pooled = np.sqrt(np.mean([layer.std_after**2 for layer in report.layers]))
    assert len(report.layers) == 3 and pooled == pytest.approx(1, abs=0.03)


def test_tiny_weights_reach_the_target_too() -> None:
    tiny = keras.initializers.RandomNormal(stddev=1e-8, seed=1)
    model = keras.Sequential(
        [keras.Input((8,)), *[layers.Dense(8, kernel_initializer=tiny) for _ in "abcd"]]
    )
    lsuv(model, X, verbose=0)
    assert np.std(model.predict(X, verbose=0)) == pytest.approx(1, abs=1e-3)


@pytest.mark.one_backend
def test_frozen_layers_and_zero_kernels_are_left_alone() -> None:
    frozen = layers.Dense(8, name="frozen")
    zero = layers.Dense(8, kernel_initializer="zeros", name="zero")
    model = keras.Sequential([keras.Input((8,)), frozen, layers.Dense(8), zero])
    frozen.trainable = False
    before = np.array(frozen.kernel)
    report = lsuv(model, X, verbose=0)
    assert report.exempt == {"frozen": "frozen", "zero": "does not vary"}
    np.testing.assert_array_equal(before, np.array(frozen.kernel))


def test_orthogonal_kernels_are_orthogonal_up_to_their_scale() -> None:
    model = keras.Sequential([keras.Input((8,)), layers.Dense(6)])
    report = lsuv(model, X, orthogonal=True, seed=3, verbose=0)
    kernel = np.array(model.layers[0].kernel) / report.layers[0].scale
    np.testing.assert_allclose(kernel.T @ kernel, np.eye(6), atol=1e-5)


def test_the_same_seed_gives_the_same_orthogonal_kernels() -> None:
    found = []
    for _ in range(2):
        model = keras.Sequential([keras.Input((8,)), layers.Dense(6), layers.Dense(6)])
        lsuv(model, X, orthogonal=True, seed=3, verbose=0)
        found.append(weights_of(model))
    assert_unchanged(model, found[0])
    assert not np.allclose(found[0][0][:6], found[0][2])


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_reaches_the_target_within_its_rounding(policy: str) -> None:
    keras.config.set_dtype_policy(policy)
    parts = [layers.Dense(32, "relu") for _ in range(6)]
    report = lsuv(keras.Sequential([keras.Input((8,)), *parts]), X, verbose=0)
    assert all(abs(layer.std_after - 1) < 0.02 for layer in report.layers)


@pytest.mark.one_backend
def test_a_target_other_than_one_is_reached() -> None:
    model = keras.Sequential([keras.Input((8,)), layers.Dense(6, "tanh")])
    report = lsuv(model, X, target=0.5, verbose=0)
    assert report.layers[0].std_after == pytest.approx(0.5, rel=1e-3)


def small() -> keras.Model:
    return keras.Sequential([keras.Input((8,)), layers.Dense(4), layers.Dense(2)])


def picture_model() -> keras.Model:
    return keras.Sequential([keras.Input((12, 12, 3)), layers.Conv2D(4, 3)])


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("arguments", "x", "message"),
    [
        ({"target": 0}, X, "`target` must be a number > 0"),
        ({"tolerance": 1.0}, X, "`tolerance` must be in"),
        ({"max_iterations": 0}, X, "`max_iterations` must be an int"),
        ({"verbose": 3}, X, "`verbose` must be"),
        ({}, X[:, :5], "shape of the model's input"),
        ({}, X[:0], "at least one sample"),
        ({}, np.where(X > 2, np.nan, X), "must be finite"),
        ({}, [X, X], "an array for each input"),
        ({}, None, "`x` must be data"),
    ],
)
def test_bad_input_is_named_and_changes_nothing(
    arguments: dict, x: object, message: str
) -> None:
    model = small()
    before = weights_of(model)
    with pytest.raises(ValueError, match=f"^lsuv: .*{message}"):
        lsuv(model, x, **arguments)
    assert_unchanged(model, before)


@pytest.mark.one_backend
def test_integer_pictures_are_taken_and_the_report_says_that_they_are_not_scaled() -> (
    None
):
    report = lsuv(picture_model(), (PICTURES * 255).astype("uint8"), verbose=0)
    assert report.layers[0].std_after == pytest.approx(1, rel=1e-3)
    assert "unscaled pixels" in str(report)


@pytest.mark.one_backend
def test_what_is_no_model_or_no_number_is_refused() -> None:
    with pytest.raises(TypeError, match="`model` must be a keras.Model"):
        lsuv(layers.Dense(2), X)
    with pytest.raises(ValueError, match="layers with kernels"):
        lsuv(keras.Sequential([keras.Input((8,)), layers.BatchNormalization()]), X)
    with pytest.raises(TypeError, match="array of numbers"):
        lsuv(small(), np.array([["a"] * 8]))


def test_outputs_that_are_not_finite_are_named_and_change_nothing() -> None:
    model = small()
    model.layers[1].bias.assign(np.array([np.inf, 0.0]))
    before = weights_of(model)
    with pytest.raises(ValueError, match="must be finite. Received: 'dense"):
        lsuv(model, X, verbose=0)
    assert_unchanged(model, before)


def test_weights_are_as_they_were_after_an_interruption(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = small()
    before = weights_of(model)

    def interrupt(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("keras_deeptools.initializers._lsuv.apply_scales", interrupt)
    with pytest.raises(KeyboardInterrupt):
        lsuv(model, X, orthogonal=True, verbose=0)
    assert_unchanged(model, before)


class Standardized(layers.Dense):
    """Divides its kernel by the standard deviation, so that its scale is no matter."""

    def call(self, inputs: object) -> object:
        return inputs @ (self.kernel / ops.std(self.kernel))


def test_a_layer_that_normalizes_its_kernel_is_left_alone_and_the_others_adapt() -> (
    None
):
    middle = Standardized(8, name="middle")
    model = keras.Sequential(
        [keras.Input((8,)), layers.Dense(8), middle, layers.Dense(8, name="after")]
    )
    before = np.array(middle.kernel)
    report = lsuv(model, X, verbose=0)
    assert report.exempt == {"middle": "normalizes its kernel"}
    np.testing.assert_allclose(np.array(middle.kernel), before, rtol=1e-6)
    assert np.std(model.predict(X, verbose=0)) == pytest.approx(1, abs=1e-3)


@pytest.mark.slow
def test_every_layer_of_mobilenet_v2_is_within_five_percent() -> None:
    model = keras.applications.MobileNetV2((96, 96, 3), weights=None)
    x = np.random.default_rng(0).normal(size=(16, 96, 96, 3)).astype("float32")
    report = lsuv(model, x, verbose=0)
    assert len(report.layers) == 52 and not report.unreached
    assert report.exempt == {"predictions": "softmax output"}
