"""Heads of several sigmoids: each output is a yes or no of its own."""

from typing import Any

import keras
import keras_tuner
import numpy as np
import pytest

from keras_deeptools.transfer import fine_tune, probe_depth
from keras_deeptools.tuning import TransferHyperModel
from newer_keras import needs_keras

X = np.random.default_rng(0).normal(size=(24, 4)).astype("float32")
LABELS = (X > 0.3).astype("int64")  # several of four at a time, or none


def right(activation: str | None = "sigmoid") -> keras.Model:
    """A model whose labels are all right from the beginning."""
    body = keras.layers.Dense(4, kernel_initializer="identity", name="body")
    head = keras.layers.Dense(
        4,
        activation,
        kernel_initializer=keras.initializers.Identity(50.0),
        bias_initializer=keras.initializers.Constant(-15.0),
        name="head",
    )
    return keras.Sequential([keras.Input((4,)), body, head])


STILL: dict[str, Any] = {
    "epochs": 1,
    "frozen_epochs": 0,
    "learning_rate": 1e-9,
    "verbose": 0,
}


NAMED = pytest.param(
    {"head": "accuracy"},
    marks=needs_keras("3.15", "a Sequential with metrics by the name of an output"),
)


@pytest.mark.one_backend
@pytest.mark.parametrize("metrics", [None, ["accuracy"], NAMED])
def test_accuracy_of_fine_tuning_is_the_share_of_right_labels(
    metrics: list | dict | None,
) -> None:
    held = (X, LABELS)
    result = fine_tune(
        right(), X, LABELS, validation_data=held, metrics=metrics, **STILL
    )
    assert result.history["accuracy"] == [1.0]
    assert result.history["val_accuracy"] == [1.0]


@pytest.mark.alternates("num_labels")
@pytest.mark.parametrize("num_labels", [1, 4])
def test_accuracy_of_logits_has_its_threshold_at_zero(num_labels: int) -> None:
    body = keras.layers.Dense(4, kernel_initializer="identity")
    # Logits between 0 and 0.5 for right labels, of which Keras takes none for a yes.
    head = keras.layers.Dense(4, kernel_initializer=keras.initializers.Identity(0.01))
    rows, y = np.abs(X) * (2 * LABELS - 1), LABELS
    model = keras.Sequential([keras.Input((4,)), body, head])
    if num_labels == 1:
        first = keras.layers.Dense(1, kernel_initializer="ones")
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1), first])
        model.layers[0].kernel.assign([[0.01]])
        rows, y = rows[:, :1], y[:, :1]
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    result = fine_tune(model, rows, y, loss=loss, metrics=["accuracy"], **STILL)
    assert result.history["accuracy"] == [1.0]


@pytest.mark.one_backend
def test_a_search_looks_at_the_share_of_right_labels() -> None:
    body = keras.layers.Dense(4, kernel_initializer="identity", name="body")
    hypermodel = TransferHyperModel(
        4,
        max_epochs=1,
        backbones=keras.Sequential([keras.Input((4,)), body], name="trunk"),
        heads="average",
        dropout_rate=0.0,
        activation="sigmoid",
        depths=(0,),
        learning_rate=1e-9,
    )
    hp = keras_tuner.HyperParameters()
    model = hypermodel.build(hp)
    head = model.get_layer("head_outputs")
    head.set_weights([50 * np.eye(4), np.full(4, -15.0)])
    assert model.loss == "binary_crossentropy"
    history = hypermodel.fit(hp, model, X, LABELS, validation_data=(X, LABELS))
    assert history.history["val_accuracy"] == [1.0]


@pytest.mark.one_backend
@pytest.mark.parametrize("kind", ["fine_tune", "TransferHyperModel"])
def test_class_weight_is_refused_where_rows_have_several_labels(kind: str) -> None:
    with pytest.raises(ValueError, match=f"{kind}: `class_weight` .*Give `sample_w"):
        if kind == "fine_tune":
            fine_tune(right(), X, LABELS, epochs=1, class_weight={0: 2.0})
        else:
            trunk = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
            hypermodel = TransferHyperModel(
                4, max_epochs=1, backbones=trunk, heads="average", activation="sigmoid"
            )
            hp = keras_tuner.HyperParameters()
            hypermodel.fit(hp, hypermodel.build(hp), X, LABELS, class_weight={0: 2.0})


@pytest.mark.one_backend
def test_class_weight_goes_with_one_hot_rows_of_classes_that_exclude_one_another() -> (
    None
):
    model = right("softmax")
    one_hot = np.eye(4)[np.arange(24) % 4]
    weighted = fine_tune(model, X, one_hot, class_weight={0: 0.0}, **STILL)
    model = right("softmax")
    rows = np.where(np.arange(24) % 4 == 0, 0.0, 1.0)
    by_hand = fine_tune(model, X, one_hot, sample_weight=rows, **STILL)
    assert weighted.history["loss"][0] == pytest.approx(by_hand.history["loss"][0])


@pytest.mark.one_backend
def test_several_labels_are_not_taken_for_one_class_by_a_softmax() -> None:
    model = right("softmax")
    with pytest.raises(ValueError, match="`y` must be one-hot .* activation='sigmoid'"):
        fine_tune(model, X, LABELS, epochs=1)
    assert not model.compiled


@pytest.mark.one_backend
def test_probes_do_not_take_rows_of_several_labels_for_one_class() -> None:
    with pytest.raises(ValueError, match=r"one class for each sample.*`y\[:, 0\]`"):
        probe_depth(right(), X, LABELS)
    by_label = probe_depth(right(), X, LABELS[:, 0], num_folds=2)
    one_hot = probe_depth(right(), X, np.eye(2)[LABELS[:, 0]], num_folds=2)
    np.testing.assert_array_equal(by_label.fold_accuracy, one_hot.fold_accuracy)
