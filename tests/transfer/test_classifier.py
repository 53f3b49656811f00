"""Heads on backbones."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_deeptools.layers import MCDropout
from keras_deeptools.transfer import backbone, classifier, layer_groups
from keras_deeptools.uncertainty import mc_predict


def body(pooled: bool = False) -> keras.Model:
    layers = [keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3, name="body")]
    layers += [keras.layers.GlobalAveragePooling2D()] if pooled else []
    return keras.Sequential(layers, name="body")


IMAGES = np.random.default_rng(0).uniform(0, 255, (6, 8, 8, 3)).astype("float32")


@pytest.mark.parametrize("head", ["average", "concat"])
def test_the_outputs_are_probabilities_of_the_classes(head: str) -> None:
    model = classifier(body(), 5, head=head, hidden_units=8)
    outputs = keras.ops.convert_to_numpy(model(IMAGES))
    assert outputs.shape == (6, 5)
    np.testing.assert_allclose(outputs.sum(axis=1), 1, rtol=1e-5)


def test_the_average_head_is_a_dense_layer_on_the_mean_of_the_map() -> None:
    base = body()
    model = classifier(base, 2, activation=None)
    kernel, bias = map(keras.ops.convert_to_numpy, model.weights[-2:])
    maps = keras.ops.convert_to_numpy(base(IMAGES))
    expected = maps.mean(axis=(1, 2)) @ kernel + bias
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(model(IMAGES)), expected, rtol=1e-4, atol=1e-3
    )


def test_the_concat_head_reads_the_mean_and_the_maximum_of_the_map() -> None:
    base = body()
    model = classifier(base, 2, head="concat")
    both = keras.Model(model.input, model.get_layer("head_concat").output)
    maps = keras.ops.convert_to_numpy(base(IMAGES))
    expected = np.concatenate([maps.mean(axis=(1, 2)), maps.max(axis=(1, 2))], axis=1)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(both(IMAGES)), expected, rtol=1e-4, atol=1e-3
    )


def test_the_head_takes_a_vector_of_features_as_it_is() -> None:
    model = classifier(body(pooled=True), 2)
    assert [layer.name for layer in model.layers[-2:]] == [
        "head_dropout",
        "head_outputs",
    ]


def test_the_layers_of_the_backbone_are_shared() -> None:
    base = body()
    assert classifier(base, 2).get_layer("body") is base.get_layer("body")


def test_the_head_is_the_last_layer_group() -> None:
    groups = layer_groups(classifier(body(), 2, head="concat", hidden_units=4))
    assert all(layer.name.startswith("head") for layer in groups[-1].layers)
    assert groups[0].layers[0].name == "body"


def test_monte_carlo_dropout_in_the_head_is_sampled() -> None:
    model = classifier(body(), 3, dropout_rate=0.5, mc=True)
    assert isinstance(model.get_layer("head_dropout"), MCDropout)
    prediction = mc_predict(model, IMAGES / 255, num_samples=8)
    assert float(np.max(prediction.mutual_information)) > 0
    assert np.array_equal(
        model.predict(IMAGES, verbose=0), model.predict(IMAGES, verbose=0)
    )


def test_plain_dropout_saves_nothing_of_this_package() -> None:
    config = json.dumps(classifier(body(), 3, head="concat").get_config())
    assert "keras_deeptools" not in config


def test_a_classifier_comes_back_from_its_file(tmp_path: Path) -> None:
    model = classifier(body(), 3, head="concat", hidden_units=4, mc=True)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        again.predict(IMAGES, verbose=0), model.predict(IMAGES, verbose=0), rtol=1e-5
    )


def test_the_outputs_stay_in_float32_under_a_half_precision_policy() -> None:
    keras.config.set_dtype_policy("mixed_float16")
    assert classifier(body(), 3).output.dtype == "float32"


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"num_classes": 0}, ValueError, "`num_classes` must be an integer >= 1"),
        ({"num_classes": 1}, ValueError, "activation='sigmoid'"),
        ({"head": "flat"}, ValueError, "`head` must be one of 'average', 'concat'"),
        ({"dropout_rate": 1.0}, ValueError, r"`dropout_rate` must be in \[0, 1\)"),
        ({"mc": 1}, TypeError, "`mc` must be True or False"),
        ({"backbone": "VGG16"}, TypeError, "`backbone` must be a `keras.Model`"),
        (
            {"backbone": body(pooled=True), "head": "concat"},
            ValueError,
            "Build it without pooling",
        ),
        (
            {"backbone": keras.Sequential([keras.layers.Flatten()])},
            ValueError,
            "a graph and one output",
        ),
    ],
)
def test_a_wrong_argument_is_named(
    arguments: dict[str, object], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        classifier(**{"backbone": body(), "num_classes": 3, **arguments})


@pytest.mark.parametrize("head", ["average", "concat"])
def test_tokens_of_a_transformer_are_pooled(head: str) -> None:
    images = keras.Input((8, 8, 3))
    tokens = keras.layers.Reshape((4, 4))(keras.layers.Conv2D(4, 4, 4)(images))
    transformer = keras.Model(images, tokens)
    model = classifier(transformer, 3, head=head, hidden_units=4)
    assert model.output_shape == (None, 3)
    pooled = backbone(transformer, pooling="max", preprocessing="included")
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 8, 8, 3)).astype("float32")
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(pooled(pixels)),
        keras.ops.convert_to_numpy(transformer(pixels)).max(axis=1),
        rtol=1e-5,
    )
