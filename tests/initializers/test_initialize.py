"""A whole model drawn anew, in place."""

from collections.abc import Callable

import keras
import numpy as np
import pytest

from keras_deeptools.initializers import gain, initialize

layers = keras.layers


def values_of(model: keras.Layer) -> list[np.ndarray]:
    return [np.array(keras.ops.convert_to_numpy(v)) for v in model.variables]


def gains_of(model: keras.Model, activation: str | None = None) -> dict[str, float]:
    done = initialize(model, activation, seed=0)
    return {
        row.path.rpartition("/")[0].split("/", 1)[-1]: row.gain for row in done.weights
    }


def output_moments(model: keras.Model, names: list[str], shape: tuple) -> list[float]:
    """Second moments of the outputs of layers, averaged over seeds."""
    taps = keras.Model(
        model.inputs[0], [model.get_layer(name).output for name in names]
    )
    squares = []
    for seed in range(4):
        initialize(model, seed=seed)
        x = np.random.default_rng(seed).normal(size=shape).astype("float32")
        squares.append(
            [np.mean(np.square(keras.ops.convert_to_numpy(y))) for y in taps(x)]
        )
    return np.mean(squares, axis=0).tolist()


@pytest.mark.parametrize("activation", ["relu", "tanh", "selu", "sigmoid"])
def test_a_deep_network_keeps_the_variance_of_its_pre_activations(
    activation: str,
) -> None:
    x = inputs = keras.Input((64,))
    for i in range(4):
        x = layers.Dense(512, name=f"weights{i}")(x)
        x = layers.Activation(activation)(x)
    model = keras.Model(inputs, layers.Dense(512, name="weights4")(x))
    moments = output_moments(model, ["weights0", "weights4"], (256, 64))
    # ReLU's moment walks by a factor of sqrt(5 / width) at every layer.
    assert moments == pytest.approx([1, 1], rel=0.15)


def test_a_mobile_block_keeps_its_variance() -> None:
    inputs = keras.Input((12, 12, 16))
    x = layers.Conv2D(64, 1, activation="relu", name="expand")(inputs)
    x = layers.DepthwiseConv2D(3, name="depthwise")(x)
    x = layers.ReLU()(x)
    x = layers.Conv2D(32, 1, name="project")(x)
    model = keras.Model(inputs, x)
    moments = output_moments(model, ["depthwise", "project"], (16, 12, 12, 16))
    assert moments == pytest.approx([1, 1], rel=0.15)


@pytest.mark.parametrize(
    "before, expected",
    [
        (lambda x: x, 1.0),
        (layers.ReLU(), gain("relu")),
        (layers.Activation("tanh"), gain("tanh")),
        (keras.ops.silu, gain("silu")),
        (layers.BatchNormalization(), 1.0),
        (lambda x: layers.Dropout(0.5)(layers.ReLU()(x)), gain("relu")),
        (lambda x: layers.Add()([x, layers.ReLU()(x)]), 1.5**-0.5),
        (lambda x: layers.Concatenate()([x, layers.ReLU()(x)]), 0.75**-0.5),
        (layers.Softmax(), 1.0),
    ],
    ids="nothing relu tanh op norm dropout add concatenate softmax".split(),
)
def test_the_gain_goes_by_what_comes_before(before: Callable, expected: float) -> None:
    inputs = keras.Input((8,))
    model = keras.Model(inputs, layers.Dense(4, name="last")(before(inputs)))
    assert gains_of(model)["last"] == pytest.approx(expected, rel=1e-4)


def test_a_nested_model_is_seen_from_within_the_outer_one() -> None:
    inner = keras.Sequential([keras.Input((8,)), layers.Dense(4, name="inner")])
    model = keras.Sequential([keras.Input((8,)), layers.ReLU(), inner])
    assert gains_of(model)["inner"] == pytest.approx(gain("relu"), rel=1e-4)


class Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.hidden = layers.Dense(8, "tanh", name="hidden")
        self.top = layers.Dense(2, name="top")

    def call(self, x: object) -> object:
        return self.top(self.hidden(x))


def test_a_subclassed_model_goes_by_each_layers_own_activation() -> None:
    model = Subclassed()
    model(np.zeros((1, 4), "float32"))
    assert gains_of(model) == pytest.approx({"hidden": gain("tanh"), "top": 1.0})


def test_layers_inside_a_layer_of_the_users_go_by_their_own_activation() -> None:
    class Block(keras.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.first = layers.Dense(4, "tanh", name="first")
            self.second = layers.Dense(4, name="second")

        def call(self, x: object) -> object:
            return self.second(self.first(x))

    inputs = keras.Input((4,))
    gains = gains_of(keras.Model(inputs, Block()(layers.ReLU()(inputs))))
    assert gains == pytest.approx({"first": gain("tanh"), "second": 1.0})


def test_the_parts_of_keras_own_layers_get_what_reaches_the_layer() -> None:
    inputs = keras.Input((3, 4))
    x = layers.ReLU()(inputs)
    x = layers.TimeDistributed(layers.Dense(4, name="timed"))(x)
    x = layers.Activation("tanh")(x)
    x = layers.MultiHeadAttention(2, 2)(x, x)
    gains = gains_of(keras.Model(inputs, x))
    expected = dict.fromkeys(["query", "key", "value"], gain("tanh"))
    expected |= {"timed": gain("relu"), "attention_output": 1.0}
    assert gains == pytest.approx(expected)


def test_a_given_activation_counts_everywhere() -> None:
    model = Subclassed()
    model(np.zeros((1, 4), "float32"))
    assert set(gains_of(model, "relu").values()) == {gain("relu")}


def test_every_kernel_gets_numbers_of_its_own() -> None:
    same = [layers.Dense(4, kernel_initializer="zeros") for _ in range(4)]
    model = keras.Sequential([keras.Input((4,)), *same])
    initialize(model, seed=3)
    kernels = values_of(model)[::2]
    assert len({kernel.tobytes() for kernel in kernels}) == 4


def test_the_same_seed_gives_the_same_model_and_another_another() -> None:
    model = keras.Sequential([keras.Input((4,)), layers.Dense(4)])
    initialize(model, seed=3)
    first = values_of(model)
    initialize(model, seed=4)
    other = values_of(model)
    initialize(model, seed=3)
    np.testing.assert_array_equal(first[0], values_of(model)[0])
    assert not np.array_equal(first[0], other[0])


def test_recurrent_kernels_are_orthogonal_gate_by_gate() -> None:
    model = keras.Sequential([keras.Input((5, 3)), layers.GRU(4)])
    initialize(model, seed=0)
    kernel = keras.ops.convert_to_numpy(model.layers[0].cell.recurrent_kernel)
    for gate in np.split(kernel, 3, axis=1):
        np.testing.assert_allclose(gate.T @ gate, np.eye(4), atol=1e-5)


def test_biases_normalizations_and_frozen_weights_stay() -> None:
    frozen = layers.Dense(4, name="frozen", trainable=False)
    model = keras.Sequential(
        [keras.Input((4,)), frozen, layers.BatchNormalization(), layers.Dense(2)]
    )
    for variable in model.variables:
        if variable.name != "kernel":
            variable.assign(variable + 0.5)
    before = values_of(model)
    done = initialize(model, seed=0)
    changed = [
        variable.path
        for variable, this, that in zip(
            model.variables, before, values_of(model), strict=True
        )
        if not np.array_equal(this, that)
    ]
    assert changed == [row.path for row in done.weights] == [model.weights[-2].path]
    assert done.left == (f"{frozen.kernel.path}: frozen",)


def test_a_kernel_whose_axes_are_not_known_is_left_and_said() -> None:
    class Odd(keras.Layer):
        def build(self, shape: tuple) -> None:
            self.kernel = self.add_weight(shape=(2, 3, 4), name="kernel")

        def call(self, x: object) -> object:
            return x

    model = keras.Sequential([keras.Input((4,)), Odd()])
    before = values_of(model)
    done = initialize(model, seed=0)
    assert "the axes of a Odd are not known" in str(done)
    np.testing.assert_array_equal(before[0], values_of(model)[0])


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "float16", "bfloat16"])
def test_kernels_keep_the_type_of_their_variables(policy: str) -> None:
    keras.config.set_dtype_policy(policy)
    model = keras.Sequential([keras.Input((4,)), layers.Dense(4)])
    types = [variable.dtype for variable in model.variables]
    initialize(model, seed=0)
    assert [variable.dtype for variable in model.variables] == types


@pytest.mark.parametrize(
    "call, error, text",
    [
        (lambda m: initialize(m, mode="fan"), ValueError, "`mode`"),
        (lambda m: initialize(m, distribution="normal"), ValueError, "`distribution`"),
        (lambda m: initialize(m, seed=-1), ValueError, "`seed`"),
        (lambda m: initialize(layers.ReLU()), ValueError, "`model` must be with"),
        (lambda m: initialize("model"), TypeError, "`model`"),
    ],
)
def test_bad_input_is_an_error_by_name_and_changes_nothing(
    call: Callable, error: type, text: str
) -> None:
    model = keras.Sequential([keras.Input((4,)), layers.Dense(4)])
    before = values_of(model)
    with pytest.raises(error, match=f"initialize: {text}"):
        call(model)
    np.testing.assert_array_equal(before[0], values_of(model)[0])
