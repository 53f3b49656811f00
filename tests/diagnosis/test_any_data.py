"""Diagnosis takes what `fit` takes, and tells what is odd about it."""

from collections.abc import Callable, Iterator

import keras
import numpy as np
import pytest
from keras import layers

from keras_deeptools.diagnosis import audit, check_self_normalizing, signal_propagation
from keras_deeptools.initializers import lsuv

RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 4)).astype("float32")
Y = RNG.normal(size=(12, 1)).astype("float32")
PIXELS = RNG.integers(0, 256, (12, 6, 6, 3)).astype("uint8")


def model_of(*stack: keras.Layer) -> keras.Model:
    model = keras.Sequential(list(stack))
    model.compile("sgd", "mse")
    return model


def dense() -> keras.Model:
    return model_of(layers.Dense(3, "tanh"), layers.Dense(1))


def kinds_of(model: keras.Model, x: object) -> list[str]:
    return [finding.kind for finding in signal_propagation(model, x).input_findings]


class Rows(keras.utils.PyDataset):
    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> tuple:
        part = slice(6 * index, 6 * index + 6)
        return X[part], Y[part]


def generated() -> Iterator[tuple]:
    yield X, Y


def tf_dataset() -> object:
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((X, Y)).batch(5)


def loader() -> object:
    import torch

    data = torch.utils.data.TensorDataset(torch.as_tensor(X), torch.as_tensor(Y))
    return torch.utils.data.DataLoader(data, batch_size=5)


SOURCES = {
    "PyDataset": Rows,
    "generator": generated,
    "tf.data": tf_dataset,
    "DataLoader": loader,
}


@pytest.mark.alternates("source")
@pytest.mark.parametrize("source", SOURCES)
def test_datasets_give_the_same_as_their_arrays_with_their_targets(source: str) -> None:
    model = dense()
    expected = signal_propagation(model, X, Y)
    found = signal_propagation(model, SOURCES[source]())
    assert found.loss == pytest.approx(expected.loss, rel=1e-4)
    assert len(found.layers) == 2


@pytest.mark.alternates("source")
@pytest.mark.parametrize("source", SOURCES)
def test_all_functions_take_datasets(source: str) -> None:
    make = SOURCES[source]
    scaled = lsuv(dense(), make(), verbose=0).layers[0]
    assert scaled.std_after == pytest.approx(1, 0.05)
    assert audit(dense(), make()).findings == ()
    assert check_self_normalizing(dense(), make()).findings


def test_strings_are_taken_where_the_backend_takes_them() -> None:
    import tensorflow as tf

    text = layers.TextVectorization(9, output_sequence_length=3)
    text.adapt(["a b c", "d e"])
    stack = [layers.Embedding(9, 4), layers.GlobalAveragePooling1D(), layers.Dense(1)]
    model = model_of(keras.Input((), dtype="string"), text, *stack)
    data = tf.data.Dataset.from_tensor_slices((["a b", "c", "d e"], Y[:3])).batch(2)
    if keras.backend.backend() == "tensorflow":
        assert np.isfinite(signal_propagation(model, data).loss)
        assert lsuv(model, data, verbose=0).layers
        assert audit(model, data).findings == ()
        return
    with pytest.raises(ValueError, match="^audit: `x` must be what the model takes"):
        audit(model, data)


def of_dicts() -> keras.Model:
    inputs = {
        "age": keras.Input((1,), name="age"),
        "job": keras.Input((1,), name="job", dtype="int32"),
    }
    embedded = layers.Flatten()(layers.Embedding(5, 3)(inputs["job"]))
    joined = layers.Concatenate()([inputs["age"], embedded])
    return keras.Model(inputs, layers.Dense(1)(joined))


def test_dicts_of_columns_are_taken_and_integer_categories_are_no_finding() -> None:
    columns = {"age": X[:, 0], "job": np.arange(12) % 5}
    assert kinds_of(of_dicts(), columns) == []


@pytest.mark.one_backend
def test_pixels_that_nobody_scales_are_a_finding() -> None:
    model = model_of(layers.Conv2D(2, 3, activation="relu"), layers.Flatten())
    assert kinds_of(model, PIXELS) == ["unscaled pixels"]
    assert kinds_of(model, PIXELS.astype("float32")) == ["unscaled pixels"]
    assert kinds_of(model, PIXELS / 255.0) == []


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "first",
    [
        lambda: layers.Rescaling(1 / 255),
        layers.Normalization,
        layers.BatchNormalization,
    ],
    ids=["rescaling", "normalization", "batch normalization"],
)
def test_pixels_that_the_model_scales_are_none(first: Callable) -> None:
    scaling = first()
    if isinstance(scaling, layers.Normalization):
        scaling.adapt(PIXELS.astype("float32"))
    model = model_of(scaling, layers.Conv2D(2, 3), layers.Flatten(), layers.Dense(1))
    if isinstance(scaling, layers.BatchNormalization):
        model(PIXELS[:2].astype("float32"))
        model.layers[0].moving_mean.assign([127.0] * 3)
        model.layers[0].moving_variance.assign([73.0**2] * 3)
    assert kinds_of(model, PIXELS) == []
    assert "unscaled pixels" not in audit(model, PIXELS).kinds


class Scaling(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.convolution = layers.Conv2D(2, 3)

    def call(self, inputs: object) -> object:
        return self.convolution(keras.ops.cast(inputs, "float32") / 255.0)


def test_what_a_call_of_the_users_does_to_pixels_is_seen() -> None:
    assert kinds_of(Scaling(), PIXELS) == []


@pytest.mark.one_backend
def test_nan_is_a_finding_with_a_count_and_not_refused() -> None:
    broken = X.copy()
    broken[3, 1] = np.nan
    found = signal_propagation(dense(), broken)
    assert found.findings[0].kind == "non-finite inputs"
    assert "1 of 48 numbers are not finite (1 NaN), in 1 of 12 samples" in str(found)
    assert audit(dense(), broken).kinds == ("non-finite inputs",)


@pytest.mark.one_backend
def test_nan_in_targets_is_a_finding_of_its_own() -> None:
    found = signal_propagation(dense(), X, np.full((12, 1), np.nan), "mse")
    assert found.findings[0].kind == "non-finite targets"


@pytest.mark.one_backend
def test_an_input_that_never_changes_is_a_finding_by_name() -> None:
    columns = {"age": np.ones(12, "float32"), "job": np.arange(12) % 5}
    found = signal_propagation(of_dicts(), columns).input_findings
    assert [(each.kind, each.where) for each in found] == [
        ("constant inputs", "inputs['age']")
    ]


@pytest.mark.one_backend
def test_features_of_very_different_scale_are_a_finding() -> None:
    assert kinds_of(dense(), X * [1, 1, 1, 1e4]) == ["uneven inputs"]
    assert kinds_of(dense(), X * 1e4) == ["large inputs"]
    assert kinds_of(dense(), X * [1, 1, 1, 0]) == []


@pytest.mark.one_backend
def test_integers_that_a_dense_layer_takes_for_quantities_are_a_finding() -> None:
    tokens = RNG.integers(0, 5000, (12, 4))
    assert kinds_of(dense(), tokens) == ["integers as quantities"]
    model = model_of(layers.Embedding(5000, 3), layers.Flatten(), layers.Dense(1))
    assert kinds_of(model, tokens) == []


@pytest.mark.one_backend
def test_flags_and_one_hot_rows_are_no_finding() -> None:
    assert kinds_of(dense(), np.eye(4, dtype="int64")[np.arange(12) % 4]) == []


def test_a_missing_axis_of_channels_is_added_as_fit_adds_it() -> None:
    inputs = keras.Input((6, 6, 1))
    inner = keras.Sequential([keras.Input((6, 6, 1)), layers.Conv2D(2, 3)])
    model = keras.Model(inputs, layers.Dense(1)(layers.Flatten()(inner(inputs))))
    model.compile("sgd", "mse")
    found = signal_propagation(model, PIXELS[..., 0] / 255.0, Y)
    assert np.isfinite(found.loss)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "look", [signal_propagation, check_self_normalizing, audit, lsuv]
)
def test_a_wrong_shape_is_an_error_that_names_input_expected_and_received(
    look: Callable,
) -> None:
    columns = {"age": X, "job": np.arange(12) % 5}
    expected = r"'age', \(None, 1\). Received: shape=\(12, 4"
    with pytest.raises(ValueError, match=expected):
        look(of_dicts(), columns)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "look", [signal_propagation, check_self_normalizing, audit, lsuv]
)
def test_object_columns_are_refused_with_the_reason_that_keras_gives(
    look: Callable,
) -> None:
    with pytest.raises(TypeError, match=f"^{look.__name__}: `x` must be.* object"):
        look(dense(), np.array([[1.0, "a"], [2.0, "b"]], object))


# JAX computes in float32 unless it is told otherwise, and says so.
@pytest.mark.filterwarnings("ignore:Explicitly requested dtype float64")
@pytest.mark.parametrize("policy", ["float64", "bfloat16", "mixed_float16"])
def test_other_types_of_numbers_are_measured_within_their_rounding(policy: str) -> None:
    found, weights = [], None
    for each in ("float32", policy):
        keras.config.set_dtype_policy(each)
        model = dense()
        model.build((None, 4))
        weights = weights or model.get_weights()
        model.set_weights(weights)
        result = signal_propagation(model, X, Y)
        assert audit(model, X).findings == ()
        found.append([(layer.std, layer.gradient_std) for layer in result.layers])
    np.testing.assert_allclose(found[0], found[1], rtol=0.05)


@pytest.mark.one_backend
def test_keys_that_are_none_of_the_inputs_are_named() -> None:
    inputs = {name: keras.Input((3,), name=name) for name in ("a", "b")}
    outputs = keras.layers.Dense(1)(keras.layers.Add()(list(inputs.values())))
    model = keras.Model(inputs, outputs)
    x = np.ones((4, 3), "float32")
    with pytest.raises(ValueError, match="audit: `x` must have the keys.* 'a', 'b'"):
        audit(model, {"a": x, "c": x})


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("activation", "units", "loss", "labels", "found"),
    [
        ("softmax", 3, "sparse_categorical_crossentropy", [1, 2, 3], True),
        ("softmax", 3, "sparse_categorical_crossentropy", [0, 1, 2], False),
        ("softmax", 3, "sparse_categorical_crossentropy", [-1, 0, 1], True),
        ("sigmoid", 1, "binary_crossentropy", [-1, 1, 1], True),
        ("sigmoid", 1, "bce", [0, 1, 1], False),
        (None, 1, "mse", [-5, 1, 9], False),
        (
            "softmax",
            3,
            keras.losses.SparseCategoricalCrossentropy(ignore_class=-1),
            [-1, 0, 1],
            False,
        ),
    ],
)
def test_labels_that_a_loss_does_not_take_are_a_finding(
    activation: str, units: int, loss: object, labels: list[int], found: bool
) -> None:
    model = keras.Sequential([layers.Dense(units, activation)])
    model.compile("sgd", loss)

    def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        yield X, np.resize(labels, 12)

    finding = [f for f in audit(model, batches()).findings if "labels" in f.kind]
    assert [f.kind for f in finding] == ["labels out of range"] * found
