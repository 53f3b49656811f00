"""Every unit's incoming weights stay in the ball, and nothing else is touched."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_deeptools.callbacks import MaxNormEnforcer
from keras_deeptools.engine import Feature, attach

ROUNDING = 1 + 1e-6
X = np.random.default_rng(0).normal(size=(24, 5)).astype("float32")
Y = 9.0 * X[:, :2]


def values(variable: keras.Variable) -> np.ndarray:
    return np.array(keras.ops.convert_to_numpy(variable.value), "float64")


def norms(variable: keras.Variable, axis: int | tuple[int, ...] = 0) -> np.ndarray:
    return np.sqrt(np.square(values(variable)).sum(axis=axis))


def dense_model(optimizer: object = None, **options: object) -> keras.Model:
    model = keras.Sequential(
        [
            keras.Input((5,)),
            layers.Dense(4, "tanh", name="hidden"),
            layers.BatchNormalization(name="scale"),
            layers.Dense(2, name="head"),
        ]
    )
    optimizer = keras.optimizers.SGD(0.5) if optimizer is None else optimizer
    model.compile(optimizer, "mse", **options)
    return model


def fit(model: keras.Model, *callbacks: object, epochs: int = 1) -> None:
    model.fit(X, Y, 8, epochs, 0, callbacks=list(callbacks), shuffle=False)


def kernels(model: keras.Model) -> list[keras.Variable]:
    return [v for v in model.trainable_variables if v.name == "kernel"]


class Own(keras.Layer):
    """A layer with weights that no convention covers."""

    def __init__(self):
        super().__init__(name="own")

    def build(self, shape):
        self.mixing = self.add_weight(shape=(shape[-1], shape[-1]), name="mixing")

    def call(self, inputs):
        return inputs @ self.mixing


# --- Every kind of layer -------------------------------------------------------------

AXES_BY_PATH_END = {
    "conv/kernel": (0, 1, 2),
    "grouped/kernel": (0, 1, 2),
    "depthwise/kernel": (0, 1),
    "separable/depthwise_kernel": (0, 1),
    "separable/pointwise_kernel": (0, 1, 2),
    "transposed/kernel": (0, 1, 3),
    "tokens/embeddings": (1,),
    "forward_lstm/lstm_cell/kernel": (0,),
    "forward_lstm/lstm_cell/recurrent_kernel": (0,),
    "backward_lstm/lstm_cell/kernel": (0,),
    "backward_lstm/lstm_cell/recurrent_kernel": (0,),
    "conv_1d/kernel": (0, 1),
    "attention/query/kernel": (0,),
    "attention/key/kernel": (0,),
    "attention/value/kernel": (0,),
    "attention/attention_output/kernel": (0, 1),
    "grouped_attention/query/kernel": (0,),
    "grouped_attention/key/kernel": (0,),
    "grouped_attention/value/kernel": (0,),
    "grouped_attention/attention_output/kernel": (0, 1),
    "einsum/kernel": (1,),
    "timed/dense/kernel": (0,),
    "cells/stacked/gru_cell/kernel": (0,),
    "cells/stacked/gru_cell/recurrent_kernel": (0,),
    "cells/stacked/simple_rnn_cell/kernel": (0,),
    "cells/stacked/simple_rnn_cell/recurrent_kernel": (0,),
    "nested/inner/kernel": (0,),
    "head/kernel": (0,),
}


def model_of_every_kind() -> keras.Model:
    image = keras.Input((4, 4, 2))
    z = layers.Conv2D(4, 2, name="conv")(image)
    z = layers.Conv2D(4, 2, groups=2, padding="same", name="grouped")(z)
    z = layers.DepthwiseConv2D(2, depth_multiplier=2, name="depthwise")(z)
    z = layers.SeparableConv2D(4, 2, name="separable")(z)
    z = layers.Conv2DTranspose(3, 2, name="transposed")(z)
    z = layers.GlobalAveragePooling2D()(layers.PReLU()(z))
    token = keras.Input((3,), dtype="int32")
    s = layers.Embedding(6, 4, name="tokens")(token)
    lstm = layers.LSTM(2, return_sequences=True)
    s = layers.Bidirectional(lstm, name="both")(s)
    s = layers.Conv1D(4, 2, padding="same", name="conv_1d")(s)
    s = layers.MultiHeadAttention(2, 2, name="attention")(s, s)
    s = layers.GroupQueryAttention(2, 4, 2, name="grouped_attention")(s, s)
    s = layers.LayerNormalization(axis=(1, 2))(s)
    s = layers.EinsumDense("abc,dc->abd", (None, 4), name="einsum")(s)
    s = layers.TimeDistributed(layers.Dense(4, name="dense"), name="timed")(s)
    stacked = layers.StackedRNNCells(
        [
            layers.GRUCell(3, name="gru_cell"),
            layers.SimpleRNNCell(2, name="simple_rnn_cell"),
        ],
        name="stacked",
    )
    s = layers.RNN(stacked, name="cells")(s)
    inner = [keras.Input((2,)), layers.Dense(3, name="inner")]
    s = keras.Sequential(inner, name="nested")(s)
    outputs = layers.Dense(2, name="head")(layers.Concatenate()([z, s]))
    model = keras.Model([image, token], outputs)
    model.compile(keras.optimizers.SGD(0.05), "mse")
    return model


@pytest.fixture
def numpy_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Initial weights from numpy: JAX would compile a program for every shape."""
    random = np.random.default_rng(0)

    def draw(self: object, shape: tuple, dtype: object = None) -> object:
        return keras.ops.convert_to_tensor(random.normal(0.0, 0.3, shape), dtype)

    for kind in ("VarianceScaling", "RandomUniform", "Orthogonal"):
        monkeypatch.setattr(getattr(keras.initializers, kind), "__call__", draw)


@pytest.mark.usefixtures("numpy_draws")
def test_every_kind_of_layer_is_brought_into_the_ball_along_its_own_axes() -> None:
    keras.utils.clear_session(free_memory=False)  # Names count from 1 again.
    model = model_of_every_kind()
    for variable in model.trainable_variables:
        variable.assign(4.0 * values(variable) + 0.5)
    enforcer = MaxNormEnforcer(0.75)
    with attach(model, enforcer):
        gradients = [np.zeros(v.shape, "float32") for v in model.trainable_variables]
        model.optimizer.apply([keras.ops.convert_to_tensor(g) for g in gradients])
    assert len(enforcer.activity) == len(AXES_BY_PATH_END)
    for end, axes in AXES_BY_PATH_END.items():
        (variable,) = [
            v for v in model.trainable_variables if f"/{v.path}".endswith(f"/{end}")
        ]
        assert (norms(variable, axes) <= 0.75 * ROUNDING).all(), end
        assert norms(variable, axes).max() > 0.74, end
    biases = [v for v in model.trainable_variables if v.name in ("bias", "gamma")]
    assert min(np.abs(values(v)).max() for v in biases) > 0.4


# --- The projection ------------------------------------------------------------------


class Still(Feature):
    """Lets the optimizer see gradients of zero."""

    def transform_gradients(self, state, leaf, gradients):
        return [keras.ops.zeros_like(gradient) for gradient in gradients]


def projected(weights: np.ndarray, max_norm: float) -> tuple[np.ndarray, np.ndarray]:
    """The weights before and after an update that moves nothing."""
    model = keras.Sequential(
        [
            keras.Input((weights.shape[0],)),
            layers.Dense(weights.shape[1], use_bias=False),
        ]
    )
    model.compile(keras.optimizers.SGD(0.0), "mse", run_eagerly=True)
    kernel = model.trainable_variables[0]
    kernel.assign(weights)
    before = keras.ops.convert_to_numpy(kernel.value).copy()
    with attach(model, Still(), MaxNormEnforcer(max_norm)):
        model.train_on_batch(np.zeros((1, len(weights))), np.zeros((1, 1)))
    return before, keras.ops.convert_to_numpy(kernel.value).copy()


def test_a_unit_outside_comes_to_the_surface_as_in_the_closed_form() -> None:
    weights = np.random.default_rng(2).normal(size=(7, 9)).astype("float32")
    before, after = projected(weights, 2.0)
    lengths = np.linalg.norm(before, axis=0)
    expected = before * np.minimum(1, 2.0 / lengths)
    np.testing.assert_allclose(after, expected, rtol=3e-6)
    inside = lengths <= 2.0
    assert inside.any() and not inside.all()
    np.testing.assert_array_equal(after[:, inside], before[:, inside])


def test_it_agrees_with_keras_constraint_to_the_constraints_own_epsilon() -> None:
    weights = np.random.default_rng(3).normal(size=(6, 5)).astype("float32")
    _, after = projected(weights, 1.5)
    theirs = keras.constraints.MaxNorm(1.5, axis=0)(weights)
    theirs = keras.ops.convert_to_numpy(theirs)
    np.testing.assert_allclose(after, theirs, rtol=1e-5)


def test_a_second_projection_changes_no_bit() -> None:
    weights = np.random.default_rng(4).normal(size=(50, 40)).astype("float32")
    _, once = projected(weights, 1.0)
    _, twice = projected(once, 1.0)
    np.testing.assert_array_equal(once, twice)


def test_zero_units_stay_zero_and_huge_units_keep_their_direction() -> None:
    weights = np.array([[0.0, 3e25, -2e-30], [0.0, -4e25, 1e-30]], "float32")
    _, after = projected(weights, 1.0)
    expected = [[0.0, 0.6, weights[0, 2]], [0.0, -0.8, weights[1, 2]]]
    np.testing.assert_allclose(after, expected, rtol=1e-5)


def test_units_that_are_not_finite_stay_as_they_are_beside_those_that_are() -> None:
    weights = np.array([[np.nan, np.inf, 3.0], [5.0, 5.0, 4.0]], "float32")
    _, after = projected(weights, 1.0)
    np.testing.assert_array_equal(after[:, :2], weights[:, :2])
    np.testing.assert_allclose(after[:, 2], [0.6, 0.8], rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_in_half_precision_rounding_does_not_lead_out_of_the_ball(dtype: str) -> None:
    weights = np.random.default_rng(5).normal(size=(30, 60)).astype("float32")
    model = keras.Sequential([keras.Input((30,)), layers.Dense(60, dtype=dtype)])
    model.compile(keras.optimizers.SGD(0.0), "mse", run_eagerly=True)
    kernel = model.layers[0].kernel
    kernel.assign(weights)
    with attach(model, MaxNormEnforcer(1.0)):
        model.train_on_batch(np.zeros((1, 30)), np.zeros((1, 60)))
    after = np.array(keras.ops.convert_to_numpy(keras.ops.cast(kernel, "float32")))
    lengths = np.linalg.norm(after.astype("float64"), axis=0)
    assert (lengths <= 1.0).all() and lengths.min() > 0.99


# --- Holds at every step -------------------------------------------------------------


class Watch(keras.callbacks.Callback):
    """Keeps the largest norm of each kernel after every batch."""

    def __init__(self):
        super().__init__()
        self.largest = []

    def on_train_batch_end(self, batch, logs=None):
        self.largest.append([norms(kernel).max() for kernel in kernels(self.model)])


def accumulating() -> keras.optimizers.Optimizer:
    return keras.optimizers.Adam(0.5, gradient_accumulation_steps=2)


def averaging() -> keras.optimizers.Optimizer:
    return keras.optimizers.SGD(0.5, use_ema=True, ema_overwrite_frequency=2)


def scaling() -> keras.optimizers.Optimizer:
    return keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.5), 2.0)


def several() -> keras.optimizers.Optimizer:
    return keras.optimizers.MultiOptimizer(
        keras.optimizers.OptimizerMap(
            keras.optimizers.SGD(0.5), {".*head/.*": keras.optimizers.Adam(0.5)}
        )
    )


@pytest.mark.parametrize("make", [accumulating, averaging, scaling, several])
def test_the_norms_hold_after_every_update_with_every_kind_of_optimizer(make) -> None:
    model, watch = dense_model(make()), Watch()
    fit(model, MaxNormEnforcer(0.3), watch, epochs=2)
    first_update = make().gradient_accumulation_steps or 1
    largest = np.array(watch.largest[first_update - 1 :])
    assert largest.max() <= 0.3 * ROUNDING
    assert largest.max() > 0.29


def test_it_acts_in_eager_training() -> None:
    model = dense_model(run_eagerly=True)
    fit(model, MaxNormEnforcer(0.3))
    assert max(norms(k).max() for k in kernels(model)) <= 0.3 * ROUNDING


def test_it_acts_under_mixed_precision_on_the_full_weights() -> None:
    keras.config.set_dtype_policy("mixed_float16")
    inner = keras.optimizers.SGD(0.01)
    model = dense_model(keras.optimizers.LossScaleOptimizer(inner, 4.0))
    fit(model, MaxNormEnforcer(0.3))
    assert max(norms(k).max() for k in kernels(model)) <= 0.3 * ROUNDING


def test_it_acts_within_a_call_of_several_steps() -> None:
    # One step per call is all that the remaining backend can do.
    several_steps = keras.backend.backend() != "torch"
    model = dense_model(steps_per_execution=3 if several_steps else 1)
    enforcer = MaxNormEnforcer(0.3, layers="head")
    fit(model, enforcer)
    assert norms(model.get_layer("head").kernel).max() <= 0.3 * ROUNDING


def test_the_moving_average_is_in_the_ball_when_it_started_outside() -> None:
    optimizer = keras.optimizers.SGD(0.5, use_ema=True, ema_momentum=0.999)
    model = dense_model(optimizer)
    optimizer.build(model.trainable_variables)
    before = [v for v in optimizer.variables if "average" in v.path]
    averages = [v for v in before if len(v.shape) == 2]
    for average in averages:
        average.assign(3.0 + 0 * values(average))
    with attach(model, MaxNormEnforcer(0.3)):
        for _ in range(3):
            model.train_on_batch(X, Y)
    assert len(averages) == 2
    assert max(norms(a).max() for a in averages) <= 0.3 * ROUNDING


def test_weights_within_the_limit_train_bit_for_bit_as_without_it() -> None:
    plain = dense_model(keras.optimizers.SGD(0.01))
    twin = dense_model(keras.optimizers.SGD(0.01))
    twin.set_weights(plain.get_weights())
    fit(plain)
    fit(twin, MaxNormEnforcer(1e6))
    for a, b in zip(plain.weights, twin.weights, strict=True):
        np.testing.assert_array_equal(values(a), values(b))


# --- Choices -------------------------------------------------------------------------


@pytest.mark.one_backend
def test_only_the_chosen_layers_are_limited() -> None:
    model = dense_model()
    enforcer = MaxNormEnforcer(0.1, layers="head")
    fit(model, enforcer)
    assert norms(model.get_layer("head").kernel).max() <= 0.1 * ROUNDING
    assert norms(model.get_layer("hidden").kernel).max() > 0.2
    assert [path.split("/")[-2] for path in enforcer.activity] == ["head"]


@pytest.mark.alternates("axis")
@pytest.mark.parametrize("axis", [1, -1, (1,), {"head": 1}, {"*/kernel": (-1,)}])
def test_the_axis_can_be_told(axis: object) -> None:
    model = dense_model()
    fit(model, MaxNormEnforcer(0.3, layers="head", axis=axis))
    assert norms(model.get_layer("head").kernel, 1).max() <= 0.3 * ROUNDING
    assert norms(model.get_layer("head").kernel, 0).max() > 0.3 * ROUNDING


@pytest.mark.one_backend
def test_none_as_axis_leaves_weights_alone() -> None:
    enforcer = MaxNormEnforcer(0.3, axis={"hidden": None})
    fit(dense_model(), enforcer)
    assert len(enforcer.activity) == 1


@pytest.mark.one_backend
def test_weights_of_an_unknown_kind_are_left_alone_until_their_axis_is_told() -> None:
    model = keras.Sequential([keras.Input((5,)), Own(), layers.Dense(2)])
    model.layers[0].mixing.assign(3.0 * np.eye(5))
    model.compile(keras.optimizers.SGD(0.0), "mse")
    enforcer = MaxNormEnforcer(0.3)
    with pytest.warns(UserWarning, match=r"own/mixing.*axis=\{'\*/mixing'"):
        fit(model, enforcer)
    assert norms(model.layers[0].mixing).min() == 3.0
    assert norms(model.layers[1].kernel).max() <= 0.3 * ROUNDING
    assert [path.rpartition("/")[2] for path in enforcer.left_alone] == ["mixing"]
    assert "left alone" in enforcer.table()
    fit(model, enforcer)  # Told once.
    fit(model, MaxNormEnforcer(0.3, axis={"*/mixing": 0}))
    assert norms(model.layers[0].mixing).max() <= 0.3 * ROUNDING
    told = MaxNormEnforcer(0.3, axis={"*/mixing": None})
    fit(model, told)
    assert told.left_alone == []


def adapted() -> keras.Model:
    inputs = keras.Input((3, 5))
    x = layers.Dense(4, lora_rank=2)(inputs)
    x = layers.EinsumDense("abc,cd->abd", (None, 4), lora_rank=2)(x)
    x = layers.Conv1D(4, 2, lora_rank=2)(x)
    x = layers.GlobalAveragePooling1D()(x)
    return keras.Model(inputs, layers.Dense(2, name="head")(x))


@pytest.mark.one_backend
def test_low_rank_factors_are_left_alone_and_named() -> None:
    model = adapted()
    for variable in model.trainable_variables:
        variable.assign(3.0 + 0 * values(variable))
    model.compile(keras.optimizers.SGD(0.0), "mse")
    enforcer = MaxNormEnforcer(0.3)
    model.fit(np.ones((4, 3, 5)), np.ones((4, 2)), verbose=0, callbacks=[enforcer])
    assert norms(model.get_layer("head").kernel).max() <= 0.3 * ROUNDING
    assert len(enforcer.activity) == 1
    factors = [v for v in model.trainable_variables if "lora" in v.path]
    assert enforcer.left_alone == [v.path for v in factors] and len(factors) == 6
    assert all((values(v) == 3.0).all() for v in factors)


def test_a_layer_adapted_after_a_fit_trains_on() -> None:
    model = dense_model()
    fit(model, MaxNormEnforcer(0.3))
    model.get_layer("hidden").enable_lora(2)
    model.compile(keras.optimizers.SGD(0.5), "mse")
    before = values(model.get_layer("hidden")._kernel)
    enforcer = MaxNormEnforcer(0.1)
    fit(model, enforcer)
    np.testing.assert_array_equal(values(model.get_layer("hidden")._kernel), before)
    assert len(enforcer.left_alone) == 2


@pytest.mark.one_backend
def test_a_model_of_nothing_but_factors_is_left_alone() -> None:
    model = keras.Sequential([keras.Input((5,)), layers.Dense(2, lora_rank=2)])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    enforcer = MaxNormEnforcer(0.3)
    fit(model, enforcer)
    assert enforcer.activity == {} and len(enforcer.left_alone) == 2


@pytest.mark.alternates("tied")
@pytest.mark.parametrize("tied", [True, False])
def test_tables_that_lead_there_and_back_are_limited_by_token(tied: bool) -> None:
    inputs = keras.Input((4,), dtype="int32")
    table = layers.ReversibleEmbedding(7, 3, tie_weights=tied, name="table")
    model = keras.Model(inputs, table(layers.Dense(3)(table(inputs)), reverse=True))
    model.compile(keras.optimizers.SGD(5.0), "mse")
    tokens = np.arange(8).reshape(2, 4) % 7
    goals = 9.0 * np.ones((2, 4, 7))
    model.fit(tokens, goals, verbose=0, callbacks=[MaxNormEnforcer(0.2)])
    assert norms(table.embeddings, 1).max() <= 0.2 * ROUNDING
    if not tied:
        assert norms(table.reverse_embeddings, 0).max() <= 0.2 * ROUNDING


def test_a_layer_used_twice_is_limited_once() -> None:
    inputs = keras.Input((5,))
    shared = layers.Dense(5, name="shared")
    model = keras.Model(inputs, layers.Dense(2)(shared(shared(inputs))))
    model.compile(keras.optimizers.SGD(0.5), "mse")
    enforcer = MaxNormEnforcer(0.3)
    fit(model, enforcer)
    assert len(enforcer.activity) == 2
    assert norms(shared.kernel).max() <= 0.3 * ROUNDING


def test_an_optimizer_without_its_model_serves_where_paths_tell_the_axes() -> None:
    model = dense_model()
    model.optimizer.build(model.trainable_variables)
    with attach(model.optimizer, MaxNormEnforcer(0.3)):
        model.train_on_batch(X, Y)
    assert max(norms(k).max() for k in kernels(model)) <= 0.3 * ROUNDING
    conv = layers.Conv2D(2, 2)
    conv.build((None, 4, 4, 2))
    optimizer = keras.optimizers.SGD(0.5)
    optimizer.build(conv.trainable_variables)
    with pytest.raises(ValueError, match="Attach to the compiled model"):
        attach(optimizer, MaxNormEnforcer(0.3))


# --- Reports -------------------------------------------------------------------------


def test_activity_is_the_mean_fraction_of_units_scaled_back() -> None:
    weights = np.diag([3.0, 3.0, 0.1, 0.1]).astype("float32")
    model = keras.Sequential([keras.Input((4,)), layers.Dense(4, use_bias=False)])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    model.layers[0].kernel.assign(weights)
    enforcer = MaxNormEnforcer(1.0)
    with attach(model, enforcer):
        for _ in range(4):
            model.train_on_batch(np.zeros((1, 4)), np.zeros((1, 4)))
        during = list(enforcer.activity.values())
    # Half of the units, in the first of four updates.
    assert during == list(enforcer.activity.values()) == pytest.approx([0.125])
    assert "12.5%" in enforcer.table()


def test_the_limit_can_be_changed_during_training() -> None:
    model, enforcer = dense_model(), MaxNormEnforcer(5.0)

    class Tighten(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            enforcer.max_norm = 0.2

    fit(model, enforcer, Tighten(), epochs=2)
    assert max(norms(k).max() for k in kernels(model)) <= 0.2 * ROUNDING
    assert enforcer.max_norm == enforcer.get_config()["max_norm"] == 0.2


@pytest.mark.one_backend
def test_a_second_model_and_a_second_fit_start_new_counts() -> None:
    enforcer = MaxNormEnforcer(0.3)
    first = dense_model()
    fit(first, enforcer)
    fit(first, enforcer)
    fit(dense_model(), enforcer)
    assert len(enforcer.activity) == 2


def test_a_file_saved_during_fit_loads_with_a_plain_optimizer_state() -> None:
    model = dense_model(keras.optimizers.Adam(0.5))
    fit(model, MaxNormEnforcer(0.3), keras.callbacks.ModelCheckpoint("model.keras"))
    loaded = keras.saving.load_model("model.keras")
    assert len(loaded.optimizer.variables) == len(model.optimizer.variables)
    for a, b in zip(loaded.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(values(a), values(b))


def test_after_a_broken_off_fit_a_plain_fit_is_free_of_the_limit() -> None:
    class Break(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise RuntimeError("on purpose")

    model, enforcer = dense_model(), MaxNormEnforcer(0.3)
    with pytest.raises(RuntimeError, match="on purpose"):
        fit(model, enforcer, Break())
    fit(model)
    assert max(norms(k).max() for k in kernels(model)) > 0.3 * ROUNDING
    fit(model, enforcer)
    assert max(norms(k).max() for k in kernels(model)) <= 0.3 * ROUNDING


# --- Refused -------------------------------------------------------------------------


@pytest.mark.one_backend
@pytest.mark.parametrize("value", [0, -1.0, float("nan"), 1e-13])
def test_a_limit_out_of_range_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="MaxNormEnforcer: `max_norm` must be"):
        MaxNormEnforcer(value)
    enforcer = MaxNormEnforcer()
    with pytest.raises(ValueError, match="MaxNormEnforcer: `max_norm` must be"):
        enforcer.max_norm = value


@pytest.mark.one_backend
@pytest.mark.parametrize("value", ["2", None, True])
def test_a_limit_of_another_type_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="MaxNormEnforcer: `max_norm` must be"):
        MaxNormEnforcer(value)


@pytest.mark.one_backend
@pytest.mark.parametrize("axis", ["0", 1.5, True, (), {}, {1: 0}, {"head": "0"}])
def test_an_axis_of_another_type_is_refused(axis: object) -> None:
    with pytest.raises(TypeError, match="MaxNormEnforcer: `axis` must be"):
        MaxNormEnforcer(axis=axis)


@pytest.mark.alternates("axis")
@pytest.mark.parametrize("axis", [2, -3, (0, 0), (0, -2)])
def test_an_axis_that_the_weights_do_not_have_is_refused(axis: object) -> None:
    model = dense_model()
    config = model.optimizer.get_config()
    with pytest.raises(ValueError, match="`axis` must hold different axes.*shape"):
        fit(model, MaxNormEnforcer(axis=axis))
    assert model.optimizer.get_config() == config
    fit(model)


@pytest.mark.one_backend
def test_layers_without_kernels_are_refused() -> None:
    with pytest.raises(ValueError, match="`layers` must choose weights of two or more"):
        fit(dense_model(), MaxNormEnforcer(layers="scale"))
