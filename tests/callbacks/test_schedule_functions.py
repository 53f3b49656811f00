"""Any function of the step as a schedule, against the function itself in Python."""

import copy
import functools
import itertools
import math

import keras
import numpy as np
import pytest
from keras import ops

from keras_deeptools import attach
from keras_deeptools.callbacks import HyperparameterScheduler
from keras_deeptools.schedules import Constant

BACKEND = keras.backend.backend()
X = np.random.default_rng(0).normal(size=(24, 3)).astype("float32")
Y = X[:, :1].copy()
NUM_UPDATES = 12

TABLE = [0.1, 0.2, 0.3, 0.4] * 3


def by_math(step):
    return 0.1 * (1 + math.cos(math.pi * step / NUM_UPDATES)) / 2


def with_if(step):
    if step < 5:
        return 0.1
    return 0.01 if step % 2 else 0.02


def decayed(rate, step, every=4):
    return rate * 0.5 ** (step // every)


ARITHMETIC = {
    "line": lambda step: 0.1 * (1 - step / 100),
    "falling": lambda step: 0.9 - 0.01 * step,
    "power": lambda step: 0.1 * 0.9**step,
    "integer": lambda step: step // 4,
    "cycle": lambda step: 0.01 * (step % 3) + 0.001,
    "inverse": lambda step: 0.1 / (step + 1),
    "partial": functools.partial(decayed, 0.5),
    "constant": lambda step: 0.25,
    "operations": lambda step: 0.1 * ops.exp(-step / 10) + 0.01 * step,
    "choice": lambda step: ops.where(step < 5, 0.1, 0.01),
    "minimum": lambda step: 0.01 * ops.minimum(step, 7),
}
PYTHON = {
    "math": by_math,
    "if": with_if,
    "min": lambda step: 0.01 * min(step + 1, 6),
    "max, round": lambda step: round(max(0.1 - 0.03 * step, 0.02), 2),
    "numpy": lambda step: np.float32(0.1) * np.cos(step / 10),
    "numpy table": lambda step: np.linspace(0.1, 0.01, 12)[step],
    "array of one": lambda step: np.array([0.5 * step]),
    "list": lambda step: TABLE[step],
    "interpolation": lambda step: np.interp(step, [0, 4, 11], [0.0, 0.1, 0.01]),
    "bool": lambda step: step >= 6,
    "tensor": lambda step: ops.convert_to_tensor(0.5) * step,
}
FUNCTIONS = ARITHMETIC | PYTHON
IN_PYTHON = {"minimum": lambda step: 0.01 * min(step, 7)}
"""For what TensorFlow computes for tensors alone."""


def linear_model(optimizer=None, **options):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(optimizer or keras.optimizers.SGD(0.01), loss="mse", **options)
    return model


def values_in_fit(schedules, model=None, epochs=3, **options):
    """The learning rate at each update, and the scheduler."""
    if callable(schedules):
        schedules = {"learning_rate": schedules}
    total_steps = options.pop("total_steps", None)
    scheduler = HyperparameterScheduler(schedules, total_steps=total_steps)
    model = model or linear_model()
    options = {"batch_size": 6, "verbose": 0} | options
    data = (X, Y)
    if "batches" in options:
        data = (options.pop("batches"),)
        options |= {"batch_size": None, "shuffle": False}
    model.fit(*data, epochs=epochs, callbacks=[scheduler], **options)
    return scheduler.history


def python_values(function, num_updates=NUM_UPDATES):
    values = [np.asarray(ops.convert_to_numpy(function(n))) for n in range(num_updates)]
    return np.array([float(value.reshape(())) for value in values])


def test_each_function_has_the_values_that_it_has_in_python():
    # One fit for all: every number on the optimizer has a schedule.
    model = linear_model(keras.optimizers.SGD(0.01))
    for i in range(len(FUNCTIONS)):
        setattr(model, f"number_{i}", keras.Variable(0.0, trainable=False))
    names = {f"number_{i}": f for i, f in enumerate(FUNCTIONS.values())}
    history = values_in_fit(names, model)
    for name, kind in zip(names, FUNCTIONS, strict=True):
        function = IN_PYTHON.get(kind, FUNCTIONS[kind])
        np.testing.assert_allclose(
            history[name], python_values(function), rtol=2e-7, atol=1e-9
        )


@pytest.mark.alternates("function")
@pytest.mark.parametrize("function", [with_if, ARITHMETIC["line"]])
def test_the_optimizer_trains_with_the_values_of_the_function(function):
    model = linear_model()
    model.layers[0].set_weights([np.zeros((3, 1)), np.zeros(1)])
    values_in_fit(function, model, shuffle=False)
    w = np.zeros(4)
    x = np.concatenate([X, np.ones((24, 1))], axis=1).astype("float64")
    for n in range(NUM_UPDATES):
        batch = slice(n % 4 * 6, n % 4 * 6 + 6)
        w -= function(n) * 2 * x[batch].T @ (x[batch] @ w - Y[batch, 0]) / 6
    kernel, bias = model.get_weights()
    np.testing.assert_allclose([*kernel[:, 0], *bias], w, atol=1e-6)


def test_several_steps_in_one_execution_have_a_value_each():
    # Keras has no steps_per_execution on torch.
    at_once = 1 if BACKEND == "torch" else 3
    history = values_in_fit(with_if, linear_model(steps_per_execution=at_once))
    expected = python_values(with_if)
    np.testing.assert_allclose(history["learning_rate"], expected, rtol=1e-6)


def test_under_gradient_accumulation_the_function_sees_updates():
    optimizer = keras.optimizers.SGD(0.01, gradient_accumulation_steps=2)
    seen = []

    def function(step):
        seen.append(step)
        return 0.1 / (step + 1)

    history = values_in_fit(function, linear_model(optimizer), epochs=2)
    np.testing.assert_allclose(history["learning_rate"], 0.1 / np.arange(1, 5))
    assert [step for step in seen if type(step) is int] == [0, 1, 2, 3]


@pytest.mark.one_backend
def test_a_resumed_run_goes_on_where_the_function_was():
    history = values_in_fit(with_if, initial_epoch=2)
    expected = python_values(with_if)[8:]
    np.testing.assert_allclose(history["learning_rate"], expected, rtol=1e-6)


def test_fits_in_a_row_begin_anew_each_with_its_own_length():
    model = linear_model()
    scheduler = HyperparameterScheduler({"learning_rate": with_if})
    for epochs in (1, 3, 2):
        model.fit(X, Y, batch_size=6, epochs=epochs, callbacks=[scheduler], verbose=0)
        np.testing.assert_allclose(
            scheduler.history["learning_rate"],
            python_values(with_if, 4 * epochs),
            rtol=1e-6,
        )


@pytest.mark.one_backend
def test_a_function_is_called_once_for_each_step_in_order():
    calls = []

    class Counted:
        def __call__(self, step):
            calls.append(step)
            return 0.01 * len(calls)

    history = values_in_fit(Counted())
    assert [step for step in calls if type(step) is int] == list(range(NUM_UPDATES))
    np.testing.assert_allclose(
        history["learning_rate"], 0.01 * np.arange(1, 13), rtol=1e-6
    )


@pytest.mark.one_backend
def test_a_function_that_draws_from_an_iterator_works():
    numbers = itertools.count(1)
    history = values_in_fit(lambda step: 0.01 * next(numbers))
    np.testing.assert_allclose(
        history["learning_rate"], 0.01 * np.arange(1, 13), rtol=1e-6
    )


@pytest.mark.parametrize("draw", ["keras", "numpy"])
def test_a_function_may_draw_random_numbers(draw):
    generator = np.random.default_rng(0)
    functions = {
        "keras": lambda step: 0.1 * keras.random.uniform(()),
        "numpy": lambda step: generator.uniform(0.0, 0.1),
    }
    found = values_in_fit(functions[draw])["learning_rate"]
    assert len(set(found.tolist())) == NUM_UPDATES
    assert ((found >= 0) & (found <= 0.1)).all()


@pytest.mark.one_backend
def test_past_the_given_total_steps_the_last_value_is_held():
    history = values_in_fit(lambda step: 0.1 * (step + 1), total_steps=5)
    expected = 0.1 * np.minimum(np.arange(12) + 1, 5)
    np.testing.assert_allclose(history["learning_rate"], expected, rtol=1e-6)


def test_functions_of_operations_are_called_with_many_steps_at_once():
    calls = []

    def function(step):
        calls.append(step)
        return 0.1 * ops.cos(step / 1000)

    history = values_in_fit(function, total_steps=5000)
    assert len(calls) < 30
    expected = 0.1 * np.cos(np.arange(12) / 1000)
    np.testing.assert_allclose(history["learning_rate"], expected, rtol=1e-6)


def test_a_function_that_returns_tensors_for_numbers_alone_works_in_long_runs():
    history = values_in_fit(
        lambda step: ops.convert_to_tensor(0.1 if step < 5 else 0.01), total_steps=300
    )
    expected = np.where(np.arange(12) < 5, 0.1, 0.01)
    np.testing.assert_allclose(history["learning_rate"], expected, rtol=1e-6)


def test_a_function_made_for_tensors_alone_works():
    def function(step):
        return 0.1 * ops.cast(step, step.dtype) + 0.1

    history = values_in_fit(function, epochs=1)
    expected = [0.1, 0.2, 0.3, 0.4]
    np.testing.assert_allclose(history["learning_rate"], expected, rtol=1e-6)


# Where the number of updates is unknown


def by_hand(function, num_updates=5, **options):
    model = linear_model()
    scheduler = HyperparameterScheduler({"learning_rate": function}, **options)
    with attach(model, scheduler):
        for _ in range(num_updates):
            model.train_on_batch(X[:6], Y[:6])
    return scheduler.history["learning_rate"]


@pytest.mark.alternates("name")
@pytest.mark.parametrize("name", ARITHMETIC)
def test_arithmetic_needs_no_length(name):
    function = ARITHMETIC[name]
    found = by_hand(function, 2)
    expected = python_values(IN_PYTHON.get(name, function), 2)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)


def test_a_loop_of_ones_own_may_give_total_steps():
    found = by_hand(with_if, total_steps=20)
    np.testing.assert_allclose(found, python_values(with_if, 5), rtol=1e-6)


def test_a_function_that_needs_numbers_asks_for_total_steps():
    if BACKEND == "torch":
        # The host knows the step there.
        found = by_hand(with_if)
        np.testing.assert_allclose(found, python_values(with_if, 5), rtol=1e-6)
        return
    with pytest.raises(ValueError, match="`total_steps` must be given for a function"):
        by_hand(with_if)


def test_a_function_that_would_differ_in_the_graph_asks_for_total_steps():
    numbers = itertools.count(1)
    for function in (lambda step: next(numbers), lambda step: 0.5 * (step == 0) + 0.1):
        if BACKEND == "torch":
            assert len(by_hand(function)) == 5
            continue
        with pytest.raises(ValueError, match=r"at step 1 it gives|at step 0 it gives"):
            by_hand(function)


def endless():
    while True:
        yield X[:6], Y[:6]


@pytest.mark.one_backend
def test_steps_per_epoch_tell_the_length_of_a_generator():
    history = values_in_fit(with_if, batches=endless(), steps_per_epoch=4)
    expected = python_values(with_if)
    np.testing.assert_allclose(history["learning_rate"], expected, rtol=1e-6)


@pytest.mark.filterwarnings("ignore:Your input ran out of data:UserWarning")
def test_a_generator_of_unknown_length_takes_arithmetic():
    batches = ((X[:6], Y[:6]) for _ in range(5))
    history = values_in_fit(lambda step: 0.9 - 0.01 * step, batches=batches, epochs=1)
    expected = 0.9 - 0.01 * np.arange(5)
    np.testing.assert_allclose(history["learning_rate"], expected, rtol=1e-6)


def set_global_type(floatx):
    if BACKEND == "jax":
        import jax

        jax.config.update("jax_enable_x64", floatx == "float64")
    keras.config.set_floatx(floatx)


@pytest.mark.parametrize("floatx", ["float64", "bfloat16"])
def test_values_do_not_depend_on_the_global_type(floatx):
    function = ARITHMETIC["power"]
    set_global_type(floatx)
    try:
        history = values_in_fit(
            {"learning_rate": function, "momentum": lambda step: 0.9 - 0.01 * step},
            linear_model(keras.optimizers.SGD(0.01, momentum=0.5)),
            epochs=1,
        )
        found = by_hand(function)
    finally:
        set_global_type("float32")
    # The optimizer's variable holds the learning rate in the global type.
    rtol = 1e-6 if floatx == "float64" else 0.01
    for values in (history["learning_rate"], found[:4]):
        np.testing.assert_allclose(values, python_values(function, 4), rtol=rtol)
    expected = 0.9 - 0.01 * np.arange(4)
    np.testing.assert_allclose(history["momentum"], expected, rtol=1e-6)


# Functions that read variables


def test_the_optimizers_own_count_can_be_read():
    model = linear_model()

    def function(step):
        count = ops.cast(model.optimizer.iterations, "float32")
        return 0.1 / (1.0 + count)

    values_in_fit(Constant(0.1), model, epochs=1)
    history = values_in_fit(function, model, epochs=1)
    expected = 0.1 / (1 + np.arange(4, 8))
    np.testing.assert_allclose(history["learning_rate"], expected, rtol=1e-6)


def test_a_variable_of_ones_own_is_read_at_each_step_or_refused():
    scale = keras.Variable(1.0, trainable=False, name="scale")

    class Halve(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            scale.assign(scale * 0.5)

    scheduler = HyperparameterScheduler(
        {"learning_rate": lambda step: 0.1 * ops.convert_to_tensor(scale)}
    )
    model = linear_model()

    def fit():
        callbacks = [scheduler, Halve()]
        model.fit(X, Y, batch_size=6, epochs=3, callbacks=callbacks, verbose=0)

    if BACKEND == "jax":
        with pytest.raises(ValueError, match="the variables of the optimizer alone"):
            fit()
        return
    fit()
    np.testing.assert_allclose(
        scheduler.history["learning_rate"][::4], [0.1, 0.05, 0.025], rtol=1e-6
    )


def test_a_variable_read_as_a_number_is_refused_where_steps_are_traced():
    model = linear_model()

    def function(step):
        return 0.5 * float(model.optimizer.iterations) + 0.1

    if BACKEND == "torch":
        history = values_in_fit(function, model, epochs=1)
        np.testing.assert_allclose(
            history["learning_rate"], [0.1, 0.6, 1.1, 1.6], rtol=1e-6
        )
        return
    if BACKEND == "tensorflow":
        with pytest.raises(ValueError, match="must be made of `keras.ops`"):
            values_in_fit(function, model, epochs=1)


def test_a_keras_schedule_of_the_users_own_works_as_in_the_optimizer():
    class Inverse(keras.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step):
            return 0.1 / (step + 1)

    class Transformer(keras.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step):
            step = ops.cast(step, "float32") + 1
            return 0.1 * ops.minimum(ops.rsqrt(step), step * 4**-1.5)

    steps = np.arange(1, 13)
    expected = {
        Inverse: 0.1 / steps,
        Transformer: 0.1 * np.minimum(steps**-0.5, steps * 4**-1.5),
    }
    for kind, values in expected.items():
        history = values_in_fit(kind())
        np.testing.assert_allclose(history["learning_rate"], values, rtol=1e-6)


def test_schedules_of_keras_are_followed():
    schedule = keras.optimizers.schedules.CosineDecay(0.5, 10)
    history = values_in_fit(schedule)
    expected = 0.25 * (1 + np.cos(np.pi * np.minimum(np.arange(12), 10) / 10))
    np.testing.assert_allclose(history["learning_rate"], expected, atol=1e-6)


# What is refused, before anything changes


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("function", "error", "match"),
    [
        (lambda epoch, lr: lr, TypeError, "one argument, the step"),
        (lambda: 0.1, TypeError, "one argument, the step"),
        (lambda epoch: 0.1 * 0.9**epoch, ValueError, "not of the epoch"),
        (keras.optimizers.schedules.CosineDecay, TypeError, "the class CosineDecay"),
        (0.1, TypeError, "must map names to callables"),
    ],
)
def test_what_is_no_function_of_the_step_is_refused_at_once(function, error, match):
    with pytest.raises(error, match=match):
        HyperparameterScheduler({"learning_rate": function})


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("function", "error", "match"),
    [
        (lambda step: None, TypeError, "returned None at step 0"),
        (lambda step: "0.1", TypeError, "returned '0.1' at step 0"),
        (lambda step: np.ones(2), TypeError, "must return a number"),
        (lambda step: float("nan"), ValueError, "finite numbers"),
        (lambda step: 0.1 / step, ValueError, "ZeroDivisionError.*at step 0"),
        (lambda step: TABLE[:5][step], ValueError, "IndexError.*`total_steps=5`"),
        (lambda step: None if step == 3 else 0.1, TypeError, "None at step 3"),
    ],
)
def test_a_function_without_a_number_for_each_step_is_refused(function, error, match):
    model = linear_model()
    before = model.get_weights()
    with pytest.raises(error, match=match):
        values_in_fit(function, model)
    np.testing.assert_array_equal(model.get_weights()[0], before[0])
    assert float(model.optimizer.learning_rate) == pytest.approx(0.01)
    model.fit(X, Y, verbose=0)


def test_total_steps_must_be_a_count():
    for wrong in (0, -1, 2.5, "10"):
        with pytest.raises((TypeError, ValueError), match="total_steps"):
            HyperparameterScheduler({"learning_rate": with_if}, total_steps=wrong)


@pytest.mark.one_backend
def test_more_updates_than_expected_are_told():
    scheduler = HyperparameterScheduler({"learning_rate": with_if})
    with pytest.warns(UserWarning, match="expected to make 8 updates and made 12"):
        linear_model().fit(
            X,
            Y,
            batch_size=6,
            epochs=2,
            callbacks=[scheduler, TrainOneBatchMore()],
            verbose=0,
        )


def test_arithmetic_goes_on_where_there_are_more_updates_than_expected():
    scheduler = HyperparameterScheduler({"learning_rate": ARITHMETIC["power"]})
    linear_model().fit(
        X,
        Y,
        batch_size=6,
        epochs=2,
        callbacks=[scheduler, TrainOneBatchMore()],
        verbose=0,
    )
    expected = 0.1 * 0.9 ** np.arange(12)
    np.testing.assert_allclose(scheduler.history["learning_rate"], expected, rtol=1e-6)


class TrainOneBatchMore(keras.callbacks.Callback):
    """Makes updates of its own, as a critic that is trained more often does."""

    def on_epoch_begin(self, epoch, logs=None):
        for _ in range(2):
            self.model.train_on_batch(X[:6], Y[:6])


# Copies and files


@pytest.mark.one_backend
def test_a_copy_with_a_function_is_independent():
    scheduler = HyperparameterScheduler({"learning_rate": with_if}, total_steps=12)
    twin = copy.deepcopy(scheduler)
    linear_model().fit(X, Y, batch_size=6, callbacks=[twin], verbose=0)
    assert len(twin.steps) == 4
    assert len(scheduler.steps) == 0


def test_total_steps_are_part_of_the_configuration():
    schedules = {"learning_rate": Constant(0.1)}
    scheduler = HyperparameterScheduler(schedules, total_steps=7)
    config = keras.saving.serialize_keras_object(scheduler)
    assert keras.saving.deserialize_keras_object(config).total_steps == 7
