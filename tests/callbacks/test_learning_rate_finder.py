"""The range test: right losses at the right rates, and nothing left behind."""

import copy
import math
import pickle
from collections.abc import Iterator

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch

from keras_deeptools import attach
from keras_deeptools.callbacks import (
    GradientClipper,
    LearningRateFinder,
    OneCycleScheduler,
    RangeTest,
    find_learning_rate,
)
from keras_deeptools.statistics import RangeTestCurve

BACKEND = keras.backend.backend()
X = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
Y = X[:, :1] - 2 * X[:, 1:2]


def linear_model(optimizer: object = None, **kwargs: object) -> keras.Model:
    """Linear regression from zero weights: all of it can be followed in numpy."""
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(1, kernel_initializer="zeros")]
    )
    model.compile(optimizer or keras.optimizers.SGD(0.01), loss="mse", **kwargs)
    return model


def random_model(optimizer: object = "adam", **kwargs: object) -> keras.Model:
    """A model whose training depends on every random state there is."""
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(6, "relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(1),
        ]
    )
    model.compile(optimizer, loss="mse", metrics=["mae"], **kwargs)
    return model


def descent(
    rates: np.ndarray, batches: list, start: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Losses before each update of plain gradient descent, in numpy."""
    weights = np.zeros((5, 1)) if start is None else start
    losses = []
    for rate, (x, y) in zip(rates, batches, strict=True):
        x = np.hstack([x, np.ones((len(x), 1))]).astype("float64")
        error = x @ weights - y
        losses.append(np.mean(error**2))
        weights = weights - rate * 2 * x.T @ error / len(x)
    return np.array(losses), weights


def slices(count: int, size: int = 16) -> list:
    starts = [(size * i) % len(X) for i in range(count)]
    return [(X[s : s + size], Y[s : s + size]) for s in starts]


def state(model: keras.Model) -> list[np.ndarray]:
    variables = [*model.variables, *model.optimizer.variables]
    return [np.array(keras.ops.convert_to_numpy(v.value)) for v in variables]


def assert_same(these: list[np.ndarray], those: list[np.ndarray]) -> None:
    assert len(these) == len(those)
    for this, that in zip(these, those, strict=True):
        np.testing.assert_array_equal(this, that)


OPTIONS = {"num_steps": 20, "verbose": 0}


# --- Rates and losses ----------------------------------------------------------------


@pytest.mark.parametrize(
    "ramp, rates",
    [
        ("exponential", np.geomspace(1e-4, 0.1, 20)),
        ("linear", np.linspace(1e-4, 0.1, 20)),
    ],
)
def test_losses_are_those_of_gradient_descent_at_the_ramps_rates(
    ramp: str, rates: np.ndarray
) -> None:
    found = find_learning_rate(
        linear_model(),
        X,
        Y,
        batch_size=16,
        min_learning_rate=1e-4,
        max_learning_rate=0.1,
        ramp=ramp,
        shuffle=False,
        **OPTIONS,
    )
    expected, _ = descent(rates, slices(20))
    np.testing.assert_allclose(found.learning_rates, rates, rtol=1e-6)
    np.testing.assert_allclose(found.losses, expected, rtol=2e-5)


def test_a_second_test_with_other_rates_uses_the_other_rates() -> None:
    model = linear_model()
    for largest in (1e-3, 0.1):
        found = find_learning_rate(
            model,
            X,
            Y,
            batch_size=16,
            min_learning_rate=1e-4,
            max_learning_rate=largest,
            shuffle=False,
            **OPTIONS,
        )
        expected, _ = descent(np.geomspace(1e-4, largest, 20), slices(20))
        np.testing.assert_allclose(found.losses, expected, rtol=2e-5)


def test_test_of_a_trained_model_starts_from_its_weights_and_the_first_rate() -> None:
    model = linear_model()
    model.fit(X, Y, batch_size=16, shuffle=False, verbose=0)
    _, weights = descent(np.full(4, 0.01), slices(4))
    rates = np.geomspace(1e-4, 0.1, 20)
    found = find_learning_rate(
        model,
        X,
        Y,
        batch_size=16,
        min_learning_rate=1e-4,
        max_learning_rate=0.1,
        shuffle=False,
        **OPTIONS,
    )
    expected, _ = descent(rates, slices(20), weights)
    np.testing.assert_allclose(found.losses, expected, rtol=1e-4)


def test_a_step_under_accumulation_is_an_update_of_several_batches() -> None:
    optimizer = keras.optimizers.SGD(0.01, gradient_accumulation_steps=2)
    rates = np.geomspace(1e-4, 0.1, 20)
    found = find_learning_rate(
        linear_model(optimizer),
        X,
        Y,
        batch_size=16,
        min_learning_rate=1e-4,
        max_learning_rate=0.1,
        shuffle=False,
        **OPTIONS,
    )
    expected, _ = descent(rates, slices(20, 32))
    np.testing.assert_allclose(found.losses, expected, rtol=2e-5)
    assert found.batches_drawn == 40


@pytest.mark.parametrize(
    "make",
    [
        lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.01)),
        lambda: keras.optimizers.SGD(
            keras.optimizers.schedules.ExponentialDecay(5.0, 1, 0.1)
        ),
        lambda: keras.optimizers.MultiOptimizer(
            keras.optimizers.OptimizerMap(keras.optimizers.SGD(0.01))
        ),
    ],
    ids=["loss scaling", "schedule", "several optimizers"],
)
def test_the_ramp_replaces_the_rate_of_any_optimizer(make: object) -> None:
    found = find_learning_rate(
        linear_model(make()),
        X,
        Y,
        batch_size=16,
        min_learning_rate=1e-4,
        max_learning_rate=0.1,
        shuffle=False,
        **OPTIONS,
    )
    expected, _ = descent(np.geomspace(1e-4, 0.1, 20), slices(20))
    np.testing.assert_allclose(found.losses, expected, rtol=2e-5)


def test_sample_weights_count_in_the_loss() -> None:
    weights = np.repeat([1.0, 0.0], 32).astype("float32")
    found = find_learning_rate(
        linear_model(),
        X,
        Y,
        sample_weight=weights,
        batch_size=64,
        max_learning_rate=1e-6,
        **OPTIONS,
    )
    expected = np.sum(Y[:32] ** 2) / 64
    np.testing.assert_allclose(found.losses, expected, rtol=1e-4)


def test_losses_of_several_outputs_are_summed_with_their_weights() -> None:
    inputs = {"a": keras.Input((4,), name="a"), "b": keras.Input((4,), name="b")}
    outputs = {
        "p": keras.layers.Dense(1, kernel_initializer="zeros", name="p")(inputs["a"]),
        "q": keras.layers.Dense(1, kernel_initializer="zeros", name="q")(inputs["b"]),
    }
    model = keras.Model(inputs, outputs)
    losses, weights = {"p": "mse", "q": "mae"}, {"p": 1.0, "q": 0.5}
    model.compile("sgd", loss=losses, loss_weights=weights)
    found = find_learning_rate(
        model,
        {"a": X, "b": X},
        {"p": Y, "q": 2 * Y},
        batch_size=64,
        max_learning_rate=1e-6,
        **OPTIONS,
    )
    expected = np.mean(Y**2) + 0.5 * np.mean(np.abs(2 * Y))
    np.testing.assert_allclose(found.losses, expected, rtol=1e-4)


def test_several_steps_per_execution_do_not_skip_losses() -> None:
    if BACKEND == "torch":
        options = {}  # Keras refuses more than one there.
    else:
        options = {"steps_per_execution": 4}
    model = linear_model(**options)
    found = find_learning_rate(
        model,
        X,
        Y,
        batch_size=16,
        min_learning_rate=1e-4,
        max_learning_rate=0.1,
        shuffle=False,
        **OPTIONS,
    )
    expected, _ = descent(np.geomspace(1e-4, 0.1, 20), slices(20))
    np.testing.assert_allclose(found.losses, expected, rtol=2e-5)
    assert model.steps_per_execution == options.get("steps_per_execution", 1)


def test_compiled_and_eager_models_are_tested_alike() -> None:
    for options in ({"jit_compile": True}, {"run_eagerly": True}):
        found = find_learning_rate(
            linear_model(**options),
            X,
            Y,
            batch_size=16,
            min_learning_rate=1e-4,
            max_learning_rate=0.1,
            shuffle=False,
            **OPTIONS,
        )
        expected, _ = descent(np.geomspace(1e-4, 0.1, 20), slices(20))
        np.testing.assert_allclose(found.losses, expected, rtol=2e-5)


def test_features_that_are_attached_take_part() -> None:
    model = linear_model()
    with attach(model, GradientClipper(value=1e-9)):
        found = find_learning_rate(
            model, X, Y, batch_size=64, max_learning_rate=1.0, **OPTIONS
        )
    np.testing.assert_allclose(found.losses, np.mean(Y**2), rtol=1e-4)


# --- Nothing is left behind ----------------------------------------------------------


def test_find_then_fit_equals_fit() -> None:
    results = []
    for searched in (False, True):
        keras.utils.set_random_seed(1)
        model = random_model()
        if searched:
            found = find_learning_rate(model, X, Y, batch_size=12, **OPTIONS)
            assert len(found.losses) > 5
        history = model.fit(X, Y, batch_size=12, epochs=2, verbose=0).history
        results.append((history, state(model)))
    (plain, expected), (after, values) = results
    assert after == plain
    assert_same(values, expected)


def test_find_between_two_fits_changes_neither_weights_nor_the_order_of_data() -> None:
    results = []
    for searched in (False, True):
        keras.utils.set_random_seed(1)
        model = random_model()
        model.fit(X, Y, batch_size=12, verbose=0)
        before = state(model)
        if searched:
            find_learning_rate(model, X, Y, batch_size=16, **OPTIONS)
            assert_same(state(model), before)
        results.append(model.fit(X, Y, batch_size=12, verbose=0).history)
    assert results[0] == results[1]


class Breaking(keras.losses.Loss):
    """Mean squared error that raises in the third eager step."""

    def __init__(self, error: type) -> None:
        super().__init__()
        self.error = error
        self.calls = 0

    def call(self, y_true: object, y_pred: object) -> object:
        self.calls += 1
        if self.calls == 5:
            raise self.error("broken on purpose")
        return keras.ops.mean(keras.ops.square(y_pred - y_true), axis=-1)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_everything_is_put_back_after_an_error_and_after_ctrl_c(error: type) -> None:
    model = linear_model(keras.optimizers.Adam(0.1))
    model.fit(X, Y, verbose=0)
    before = state(model)
    config = model.optimizer.get_config()

    def broken() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        yield from slices(3)
        raise error("broken on purpose")

    with pytest.raises(error, match="broken on purpose"):
        find_learning_rate(model, broken(), **OPTIONS)
    assert_same(state(model), before)
    assert model.optimizer.get_config() == config
    assert np.isfinite(model.fit(X, Y, verbose=0).history["loss"]).all()


@pytest.mark.alternates("error")
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_everything_is_put_back_after_an_error_inside_a_step(error: type) -> None:
    model = random_model()
    model.compile(keras.optimizers.Adam(0.1), Breaking(error), run_eagerly=True)
    before = [np.array(w) for w in model.get_weights()]
    with pytest.raises(error, match="broken on purpose"):
        find_learning_rate(model, X, Y, **OPTIONS)
    assert_same(model.get_weights(), before)
    assert not model.optimizer.built
    assert np.isfinite(model.fit(X, Y, verbose=0).history["loss"]).all()


def test_optimizer_that_was_not_built_is_not_built_after() -> None:
    model = linear_model(keras.optimizers.Adam())
    find_learning_rate(model, X, Y, **OPTIONS)
    assert not model.optimizer.built
    assert len(model.optimizer.variables) == 2


# --- Sources -------------------------------------------------------------------------


class Pieces(keras.utils.PyDataset):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return slices(4)[index]


def loader() -> torch.utils.data.DataLoader:
    data = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y))
    return torch.utils.data.DataLoader(data, batch_size=16)


SOURCES = {
    "Dataset": lambda: tf.data.Dataset.from_tensor_slices((X, Y)).batch(16),
    "PyDataset": Pieces,
    "DataLoader": loader,
    "generator": lambda: (batch for batch in slices(4)),
}


@pytest.mark.alternates("make")
@pytest.mark.parametrize("make", SOURCES.values(), ids=SOURCES)
def test_every_source_gives_the_losses_of_the_same_arrays(make: object) -> None:
    found = find_learning_rate(
        linear_model(),
        make(),
        min_learning_rate=1e-4,
        max_learning_rate=0.1,
        shuffle=False,
        **OPTIONS,
    )
    expected, _ = descent(np.geomspace(1e-4, 0.1, 20), slices(20))
    np.testing.assert_allclose(found.losses, expected, rtol=2e-5)
    assert found.batches_drawn == 20


@pytest.mark.one_backend
def test_batches_of_a_generator_come_again_from_the_result() -> None:
    drawn = slices(24)
    found = find_learning_rate(
        linear_model(), (b for b in drawn), max_learning_rate=0.01, **OPTIONS
    )
    assert "20 batches were drawn" in found.notes[-1]
    replayed = list(found.data)
    assert len(replayed) == 24
    for (x, y), (again, target) in zip(drawn, replayed, strict=True):
        np.testing.assert_array_equal(x, again)
        np.testing.assert_array_equal(y, target)


@pytest.mark.one_backend
def test_data_that_can_be_read_again_come_with_no_replay() -> None:
    assert find_learning_rate(linear_model(), X, Y, **OPTIONS).data is None


# --- The end of the test -------------------------------------------------------------


@pytest.mark.one_backend
def test_test_ends_where_the_smoothed_loss_exceeds_its_minimum_so_many_times() -> None:
    model = linear_model()
    options = OPTIONS | {"num_steps": 60, "shuffle": False, "batch_size": 16}
    found = find_learning_rate(model, X, Y, smoothing=0.0, stop_factor=3.0, **options)
    lowest = np.minimum.accumulate(found.losses)
    assert found.losses[-1] > 3 * lowest[-1]
    assert (found.losses[:-1] <= 3 * lowest[:-1]).all()
    assert len(found.losses) == len(found.learning_rates) < 60
    assert "3 x its minimum" in " ".join(found.notes)


@pytest.mark.one_backend
def test_test_without_a_stop_factor_goes_on_to_the_end() -> None:
    found = find_learning_rate(
        linear_model(), X, Y, stop_factor=None, max_learning_rate=1e9, **OPTIONS
    )
    assert len(found.losses) == 20
    assert not np.isfinite(found.losses).all()
    assert found.learning_rates[-1] == pytest.approx(1e9, rel=1e-5)


def test_a_loss_that_is_not_finite_ends_the_test() -> None:
    y = Y.copy()
    y[-1] = np.nan
    found = find_learning_rate(
        linear_model(), X, y, batch_size=16, shuffle=False, **OPTIONS
    )
    assert len(found.losses) == 4 and math.isnan(found.losses[-1])
    assert "not finite" in " ".join(found.notes)
    assert math.isnan(found.suggestion)


# --- The result ----------------------------------------------------------------------


@pytest.mark.one_backend
def test_suggestion_lies_where_gradient_descent_learns() -> None:
    found = find_learning_rate(linear_model(), X, Y, batch_size=16, verbose=0)
    assert 0.005 < float(found) < 0.5
    low, high = found.interval
    assert low <= found.suggestion <= high
    assert set(found.suggestions) == {"valley", "steepest", "slide", "minimum"}


def result() -> RangeTest:
    return RangeTest(*RangeTestCurve(steepest=1e-2).sample(noise=0.1, seed=0))


def test_result_is_a_learning_rate_for_other_callbacks() -> None:
    found = result()
    assert OneCycleScheduler(found).max_learning_rate == found.suggestion


def test_result_without_a_suggestion_is_no_learning_rate() -> None:
    found = RangeTest(np.geomspace(1e-7, 10, 20), np.full(20, 2.3))
    with pytest.raises(ValueError, match="`suggestion` must be a number.*widen"):
        float(found)


def test_result_shows_its_numbers_in_a_few_lines() -> None:
    text = repr(result())
    assert f"suggestion {result().suggestion:.2g}" in text
    assert "100 steps, rates 1e-07 to 10" in text
    assert len(text.splitlines()) <= 5 and max(map(len, text.splitlines())) < 100


def test_result_says_when_the_range_ends_too_early() -> None:
    rates, losses = RangeTestCurve(steepest=1e-1).sample(noise=0.02, seed=0)
    assert "raise `max_learning_rate`" in RangeTest(rates[:80], losses[:80]).notes[0]


def test_result_can_be_copied_and_pickled_with_an_open_generator() -> None:
    found = RangeTest(
        *RangeTestCurve(steepest=1e-2).sample(noise=0.1, seed=0), data=iter([])
    )
    for again in (copy.deepcopy(found), pickle.loads(pickle.dumps(found))):
        assert again.suggestion == found.suggestion and again.data is None


def test_plot_shows_losses_curve_and_every_suggestion() -> None:
    found = result()
    ax = found.plot()
    labels = ax.get_legend_handles_labels()[1]
    assert len(ax.lines) == 2 + 4 + 1
    assert f"suggestion {found.suggestion:.2g}" in labels
    assert ax.get_xscale() == "log"
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), found.losses)
    assert found.plot(ax) is ax


def test_plot_without_a_suggestion_shows_the_losses() -> None:
    losses = np.full(20, 2.3)
    losses[-1] = np.nan
    ax = RangeTest(np.geomspace(1e-7, 10, 20), losses).plot()
    assert len(ax.lines) == 2


@pytest.mark.one_backend
def test_progress_is_shown_unless_silenced(capsys: pytest.CaptureFixture) -> None:
    find_learning_rate(linear_model(), X, Y, **OPTIONS)
    assert capsys.readouterr().out == ""
    find_learning_rate(linear_model(), X, Y, **(OPTIONS | {"verbose": 1}))
    assert "learning_rate" in capsys.readouterr().out


# --- Refused before anything is changed ----------------------------------------------


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "argument, value",
    [
        ("min_learning_rate", 0.0),
        ("min_learning_rate", "small"),
        ("max_learning_rate", 1e-8),
        ("max_learning_rate", math.inf),
        ("num_steps", 9),
        ("num_steps", 50.0),
        ("ramp", "cosine"),
        ("stop_factor", 1.0),
        ("smoothing", 1.0),
        ("verbose", "loud"),
    ],
)
def test_unfit_option_is_named_with_its_value(argument: str, value: object) -> None:
    message = f"find_learning_rate: `{argument}` must be .* Received: {argument}="
    with pytest.raises(ValueError, match=message):
        find_learning_rate(linear_model(), X, Y, **(OPTIONS | {argument: value}))
    with pytest.raises(ValueError, match=f"LearningRateFinder: `{argument}` must"):
        LearningRateFinder(X, Y, **{argument: value})


@pytest.mark.one_backend
def test_model_that_is_not_compiled_is_refused() -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    with pytest.raises(ValueError, match="`model` must be compiled"):
        find_learning_rate(model, X, Y, **OPTIONS)
    with pytest.raises(TypeError, match="`model` must be a compiled keras.Model"):
        find_learning_rate(keras.layers.Dense(1), X, Y, **OPTIONS)


@pytest.mark.one_backend
def test_model_with_nothing_to_train_is_refused() -> None:
    model = linear_model()
    model.trainable = False
    model.compile("sgd", loss="mse")
    with pytest.raises(ValueError, match="`model` must have trainable weights"):
        find_learning_rate(model, X, Y, **OPTIONS)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "data, message",
    [
        ((X[:0], Y[:0]), "at least one batch"),
        ((iter(slices(2)),), "must be arrays, a tf.data.Dataset"),
        ((None,), "must be data"),
        (((b for b in slices(2)), Y), "`y` must be None where `x` is a generator"),
    ],
    ids=["empty", "iterator", "none", "generator and targets"],
)
def test_data_that_cannot_be_read_are_refused(data: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        find_learning_rate(linear_model(), *data, **OPTIONS)


# --- The callback --------------------------------------------------------------------


def test_callback_trains_at_the_rate_it_found() -> None:
    model = linear_model(keras.optimizers.SGD(1e-6))
    finder = LearningRateFinder(X, Y, batch_size=16, **(OPTIONS | {"num_steps": 60}))
    model.fit(X, Y, batch_size=16, shuffle=False, verbose=0, callbacks=[finder])
    rate = float(finder.result)
    expected, weights = descent(np.full(4, rate), slices(4))
    np.testing.assert_allclose(model.get_weights()[0], weights[:4], rtol=1e-3)
    assert float(model.optimizer.learning_rate) == pytest.approx(rate, rel=1e-6)


def test_callback_that_does_not_apply_leaves_fit_as_it_was() -> None:
    results = []
    for callbacks in ([], [LearningRateFinder(X, Y, apply=False, **OPTIONS)]):
        keras.utils.set_random_seed(1)
        model = random_model()
        history = model.fit(
            X, Y, batch_size=12, epochs=2, verbose=0, callbacks=callbacks
        )
        results.append((history.history, state(model)))
    assert results[0][0] == results[1][0]
    assert_same(results[0][1], results[1][1])


@pytest.mark.one_backend
def test_callback_without_a_finding_keeps_the_rate_and_warns() -> None:
    model = linear_model()
    finder = LearningRateFinder(X, Y, max_learning_rate=1e-6, **OPTIONS)
    with pytest.warns(UserWarning, match="no learning rate was found"):
        model.fit(X, Y, verbose=0, callbacks=[finder])
    assert float(model.optimizer.learning_rate) == pytest.approx(0.01)


@pytest.mark.one_backend
def test_callback_behind_one_that_acts_on_updates_is_refused() -> None:
    callbacks = [GradientClipper(value=1.0), LearningRateFinder(X, Y, **OPTIONS)]
    with pytest.raises(ValueError, match="must stand before the callbacks"):
        linear_model().fit(X, Y, verbose=0, callbacks=callbacks)


@pytest.mark.one_backend
def test_callback_cannot_apply_to_a_schedule() -> None:
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
    model = linear_model(keras.optimizers.SGD(schedule))
    with pytest.raises(ValueError, match="`apply` must be False"):
        model.fit(X, Y, verbose=0, callbacks=[LearningRateFinder(X, Y, **OPTIONS)])


@pytest.mark.one_backend
def test_callback_refuses_options_that_do_not_exist() -> None:
    with pytest.raises(TypeError, match="LearningRateFinder: .*Received: batchsize"):
        LearningRateFinder(X, Y, batchsize=3)
