"""Dropout at the last layer, without samples."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_deeptools.layers import MCDropout
from keras_deeptools.uncertainty import last_layer_predict, mc_predict

INPUTS = np.random.default_rng(0).normal(size=(30, 6)).astype("float32")


def model_with(*end, rate=0.3, dropout=layers.Dropout):
    return keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(64, "relu"),
            layers.BatchNormalization(),
            dropout(rate),
            *end,
        ]
    )


def assert_near_samples(model, bound, **options):
    found = last_layer_predict(model, INPUTS, **options)
    samples = mc_predict(model, INPUTS, 2_000, seed=0, verbose=0)
    assert np.abs(found.mean - samples.mean).mean() < bound
    assert np.abs(found.std - samples.std).mean() < bound
    return found


@pytest.mark.alternates("end")
@pytest.mark.parametrize(
    "end",
    [
        [layers.Dense(3, "softmax")],
        [layers.Dense(1, "sigmoid", use_bias=False)],
        [layers.Dense(4), layers.Activation("softmax")],
        [layers.Dense(3), layers.Softmax()],
    ],
    ids=["softmax", "sigmoid", "activation", "softmax layer"],
)
def test_mean_and_spread_are_those_of_many_samples(end):
    model = model_with(*end)
    found = assert_near_samples(model, 0.01)
    assert found.mean.shape == model.predict(INPUTS, verbose=0).shape
    assert found.mean.dtype == "float32"


@pytest.mark.alternates("dropout")
@pytest.mark.parametrize("dropout", [layers.Dropout, layers.GaussianDropout])
def test_a_linear_output_is_exact(dropout):
    model = model_with(layers.Dense(2), dropout=dropout)
    found = assert_near_samples(model, 0.03)
    np.testing.assert_allclose(
        found.mean, model.predict(INPUTS, verbose=0), rtol=1e-4, atol=1e-5
    )
    np.testing.assert_array_equal(found.std, found.logit_std)


def test_a_linear_output_may_be_taken_as_logits():
    model = model_with(layers.Dense(3))
    found = last_layer_predict(model, INPUTS, activation="softmax")
    same = model_with(layers.Dense(3, "softmax"))
    same.set_weights(model.get_weights())
    np.testing.assert_array_equal(found.mean, last_layer_predict(same, INPUTS).mean)


def test_the_mean_field_is_near_the_quadrature_and_has_no_spread_for_a_softmax():
    model = model_with(layers.Dense(1, "sigmoid"), rate=0.5)
    coarse = last_layer_predict(model, INPUTS, method="mean_field")
    fine = last_layer_predict(model, INPUTS)
    assert np.abs(coarse.mean - fine.mean).max() < 0.01
    model = model_with(layers.Dense(3, "softmax"), rate=0.5)
    coarse = last_layer_predict(model, INPUTS, method="mean_field")
    np.testing.assert_allclose(coarse.mean.sum(axis=1), 1, rtol=1e-5)
    assert np.isnan(coarse.std).all()


def test_a_sequence_keeps_its_axes():
    model = keras.Sequential(
        [
            keras.Input((5, 6)),
            layers.Dense(32, "relu"),
            layers.Dropout(0.2),
            layers.Dense(3, "softmax"),
        ]
    )
    x = np.random.default_rng(0).normal(size=(4, 5, 6))
    assert last_layer_predict(model, x).mean.shape == (4, 5, 3)


def test_dict_inputs_and_models_called_by_others_are_taken(monkeypatch):
    first, second = keras.Input((6,), name="a"), keras.Input((6,), name="b")
    features = layers.Dense(32, "relu")(layers.Add()([first, second]))
    outputs = layers.Dense(2, "softmax")(layers.Dropout(0.5)(features))
    model = keras.Model({"a": first, "b": second}, outputs)
    keras.Model([first, second], model({"a": first, "b": second}))
    x = {"a": INPUTS, "b": INPUTS}
    whole = last_layer_predict(model, x)
    monkeypatch.setattr(
        "keras_deeptools.uncertainty._last_layer_predict.MOST_VALUES", 1
    )
    by_rows = last_layer_predict(model, x, batch_size=7)
    np.testing.assert_allclose(by_rows.mean, whole.mean, rtol=1e-5)


def test_dropout_of_the_inputs_needs_no_layer_before_it():
    model = keras.Sequential(
        [keras.Input((6,)), layers.Dropout(0.5), layers.Dense(1, use_bias=False)]
    )
    kernel = model.get_weights()[0]
    found = last_layer_predict(model, INPUTS)
    np.testing.assert_allclose(found.mean, INPUTS @ kernel, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.std**2, INPUTS**2 @ kernel**2, rtol=1e-4)


def test_the_model_stays_as_it_was():
    model = model_with(layers.Dense(3, "softmax"))
    before = [np.array(v) for v in model.get_weights()]
    predicted = model.predict(INPUTS, verbose=0)
    last_layer_predict(model, INPUTS)
    np.testing.assert_array_equal(model.predict(INPUTS, verbose=0), predicted)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_mixed_precision_is_taken():
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = model_with(layers.Dense(3, "softmax", dtype="float32"))
    found = last_layer_predict(model, INPUTS)
    np.testing.assert_allclose(found.mean.sum(axis=1), 1, rtol=1e-5)


def test_dropout_elsewhere_is_not_left_out_silently():
    model = keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dropout(0.2, name="early"),
            layers.Dense(32, "relu"),
            layers.Dropout(0.5),
            layers.Dense(2, "softmax"),
        ]
    )
    with pytest.raises(ValueError, match="where 'early' drops too.*ignore_earlier"):
        last_layer_predict(model, INPUTS)
    found = last_layer_predict(model, INPUTS, ignore_earlier=True)
    assert np.isfinite(found.mean).all()


def test_layers_of_this_package_count_as_their_twins():
    model = model_with(layers.Dense(2), dropout=MCDropout)
    same = model_with(layers.Dense(2))
    same.set_weights(model.get_weights())
    np.testing.assert_array_equal(
        last_layer_predict(model, INPUTS).std, last_layer_predict(same, INPUTS).std
    )
    loud = keras.Sequential(
        [
            keras.Input((6,)),
            MCDropout(0.2, stochastic_inference=True, name="loud"),
            layers.Dropout(0.5),
            layers.Dense(2),
        ]
    )
    with pytest.raises(ValueError, match="where 'loud' drops too"):
        last_layer_predict(loud, INPUTS, ignore_earlier=True)


class Subclassed(keras.Model):
    def call(self, inputs):
        return inputs


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("model", "words"),
    [
        (Subclassed(), "no built functional"),
        ("model", "no built functional"),
        (keras.Sequential([layers.Dense(1)]), "which is no Dropout"),
        (model_with(layers.Dense(2, "relu")), "whose activation is none of"),
        (model_with(layers.Dense(2, "softmax"), layers.Softmax()), "two activations"),
        (model_with(layers.Dense(2), layers.LayerNormalization()), "no Dense layer"),
        (model_with(layers.Dense(2), layers.Dense(2)), "which is no Dropout"),
        (model_with(layers.Dense(2), rate=0.0), "the rate must be in"),
        (
            model_with(
                layers.Dense(2),
                dropout=lambda r: layers.Dropout(r, noise_shape=(None, 1)),
            ),
            "the mask that of every feature",
        ),
    ],
)
def test_a_model_that_ends_otherwise_is_named_with_the_remedy(model, words):
    with pytest.raises(ValueError, match=f"^last_layer_predict: .*{words}.*mc_predict"):
        last_layer_predict(model, INPUTS)


@pytest.mark.one_backend
def test_options_are_checked():
    model = model_with(layers.Dense(2, "softmax"))
    with pytest.raises(ValueError, match="`method` must be one of 'quadrature'"):
        last_layer_predict(model, INPUTS, method="probit")
    with pytest.raises(ValueError, match="`activation` must be one of 'auto'"):
        last_layer_predict(model, INPUTS, activation="relu")
    with pytest.raises(ValueError, match="`activation` must be 'auto' where"):
        last_layer_predict(model, INPUTS, activation="sigmoid")
