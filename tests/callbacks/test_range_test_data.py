"""The range test on odd data: what `fit` takes, and errors that name the remedy."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch

from keras_deeptools.callbacks import LearningRateFinder, RangeTest, find_learning_rate
from newer_keras import needs_keras

BACKEND = keras.backend.backend()
X = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
CLASSES = np.arange(32) % 3
ONE_HOT = np.eye(3, dtype="float32")[CLASSES]
OPTIONS: dict[str, Any] = {"num_steps": 10, "verbose": 0, "batch_size": 8}


def classifier(loss: Any = "sparse_categorical_crossentropy") -> keras.Model:
    layers = [
        keras.Input((4,)),
        keras.layers.Dense(3, "softmax", kernel_initializer="zeros"),
    ]
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.SGD(0.01), loss=loss)
    return model


def regression() -> keras.Model:
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(1, kernel_initializer="zeros")]
    )
    model.compile(keras.optimizers.SGD(0.01), loss="mse")
    return model


# --- Class weights -------------------------------------------------------------------


class Pieces(keras.utils.PyDataset):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        rows = slice(8 * index, 8 * index + 8)
        return X[rows], CLASSES[rows]


WEIGHTED: dict[str, Callable[[], tuple[Any, ...]]] = {
    "arrays": lambda: (X, CLASSES),
    "one-hot arrays": lambda: (X, ONE_HOT),
    "Dataset": lambda: (tf.data.Dataset.from_tensor_slices((X, CLASSES)).batch(8),),
    "PyDataset": lambda: (Pieces(),),
}


@pytest.mark.alternates("source")
@pytest.mark.parametrize("source", WEIGHTED)
def test_class_weights_count_as_in_fit(source: str) -> None:
    weights = {0: 1.0, 1: 0.5, 2: 4.0}
    loss = "sparse_categorical_crossentropy"
    if source == "one-hot arrays":
        loss = "categorical_crossentropy"
    data = WEIGHTED[source]()
    options = OPTIONS | {"shuffle": False, "max_learning_rate": 1e-6}
    found = find_learning_rate(classifier(loss), *data, class_weight=weights, **options)
    each = np.array([weights[c] for c in CLASSES[:8]]) * np.log(3.0)
    assert found.losses[0] == pytest.approx(each.mean(), rel=1e-5)
    model = classifier(loss)
    finder = LearningRateFinder(*data, apply=False, class_weight=weights, **options)
    size = {"batch_size": 8} if len(data) == 2 else {}
    model.fit(
        *data,
        class_weight=weights,
        shuffle=False,
        verbose=0,
        callbacks=[finder],
        **size,
    )
    np.testing.assert_allclose(finder.result.losses, found.losses, rtol=1e-5)


def generated() -> Iterator[Any]:
    yield X, CLASSES


def loader() -> Any:
    data = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(CLASSES))
    return torch.utils.data.DataLoader(data, batch_size=8)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "data, options, message",
    [
        (
            lambda: (X, CLASSES),
            {"class_weight": [1.0, 2.0]},
            "must be a dict from class",
        ),
        (lambda: (X,), {"class_weight": {0: 1.0}}, "`y` must be one array of classes"),
        (
            lambda: (X, {"a": CLASSES}),
            {"class_weight": {0: 1.0}},
            "`y` must be one array of classes",
        ),
        (
            lambda: (X, CLASSES),
            {"class_weight": {0: 1.0}, "sample_weight": np.ones(32)},
            "must not be given together",
        ),
        (
            lambda: (generated(),),
            {"class_weight": {0: 1.0}},
            "`class_weight` must be None where `x` is a generator",
        ),
        (
            lambda: (loader(),),
            {"class_weight": {0: 1.0}},
            "`class_weight` must be None where `x` is a torch DataLoader",
        ),
    ],
    ids=["list", "without y", "several", "with sample weights", "generator", "loader"],
)
def test_class_weights_that_fit_would_refuse_are_refused(
    data: Callable[[], tuple[Any, ...]], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(
        (ValueError, TypeError), match=f"find_learning_rate: .*{message}"
    ):
        find_learning_rate(classifier(), *data(), **OPTIONS, **options)


# --- Errors that name the remedy -----------------------------------------------------

WORDS = np.array(["cat", "dog", "owl", "fox"] * 8)

REFUSED: dict[str, tuple[Callable[[], Any], Any, Any, str]] = {
    "a list": (
        regression,
        X.tolist(),
        X[:, 0],
        r"`x` must be arrays, .*`np.array\(x\)`",
    ),
    "a list of targets": (
        regression,
        X,
        X[:, 0].tolist(),
        r"`y` must be arrays; .*`np.array\(y\)`",
    ),
    "a list of words": (classifier, X, WORDS.tolist(), "no Python strings"),
    "words": (classifier, X, WORDS, r"`y` must be numbers.*'cat'.*return_inverse"),
    "words as objects": (classifier, X, WORDS.astype(object), "`y` must be numbers"),
    "objects": (classifier, X.astype(object), CLASSES, "`x` must be numbers.*astype"),
    "no targets": (classifier, X, None, "`y` must be given"),
    "one-hot in a sparse loss": (
        classifier,
        X,
        ONE_HOT,
        r"`y` must be integer classes .*categorical_crossentropy.*np.argmax\(y",
    ),
    "classes in a loss of one-hot": (
        lambda: classifier(keras.losses.CategoricalCrossentropy()),
        X,
        CLASSES,
        r"`y` must be one-hot .*sparse_categorical.*to_categorical\(y, 3\)",
    ),
    "a column of classes": (
        lambda: classifier("categorical_crossentropy"),
        X,
        CLASSES[:, None],
        r"`y` must be one-hot",
    ),
    "classes from 1": (
        classifier,
        X,
        CLASSES + 1,
        r"`y` must hold classes in \[0, 3\).*from 1 to 3",
    ),
    "other targets": (
        lambda: classifier("mse"),
        X,
        ONE_HOT[:, :2],
        r"`y` must have the shape of the model's outputs.*\(\w+, 2\)",
    ),
    "other inputs": (
        classifier,
        X[:, :3],
        CLASSES,
        r"`x` must have the shape of the model's input, \(None, 4\)",
    ),
    "more inputs": (classifier, [X, X], CLASSES, "`x` must hold an array for each of"),
    "other lengths": (classifier, X, CLASSES[:-1], r"x has \[32\], y has \[31\]"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_data_that_do_not_fit_are_named_with_the_remedy(case: str) -> None:
    make, x, y, message = REFUSED[case]
    model = make()
    before = model.get_weights()
    with pytest.raises(
        ValueError, match=f"find_learning_rate: {message}|: .*{message}"
    ):
        find_learning_rate(model, x, y, **OPTIONS)
    assert not model.optimizer.built
    for weight, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, old)


def test_datasets_are_explained_as_arrays_are() -> None:
    data = tf.data.Dataset.from_tensor_slices((X, ONE_HOT)).batch(8)
    with pytest.raises(ValueError, match="`y` must be integer classes"):
        find_learning_rate(classifier(), data, num_steps=10, verbose=0)


@pytest.mark.one_backend
def test_generators_must_yield_tuples() -> None:
    pairs = ([X, CLASSES] for _ in range(3))
    with pytest.raises(ValueError, match="must yield tuples .*Received: a list of 2"):
        find_learning_rate(classifier(), pairs, num_steps=10, verbose=0)


@pytest.mark.one_backend
def test_the_users_own_errors_pass() -> None:
    def broken() -> Iterator[Any]:
        yield X, CLASSES
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="^no more$"):
        find_learning_rate(classifier(), broken(), num_steps=10, verbose=0)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "name, remedy",
    [
        ("epochs", "`num_steps` updates"),
        ("validation_split", "pass these"),
        ("validation_data", "training loss alone"),
        ("callbacks", "`attach` them"),
        ("learning_rate", "no such argument"),
    ],
)
def test_arguments_of_fit_are_refused_with_what_to_do(name: str, remedy: str) -> None:
    message = f"find_learning_rate: `{name}` .*{remedy}"
    with pytest.raises(TypeError, match=message):
        find_learning_rate(classifier(), X, CLASSES, **{name: 3}, **OPTIONS)
    if name != "learning_rate":
        with pytest.raises(TypeError, match=f"LearningRateFinder: `{name}` .*{remedy}"):
            LearningRateFinder(X, CLASSES, **{name: 3}, **OPTIONS)


# --- Data that are not finite --------------------------------------------------------

BAD = X.copy()
BAD[9:12, 1] = np.nan
BAD[10, 0] = -np.inf


def nan_notes(*data: Any, **options: Any) -> RangeTest:
    return find_learning_rate(regression(), *data, **(OPTIONS | options))


@pytest.mark.one_backend
@pytest.mark.parametrize("stop_factor", [4.0, None])
def test_nan_in_the_inputs_is_said_before_anything_else(stop_factor: Any) -> None:
    found = nan_notes(BAD, X[:, 0], stop_factor=stop_factor)
    assert "`x` holds 3 NaN and 1 infinite numbers, in 3 of the 32" in found.notes[0]
    assert "widen" not in " ".join(found.notes)
    with pytest.raises(ValueError, match="`x` holds 3 NaN"):
        float(found)


@pytest.mark.one_backend
def test_nan_in_targets_weights_and_one_of_several_inputs_is_named() -> None:
    found = nan_notes(X, BAD[:, 1])
    assert "`y` holds 3 NaN, in 3 of the 32 samples of the data" in found.notes[0]
    weights = np.where(np.arange(32) == 7, np.nan, 1.0)
    found = nan_notes(X, X[:, 0], sample_weight=weights)
    assert "`sample_weight` holds 1 NaN" in found.notes[0]
    inputs = {"a": keras.Input((4,), name="a"), "b": keras.Input((4,), name="b")}
    joined = keras.layers.add(list(inputs.values()))
    model = keras.Model(inputs, keras.layers.Dense(1)(joined))
    model.compile("sgd", loss="mse")
    found = find_learning_rate(model, {"a": X, "b": BAD}, X[:, 0], **OPTIONS)
    assert "`x['b']` holds 3 NaN" in found.notes[0]


@pytest.mark.one_backend
def test_nan_in_a_dataset_is_counted_in_its_batch() -> None:
    data = tf.data.Dataset.from_tensor_slices((BAD, X[:, 0])).batch(8)
    found = nan_notes(data)
    assert "in 3 of the 8 samples of the batch" in found.notes[0]


@pytest.mark.one_backend
def test_the_callback_warns_of_nan_in_the_data() -> None:
    finder = LearningRateFinder(BAD, X[:, 0], **OPTIONS)
    with pytest.warns(UserWarning, match="no learning rate was found.*`x` holds 3 NaN"):
        regression().fit(X, X[:, 0], verbose=0, callbacks=[finder])


@pytest.mark.one_backend
def test_a_model_that_makes_nan_of_finite_data_is_blamed_itself() -> None:
    root = keras.layers.Lambda(lambda x: keras.ops.sqrt(x - 1e6))
    model = keras.Sequential([keras.Input((4,)), root, keras.layers.Dense(1)])
    model.compile("sgd", loss="mse")
    found = find_learning_rate(model, X, X[:, 0], **OPTIONS)
    assert "not finite, before any update: look for log(0)" in found.notes[0]


@needs_keras("3.15", "a loss that ignores a class, on torch,", backend="torch")
def test_labels_that_are_ignored_are_no_fault() -> None:
    loss = keras.losses.SparseCategoricalCrossentropy(ignore_class=255)
    labels = np.where(CLASSES == 2, 255, CLASSES)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = find_learning_rate(classifier(loss), X, labels, **OPTIONS)
    assert np.isfinite(found.losses).all()


@pytest.mark.one_backend
def test_a_model_without_a_loss_is_named() -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd")
    with pytest.raises(ValueError, match="find_learning_rate: the model must be compi"):
        find_learning_rate(model, np.ones((8, 4)), np.ones((8, 1)))
