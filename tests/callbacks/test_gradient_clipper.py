"""Gradients are within their limits in the documented order, as references say."""

import keras
import numpy as np
import pytest
import torch
from keras import layers, ops

from keras_deeptools.callbacks import GradientClipper
from keras_deeptools.engine import Feature, attach

X = np.random.default_rng(0).normal(size=(24, 5)).astype("float32")
Y = 9.0 * X[:, :2]
INFINITY = float("inf")


def build(optimizer: object = None, **options: object) -> keras.Model:
    model = keras.Sequential(
        [
            keras.Input((5,)),
            layers.Dense(4, "tanh", name="hidden"),
            layers.Dense(2, name="head"),
        ]
    )
    for k, variable in enumerate(model.trainable_variables):
        draw = np.random.default_rng(k).normal(size=variable.shape)
        variable.assign(draw)
    optimizer = keras.optimizers.SGD(0.05) if optimizer is None else optimizer
    model.compile(optimizer, "mse", **options)
    return model


def fit(model: keras.Model, *callbacks: object, epochs: int = 1) -> None:
    model.fit(X, Y, 8, epochs, 0, callbacks=list(callbacks), shuffle=False)


def values(model: keras.Model) -> list[np.ndarray]:
    return [
        np.array(ops.convert_to_numpy(v.value), "float64")
        for v in model.trainable_variables
    ]


class Substitute(Feature):
    """Puts given gradients in the place of those that training computed."""

    def __init__(self, gradients: list[np.ndarray]) -> None:
        self.gradients = gradients

    def transform_gradients(self, state, leaf, gradients):
        return [ops.convert_to_tensor(g) for g in self.gradients]


SHAPES = [(5, 4), (4,), (4, 2), (2,)]


def drawn(*scales: float) -> list[np.ndarray]:
    rng = np.random.default_rng(7)
    pairs = zip(SHAPES, scales or (1.0,) * 4, strict=True)
    return [(scale * rng.normal(size=s)).astype("float32") for s, scale in pairs]


def clipped(clipper: GradientClipper, gradients: list[np.ndarray]) -> list[np.ndarray]:
    """What the optimizer receives, seen through a plain descent with rate 1."""
    model = build(keras.optimizers.SGD(1.0), run_eagerly=True)
    for variable in model.trainable_variables:
        variable.assign(ops.zeros(variable.shape))
    with attach(model, Substitute(gradients), clipper):
        model.train_on_batch(X[:2], Y[:2])
    return [-np.array(ops.convert_to_numpy(v.value)) for v in model.trainable_variables]


def assert_close(these: list, those: list, rtol: float = 3e-6) -> None:
    for this, that in zip(these, those, strict=True):
        np.testing.assert_allclose(this, that, rtol=rtol, atol=1e-30)


def with_torch(gradients: list[np.ndarray], clip: object, *groups: slice) -> list:
    parameters = [torch.nn.Parameter(torch.zeros(g.shape)) for g in gradients]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = torch.tensor(gradient)
    for group in groups:
        clip(parameters[group])
    return [parameter.grad.numpy() for parameter in parameters]


# --- Each kind -----------------------------------------------------------------------


def test_value_clips_as_torch_clips_values() -> None:
    gradients = drawn()
    reference = with_torch(
        gradients, lambda p: torch.nn.utils.clip_grad_value_(p, 0.4), slice(None)
    )
    assert_close(clipped(GradientClipper(value=0.4), gradients), reference, rtol=0)


@pytest.mark.parametrize("limit", [0.5, 100.0])
def test_global_norm_clips_as_torch_clips_norms(limit: float) -> None:
    gradients = drawn(3.0, 0.1, 1.0, 10.0)
    reference = with_torch(
        gradients, lambda p: torch.nn.utils.clip_grad_norm_(p, limit), slice(None)
    )
    assert_close(clipped(GradientClipper(global_norm=limit), gradients), reference)


def test_norm_clips_the_variables_of_a_layer_together() -> None:
    gradients = drawn(3.0, 5.0, 1e-3, 1e-3)
    reference = with_torch(
        gradients,
        lambda p: torch.nn.utils.clip_grad_norm_(p, 0.5),
        slice(0, 2),
        slice(2, 4),
    )
    assert_close(clipped(GradientClipper(norm=0.5), gradients), reference)


def test_norm_per_variable_clips_as_keras_clips_norms() -> None:
    plain, twin = build(keras.optimizers.SGD(0.05, clipnorm=0.3)), build()
    fit(plain)
    fit(twin, GradientClipper(norm=0.3, per="variable"))
    assert_close(values(twin), values(plain), rtol=1e-5)


def test_global_norm_trains_as_keras_global_clipnorm() -> None:
    plain, twin = (
        build(keras.optimizers.Adam(0.05, global_clipnorm=0.3)),
        build(keras.optimizers.Adam(0.05)),
    )
    fit(plain)
    fit(twin, GradientClipper(global_norm=0.3))
    assert_close(values(twin), values(plain), rtol=1e-5)


def test_all_three_act_in_the_order_value_then_norm_then_global_norm() -> None:
    gradients = drawn(3.0, 3.0, 3.0, 3.0)
    expected = [np.clip(g.astype("float64"), -1.0, 1.0) for g in gradients]
    for pair in (slice(0, 2), slice(2, 4)):
        norm = np.sqrt(sum(np.square(g).sum() for g in expected[pair]))
        expected[pair] = [g * min(1, 0.9 / norm) for g in expected[pair]]
    norm = np.sqrt(sum(np.square(g).sum() for g in expected))
    assert norm > 0.8
    expected = [g * 0.8 / norm for g in expected]
    clipper = GradientClipper(value=1.0, norm=0.9, global_norm=0.8)
    assert_close(clipped(clipper, gradients), expected)


def test_gradients_within_the_limits_train_bit_for_bit_as_without_it() -> None:
    plain, twin = build(), build()
    fit(plain)
    fit(twin, GradientClipper(1e6, 1e6, 1e6))
    assert_close(values(plain), values(twin), rtol=0)


def test_layers_that_are_not_chosen_are_neither_counted_nor_changed() -> None:
    gradients = drawn()
    result = clipped(GradientClipper(global_norm=0.1, layers="head"), gradients)
    assert_close(result[:2], gradients[:2], rtol=0)
    norm = np.sqrt(sum(np.square(g).sum() for g in result[2:]))
    np.testing.assert_allclose(norm, 0.1, rtol=1e-6)


# --- Extremes ------------------------------------------------------------------------


def test_norms_of_huge_and_tiny_gradients_neither_overflow_nor_vanish() -> None:
    huge = [g * 1e25 for g in drawn()]
    norm = np.sqrt(sum(np.square(g.astype("float64")).sum() for g in huge))
    expected = [g.astype("float64") / norm for g in huge]
    assert_close(clipped(GradientClipper(global_norm=1.0), huge), expected, rtol=1e-5)
    tiny = [g * np.float32(1e-25) for g in drawn()]
    assert_close(clipped(GradientClipper(1.0, 1.0), tiny), tiny, rtol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, INFINITY])
def test_a_norm_that_is_not_finite_scales_nothing_and_is_counted(bad: float) -> None:
    gradients = drawn()
    gradients[0][0, 0] = bad
    clipper = GradientClipper(global_norm=0.1)
    result = clipped(clipper, gradients)
    np.testing.assert_array_equal(result[1], gradients[1])
    assert np.isfinite(np.concatenate([g.ravel() for g in result[1:]])).all()
    assert clipper.fractions == {"global_norm": 0.0, "non_finite": 1.0}


def test_a_layer_that_is_not_finite_leaves_the_others_clipped() -> None:
    gradients = drawn()
    gradients[0][0, 0] = np.nan
    result = clipped(GradientClipper(norm=0.1), gradients)
    norm = np.sqrt(sum(np.square(g).sum() for g in result[2:]))
    np.testing.assert_allclose(norm, 0.1, rtol=1e-6)


def test_value_brings_infinities_to_the_limit() -> None:
    gradients = drawn()
    gradients[0][0, :2] = [INFINITY, -INFINITY]
    result = clipped(GradientClipper(value=0.5), gradients)
    assert result[0][0, :2].tolist() == [0.5, -0.5]


def test_the_rows_of_an_embedding_that_occur_several_times_count_as_their_sum() -> None:
    def embedder(**clipping: float) -> keras.Model:
        model = keras.Sequential(
            [keras.Input((3,), dtype="int32"), layers.Embedding(5, 2), layers.Flatten()]
        )
        model.layers[0].embeddings.assign(np.arange(10.0).reshape(5, 2))
        model.compile(keras.optimizers.SGD(1.0, **clipping), "mse")
        return model

    tokens, goals = np.array([[1, 1, 3]] * 2), np.zeros((2, 6))
    start = values(embedder())[0]
    plain = embedder()
    plain.fit(tokens, goals, verbose=0)
    gradient = start - values(plain)[0]
    for name, expected in {
        "global_norm": gradient * 0.5 / np.linalg.norm(gradient),
        "value": np.clip(gradient, -0.5, 0.5),
    }.items():
        model = embedder()
        clipper = GradientClipper(**{name: 0.5})
        model.fit(tokens, goals, verbose=0, callbacks=[clipper])
        np.testing.assert_allclose(start - values(model)[0], expected, atol=2e-6)
        assert clipper.history[name] == [1.0]


# --- With every kind of optimizer ----------------------------------------------------


def change_of_one_update(
    model: keras.Model, clipper: object, batches: int = 1
) -> float:
    before = values(model)
    with attach(model, clipper):
        for _ in range(batches):
            model.train_on_batch(X, Y)
    after = values(model)
    parts = zip(before, after, strict=True)
    return float(np.sqrt(sum(np.square(a - b).sum() for a, b in parts)))


def test_the_mean_of_accumulated_gradients_is_clipped() -> None:
    model = build(keras.optimizers.SGD(1.0, gradient_accumulation_steps=2))
    clipper = GradientClipper(global_norm=0.25)
    change = change_of_one_update(model, clipper, batches=4)
    assert 0.25 < change <= 0.5 * (1 + 1e-5)
    assert clipper.fractions == {"global_norm": 1.0, "non_finite": 0.0}
    assert clipper.num_updates == 2


@pytest.mark.parametrize("eager", [False, True])
def test_unscaled_gradients_are_clipped_under_loss_scaling(eager: bool) -> None:
    inner = keras.optimizers.SGD(1.0)
    optimizer = keras.optimizers.LossScaleOptimizer(inner, 64.0)
    model = build(optimizer, run_eagerly=eager)
    change = change_of_one_update(model, GradientClipper(global_norm=0.25))
    np.testing.assert_allclose(change, 0.25, rtol=1e-4)


def test_clipping_holds_under_mixed_precision() -> None:
    keras.config.set_dtype_policy("mixed_float16")
    model = build(keras.optimizers.SGD(1.0))
    scaling = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(1.0), 4.0)
    model.compile(scaling, "mse")
    change = change_of_one_update(model, GradientClipper(global_norm=0.25))
    np.testing.assert_allclose(change, 0.25, rtol=1e-4)


def test_every_step_is_clipped_within_a_call_of_several_steps() -> None:
    # One step per call is all that the remaining backend can do.
    several_steps = keras.backend.backend() != "torch"
    reference, model = build(), build(steps_per_execution=3 if several_steps else 1)
    fit(reference, GradientClipper(global_norm=0.1))
    clipper = GradientClipper(global_norm=0.1)
    fit(model, clipper)
    assert_close(values(model), values(reference), rtol=1e-5)
    assert clipper.num_updates == 3


def several(head: str = "head/.*") -> keras.optimizers.Optimizer:
    return keras.optimizers.MultiOptimizer(
        keras.optimizers.OptimizerMap(
            keras.optimizers.SGD(1.0), {f".*{head}": keras.optimizers.SGD(1.0)}
        )
    )


@pytest.mark.one_backend
def test_a_global_norm_over_several_optimizers_is_refused() -> None:
    model = build(several())
    with pytest.raises(ValueError, match="`global_norm` must span variables of one"):
        fit(model, GradientClipper(global_norm=1.0))
    fit(model)
    clipper = GradientClipper(global_norm=0.25, layers="head")
    change_of_one_update(model, clipper)
    assert clipper.fractions["global_norm"] == 1.0


def test_norms_per_layer_hold_over_several_optimizers() -> None:
    model = build(several())
    change = change_of_one_update(model, GradientClipper(norm=0.25))
    np.testing.assert_allclose(change, 0.25 * np.sqrt(2), rtol=1e-4)


# --- Changes and reports -------------------------------------------------------------


class Set(keras.callbacks.Callback):
    """Sets an attribute of a clipper after the first epoch."""

    def __init__(self, clipper, name, value):
        super().__init__()
        self.change = (clipper, name, value)

    def on_epoch_end(self, epoch, logs=None):
        setattr(*self.change)


@pytest.mark.alternates("name")
@pytest.mark.parametrize("name", ["value", "norm", "global_norm"])
def test_each_limit_can_be_set_during_training(name: str) -> None:
    model = build(keras.optimizers.SGD(1e-3))
    clipper = GradientClipper(**{name: INFINITY})
    fit(model, clipper, Set(clipper, name, 1e-4), epochs=2)
    assert clipper.history[name] == [0.0, 1.0]
    assert clipper.get_config()[name] == 1e-4


def test_a_limit_can_be_switched_off_during_training() -> None:
    model = build(keras.optimizers.SGD(1e-3))
    clipper = GradientClipper(norm=1e-4)
    fit(model, clipper, Set(clipper, "norm", None), epochs=2)
    assert clipper.history["norm"] == [1.0, 0.0]


@pytest.mark.one_backend
def test_a_kind_that_was_off_at_the_start_cannot_be_switched_on_in_training() -> None:
    model, clipper = build(), GradientClipper(norm=1.0)
    with pytest.raises(ValueError, match=r'`value` must be on.*value=float\("inf"\)'):
        fit(model, clipper, Set(clipper, "value", 0.5))
    assert clipper.value is None


@pytest.mark.one_backend
def test_activity_names_the_layers_whose_norm_was_clipped() -> None:
    gradients = drawn(3.0, 3.0, 1e-3, 1e-3)
    clipper = GradientClipper(norm=0.5)
    clipped(clipper, gradients)
    named = {path.split("/")[-1]: part for path, part in clipper.activity.items()}
    assert named == {"hidden": 1.0, "head": 0.0}
    assert "hidden" in clipper.table() and "100.0%" in clipper.table()


@pytest.mark.one_backend
def test_a_second_fit_and_a_second_model_start_a_new_history() -> None:
    model, clipper = build(), GradientClipper(norm=0.5)
    fit(model, clipper, epochs=2)
    assert len(clipper.history["norm"]) == 2
    fit(model, clipper)
    assert len(clipper.history["norm"]) == 1
    fit(build(), clipper, epochs=3)
    assert len(clipper.history["norm"]) == 3


def test_a_file_saved_during_fit_loads_with_a_plain_optimizer_state() -> None:
    model = build(keras.optimizers.Adam(0.05))
    fit(model, GradientClipper(1.0), keras.callbacks.ModelCheckpoint("model.keras"))
    loaded = keras.saving.load_model("model.keras")
    assert len(loaded.optimizer.variables) == len(model.optimizer.variables)
    for a, b in zip(loaded.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(
            ops.convert_to_numpy(a.value), ops.convert_to_numpy(b.value)
        )


def test_after_a_broken_off_fit_a_plain_fit_is_free_of_clipping() -> None:
    class Break(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise RuntimeError("on purpose")

    model, clipper = build(keras.optimizers.SGD(0.0)), GradientClipper(norm=1e-6)
    with pytest.raises(RuntimeError, match="on purpose"):
        fit(model, clipper, Break())
    model.optimizer.learning_rate = 0.05
    twin = build()
    fit(model)
    fit(twin)
    assert_close(values(model), values(twin), rtol=1e-6)
    fit(model, clipper)
    assert clipper.history["norm"] == [1.0]


# --- Refused -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["value", "norm", "global_norm"])
@pytest.mark.parametrize("limit", [0, -1.0, float("nan")])
def test_a_limit_out_of_range_is_refused(name: str, limit: float) -> None:
    with pytest.raises(ValueError, match=f"GradientClipper: `{name}` must be"):
        GradientClipper(**{name: limit})


@pytest.mark.parametrize("limit", ["1", True, [1.0]])
def test_a_limit_of_another_type_is_refused(limit: object) -> None:
    with pytest.raises(TypeError, match="GradientClipper: `norm` must be"):
        GradientClipper(norm=limit)


def test_no_limit_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="`norm`, `global_norm` or `value` must be"):
        GradientClipper()


def test_an_unknown_grouping_is_refused() -> None:
    with pytest.raises(ValueError, match='`per` must be "layer" or "variable"'):
        GradientClipper(norm=1.0, per="model")
