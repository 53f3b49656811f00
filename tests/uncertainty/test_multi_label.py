"""Several sigmoids: each output is a prediction of its own."""

import keras
import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, hamming_loss, log_loss

from keras_deeptools.uncertainty import (
    TemperatureScaling,
    brier_decomposition,
    brier_score,
    expected_calibration_error,
    negative_log_likelihood,
    reliability_diagram,
    risk_coverage_curve,
)

RANDOM = np.random.default_rng(0)
TRUE = RANDOM.uniform(0.05, 0.95, (400, 3))
LABELS = (RANDOM.uniform(size=TRUE.shape) < TRUE).astype("int64")
PROBABILITIES = expit(2.5 * logit(TRUE))
CELLS = PROBABILITIES.ravel(), LABELS.ravel()


def by_output(score):
    """The mean of a measure of scikit-learn over the outputs."""
    return np.mean([score(LABELS[:, i], PROBABILITIES[:, i]) for i in range(3)])


def test_the_brier_score_is_the_mean_of_scikit_learns_over_the_outputs():
    expected = by_output(brier_score_loss)
    assert brier_score(PROBABILITIES, LABELS) == pytest.approx(expected)
    assert brier_decomposition(PROBABILITIES, LABELS).score == pytest.approx(expected)


def test_the_likelihood_is_the_mean_of_scikit_learns_over_the_outputs():
    expected = by_output(log_loss)
    assert negative_log_likelihood(PROBABILITIES, LABELS) == pytest.approx(expected)
    found = negative_log_likelihood(logit(PROBABILITIES), LABELS, from_logits=True)
    assert found == pytest.approx(expected)
    keras_loss = keras.losses.BinaryCrossentropy()(LABELS, PROBABILITIES)
    assert float(keras_loss) == pytest.approx(expected, rel=1e-4)


def test_the_reliability_diagram_is_scikit_learns_of_all_outputs():
    diagram = reliability_diagram(PROBABILITIES, LABELS, 10)
    frequency, confidence = calibration_curve(CELLS[1], CELLS[0], n_bins=10)
    np.testing.assert_allclose(diagram.frequency, frequency)
    np.testing.assert_allclose(diagram.confidence, confidence)
    error = expected_calibration_error(PROBABILITIES, LABELS, 10)
    assert error == pytest.approx(expected_calibration_error(*CELLS, 10))
    assert error == pytest.approx(diagram.expected_calibration_error)


def test_one_output_is_judged_by_its_index():
    one = reliability_diagram(PROBABILITIES, LABELS, 10, event=2)
    frequency, _ = calibration_curve(LABELS[:, 2], PROBABILITIES[:, 2], n_bins=10)
    np.testing.assert_allclose(one.frequency, frequency)
    assert one.weight.sum() == pytest.approx(1)
    with pytest.raises(ValueError, match=r"an output in \[0, 3\)"):
        reliability_diagram(PROBABILITIES, LABELS, event=3)


def test_the_risk_of_answering_all_is_the_hamming_loss():
    curve = risk_coverage_curve(PROBABILITIES, LABELS)
    expected = hamming_loss(LABELS, PROBABILITIES > 0.5)
    assert curve.risk[-1] == pytest.approx(expected)
    assert len(curve.risk) == 400


def test_samples_are_answered_by_the_mean_confidence_of_their_outputs():
    curve = risk_coverage_curve(PROBABILITIES, LABELS)
    confidence = np.maximum(PROBABILITIES, 1 - PROBABILITIES).mean(axis=1)
    wrong = ((PROBABILITIES > 0.5) != LABELS).mean(axis=1)
    first = np.argsort(-confidence)[:100]
    assert curve.risk_at(0.25) == pytest.approx(wrong[first].mean())
    each = risk_coverage_curve(
        PROBABILITIES, LABELS, confidence=np.abs(PROBABILITIES - 0.5)
    )
    assert each.area == pytest.approx(risk_coverage_curve(*CELLS).area)


def test_outputs_without_a_label_are_left_out():
    labels = np.where(RANDOM.uniform(size=LABELS.shape) < 0.3, -1, LABELS)
    known = labels >= 0
    expected = brier_score_loss(labels[known], PROBABILITIES[known])
    found = brier_score(PROBABILITIES, labels, ignore_class=-1)
    assert found == pytest.approx(expected)
    found = brier_score(PROBABILITIES, LABELS, sample_weight=known)
    assert found == pytest.approx(expected)


def test_labels_of_one_class_each_need_to_be_told_apart():
    one_hot = np.eye(3, dtype=int)[LABELS.argmax(axis=1)]
    with pytest.raises(ValueError, match="multi_label=True"):
        brier_score(PROBABILITIES, one_hot)
    expected = brier_score_loss(one_hot.ravel(), CELLS[0])
    found = brier_score(PROBABILITIES, one_hot, multi_label=True)
    assert found == pytest.approx(expected)


def test_class_indices_are_no_labels_of_independent_outputs():
    with pytest.raises(ValueError, match="with 0 or 1 for each output"):
        brier_score(PROBABILITIES, LABELS[:, 0], multi_label=True)


@pytest.mark.one_backend
def test_the_temperature_of_many_outputs_is_that_of_all_of_them_in_a_row():
    scaling = TemperatureScaling().fit(PROBABILITIES, LABELS)
    assert scaling.temperature == pytest.approx(
        TemperatureScaling().fit(*CELLS).temperature
    )
    assert scaling.temperature == pytest.approx(2.5, rel=0.15)
    expected = expit(logit(PROBABILITIES) / scaling.temperature)
    np.testing.assert_allclose(scaling.apply(PROBABILITIES), expected)


@pytest.mark.alternates("from_logits", "fitted_on")
@pytest.mark.parametrize("from_logits", [False, True])
@pytest.mark.parametrize("fitted_on", ["outputs", "cells"])
def test_the_layer_scales_the_kind_of_outputs_that_it_was_fitted_on(
    from_logits, fitted_on
):
    given = logit(PROBABILITIES) if from_logits else PROBABILITIES
    labels = LABELS
    scaling = TemperatureScaling(from_logits=from_logits)
    if fitted_on == "cells":
        scaling.fit(given.ravel(), labels.ravel())
    else:
        scaling.fit(given, labels)
    expected = expit(logit(PROBABILITIES) / scaling.temperature)
    for inputs, same in ((given, expected), (given[:, 0], expected[:, 0])):
        found = keras.ops.convert_to_numpy(scaling(inputs.astype("float32")))
        np.testing.assert_allclose(found, same, rtol=1e-4)
    again = TemperatureScaling.from_config(scaling.get_config())
    found = keras.ops.convert_to_numpy(again(given.astype("float32")))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_a_vector_of_probabilities_is_no_row_of_classes():
    vector = PROBABILITIES[:5, 0].astype("float32")
    found = keras.ops.convert_to_numpy(TemperatureScaling(2.0)(vector))
    np.testing.assert_allclose(found, expit(logit(vector) / 2), rtol=1e-5)


def sigmoids(num_inputs=4):
    return keras.Sequential(
        [keras.Input((num_inputs,)), keras.layers.Dense(3, "sigmoid")]
    )


def functional_heads():
    x = inputs = keras.Input((4,))
    heads = [keras.layers.Dense(1, "sigmoid")(x) for _ in range(3)]
    return keras.Model(inputs, keras.layers.Concatenate()(heads))


@pytest.mark.alternates("make")
@pytest.mark.parametrize("make", [sigmoids, functional_heads])
def test_a_model_tells_that_its_outputs_are_independent(make, tmp_path):
    model = make()
    x = RANDOM.normal(size=(20, 4)).astype("float32")
    scaled = keras.Sequential([model, TemperatureScaling(2.0)])
    expected = expit(logit(model.predict(x, verbose=0)) / 2)
    found = scaled.predict(x, verbose=0)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    scaled.save(tmp_path / "scaled.keras")
    loaded = keras.saving.load_model(tmp_path / "scaled.keras")
    np.testing.assert_allclose(loaded.predict(x, verbose=0), found, rtol=1e-6)


@pytest.mark.one_backend
def test_a_layer_that_was_fitted_to_classes_refuses_a_single_output():
    probabilities = PROBABILITIES / PROBABILITIES.sum(axis=1, keepdims=True)
    scaling = TemperatureScaling().fit(probabilities, np.arange(400) % 3)
    with pytest.raises(ValueError, match="last axis of the classes"):
        scaling(probabilities[:, 0].astype("float32"))
    with pytest.raises(ValueError, match="last axis of the classes"):
        scaling.apply(probabilities[:, :1])


@pytest.mark.one_backend
def test_a_layer_that_was_called_is_not_turned_into_another_kind():
    scaling = TemperatureScaling(from_logits=True)
    scaling(logit(PROBABILITIES).astype("float32"))
    with pytest.raises(ValueError, match="multi_label=True"):
        scaling.fit(logit(PROBABILITIES), LABELS)
    assert scaling.temperature == 1.0


@pytest.mark.one_backend
@pytest.mark.parametrize("columns", [1, 4])
def test_probabilities_that_were_rounded_are_warned_about(columns):
    random = np.random.default_rng(1)
    logits = 3 * random.normal(size=(2_000, columns + 1))
    labels = np.argmax(logits / 1.5 + random.gumbel(size=logits.shape), axis=1)
    exact = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    exact = exact[:, 1:] if columns == 1 else exact
    rounded = exact.round(2)
    if columns > 1:
        rounded[:, -1] = np.maximum(1 - rounded[:, :-1].sum(axis=1), 0).round(2)
        short = abs(rounded.sum(axis=1) - 1) < 1e-9
        rounded, exact, labels = rounded[short], exact[short], labels[short]
    honest = TemperatureScaling().fit(exact, labels).temperature
    with pytest.warns(UserWarning, match="exactly 0 or 1.*as the model predicted"):
        scaling = TemperatureScaling().fit(rounded, labels)
    assert scaling.temperature > 2 * honest


@pytest.mark.one_backend
def test_zeros_that_decide_nothing_are_not_warned_about():
    logits = np.float32(60) * RANDOM.normal(size=(500, 3)).astype("float32")
    labels = np.argmax(logits / 40 + RANDOM.gumbel(size=logits.shape), axis=1)
    probabilities = keras.ops.convert_to_numpy(keras.ops.softmax(logits))
    assert (probabilities == 0).any()
    TemperatureScaling().fit(probabilities, labels)
