"""The parts of `DeepHyperModel` that need the data, and helpers for `build(hp)`."""

import keras
import keras_tuner
import numpy as np
import pytest

from keras_deeptools.callbacks import WeightAveraging
from keras_deeptools.layers import SelfNormalizingDense
from keras_deeptools.tuning import DeepHyperModel, searched_activation, searched_block
from keras_deeptools.tuning._hypermodel.fit_data import training_rows, validation_rows
from keras_deeptools.tuning._hypermodel.parts import SmoothedSparseCrossentropy

pytestmark = pytest.mark.one_backend

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(64, 4)).astype("float32")
Y = (X[:, 0] > 0).astype("int32")
RATE = "optimizer/adamw/learning_rate"


def make_model(hp: object = None) -> keras.Model:
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(8, "relu"),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(2, "softmax"),
        ]
    )
    model.compile(keras.optimizers.SGD(0.01), "sparse_categorical_crossentropy")
    return model


def trial(
    hypermodel: DeepHyperModel, values: dict | None = None, **arguments: object
) -> tuple[keras.Model, dict]:
    """The model and the history of one trial."""
    hp = keras_tuner.HyperParameters()
    hp.values |= values or {}
    model = hypermodel.build(hp)
    options = {"x": X, "y": Y, "shuffle": False, "verbose": 0} | arguments
    return model, hypermodel.fit(hp, model, **options).history


def rate_of(model: keras.Model) -> float:
    return float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))


# --- Rates from the range test -------------------------------------------------------

TESTED = {f"{RATE}_from": "range_test", f"{RATE}_factor": 2.0}


@pytest.fixture(scope="module")
def tested() -> tuple[DeepHyperModel, keras.Model, dict]:
    """A search after a trial whose rate comes from the range test."""
    hypermodel = DeepHyperModel(
        make_model,
        max_epochs=2,
        parts=["optimizer", "learning_rate"],
        optimizers=["adamw", "sgd"],
    )
    return hypermodel, *trial(hypermodel, TESTED)


def test_the_rate_is_that_of_the_range_test_times_a_factor(tested: tuple) -> None:
    hypermodel, model, _ = tested
    (found,) = hypermodel.range_tests
    np.testing.assert_allclose(rate_of(model), 2.0 * found.suggestion, rtol=1e-6)


def test_the_range_test_leaves_the_trial_as_it_was(tested: tuple) -> None:
    _, model, history = tested
    plain = DeepHyperModel(make_model, max_epochs=2, parts=["optimizer"])
    _, expected = trial(plain, {RATE: rate_of(model)})
    assert history["loss"] == expected["loss"]


def test_trials_that_are_alike_share_a_range_test(tested: tuple) -> None:
    hypermodel, model, _ = tested
    again, _ = trial(hypermodel, TESTED | {f"{RATE}_factor": 1.0})
    assert len(hypermodel.range_tests) == 1
    np.testing.assert_allclose(rate_of(again), rate_of(model) / 2.0, rtol=1e-6)


def test_another_optimizer_has_a_range_test_of_its_own(tested: tuple) -> None:
    hypermodel = DeepHyperModel(
        make_model, max_epochs=2, parts=["optimizer", "learning_rate"]
    )
    hypermodel._rates.found |= tested[0]._rates.found
    sgd = {key.replace("adamw", "sgd"): value for key, value in TESTED.items()}
    trial(hypermodel, sgd | {"optimizer/name": "sgd"})
    assert len(hypermodel.range_tests) == 2


def test_a_trial_that_goes_on_keeps_its_rate(tested: tuple) -> None:
    hypermodel, model, _ = tested
    hp = keras_tuner.HyperParameters()
    hp.values |= TESTED
    again = hypermodel.build(hp)
    again.optimizer.learning_rate = 0.0125
    hypermodel.fit(hp, again, X, Y, initial_epoch=1, epochs=2, verbose=0)
    np.testing.assert_allclose(rate_of(again), 0.0125)


def test_only_the_rate_that_counts_is_active() -> None:
    hp = keras_tuner.HyperParameters()
    hp.values |= TESTED
    hypermodel = DeepHyperModel(
        make_model, max_epochs=2, parts=["optimizer", "learning_rate"]
    )
    hypermodel.build(hp)
    assert hp.is_active(f"{RATE}_factor") and not hp.is_active(RATE)
    hp.values[f"{RATE}_from"] = "searched"
    assert hp.is_active(RATE) and not hp.is_active(f"{RATE}_factor")


def test_the_rate_of_a_compiled_optimizer_can_come_from_the_range_test() -> None:
    hypermodel = DeepHyperModel(make_model, max_epochs=2, parts=["learning_rate"])
    kept, _ = trial(hypermodel)
    np.testing.assert_allclose(rate_of(kept), 0.01)
    assert not hypermodel.range_tests
    model, _ = trial(
        hypermodel, {"learning_rate_from": "range_test", "learning_rate_factor": 1.0}
    )
    (found,) = hypermodel.range_tests
    np.testing.assert_allclose(rate_of(model), found.suggestion, rtol=1e-6)


# --- Averages of weights -------------------------------------------------------------


def test_a_trial_is_judged_by_the_average_of_its_weights() -> None:
    hypermodel = DeepHyperModel(make_model, max_epochs=2, parts=["weight_averaging"])
    model, history = trial(hypermodel, {}, validation_data=(X, Y), epochs=2)
    loss = model.evaluate(X, Y, verbose=0)
    np.testing.assert_allclose(loss, history["val_loss"][-1], rtol=1e-6)
    _, plain = trial(
        hypermodel, {"weight_averaging": False}, validation_data=(X, Y), epochs=2
    )
    assert plain["loss"] == history["loss"]
    assert plain["val_loss"] != history["val_loss"]


def test_a_mean_of_weights_begins_in_the_last_quarter_with_its_statistics() -> None:
    seen: list[WeightAveraging] = []

    class Net(keras.Sequential):
        def fit(self, *args: object, **kwargs: object) -> object:
            ours = kwargs["callbacks"]
            seen.extend(one for one in ours if isinstance(one, WeightAveraging))
            return super().fit(*args, **kwargs)

    def build(hp: object) -> keras.Model:
        norm = keras.layers.BatchNormalization()
        model = Net([keras.Input((4,)), norm, keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        return model

    hypermodel = DeepHyperModel(build, max_epochs=9, parts=["weight_averaging"])
    trial(hypermodel, {"weight_averaging/decay": "None"}, validation_split=0.25)
    (averaging,) = seen
    assert (averaging.decay, averaging.start) == (None, 7)
    np.testing.assert_array_equal(averaging.batch_norm_data, X[:48])


# --- Smoothing of integer labels -----------------------------------------------------


@pytest.mark.parametrize("shape", [(6,), (6, 1)])
@pytest.mark.parametrize("from_logits", [False, True])
def test_integer_labels_are_smoothed_as_keras_smooths_one_hot_ones(
    shape: tuple, from_logits: bool
) -> None:
    labels = RANDOM.integers(0, 3, 6)
    outputs = RANDOM.dirichlet(np.ones(3), 6).astype("float32")
    options = {"label_smoothing": 0.1, "from_logits": from_logits}
    expected = keras.losses.CategoricalCrossentropy(**options)(
        keras.utils.to_categorical(labels, 3), outputs
    )
    loss = SmoothedSparseCrossentropy(**options)
    again = SmoothedSparseCrossentropy.from_config(loss.get_config())
    found = again(labels.reshape(shape), outputs)
    values = [keras.ops.convert_to_numpy(value) for value in (found, expected)]
    np.testing.assert_allclose(*values, rtol=1e-6)


@pytest.mark.parametrize(
    "loss",
    [
        "sparse_categorical_crossentropy",
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    ],
)
def test_a_loss_for_integer_labels_is_smoothed_in_a_trial(loss: object) -> None:
    gives_logits = not isinstance(loss, str)

    def build(hp: object) -> keras.Model:
        top = keras.layers.Dense(2, None if gives_logits else "softmax")
        model = keras.Sequential([keras.Input((4,)), top])
        model.compile("sgd", loss, metrics=["accuracy"])
        return model

    hypermodel = DeepHyperModel(build, max_epochs=2, parts=["label_smoothing"])
    model, history = trial(hypermodel, {"label_smoothing": 0.1})
    assert model.loss.label_smoothing == 0.1
    assert model.loss.from_logits == gives_logits
    assert set(history) == {"loss", "accuracy"}
    assert hypermodel.build(keras_tuner.HyperParameters()).loss is not model.loss


# --- Monte Carlo dropout by validation likelihood ------------------------------------


def test_a_search_can_maximize_the_likelihood_under_monte_carlo_dropout(
    tmp_path: object,
) -> None:
    hypermodel = DeepHyperModel(
        make_model, max_epochs=2, parts=["dropout_rate"], mc_samples=5
    )
    best = keras_tuner.Objective("val_mc_log_likelihood", "max")
    tuner = keras_tuner.RandomSearch(
        hypermodel, best, max_trials=2, seed=0, directory=tmp_path
    )
    tuner.search(X, Y, validation_data=(X, Y), epochs=2, verbose=0)
    scores = [one.score for one in tuner.oracle.get_best_trials(2)]
    # Below 0, above even odds less a little.
    assert all(-1.0 < score < 0.0 for score in scores) and scores[0] > scores[1]


def test_the_likelihood_is_that_of_the_rows_that_keras_splits_off() -> None:
    hypermodel = DeepHyperModel(make_model, max_epochs=1, parts=[], mc_samples=3)
    _, split = trial(hypermodel, validation_split=0.3)
    data = (X[44:], Y[44:])
    _, given = trial(hypermodel, x=X[:44], y=Y[:44], validation_data=data)
    key = "val_mc_log_likelihood"
    np.testing.assert_allclose(split[key], given[key], rtol=1e-4)


def test_rows_are_split_as_keras_splits_them() -> None:
    given = {"x": X, "y": Y, "sample_weight": None, "validation_split": 0.3}
    held_out = validation_rows(given)
    assert held_out is not None
    np.testing.assert_array_equal(held_out[0], X[44:])
    assert len(training_rows(given)["y"]) == 44


# --- Helpers for `build(hp)` ---------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "keras_own"), [("relu", "he_normal"), ("selu", "lecun_normal")]
)
def test_an_activation_comes_with_the_initializer_that_fits(
    name: str, keras_own: str
) -> None:
    hp = keras_tuner.HyperParameters()
    hp.values["activation"] = name
    activation, initializer = searched_activation(hp, layer="dense")
    assert activation == name
    own = keras.initializers.get(keras_own)
    deviations = [
        np.std(keras.ops.convert_to_numpy(one((256, 256))))
        for one in (initializer, own)
    ]
    np.testing.assert_allclose(*deviations, rtol=0.02)


def test_one_initializer_gives_layers_different_kernels() -> None:
    _, initializer = searched_activation(keras_tuner.HyperParameters())
    layers = [keras.layers.Dense(4, kernel_initializer=initializer) for _ in range(2)]
    keras.Sequential([keras.Input((4,)), *layers])
    first, second = (keras.ops.convert_to_numpy(one.kernel) for one in layers)
    assert not np.array_equal(first, second)


@pytest.mark.parametrize(
    ("kind", "classes"),
    [
        ("batch_norm", ["Dense", "BatchNormalization", "Activation", "Dropout"]),
        ("self_normalizing", ["SelfNormalizingDense"]),
        ("plain", ["Dense", "Activation", "Dropout"]),
    ],
)
def test_a_block_is_whole(kind: str, classes: list[str]) -> None:
    hp = keras_tuner.HyperParameters()
    hp.values |= {"block/kind": kind, f"block/{kind}/rate": 0.1}
    block = searched_block(hp, 8)
    assert [type(layer).__name__ for layer in block] == classes
    assert keras.Sequential([keras.Input((4,)), *block]).output_shape == (None, 8)


def test_blocks_with_one_prefix_are_of_one_kind() -> None:
    hp = keras_tuner.HyperParameters()
    hp.values["block/kind"] = "self_normalizing"
    blocks = [searched_block(hp, 8)[0] for _ in range(2)]
    assert all(isinstance(one, SelfNormalizingDense) for one in blocks)
    assert hp.is_active("block/self_normalizing/rate")
    assert not hp.is_active("block/batch_norm/activation")


@pytest.mark.parametrize(
    ("make", "rule"),
    [
        (
            lambda hp: searched_activation(hp, ["rulu"]),
            "searched_activation: `names` must be one of 'relu'",
        ),
        (
            lambda hp: searched_block(hp, 8, ["batchnorm"]),
            "searched_block: `kinds` must be one of 'batch_norm'",
        ),
        (lambda hp: searched_block(hp, 0), "searched_block: `units` must be an"),
    ],
)
def test_what_is_unknown_is_named(make: object, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        make(keras_tuner.HyperParameters())
