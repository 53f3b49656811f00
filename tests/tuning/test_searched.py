import dataclasses
import functools
import inspect
import json

import keras_tuner
import pytest

import public_api
from keras_deeptools import layers, schedules
from keras_deeptools.tuning import (
    FloatRange,
    IntRange,
    OneOf,
    search_space,
    searched,
    space_names as names,
)
from keras_deeptools.tuning._search_space.search_space import SPACES

pytestmark = pytest.mark.one_backend

ROOMS = (
    "callbacks",
    "initializers",
    "layers",
    "losses",
    "optimizers",
    "pretraining",
    "regularizers",
    "schedules",
    "transfer",
)

NOT_SEARCHED = {
    "SpikeGuard": "undoes accidents",
    "BestWeights": "keeps the best of what is trained",
    "TimeLimit": "a limit that the user has",
    "CautiousUpdates": "has no free argument",
    "GradientCentralizer": "has no free argument",
    "GradientMonitor": "watches",
    "GradientNoiseScale": "watches",
    "SharpnessMonitor": "watches",
    "LearningRateFinder": "finds what a search would look for",
    "AccumulationScheduler": "a plan of epochs that belongs to the length of the run",
    "BatchSizeSearch": "what `find_batch_size` returns",
    "find_batch_size": "finds what a search would look for",
    "find_learning_rate": "finds what a search would look for",
    "TrainingFeature": "interface",
    "gain": "a number of the activation",
    "fans": "a number of the kernel",
    "fixup_initializer": "has no free argument",
    "NormFreeResidual": "made of layers; `norm_free_block` is searched",
    "Concatenation": "made of schedules that are searched",
    "Scaled": "the schedule inside is searched",
    "Schedule": "interface",
    "InferenceMode": "has no free argument",
    "check_pixels": "looks at data",
    "frozen": "`freeze` for a while",
    "layer_groups": "describes",
    "cache_features": "changes the time, not the result",
    "caching_obstacle": "describes",
    "update_batch_norm": "computes statistics",
    "WeightNormalization": "has no free argument",
    "initialize_weight_normalization": "has no free argument",
    "uniform_soup": "has no free argument",
    "greedy_soup": "has no free argument",
    "probe_depth": "finds what a search would look for",
}


def components() -> dict[str, object]:
    """Public path -> what users make or call, less results and pure functions."""
    return {
        path: thing
        for path, thing in public_api.public_objects().items()
        if path.split(".")[1] in ROOMS
        and not (inspect.isclass(thing) and issubclass(thing, BaseException))
        and not dataclasses.is_dataclass(thing)
        and "ade by `" not in (inspect.getdoc(thing) or "")
        and "xp" not in inspect.signature(thing).parameters
    }


@pytest.mark.parametrize("path", components())
def test_a_component_has_a_search_space_or_a_reason_why_not(path: str) -> None:
    thing = components()[path]
    has_space = any(one.component is thing for one in SPACES.values())
    assert has_space != (path.rpartition(".")[2] in NOT_SEARCHED)


@pytest.mark.parametrize("name", names())
def test_a_space_searches_arguments_that_its_component_takes(name: str) -> None:
    found = SPACES[name]
    maker = found.make or found.component
    # Up to Python 3.11.2 a class that inherits both is shown with Keras' `__new__`.
    taken = inspect.signature(maker.__init__ if isinstance(maker, type) else maker)
    assert set(found.ranges) <= set(taken.parameters)


GIVEN = {
    "hyperparameter_scheduler": {"num_steps": 10},
    "cosine_restarts": {"period": 10},
    "exponential_ramp": {"num_steps": 10},
    "inverse_time_power": {"decay_steps": 10},
    "linear_ramp": {"num_steps": 10},
    "warmup": {"schedule": schedules.Constant(0.1), "total_steps": 100},
    "self_normalizing_mlp": {"num_features": 4, "num_outputs": 2},
    "self_normalizing_residual": {"branch": layers.SelfNormalizingDense(4)},
}
ACTIONS = {
    "discriminative_learning_rates",
    "fine_tune",
    "freeze_to",
    "pretrain_contrastive",
    "pretrain_denoising",
    "pretrain_masked",
    "reuse_layers",
    "backbone",
    "classifier",
    "freeze",
    "initialize",
    "interpolate_weights",
    "linear_stochastic_depth",
    "lsuv",
    "patch_whitening",
    "pretrain_layerwise",
    "rebalance",
    "unfreeze",
}


@pytest.mark.parametrize("name", sorted(set(names()) - ACTIONS))
def test_a_space_makes_its_component_at_random_points_and_at_both_ends(
    name: str,
) -> None:
    given = dict(GIVEN.get(name, {}))
    if "total_steps" in search_space(name).missing({}):
        given["total_steps"] = 100
    for value in range(6):
        hp = random_point(name, value, **given)
        made = searched(hp, name, **given)
        component = SPACES[name].component
        assert not inspect.isclass(component) or isinstance(made, component)


def random_point(name: str, seed: int, **given: object) -> keras_tuner.HyperParameters:
    """Values that KerasTuner itself draws: the ends first, then at random."""
    hp = keras_tuner.HyperParameters()
    searched(hp, name, **given)
    for one in hp.space:
        at = {0: 0.0, 1: 1 - 1e-9}.get(seed, (0.37 * seed * len(one.name)) % 1)
        hp.values[one.name] = one.prob_to_value(at)
    return hp


@pytest.mark.parametrize("name", sorted(ACTIONS))
def test_what_only_the_caller_has_is_left_to_give(name: str) -> None:
    made = searched(keras_tuner.HyperParameters(), name)
    assert isinstance(made, functools.partial)
    assert set(made.keywords) == set(SPACES[name].ranges)


@pytest.mark.parametrize("name", names())
def test_hyperparameters_survive_json(name: str) -> None:
    hp = keras_tuner.HyperParameters()
    searched(hp, name, **GIVEN.get(name, {}))
    config = json.loads(json.dumps(hp.get_config()))
    assert keras_tuner.HyperParameters.from_config(config).values == hp.values


def test_a_given_value_is_not_searched() -> None:
    hp = keras_tuner.HyperParameters()
    assert searched(hp, "mc_dropout", rate=0.3).rate == 0.3
    assert not hp.space


def test_a_given_range_is_searched_in_place_of_the_usual_one() -> None:
    hp = keras_tuner.HyperParameters()
    searched(hp, layers.MCDropout, rate=FloatRange(0.11, 0.12))
    (one,) = hp.space
    assert (one.name, one.min_value, one.max_value) == ("mc_dropout/rate", 0.11, 0.12)


def test_arguments_of_every_keras_layer_are_passed_on() -> None:
    layer = searched(keras_tuner.HyperParameters(), "mc_dropout", name="top")
    assert layer.name == "top"


def test_two_of_a_kind_live_in_one_search_under_prefixes() -> None:
    hp = keras_tuner.HyperParameters()
    searched(hp, "mc_dropout", prefix="low")
    searched(hp, "mc_dropout", prefix="high")
    assert [one.name for one in hp.space] == ["low/rate", "high/rate"]


def test_an_optional_component_is_absent_where_it_is_off() -> None:
    hp = keras_tuner.HyperParameters()
    hp.values["max_norm_enforcer"] = False
    assert searched(hp, "max_norm_enforcer", optional=True) is None


def test_arguments_of_an_optional_component_are_active_only_where_it_is_on() -> None:
    hp = keras_tuner.HyperParameters()
    searched(hp, "max_norm_enforcer", optional=True)
    assert hp.is_active("max_norm_enforcer/max_norm")
    hp.values["max_norm_enforcer"] = False
    assert not hp.is_active("max_norm_enforcer/max_norm")


def test_values_that_the_tuner_cannot_hold_come_back_as_they_were() -> None:
    hp = keras_tuner.HyperParameters()
    values = (None, "avg", (3, 3))
    assert OneOf(values).ask(hp, "pooling") is None
    hp.values["pooling"] = "(3, 3)"
    assert OneOf(values).ask(hp, "pooling") == (3, 3)


def test_an_unknown_component_is_named_with_all_there_are() -> None:
    with pytest.raises(
        ValueError, match="search_space: `component` must be .*mc_dropout"
    ):
        searched(keras_tuner.HyperParameters(), "mc_dropuot")


def test_an_unknown_argument_is_named_before_anything_is_asked() -> None:
    hp = keras_tuner.HyperParameters()
    with pytest.raises(ValueError, match=r"`arguments` must be .*max_norm.*\['norm'\]"):
        searched(hp, "max_norm_enforcer", norm=3.0)
    assert not hp.space


@pytest.mark.parametrize(
    "make",
    [
        lambda: FloatRange(1.0, 1.0),
        lambda: FloatRange(0.0, 1.0, log=True),
        lambda: IntRange(3, 2),
        lambda: OneOf(("a",)),
        lambda: OneOf(("1", 1)),
    ],
    ids=["empty", "log of zero", "backwards", "no choice", "same text"],
)
def test_a_range_without_two_values_is_refused(make: object) -> None:
    with pytest.raises(ValueError, match="must be"):
        make()


@pytest.mark.parametrize(
    ("given", "middle"),
    [
        (FloatRange(0.0, 1.0), 0.5),
        (FloatRange(1e-4, 1e-2, log=True), 1e-3),
        (IntRange(2, 6), 4),
        (IntRange(16, 256, log=True), 64),
    ],
)
def test_a_search_begins_in_the_middle_of_a_range(
    given: FloatRange | IntRange, middle: float
) -> None:
    hp = keras_tuner.HyperParameters()
    assert given.ask(hp, "it") == pytest.approx(middle)
