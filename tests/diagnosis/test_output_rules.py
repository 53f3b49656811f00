"""What an output ends with and what its loss asks for are compared, in any model."""

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from keras_deeptools.diagnosis import audit

layers, losses = keras.layers, keras.losses
X = np.random.default_rng(0).normal(size=(4, 6)).astype("float32")


class Subclassed(keras.Model):
    """A model without a graph, called on data once."""

    def __init__(self, *parts: Any) -> None:
        super().__init__()
        self.hidden = layers.Dense(5, "relu")
        self.parts = list(parts)

    def call(self, inputs: Any, training: bool = False) -> Any:
        x = self.hidden(inputs)
        for part in self.parts:
            x = part(x)
        return x


class Head(layers.Layer):
    """A layer of the user's around others."""

    def __init__(self, inner: keras.Layer) -> None:
        super().__init__()
        self.inner = inner

    def build(self, shape: Any) -> None:
        self.inner.build(shape)

    def call(self, inputs: Any) -> Any:
        return self.inner(inputs)


def functional(*parts: Any) -> keras.Model:
    inputs = keras.Input((6,))
    x = layers.Dense(5, "relu")(inputs)
    for part in parts:
        x = part(x)
    return keras.Model(inputs, x)


def sequential(*parts: Any) -> keras.Model:
    return keras.Sequential([keras.Input((6,)), layers.Dense(5, "relu"), *parts])


def unbuilt(*parts: Any) -> keras.Model:
    return keras.Sequential([layers.Dense(5, "relu"), *parts])


def nested(*parts: Any) -> keras.Model:
    return keras.Sequential([keras.Input((6,)), functional(*parts)])


def subclassed(*parts: Any) -> keras.Model:
    model = Subclassed(*parts)
    model(X)
    return model


def around_functional(*parts: Any) -> keras.Model:
    model = Subclassed(functional_part(*parts))
    model(X)
    return model


def functional_part(*parts: Any) -> keras.Model:
    inputs = keras.Input((5,))
    x = inputs
    for part in parts:
        x = part(x)
    return keras.Model(inputs, x)


def with_head(*parts: Any) -> keras.Model:
    return functional(*parts[:-1], Head(parts[-1]))


WAYS = {
    "functional": functional,
    "Sequential": sequential,
    "not built": unbuilt,
    "nested": nested,
    "subclassed": subclassed,
    "functional in subclassed": around_functional,
    "a layer of one's own": with_head,
}
SPARSE = "sparse_categorical_crossentropy"
CASES: dict[str, tuple[str | None, Callable[[], list[Any]], Any]] = {
    "logits": ("logits with from_logits=False", lambda: [layers.Dense(3)], SPARSE),
    "logits, told": (
        None,
        lambda: [layers.Dense(3)],
        losses.SparseCategoricalCrossentropy(from_logits=True),
    ),
    "softmax": (None, lambda: [layers.Dense(3, "softmax")], SPARSE),
    "softmax layer": (None, lambda: [layers.Dense(3), layers.Softmax()], SPARSE),
    "softmax twice": (
        "softmax with from_logits=True",
        lambda: [layers.Dense(3), layers.Activation("softmax")],
        losses.CategoricalCrossentropy(from_logits=True),
    ),
    "sigmoid twice": (
        "sigmoid with from_logits=True",
        lambda: [layers.Dense(1, "sigmoid")],
        functools.partial(losses.binary_crossentropy, from_logits=True),
    ),
    "one softmax": (
        "softmax over one unit",
        lambda: [layers.Dense(1, "softmax")],
        "binary_crossentropy",
    ),
    "one logit of a class": (
        "categorical crossentropy over one unit",
        lambda: [layers.Dense(1)],
        losses.SparseCategoricalCrossentropy(from_logits=True),
    ),
    "sigmoids of classes": (
        "sigmoid with categorical crossentropy",
        lambda: [layers.Dense(3, "sigmoid")],
        "categorical_crossentropy",
    ),
    "softmax of labels": (
        "softmax with binary crossentropy",
        lambda: [layers.Dense(4, "softmax")],
        losses.BinaryCrossentropy(),
    ),
    "softmax of two": (None, lambda: [layers.Dense(2, "softmax")], "bce"),
    "sigmoids of labels": (None, lambda: [layers.Dense(4, "sigmoid")], "bce"),
    "ReLU": ("ReLU before a regression loss", lambda: [layers.Dense(1, "relu")], "mse"),
    "ReLU layer": (
        "ReLU before a regression loss",
        lambda: [layers.Dense(1), layers.ReLU()],
        losses.Huber(),
    ),
    "leaky": (None, lambda: [layers.Dense(1), layers.LeakyReLU()], "mse"),
    "softplus": (None, lambda: [layers.Dense(1, "softplus")], "mae"),
    "linear": (None, lambda: [layers.Dense(1)], losses.MeanSquaredError),
    "tanh": ("logits with from_logits=False", lambda: [layers.Dense(1, "tanh")], "bce"),
    "rates": (
        "negative rates with a Poisson loss",
        lambda: [layers.Dense(1)],
        "poisson",
    ),
    "exponential": (None, lambda: [layers.Dense(1, "exponential")], "poisson"),
    "hinge": (
        "sigmoid with a hinge loss",
        lambda: [layers.Dense(1, "sigmoid")],
        losses.Hinge(),
    ),
    "tanh hinge": (None, lambda: [layers.Dense(1, "tanh")], "hinge"),
    "divergence": ("no probabilities", lambda: [layers.Dense(3)], "kl_divergence"),
    "softmax in single precision": (
        None,
        lambda: [layers.Dense(3, "softmax"), layers.Activation("linear")],
        SPARSE,
    ),
    "ReLU logits": (
        "relu with from_logits=True",
        lambda: [layers.Dense(3, "relu")],
        losses.SparseCategoricalCrossentropy(from_logits=True),
    ),
    "tanh logits": (
        "tanh with from_logits=True",
        lambda: [layers.Dense(1), layers.Activation("tanh")],
        losses.BinaryCrossentropy(from_logits=True),
    ),
    "normalized logits": (
        "logits with from_logits=False",
        lambda: [layers.Dense(3), layers.LayerNormalization()],
        SPARSE,
    ),
    "own loss": (None, lambda: [layers.Dense(3)], lambda y, p: p),
    "own activation": (None, lambda: [layers.Dense(3, lambda x: x)], SPARSE),
}


def kinds(model: keras.Model, loss: Any) -> tuple[str, ...]:
    model.compile("sgd", loss)
    return audit(model).kinds


@pytest.mark.alternates("case")
@pytest.mark.parametrize("case", CASES)
def test_the_end_of_a_model_is_compared_with_its_loss(case: str) -> None:
    expected, parts, loss = CASES[case]
    wanted = () if expected is None else (expected,)
    assert kinds(functional(*parts()), loss) == wanted


@pytest.mark.alternates("way", "case")
@pytest.mark.filterwarnings("ignore:You are using a softmax over axis")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "case", ["logits", "one softmax", "ReLU layer", "sigmoids of classes", "softmax"]
)
def test_it_is_found_however_the_model_is_written(way: str, case: str) -> None:
    expected, parts, loss = CASES[case]
    wanted = () if expected is None else (expected,)
    assert kinds(WAYS[way](*parts()), loss) == wanted


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda: layers.TimeDistributed(layers.Dense(3)),
        lambda: layers.TimeDistributed(functional(layers.Dense(3))),
        lambda: layers.SpectralNormalization(layers.Dense(3)),
        lambda: layers.Bidirectional(layers.GRU(3, return_sequences=True)),
        lambda: layers.Conv1D(3, 1),
        lambda: layers.EinsumDense("abc,cd->abd", (None, 3)),
    ],
)
def test_layers_inside_wrappers_are_looked_at(wrapped: Callable) -> None:
    inputs = keras.Input((4, 6))
    model = keras.Model(inputs, layers.Dropout(0.1)(wrapped()(inputs)))
    assert kinds(model, SPARSE) == ("logits with from_logits=False",)


def test_a_decoder_of_transposed_convolutions_ends_in_the_last_one() -> None:
    decode = functools.partial(layers.Conv2DTranspose, kernel_size=3, strides=2)
    model = keras.Sequential(
        [keras.Input((4, 4, 2)), decode(4, activation="relu"), decode(1)]
    )
    assert kinds(model, "bce") == ("logits with from_logits=False",)
    model = keras.Sequential(
        [keras.Input((4, 4, 2)), decode(4), decode(1, activation="sigmoid")]
    )
    assert kinds(model, "bce") == ()


def two_outputs(names: Any) -> keras.Model:
    inputs = keras.Input((6,))
    kind = layers.Dense(3, name="kind")(inputs)
    size = layers.Dense(1, "relu", name="size")(inputs)
    return keras.Model(inputs, names(kind, size))


LOGITS, RELU = "logits with from_logits=False", "ReLU before a regression loss"


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("names", "loss", "expected"),
    [
        (lambda a, b: [a, b], [SPARSE, "mse"], (LOGITS, RELU)),
        (lambda a, b: [a, b], {"kind": SPARSE, "size": "mse"}, (LOGITS, RELU)),
        (lambda a, b: [a, b], {"size": "mse"}, (RELU,)),
        (lambda a, b: {"z": a, "a": b}, {"z": SPARSE, "a": "mse"}, (RELU, LOGITS)),
        (lambda a, b: {"z": a, "a": b}, {"z": SPARSE, "a": None}, (LOGITS,)),
        (lambda a, b: [a, b], [None, "mse"], (RELU,)),
        (lambda a, b: [b, a], "mse", (RELU,)),
    ],
)
def test_each_output_meets_its_own_loss(names: Any, loss: Any, expected: Any) -> None:
    found = kinds(two_outputs(names), loss)
    assert sorted(found) == sorted(expected)


def test_a_dict_of_outputs_of_a_subclassed_model_meets_its_losses() -> None:
    class Two(keras.Model):
        def __init__(self):
            super().__init__()
            self.kind, self.size = layers.Dense(3), layers.Dense(1)

        def call(self, inputs):
            return {"size": self.size(inputs["a"]), "kind": self.kind(inputs["b"])}

    model = Two()
    model({"a": X, "b": X})
    assert kinds(model, {"kind": SPARSE, "size": "mse"}) == (LOGITS,)


def test_a_softmax_over_one_unit_on_the_way_is_found() -> None:
    inputs = keras.Input((4, 6))
    weights = layers.Dense(1, "softmax", name="attention")(inputs)
    pooled = keras.ops.sum(weights * inputs, axis=1)
    model = keras.Model(inputs, layers.Dense(1)(pooled))
    assert kinds(model, "mse") == ("softmax over one unit",)
    scores = layers.Softmax(axis=1)(layers.Dense(1)(inputs))
    pooled = keras.ops.sum(scores * inputs, axis=1)
    assert kinds(keras.Model(inputs, layers.Dense(1)(pooled)), "mse") == ()


def test_an_audit_leaves_no_trace_in_a_subclassed_model() -> None:
    model = subclassed(layers.Dropout(0.1), layers.Dense(3))
    model.compile("sgd", SPARSE)
    before = [value.copy() for value in model.get_weights()]
    seen = [len(layer._inbound_nodes) for layer in model._flatten_layers()]
    audit(model)
    assert [len(layer._inbound_nodes) for layer in model._flatten_layers()] == seen
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    model.fit(X, np.zeros(4), verbose=0)


def test_a_call_that_cannot_be_traced_says_nothing_of_the_outputs() -> None:
    class Strange(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(3)

        def call(self, inputs):
            return self.dense(keras.ops.convert_to_tensor(inputs))

    model = Strange()
    model(X)
    assert kinds(model, SPARSE) in [(), (LOGITS,)]
