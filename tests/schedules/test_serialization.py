"""Configs, copies and pickles."""

import copy
import json
import pickle

import keras
import numpy as np
import pytest

from keras_deeptools.schedules import OneCycle, OneCycleMomentum, Schedule, Warmup

pytestmark = pytest.mark.one_backend

STEPS = np.array([0, 1, 5, 50, 500, 5000, 500_000, 999_999, 2_000_000])


def through_keras(schedule):
    text = json.dumps(keras.saving.serialize_keras_object(schedule))
    return keras.saving.deserialize_keras_object(json.loads(text))


def through_an_optimizer(schedule):
    config = keras.optimizers.Adam(learning_rate=schedule).get_config()
    again = keras.optimizers.Adam.from_config(json.loads(json.dumps(config)))
    return again.get_config()["learning_rate"]


def through_its_config(schedule):
    return type(schedule).from_config(schedule.get_config())


def through_pickle(schedule):
    return pickle.loads(pickle.dumps(schedule))


@pytest.mark.parametrize(
    "journey", [through_keras, through_its_config, copy.deepcopy, through_pickle]
)
def test_a_schedule_comes_back_the_same(schedule, journey):
    again = journey(schedule)
    assert type(again) is type(schedule)
    assert again.get_config() == schedule.get_config()
    np.testing.assert_array_equal(again.values(STEPS), schedule.values(STEPS))


def test_an_optimizer_config_keeps_its_schedule(schedule):
    config = through_an_optimizer(schedule)
    assert config == keras.optimizers.schedules.serialize(schedule)


def test_schedules_are_registered_under_the_package(schedule):
    name = keras.saving.get_registered_name(type(schedule))
    assert name == f"keras_deeptools>{type(schedule).__name__}"


def test_numpy_numbers_are_kept_as_plain_ones():
    schedule = OneCycle(np.float32(0.5), np.int64(10))
    assert type(schedule.max_learning_rate) is float
    assert type(schedule.total_steps) is int


def test_the_momentum_range_comes_back_from_json_as_it_was():
    again = through_keras(OneCycleMomentum(10, (0.7, 0.9)))
    assert again.momentum_range == (0.7, 0.9)


def test_a_nested_schedule_is_still_a_schedule_after_a_round_trip():
    again = through_keras(Warmup(Warmup(OneCycle(0.5, 10), 5), 5))
    assert isinstance(again.schedule.schedule, Schedule)
