"""Temperature scaling, against PyTorch's LBFGS and as a layer."""

import keras
import numpy as np
import pytest
import torch
from scipy.special import expit, logit, softmax

from calibration_data import binary, classified
from keras_deeptools.uncertainty import (
    TemperatureScaling,
    expected_calibration_error,
    negative_log_likelihood,
)


def lbfgs(logits, labels, weights):
    """Guo et al.'s way: the temperature itself, by gradient, in double precision."""
    temperature = torch.ones((), dtype=torch.float64, requires_grad=True)
    logits, labels, weights = map(torch.tensor, (logits, labels, weights))
    optimizer = torch.optim.LBFGS(
        [temperature],
        max_iter=200,
        line_search_fn="strong_wolfe",
        tolerance_grad=1e-12,
        tolerance_change=1e-15,
    )

    def closure():
        optimizer.zero_grad()
        losses = torch.nn.functional.cross_entropy(
            logits / temperature, labels, reduction="none"
        )
        loss = (weights * losses).sum() / weights.sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return temperature.item()


@pytest.mark.alternates("sharpness")
@pytest.mark.parametrize("sharpness", [0.2, 1.0, 7.0])
def test_the_temperature_is_that_of_pytorchs_lbfgs(sharpness):
    probabilities, labels, weights = classified(sharpness=sharpness)
    scaling = TemperatureScaling().fit(probabilities, labels, sample_weight=weights)
    expected = lbfgs(np.log(probabilities), labels, weights)
    assert scaling.temperature == pytest.approx(expected, rel=1e-5)


def test_the_temperature_of_a_binary_model_is_that_of_pytorchs_lbfgs():
    probabilities, labels, weights = binary()
    scaling = TemperatureScaling().fit(probabilities, labels, sample_weight=weights)
    two = np.log(np.stack([1 - probabilities, probabilities], axis=1))
    assert scaling.temperature == pytest.approx(lbfgs(two, labels, weights), rel=1e-5)


def test_logits_and_their_probabilities_have_one_temperature():
    logits = 5 * np.random.default_rng(0).normal(size=(500, 4))
    labels = classified(500)[1]
    from_logits = TemperatureScaling(from_logits=True).fit(logits, labels)
    from_probabilities = TemperatureScaling().fit(softmax(logits, axis=1), labels)
    assert from_logits.temperature == pytest.approx(
        from_probabilities.temperature, rel=1e-6
    )
    np.testing.assert_allclose(
        from_logits.apply(logits),
        from_probabilities.apply(softmax(logits, axis=1)),
        rtol=1e-5,
    )


@pytest.mark.one_backend
def test_a_known_temperature_is_found_again():
    random = np.random.default_rng(0)
    logits = random.normal(size=(50_000, 10))
    labels = np.argmax(logits + random.gumbel(size=logits.shape), axis=1)
    found = TemperatureScaling(from_logits=True).fit(2.5 * logits, labels)
    assert found.temperature == pytest.approx(2.5, rel=0.02)


def test_scaling_mends_calibration_and_changes_no_decision():
    probabilities, labels, _ = classified(5_000, sharpness=3.0)
    scaling = TemperatureScaling().fit(probabilities[:2_500], labels[:2_500])
    before, held_out = probabilities[2_500:], labels[2_500:]
    after = scaling.apply(before)
    np.testing.assert_array_equal(after.argmax(axis=1), before.argmax(axis=1))
    assert expected_calibration_error(before, held_out) > 0.15
    assert expected_calibration_error(after, held_out) < 0.04
    assert negative_log_likelihood(after, held_out) < negative_log_likelihood(
        before, held_out
    )


@pytest.mark.parametrize("shape", [(600,), (600, 1)])
def test_binary_predictions_keep_their_shape(shape):
    probabilities, labels, _ = binary()
    after = TemperatureScaling(2.0).apply(probabilities.reshape(shape))
    expected = expit(logit(probabilities) / 2).reshape(shape)
    np.testing.assert_allclose(after, expected, rtol=1e-9)
    after = TemperatureScaling(2.0, from_logits=True).apply(
        logit(probabilities).reshape(shape)
    )
    np.testing.assert_allclose(after, expected, rtol=1e-9)


@pytest.mark.parametrize("from_logits", [False, True])
@pytest.mark.parametrize("columns", [1, 4])
def test_the_layer_computes_what_apply_does(columns, from_logits):
    probabilities = (classified if columns > 1 else binary)()[0].reshape(600, columns)
    inputs = np.log(probabilities) if from_logits else probabilities
    layer = TemperatureScaling(3.0, from_logits=from_logits)
    inputs = inputs.astype("float32")
    outputs = keras.ops.convert_to_numpy(layer(inputs))
    np.testing.assert_allclose(outputs, layer.apply(inputs), rtol=1e-4, atol=1e-6)


def test_the_layer_takes_probabilities_of_exactly_0_and_1():
    layer = TemperatureScaling(2.0)
    for inputs in (np.array([[0.0], [1.0]], "float32"), np.eye(3, dtype="float32")):
        outputs = keras.ops.convert_to_numpy(layer(inputs))
        assert np.isfinite(outputs).all()
        np.testing.assert_allclose(outputs, layer.apply(inputs), atol=1e-6)


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_a_model_with_the_layer_is_saved_and_loaded(policy, tmp_path):
    keras.config.set_dtype_policy(policy)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, "softmax")])
    inputs = np.random.default_rng(0).normal(size=(20, 3)).astype("float32")
    predictions = model.predict(inputs, verbose=0)
    scaling = TemperatureScaling().fit(predictions, np.arange(20) % 4)
    calibrated = keras.Sequential([model, scaling])
    after = calibrated.predict(inputs, verbose=0)
    np.testing.assert_allclose(after, scaling.apply(predictions), rtol=1e-3)
    assert after.dtype == "float32"
    calibrated.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(loaded.predict(inputs, verbose=0), after)
    assert loaded.layers[-1].temperature == scaling.temperature


def test_fitting_anew_reaches_a_model_that_has_predicted_before():
    model = keras.Sequential([keras.Input((4,)), TemperatureScaling()])
    inputs, labels, _ = classified(100)
    before = model.predict(inputs, verbose=0)
    model.layers[-1].fit(inputs, labels)
    after = model.predict(inputs, verbose=0)
    assert abs(after - before).max() > 0.01
    np.testing.assert_allclose(after, model.layers[-1].apply(inputs), atol=1e-5)


def test_a_temperature_is_not_trained():
    assert TemperatureScaling().trainable_variables == []


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("labels", "temperature", "words"),
    [([0, 1], 1e-3, "rank every class right"), ([1, 0], 1e3, "no better than chance")],
)
def test_where_no_temperature_is_best_a_warning_says_why(labels, temperature, words):
    scaling = TemperatureScaling()
    with pytest.warns(UserWarning, match=words):
        scaling.fit([[0.9, 0.1], [0.2, 0.8]], labels)
    assert scaling.temperature == pytest.approx(temperature)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"temperature": 0.0}, ValueError, "`temperature` must be a finite float > 0"),
        ({"temperature": "hot"}, TypeError, "`temperature` must be"),
        ({"from_logits": 1}, TypeError, "`from_logits` must be True or False"),
    ],
)
def test_a_wrong_argument_is_named(arguments, error, words):
    with pytest.raises(error, match=f"^TemperatureScaling: {words}"):
        TemperatureScaling(**arguments)


@pytest.mark.one_backend
def test_wrong_data_change_nothing():
    scaling = TemperatureScaling(2.0)
    with pytest.raises(ValueError, match="^TemperatureScaling.fit: `probabilities`"):
        scaling.fit([[2.0, -1.0]], [0])
    assert scaling.temperature == 2.0


def test_probabilities_are_not_scaled_before_a_fit():
    with pytest.raises(ValueError, match="^TemperatureScaling.apply: the temperature"):
        TemperatureScaling().apply([[0.9, 0.1]])
