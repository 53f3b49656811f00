"""Values inside compiled steps, in float32, against float64 on the host."""

import keras
import numpy as np
import pytest
from keras import ops


def compiled(function):
    """Compile with the backend's own tracer; torch runs eagerly, as Keras does."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow

        return tensorflow.function(function)
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    return function


def interesting_steps(events):
    """The start, a sample, and the neighbourhood of every event."""
    near = [event + np.arange(-20, 21) for event in events]
    sample = np.random.default_rng(0).integers(0, max([*events, 1000]), 500)
    return np.unique(np.clip(np.concatenate([[0, 1, 2], sample, *near]), 0, 2**31 - 1))


def test_float32_in_the_graph_keeps_the_precision_of_float64_up_to_the_tail(example):
    schedule, peak, events = example
    steps = interesting_steps(events)
    function = compiled(schedule)
    # One step at a time is what an optimizer asks for; the array form is the same.
    tensor = ops.convert_to_tensor(steps, dtype="int32")
    values = np.asarray(ops.convert_to_numpy(function(tensor)), dtype="float64")
    expected = schedule.values(steps)
    error = np.abs(values - expected)
    assert error.max() <= 1e-6 * peak
    assert (error <= 1e-5 * np.abs(expected)).all()


def step_forms(step):
    """Every form in which a step may come."""
    yield step
    yield np.int32(step)
    yield np.int64(step)
    yield np.array(step)
    yield ops.convert_to_tensor(step, dtype="int32")
    yield ops.convert_to_tensor(step, dtype="int64")
    yield keras.Variable(step, dtype="int32", trainable=False)
    yield keras.Variable(step, dtype="int64", trainable=False)


@pytest.mark.alternates("example")
@pytest.mark.filterwarnings("ignore:Explicitly requested dtype int64")
def test_a_step_may_be_an_int_an_array_a_tensor_or_a_variable(schedule):
    expected = schedule.values(7)
    for step in step_forms(7):
        value = schedule(step)
        assert keras.utils.standardize_dtype(value.dtype) == "float32"
        np.testing.assert_allclose(ops.convert_to_numpy(value), expected, rtol=1e-5)
        np.testing.assert_allclose(schedule.values(step), expected, rtol=1e-6)


@pytest.mark.alternates("example")
def test_a_scalar_step_gives_a_scalar_and_an_array_an_array(schedule):
    for step in (5, np.array([5]), np.array([[5, 6, 7]])):
        assert schedule.values(step).shape == np.shape(step)
        tensor = ops.convert_to_tensor(step, dtype="int32")
        assert tuple(schedule.evaluate(tensor, ops).shape) == np.shape(step)


@pytest.mark.alternates("example")
def test_negative_steps_hold_the_first_value(schedule):
    assert (schedule.values([-1, -(10**12)]) == schedule.values(0)).all()
    traced = schedule(ops.convert_to_tensor(-5, dtype="int32"))
    np.testing.assert_array_equal(
        ops.convert_to_numpy(traced),
        ops.convert_to_numpy(schedule(ops.convert_to_tensor(0, dtype="int32"))),
    )


@pytest.mark.alternates("example")
def test_steps_past_the_end_hold_the_last_value(schedule):
    last = schedule.last_step
    if last is None:
        assert np.isfinite(schedule.values([10**9, 10**12])).all()
        return
    far = np.array([last, last + 1, 10**9, 2**31 - 1])
    assert len(set(schedule.values([*far, 10**12]))) == 1
    in_graph = compiled(schedule)(ops.convert_to_tensor(far, dtype="int32"))
    assert len(set(ops.convert_to_numpy(in_graph).tolist())) == 1


@pytest.mark.alternates("own_schedule")
def test_values_do_not_depend_on_the_default_float_type(own_schedule):
    step = ops.convert_to_tensor(7, dtype="int32")
    expected = ops.convert_to_numpy(own_schedule(step))
    keras.config.set_floatx("float16")
    try:
        value = own_schedule(step)
    finally:
        keras.config.set_floatx("float32")
    assert keras.utils.standardize_dtype(value.dtype) == "float32"
    np.testing.assert_array_equal(ops.convert_to_numpy(value), expected)
