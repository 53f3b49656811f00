"""Targets that a loss would take for something else are told before training."""

from typing import Any

import keras
import keras_tuner
import numpy as np
import pytest

from keras_deeptools.transfer import fine_tune, probe_depth
from keras_deeptools.tuning import TransferHyperModel
from newer_keras import needs_keras
from transfer.pretrained import INPUTS, LABELS, pretrained

SPARSE = "sparse_categorical_crossentropy"


class Batches(keras.utils.PyDataset):
    """Four batches of the given labels."""

    def __init__(self, y: Any) -> None:
        super().__init__()
        self.y = y

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        rows = slice(8 * index, 8 * index + 8)
        return INPUTS[rows], self.y[rows]


def compiled(loss: Any = SPARSE) -> keras.Model:
    model = pretrained()
    model.compile("sgd", loss)
    return model


def given_batches(model: keras.Model, y: Any) -> None:
    fine_tune(model, Batches(y), epochs=1, verbose=0)


def given_rows(model: keras.Model, y: Any) -> None:
    fine_tune(model, INPUTS, y, epochs=1, verbose=0)


def given_validation_rows(model: keras.Model, y: Any) -> None:
    fine_tune(model, INPUTS, LABELS, validation_data=(INPUTS, y), epochs=1, verbose=0)


@pytest.mark.one_backend
@pytest.mark.parametrize("give", [given_rows, given_batches, given_validation_rows])
@pytest.mark.parametrize("make", [pretrained, compiled])
def test_labels_outside_of_the_classes_are_refused(make: Any, give: Any) -> None:
    model = make()
    before = [np.array(each) for each in model.get_weights()]
    with pytest.raises(ValueError, match="must be classes from 0 to 2, .* from 1 to 3"):
        give(model, LABELS + 1)
    assert model.compiled == (make is compiled)
    for this, that in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(this, that)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("y", "remedy"),
    [
        (LABELS + 1, "counted from 0: subtract 1"),
        (LABELS * 10, "number the classes: `np.unique"),
        (np.where(LABELS == 2, -1, LABELS), "more units"),
        (np.where(LABELS == 2, -1, LABELS)[:, None], r"ignore_class=-1\)"),
    ],
    ids=["from one", "gaps", "negative", "column"],
)
def test_the_remedy_fits_the_labels(y: np.ndarray, remedy: str) -> None:
    with pytest.raises(ValueError, match=remedy):
        given_rows(compiled(), y)


ONE_HOT = np.eye(3, dtype="float32")[LABELS]


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("loss", "y", "remedy"),
    [
        (SPARSE, ONE_HOT, r"'categorical_crossentropy'.*\.argmax\(-1\)"),
        ("categorical_crossentropy", LABELS, "'sparse_cat.*to_categorical"),
        ("categorical_crossentropy", LABELS[:, None], "'sparse_cat.*to_categorical"),
        ("bce", LABELS > 1, "end the model in softmax"),
        ("bce", 2 * ONE_HOT, "1 for yes and 0 for no"),
    ],
)
@pytest.mark.parametrize("give", [given_rows, given_batches])
def test_rows_of_another_kind_than_the_loss_takes_are_refused(
    give: Any, loss: str, y: Any, remedy: str
) -> None:
    with pytest.raises(ValueError, match=f"fine_tune: `y` must be .*{remedy}"):
        give(compiled(loss), np.asarray(y, "float32"))


def two_outputs() -> keras.Model:
    inputs = keras.Input((6,))
    x = keras.layers.Dense(4, "relu", name="block1_dense")(inputs)
    kind = keras.layers.Dense(3, "softmax", name="kind")(x)
    tags = keras.layers.Dense(2, "sigmoid", name="tags")(x)
    return keras.Model(inputs, {"tags": tags, "kind": kind})


@pytest.mark.one_backend
def test_labels_of_each_of_several_outputs_are_looked_at() -> None:
    model = two_outputs()
    model.compile("sgd", {"kind": SPARSE, "tags": "binary_crossentropy"})
    tags = np.zeros((32, 2))
    with pytest.raises(ValueError, match=r"`y\['kind'\]` must be classes from 0 to 2"):
        given_rows(model, {"kind": LABELS + 1, "tags": tags})
    with pytest.raises(ValueError, match=r"`y\['tags'\]` must be in \[0, 1\]"):
        given_rows(model, {"kind": LABELS, "tags": tags - 1})
    given_rows(model, {"kind": LABELS, "tags": tags})


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "y",
    [LABELS.tolist(), np.array(["a", "b", "c"])[LABELS], ONE_HOT],
    ids=["list", "names", "one-hot"],
)
def test_validation_labels_of_other_kinds_are_refused(y: Any) -> None:
    match = r"fine_tune: `validation_data.*` must be"
    with pytest.raises((TypeError, ValueError), match=match):
        given_validation_rows(pretrained(), y)


@pytest.mark.one_backend
@pytest.mark.parametrize("odd", [0.5, np.nan])
def test_a_number_that_is_no_class_is_named(odd: float) -> None:
    y = np.where(LABELS == 0, odd, LABELS)
    with pytest.raises(ValueError, match=f"`y` holds {odd:g}, which is no class"):
        given_rows(pretrained(), y)


@needs_keras("3.15", "a loss that ignores a class, on torch,", backend="torch")
@needs_keras("3.15", "an ignored class beside probabilities, on JAX,", backend="jax")
def test_an_ignored_class_is_no_label_outside_of_the_classes() -> None:
    loss = keras.losses.SparseCategoricalCrossentropy(ignore_class=-1)
    y = np.where(LABELS == 2, -1, LABELS)
    result = fine_tune(pretrained(), INPUTS, y, loss=loss, epochs=1, verbose=0)
    assert np.isfinite(result.history["loss"]).all()


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("y", "remedy"),
    [
        (np.where(LABELS == 2, 1, -1), r"`\(y \+ 1\) / 2`"),
        (LABELS, "1 for yes and 0 for no"),
    ],
)
def test_yes_and_no_are_one_and_zero(y: np.ndarray, remedy: str) -> None:
    body = keras.layers.Dense(4, "relu")
    head = keras.layers.Dense(1, "sigmoid")
    model = keras.Sequential([keras.Input((6,)), body, head])
    with pytest.raises(ValueError, match=remedy):
        given_rows(model, y)
    given_rows(model, y > 0)


NAMES = np.array(["cat", "dog", "owl"])[LABELS]


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "y",
    [NAMES, NAMES.astype(object), NAMES.tolist(), tuple(NAMES), NAMES.astype("S")],
    ids=["strings", "objects", "list", "tuple", "bytes"],
)
def test_names_of_classes_are_refused_with_how_to_number_them(y: Any) -> None:
    with pytest.raises(TypeError, match="fine_tune: `y` must be.*`np.unique"):
        given_rows(pretrained(), y)


@pytest.mark.one_backend
def test_names_of_classes_in_batches_are_refused() -> None:
    with pytest.raises(TypeError, match="fine_tune: `y` must be numbers.*`np.unique"):
        given_batches(pretrained(), NAMES)


@pytest.mark.one_backend
@pytest.mark.parametrize("argument", ["x", "y"])
def test_a_list_of_numbers_is_refused_with_how_to_give_it(argument: str) -> None:
    data = {"x": INPUTS, "y": LABELS}
    data[argument] = data[argument].tolist()
    with pytest.raises(TypeError, match=rf"`{argument}` must.*np.array\({argument}\)"):
        fine_tune(pretrained(), **data, epochs=1)


@pytest.mark.alternates("y")
@pytest.mark.parametrize("y", [LABELS > 0, LABELS.astype("float32")])
def test_yes_and_no_and_whole_numbers_are_classes(y: np.ndarray) -> None:
    results = [
        fine_tune(pretrained(), INPUTS, each, epochs=1, seed=0, verbose=0)
        for each in (y, y.astype("int64"))
    ]
    assert results[0].history == results[1].history


@pytest.mark.one_backend
def test_a_trial_refuses_labels_outside_of_its_classes() -> None:
    trunk = keras.Sequential([keras.Input((6,)), keras.layers.Dense(2)])
    hypermodel = TransferHyperModel(
        2, max_epochs=1, backbones=trunk, heads="average", depths=(0,)
    )
    hp = keras_tuner.HyperParameters()
    model = hypermodel.build(hp)
    with pytest.raises(ValueError, match="TransferHyperModel: `y` must be classes"):
        hypermodel.fit(hp, model, INPUTS, LABELS)
    with pytest.raises(TypeError, match="TransferHyperModel: `y` must be"):
        hypermodel.fit(hp, model, INPUTS, NAMES)


def test_a_trial_of_logits_is_trained_on_logits() -> None:
    trunk = keras.Sequential([keras.Input((6,)), keras.layers.Dense(2)])
    hypermodel = TransferHyperModel(
        3, max_epochs=1, backbones=trunk, heads="average", activation=None, depths=(0,)
    )
    model = hypermodel.build(keras_tuner.HyperParameters())
    logits = model.predict(INPUTS, verbose=0)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = -np.log(shares[np.arange(32), LABELS]).mean()
    assert model.evaluate(INPUTS, LABELS, verbose=0)[0] == pytest.approx(
        expected, rel=1e-4
    )


@pytest.mark.one_backend
def test_probes_take_names_and_lists_for_classes() -> None:
    model = pretrained()
    expected = probe_depth(model, INPUTS, LABELS, num_folds=2).fold_accuracy
    for y in (NAMES, NAMES.tolist(), LABELS.tolist()):
        found = probe_depth(model, INPUTS, y, num_folds=2).fold_accuracy
        np.testing.assert_array_equal(found, expected)
