"""What one pass brings back, for models of every kind, and that it changes nothing."""

from collections.abc import Callable

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_deeptools.engine import Capture, Captured, LayerCall

X = np.random.default_rng(0).normal(size=(6, 4)).astype("float32")
Y = np.random.default_rng(1).normal(size=(6, 2)).astype("float32")


def both(call: LayerCall, pre: object, out: object) -> dict[str, object]:
    return {"pre": pre, "out": out}


def gradient_of(call: object, gradient: object) -> object:
    return gradient


def by_name(captured: Captured, values: list) -> dict[str, object]:
    names = [call.name for call in captured.calls]
    return dict(zip(names, values, strict=True))


def tanh_net() -> keras.Model:
    hidden = layers.Dense(3, "tanh", bias_initializer="normal", name="hidden")
    return keras.Sequential([keras.Input((4,)), hidden, layers.Dense(2, name="out")])


@pytest.fixture(scope="module")
def passed() -> tuple[keras.Model, Captured]:
    keras.utils.set_random_seed(0)
    model = tanh_net()
    capture = Capture(
        model, forward=both, backward=gradient_of, weights=gradient_of, loss="mse"
    )
    return model, capture(X, Y)


def numpy_pass(model: keras.Model) -> dict[str, np.ndarray]:
    w1, b1, w2, b2 = (np.asarray(w, "float64") for w in model.get_weights())
    z1 = X @ w1 + b1
    a1 = np.tanh(z1)
    z2 = a1 @ w2 + b2
    d2 = 2 * (z2 - Y) / Y.size
    d1 = d2 @ w2.T * (1 - a1**2)
    return {"z1": z1, "a1": a1, "z2": z2, "d1": d1, "d2": d2, "w1": X.T @ d1}


def test_outputs_and_pre_activations_are_those_of_numpy(
    passed: tuple[keras.Model, Captured],
) -> None:
    model, captured = passed
    expected, found = numpy_pass(model), by_name(captured, captured.forward)
    np.testing.assert_allclose(found["hidden"]["pre"], expected["z1"], atol=1e-5)
    np.testing.assert_allclose(found["hidden"]["out"], expected["a1"], atol=1e-5)
    np.testing.assert_allclose(found["out"]["pre"], expected["z2"], atol=1e-5)


def test_gradients_are_those_of_numpy(passed: tuple[keras.Model, Captured]) -> None:
    model, captured = passed
    expected, found = numpy_pass(model), by_name(captured, captured.backward)
    np.testing.assert_allclose(found["hidden"], expected["d1"], atol=1e-6)
    np.testing.assert_allclose(found["out"], expected["d2"], atol=1e-6)
    kernel = model.layers[0].kernel
    np.testing.assert_allclose(captured.weights[kernel.path], expected["w1"], atol=1e-6)
    loss = np.mean((expected["z2"] - Y) ** 2)
    assert captured.loss == pytest.approx(loss, rel=1e-5)


def test_the_loss_of_the_compiled_model_is_taken_where_none_is_given() -> None:
    model = tanh_net()
    model.compile("sgd", "mae")
    found = Capture(model, backward=gradient_of)(X, Y)
    assert found.loss == pytest.approx(np.abs(model.predict(X, verbose=0) - Y).mean())


def functional() -> keras.Model:
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    shared = layers.Dense(3, "relu", name="shared")
    joined = shared(a) + shared(b)
    return keras.Model([a, b], [layers.Dense(2, name="one")(joined), joined])


def nested() -> keras.Model:
    base = keras.Sequential(
        [keras.Input((4,)), layers.Dense(4, "relu", name="inner")], name="base"
    )
    inputs = keras.Input((4,))
    outputs = layers.Dense(2, name="head")(base(base(inputs)))
    return keras.Model(inputs, outputs)


class Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.first = layers.Dense(3, "relu", name="first")
        self.blocks = [layers.Dense(3, name="block") for _ in range(2)]

    def call(self, inputs: object) -> object:
        x = self.first(inputs)
        for block in self.blocks:
            x = block(x)
        return x


def subclassed() -> keras.Model:
    model = Subclassed()
    model(X)
    return model


def names_of(model: keras.Model, x: object) -> list[str]:
    return [call.name for call in Capture(model)(x).calls]


def test_a_shared_layer_has_an_entry_for_each_call_and_operations_have_theirs() -> None:
    names = names_of(functional(), [X, X])
    assert names[:2] == ["shared", "shared#2"]
    assert len(names) == 4 and names[3] == "one"


def test_every_output_has_a_part_in_the_loss() -> None:
    model = functional()
    capture = Capture(model, backward=gradient_of, loss=["mse", "mse"])
    found = capture([X, X], [Y, np.zeros((6, 3))])
    predicted = model.predict([X, X], verbose=0)
    expected = np.mean((predicted[0] - Y) ** 2) + np.mean(predicted[1] ** 2)
    assert found.loss == pytest.approx(expected, rel=1e-5)


def test_layers_of_a_nested_model_are_named_by_their_path_and_use() -> None:
    names = names_of(nested(), X)
    assert names == ["base/inner", "base", "base#2/inner", "base#2", "head"]


def test_layers_of_a_subclassed_model_are_seen_and_told_apart() -> None:
    assert names_of(subclassed(), X) == ["first", "block", "block#2"]


def test_a_recurrent_layer_is_one_call_with_its_cells_variables() -> None:
    stack = [layers.LSTM(3, return_sequences=True, name="lstm"), layers.LSTM(2)]
    around = layers.Bidirectional(stack[0], name="both")
    model = keras.Sequential([keras.Input((5, 4)), around, stack[1]])
    found = Capture(model)(np.ones((2, 5, 4)))
    names = [call.name for call in found.calls]
    assert len(names) == 4 and names[2] == "both"
    assert len(found.calls[0].variables) == 3


def test_layers_inside_a_loop_are_left_alone() -> None:
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(3, "relu")])
    around = layers.TimeDistributed(inner, name="steps")
    model = keras.Sequential([keras.Input((None, 4)), around])
    assert names_of(model, np.ones((2, 5, 4))) == ["steps"]


class Mapped(layers.Layer):
    """Calls a layer inside a loop that the engine does not know."""

    def __init__(self) -> None:
        super().__init__(name="mapped")
        self.dense = layers.Dense(3, "relu", name="dense")

    def build(self, shape: tuple) -> None:
        self.dense.build(shape[1:])

    def call(self, inputs: object) -> object:
        return ops.vectorized_map(self.dense, inputs)


def test_no_tensor_leaks_out_of_a_loop_that_is_not_known() -> None:
    model = keras.Sequential([keras.Input((5, 4)), Mapped()])
    model(np.ones((2, 5, 4), "float32"))
    found = Capture(model, forward=both)(np.ones((2, 5, 4)))
    assert by_name(found, found.forward)["mapped"]["out"].shape == (2, 5, 3)


def test_attention_shows_its_projections() -> None:
    inputs = keras.Input((5, 8))
    outputs = layers.MultiHeadAttention(2, 4, name="attention")(inputs, inputs)
    found = Capture(keras.Model(inputs, outputs), forward=both)(np.ones((2, 5, 8)))
    held = [call.name for call in found.calls if "kernel" in call.variables]
    assert held == [
        f"attention/{part}" for part in ("query", "key", "value", "attention_output")
    ]


def test_what_transform_returns_goes_on_in_place_of_the_pre_activation() -> None:
    model = tanh_net()

    def double(call: LayerCall, z: object, arguments: dict) -> object:
        return z * arguments["factor"] if call.name == "hidden" else z

    capture = Capture(model, forward=both, transform=double)
    w, b, _, _ = model.get_weights()
    for factor in (2.0, 3.0):
        found = capture(X, factor=factor).forward[0]
        expected = np.tanh(factor * (X @ w + b))
        np.testing.assert_allclose(found["out"], expected, atol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_under_mixed_precision_gradients_are_near_those_of_float32(policy: str) -> None:
    found = []
    for each in ("float32", policy):
        keras.config.set_dtype_policy(each)
        keras.utils.set_random_seed(3)
        capture = Capture(tanh_net(), backward=gradient_of, loss="mse")
        found.append(capture(X, 1e-5 * Y).backward[0])
    assert found[1].dtype == "float32"
    np.testing.assert_allclose(found[1], found[0], atol=0.02 * np.abs(found[0]).max())


def noisy() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(3, "relu", activity_regularizer="l2"),
            layers.BatchNormalization(),
            layers.Dropout(0.5, seed=1),
            layers.GaussianNoise(0.1),
            layers.Dense(2),
        ]
    )


@pytest.mark.parametrize("training", [False, True])
def test_model_metrics_and_random_states_stay_bit_for_bit(training: bool) -> None:
    model = noisy()
    model.compile("sgd", "mse", metrics=["mae"])
    model.train_on_batch(X, Y)
    before = [np.array(v) for v in model.variables + model.metrics_variables]
    attributes = [set(vars(layer)) for layer in model.layers]
    drawn = keras.random.SeedGenerator(5), np.random.get_state()[1].copy()
    capture = Capture(model, forward=both, backward=gradient_of, training=training)
    capture(X, Y)
    for old, new in zip(before, model.variables + model.metrics_variables, strict=True):
        np.testing.assert_array_equal(old, np.array(new))
    assert attributes == [set(vars(layer)) for layer in model.layers]
    np.testing.assert_array_equal(drawn[1], np.random.get_state()[1])
    assert len(model.losses) <= 1


def test_dropout_is_off_unless_asked_for() -> None:
    model = keras.Sequential([keras.Input((4,)), layers.Dropout(0.5, seed=1)])
    still = Capture(model, forward=both)(X).forward[0]["out"]
    noisy = Capture(model, forward=both, training=True)(X).forward[0]["out"]
    assert (still == X).all() and (noisy == 0).any()


def test_frozen_layers_show_their_gradient_and_keep_their_weights() -> None:
    model = tanh_net()
    model.layers[0].trainable = False
    capture = Capture(model, backward=gradient_of, weights=gradient_of, loss="mse")
    found = capture(X, Y)
    assert np.abs(found.backward[0]).max() > 0 and len(found.weights) == 2


@pytest.mark.alternates("make")
@pytest.mark.parametrize(
    "make", [tanh_net, nested, subclassed], ids=["sequential", "nested", "subclassed"]
)
def test_the_model_works_as_before_after_an_error_in_the_pass(
    make: Callable[[], keras.Model],
) -> None:
    model = make()
    before = model.predict(X, verbose=0)

    def fails(call: LayerCall, pre: object, out: object) -> object:
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        Capture(model, forward=fails)(X)
    np.testing.assert_array_equal(model.predict(X, verbose=0), before)
    assert all("call" not in vars(layer) for layer in model.layers)


def test_a_model_that_is_not_built_is_built_from_the_first_inputs() -> None:
    model = keras.Sequential([layers.Dense(2, name="dense")])
    found = Capture(model, received=lambda call, x: x)(X)
    assert model.layers[0].kernel.shape == (4, 2)
    np.testing.assert_array_equal(found.received[0], X)


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(TypeError, match="`model` must be a keras.Model"):
        Capture(layers.Dense(2))


def test_a_missing_loss_is_named() -> None:
    with pytest.raises(ValueError, match="`loss` must be given"):
        Capture(tanh_net(), backward=gradient_of)(X, Y)


def test_models_that_differ_in_a_weight_or_a_constant_have_results_of_their_own() -> (
    None
):
    found = []
    for factor, seed in ((2.0, 1), (2.0, 2), (3.0, 1)):
        init = keras.initializers.RandomNormal(seed=seed)
        parts = [layers.Rescaling(factor), layers.Dense(3, kernel_initializer=init)]
        model = keras.Sequential([keras.Input((4,)), *parts])
        out = Capture(model, forward=both)(X).forward[-1]["out"]
        kernel = np.array(model.layers[1].kernel)
        np.testing.assert_allclose(out, factor * X @ kernel, atol=1e-5)
        found.append(out)
    assert not np.allclose(found[0], found[1])


def test_models_that_differ_in_weights_that_are_not_used_are_told_apart() -> None:
    x = np.ones((4, 3), "float32")
    for units in (2, 5):
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(units)])
        capture = Capture(model, received=lambda call, given: keras.ops.mean(given))
        assert float(capture(x).received[0]) == 1
