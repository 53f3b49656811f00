"""What `GradientMonitor` records, against gradients computed by hand."""

import keras
import numpy as np
import pytest
from numpy.testing import assert_allclose

import numpy_network as reference
from keras_deeptools.callbacks import GradientClipper, GradientMonitor
from keras_deeptools.engine import attach

RATE = 0.05
X, Y = reference.data()
BATCHES = [(X[i : i + 4], Y[i : i + 4]) for i in range(0, 24, 4)]


def train(model: keras.Model, monitor: GradientMonitor, **options: object) -> None:
    options = {"batch_size": 4, "shuffle": False, "verbose": 0} | options
    model.fit(X, Y, callbacks=[monitor], **options)


def watched(
    optimizer: keras.Optimizer | None = None, **options: object
) -> tuple[GradientMonitor, list, list]:
    """A monitor after an epoch of six batches; reference gradients and weights."""
    model = reference.network(optimizer or keras.optimizers.SGD(RATE), **options)
    seen, before = reference.descent(
        reference.weights_of(model), [[batch] for batch in BATCHES], RATE
    )
    monitor = GradientMonitor(on_problem="ignore")
    train(model, monitor)
    return monitor, seen, before


@pytest.fixture(scope="module")
def by_descent() -> tuple[GradientMonitor, list, list]:
    """`watched()` with plain gradient descent."""
    keras.utils.set_random_seed(0)
    return watched()


def norms(rows: list) -> np.ndarray:
    return reference.table(np.linalg.norm, rows)


def test_norms_are_those_of_the_gradients_by_hand(by_descent: tuple) -> None:
    monitor, seen, _ = by_descent
    assert_allclose(monitor.history["norm"], norms(seen), rtol=1e-4)


def test_largest_magnitudes_are_those_of_the_gradients_by_hand(
    by_descent: tuple,
) -> None:
    monitor, seen, _ = by_descent
    expected = reference.table(lambda g: np.abs(g).max(), seen)
    assert_allclose(monitor.history["max_abs"], expected, rtol=1e-4)


def test_zero_fractions_are_those_of_the_gradients_by_hand(by_descent: tuple) -> None:
    monitor, seen, _ = by_descent
    expected = reference.table(lambda g: (g == 0).mean(), seen)
    assert expected.max() > 0
    assert_allclose(monitor.history["zero_fraction"], expected, atol=1e-6)


def test_update_ratios_are_of_the_step_to_the_weights_before_it(
    by_descent: tuple,
) -> None:
    monitor, seen, before = by_descent
    sizes = norms(before)
    expected = RATE * norms(seen) / np.where(sizes > 0, sizes, np.nan)
    assert_allclose(monitor.history["update_ratio"], expected, rtol=2e-3)


def test_decoupled_weight_decay_is_no_part_of_update_ratios(
    by_descent: tuple,
) -> None:
    plain, _, _ = by_descent
    keras.utils.set_random_seed(0)
    decayed, _, _ = watched(keras.optimizers.SGD(RATE, weight_decay=0.5))
    ratio, decayed_ratio = (m.history["update_ratio"][0] for m in (plain, decayed))
    # The weights that the step meets are a little smaller; the step is the same.
    assert_allclose(decayed_ratio * (1 - 0.5 * RATE), ratio, rtol=2e-3)


def test_gradients_are_seen_before_clipping() -> None:
    monitor, seen, _ = watched(keras.optimizers.SGD(RATE, clipnorm=1e-3))
    assert_allclose(monitor.history["norm"][0], norms(seen)[0], rtol=1e-4)


def test_a_row_is_an_update_of_accumulated_mean_gradients() -> None:
    optimizer = keras.optimizers.SGD(RATE, gradient_accumulation_steps=3)
    model = reference.network(optimizer)
    groups = [BATCHES[:3], BATCHES[3:]]
    seen, _ = reference.descent(reference.weights_of(model), groups, RATE)
    monitor = GradientMonitor(on_problem="ignore")
    train(model, monitor)
    assert monitor.steps.tolist() == [0, 1]
    assert_allclose(monitor.history["norm"], norms(seen), rtol=1e-4)


def test_gradients_are_unscaled_under_loss_scaling() -> None:
    inner = keras.optimizers.SGD(RATE)
    optimizer = keras.optimizers.LossScaleOptimizer(inner, initial_scale=64.0)
    monitor, seen, _ = watched(optimizer)
    assert_allclose(monitor.history["norm"], norms(seen), rtol=1e-4)


def test_an_overflow_that_loss_scaling_skips_is_counted_and_no_problem() -> None:
    keras.config.set_dtype_policy("mixed_float16")
    inner = keras.optimizers.SGD(RATE)
    optimizer = keras.optimizers.LossScaleOptimizer(inner, initial_scale=2.0**24)
    model = reference.network(optimizer)
    monitor = GradientMonitor(on_problem="raise")
    train(model, monitor)
    assert monitor.skipped_updates > 0
    assert len(monitor.steps) == len(BATCHES) - monitor.skipped_updates
    assert monitor.findings == []


def test_eager_steps_are_recorded_the_same() -> None:
    monitor, seen, _ = watched(run_eagerly=True)
    assert_allclose(monitor.history["norm"], norms(seen), rtol=1e-4)


def test_every_update_is_a_row_when_several_run_at_once() -> None:
    at_once = 1 if keras.backend.backend() == "torch" else 4
    monitor, seen, _ = watched(steps_per_execution=at_once)
    assert_allclose(monitor.history["norm"], norms(seen), rtol=1e-4)


def test_every_third_update_is_recorded() -> None:
    model = reference.network(keras.optimizers.SGD(RATE))
    batches = [[batch] for batch in BATCHES]
    seen, before = reference.descent(reference.weights_of(model), batches, RATE)
    monitor = GradientMonitor(every=3, on_problem="ignore")
    train(model, monitor)
    assert monitor.steps.tolist() == [0, 3]
    assert_allclose(monitor.history["norm"], norms(seen)[::3], rtol=1e-4)
    ratio = RATE * norms(seen)[3] / norms(before)[3]
    assert_allclose(monitor.history["update_ratio"][1], ratio, rtol=2e-3)


def test_a_layer_is_taken_as_one_vector() -> None:
    model = reference.network(keras.optimizers.SGD(RATE))
    batches = [[batch] for batch in BATCHES]
    seen, before = reference.descent(reference.weights_of(model), batches, RATE)
    monitor = GradientMonitor(group="layer", on_problem="ignore")
    train(model, monitor)

    def layered(rows: list) -> list:
        return [
            [np.concatenate([a.ravel() for a in row[i : i + 2]]) for i in (0, 2)]
            for row in rows
        ]

    assert [name.split("/")[-1] for name in monitor.variables] == ["first", "last"]
    history, rows = monitor.history, layered(seen)
    assert_allclose(history["norm"], norms(rows), rtol=1e-4)
    largest = reference.table(lambda g: np.abs(g).max(), rows)
    assert_allclose(history["max_abs"], largest, rtol=1e-4)
    zeros = reference.table(lambda g: (g == 0).mean(), rows)
    assert_allclose(history["zero_fraction"], zeros, atol=1e-6)
    ratios = RATE * norms(rows) / norms(layered(before))
    assert_allclose(history["update_ratio"], ratios, rtol=2e-3)


def test_only_the_chosen_layers_are_watched() -> None:
    model = reference.network(keras.optimizers.SGD(RATE))
    batches = [[batch] for batch in BATCHES]
    seen, _ = reference.descent(reference.weights_of(model), batches, RATE)
    monitor = GradientMonitor(layers="last", on_problem="ignore")
    train(model, monitor)
    assert_allclose(monitor.history["norm"], norms(seen)[:, 2:], rtol=1e-4)
    assert monitor.history["update_ratio"].shape == (6, 2)


@pytest.mark.one_backend
def test_frozen_layers_have_no_column() -> None:
    model = reference.network(keras.optimizers.SGD(RATE))
    model.get_layer("first").trainable = False
    model.compile(keras.optimizers.SGD(RATE), "mean_squared_error")
    monitor = GradientMonitor(on_problem="ignore")
    train(model, monitor)
    assert [path.split("/")[-2] for path in monitor.variables] == ["last", "last"]


def test_the_columns_of_several_optimizers_are_in_the_order_of_the_model() -> None:
    model = reference.network(keras.optimizers.SGD(RATE))
    seen, before = reference.descent(reference.weights_of(model), [[BATCHES[0]]], RATE)
    others = {".*last.*": keras.optimizers.SGD(2 * RATE)}
    optimizer = keras.optimizers.MultiOptimizer(
        keras.optimizers.OptimizerMap(keras.optimizers.SGD(RATE), others)
    )
    model.compile(optimizer, "mean_squared_error")
    monitor = GradientMonitor(on_problem="ignore")
    train(model, monitor)
    assert monitor.variables == [v.path for v in model.trainable_variables]
    assert_allclose(monitor.history["norm"][0], norms(seen)[0], rtol=1e-4)


def test_rows_go_on_through_an_epoch_longer_than_the_device_keeps() -> None:
    model = reference.network(keras.optimizers.SGD(1e-4))
    x, y = reference.data(1100)
    monitor = GradientMonitor("norm", on_problem="ignore")
    model.fit(x, y, batch_size=1, callbacks=[monitor], verbose=0)
    assert monitor.steps.tolist() == list(range(1100))
    assert monitor.lost_updates == 0


@pytest.mark.filterwarnings("ignore:Your input ran out of data:UserWarning")
def test_data_of_unknown_length_is_recorded_to_its_end() -> None:
    model = reference.network(keras.optimizers.SGD(RATE))
    monitor = GradientMonitor(on_problem="ignore")
    model.fit(
        (batch for batch in BATCHES), callbacks=[monitor], verbose=0, shuffle=False
    )
    assert monitor.steps.tolist() == [0, 1, 2, 3, 4, 5]


def test_the_record_covers_the_latest_fit() -> None:
    model = reference.network(keras.optimizers.SGD(RATE))
    monitor = GradientMonitor(on_problem="ignore")
    train(model, monitor)
    train(model, monitor)
    assert monitor.steps.tolist() == [6, 7, 8, 9, 10, 11]


@pytest.mark.one_backend
def test_a_second_model_has_columns_of_its_own() -> None:
    monitor = GradientMonitor(on_problem="ignore")
    train(reference.network(keras.optimizers.SGD(RATE)), monitor)
    inputs = keras.Input((5,))
    second = keras.Model(inputs, keras.layers.Dense(2, name="alone")(inputs))
    second.compile("sgd", "mean_squared_error")
    train(second, monitor)
    assert monitor.history["norm"].shape == (6, 2)


@pytest.mark.alternates("error")
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_was_recorded_survives_the_end_of_a_broken_off_fit(
    error: type[BaseException],
) -> None:
    class Break(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
            if batch == 3:
                raise error("broken on purpose")

    model = reference.network(keras.optimizers.SGD(RATE))
    monitor = GradientMonitor(on_problem="ignore")
    with pytest.raises(error):
        model.fit(X, Y, batch_size=4, callbacks=[monitor, Break()], verbose=0)
    assert monitor.steps.tolist() == [0, 1, 2, 3]


def test_a_loop_of_ones_own_is_recorded_and_read_at_any_time() -> None:
    model = reference.network(keras.optimizers.SGD(RATE))
    monitor = GradientMonitor(on_problem="ignore")
    with attach(model, monitor):
        model.train_on_batch(*BATCHES[0])
        assert monitor.steps.tolist() == [0]
        model.train_on_batch(*BATCHES[1])
    assert monitor.history["norm"].shape == (2, 4)


@pytest.mark.alternates("first")
@pytest.mark.parametrize("first", ["monitor", "clipper"])
def test_gradients_are_seen_before_a_gradient_clipper_wherever_it_stands(
    first: str,
) -> None:
    model = reference.network(keras.optimizers.SGD(RATE))
    seen, _ = reference.descent(
        reference.weights_of(model), [[batch] for batch in BATCHES], RATE
    )
    monitor = GradientMonitor(on_problem="ignore")
    callbacks = [monitor, GradientClipper(norm=1e-3)]
    ordered = callbacks if first == "monitor" else callbacks[::-1]
    model.fit(X, Y, batch_size=4, shuffle=False, verbose=0, callbacks=ordered)
    assert_allclose(monitor.history["norm"][0], norms(seen)[0], rtol=1e-4)
