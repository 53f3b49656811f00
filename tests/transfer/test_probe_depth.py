"""Linear probes against scikit-learn, and models whose right depth is known."""

import keras
import numpy as np
import pytest
from sklearn.linear_model import RidgeCV

from keras_deeptools.engine._frozen_features.computation import PooledOutputs
from keras_deeptools.transfer import DepthProbe, probe_depth
from keras_deeptools.transfer._layer_groups.linear_probe import (
    PENALTIES,
    probe_accuracy,
    ridge_classifier,
    stratified_folds,
)

GENERATOR = np.random.default_rng(0)


@pytest.mark.one_backend
@pytest.mark.parametrize("shape", [(60, 5), (30, 80)], ids=["tall", "wide"])
def test_a_probe_is_ridge_regression_with_the_penalty_that_leave_one_out_chooses(
    shape: tuple[int, int],
) -> None:
    x = GENERATOR.normal(2, 3, shape)
    labels = (x[:, 0] + GENERATOR.normal(size=shape[0]) > 2).astype(int)
    standard = (x - x.mean(axis=0)) / x.std(axis=0)
    reference = RidgeCV(PENALTIES * shape[0]).fit(standard, np.eye(2)[labels])
    weights, bias = ridge_classifier(x, labels)
    np.testing.assert_allclose(
        x @ weights + bias, reference.predict(standard), atol=1e-6
    )


def test_a_feature_that_does_not_vary_counts_for_nothing() -> None:
    x = np.stack([np.full(40, 1e6), np.linspace(-1, 1, 40)], axis=1)
    weights, _ = ridge_classifier(x, np.arange(40) // 20)
    assert np.all(weights[0] == 0) and np.all(weights[1] != 0)


def test_accuracy_on_labels_of_noise_is_that_of_guessing() -> None:
    x, labels = GENERATOR.normal(size=(300, 20)), np.arange(300) % 3
    folds = stratified_folds(labels, 5, np.random.default_rng(1))
    assert abs(np.mean(probe_accuracy(x, labels, folds)) - 1 / 3) < 0.1


def test_folds_have_equal_shares_of_every_class() -> None:
    labels = np.repeat([0, 1, 2], [20, 10, 5])
    folds = stratified_folds(labels, 5, np.random.default_rng(0))
    counts = [np.bincount(labels[folds == fold]).tolist() for fold in range(5)]
    assert counts == [[4, 2, 1]] * 5


# --- Models whose right depth is known -----------------------------------------------


def dense(units: int, weights: np.ndarray, name: str, activation: str | None = None):
    layer = keras.layers.Dense(units, activation, use_bias=False, name=name)
    layer.build((None, len(weights)))
    layer.set_weights([weights])
    return layer


def quadrants(lose: bool) -> keras.Model:
    """The product of two inputs turns linear after `expand`; `last` may lose it."""
    expand = np.array([[1, 1, -1, -1], [1, -1, 1, -1]], "float32")
    last = np.eye(4, dtype="float32")
    if lose:
        last = np.ones((4, 4), "float32")
    return keras.Sequential(
        [
            keras.Input((2,)),
            dense(2, np.eye(2, dtype="float32"), "copy"),
            dense(4, expand, "expand", "relu"),
            dense(4, last, "last"),
            keras.layers.Dense(2, name="head"),
        ]
    )


POINTS = GENERATOR.normal(size=(200, 2)).astype("float32")
SIDES = (POINTS[:, 0] * POINTS[:, 1] > 0).astype(int)


@pytest.mark.one_backend
def test_where_accuracy_falls_is_where_to_retrain_from() -> None:
    probe = probe_depth(quadrants(lose=True), POINTS, SIDES)
    assert probe.groups == ("copy", "expand", "last") and probe.rest == ("head",)
    assert probe.groups[probe.best] == "expand"
    assert probe.groups[probe.first_to_retrain] == "last"
    assert probe.accuracy[1] > 0.9 and probe.accuracy[0] < 0.7


@pytest.mark.one_backend
def test_where_the_last_group_reads_as_well_the_head_alone_is_to_be_trained() -> None:
    probe = probe_depth(quadrants(lose=False), POINTS, SIDES)
    assert probe.first_to_retrain == 3
    assert "Train the head alone" in str(probe)


def test_a_difference_within_one_standard_error_is_none() -> None:
    best = np.array([0.8, 0.9, 0.8, 0.9])
    near, far = best - [0.04, -0.01, 0.0, 0.0], best - [0.04, 0.03, 0.04, 0.05]
    accuracy = np.stack([best, near, far])
    assert DepthProbe(("a", "b", "c"), (), accuracy, 40, 2).first_to_retrain == 2


@pytest.fixture(scope="module")
def images() -> tuple[np.ndarray, np.ndarray]:
    labels = np.arange(48) % 3
    x = GENERATOR.normal(size=(48, 8, 8, 3)).astype("float32")
    x += 3 * np.eye(3)[labels][:, None, None, :]
    return x, labels


def convolutional(nested: bool = False) -> keras.Model:
    keras.utils.set_random_seed(0)
    body = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Conv2D(4, 3, 2, padding="same", name="block1_conv"),
            keras.layers.BatchNormalization(name="block1_norm"),
            keras.layers.ReLU(name="block1_relu"),
            keras.layers.Conv2D(4, 3, 2, padding="same", name="block2_conv"),
            keras.layers.ReLU(name="block2_relu"),
        ]
    )
    if not nested:
        return body
    top = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3, name="head")]
    return keras.Sequential([keras.Input((8, 8, 3)), body, *top])


def test_what_is_probed_is_what_the_next_group_gets_averaged_over_space(
    images, monkeypatch
) -> None:
    x, labels = images
    model = convolutional(nested=True)
    seen = []
    original = PooledOutputs.on_rows

    def spied(self, *args):
        seen.append(original(self, *args))
        return seen[-1]

    monkeypatch.setattr(PooledOutputs, "on_rows", spied)
    probe = probe_depth(model, x, labels, batch_size=48)
    assert probe.groups == ("block1", "block2") and probe.rest == ("head",)
    body = model.layers[0]
    maps = keras.Model(body.inputs, body.get_layer("block1_relu").output)
    expected = maps.predict(x, verbose=0).mean(axis=(1, 2))
    np.testing.assert_allclose(seen[0][0], expected, atol=1e-5)
    last = body.predict(x, verbose=0).mean(axis=(1, 2))
    np.testing.assert_allclose(seen[0][1], last, atol=1e-5)


@pytest.mark.one_backend
def test_the_last_group_of_a_backbone_without_head_is_probed(images) -> None:
    probe = probe_depth(convolutional(), *images)
    assert probe.groups == ("block1", "block2") and probe.rest == ()


def test_nothing_changes_and_the_seed_repeats_the_result(images) -> None:
    model = convolutional()
    before = model.get_weights()
    one, two = (probe_depth(model, *images, max_rows=30, seed=3) for _ in range(2))
    assert one.num_rows <= 30
    np.testing.assert_array_equal(one.fold_accuracy, two.fold_accuracy)
    for this, that in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(this, that)


@pytest.mark.one_backend
def test_classes_may_be_names_or_one_hot_or_come_with_the_data(images) -> None:
    x, labels = images
    model = convolutional()
    expected = probe_depth(model, x, labels).fold_accuracy
    names = np.array(["cat", "dog", "eel"])[labels]
    batches = ((x[i : i + 16], labels[i : i + 16]) for i in range(0, 48, 16))
    for given in [(x, names), (x, np.eye(3)[labels]), (batches,)]:
        np.testing.assert_array_equal(
            probe_depth(model, *given).fold_accuracy, expected
        )


@pytest.mark.one_backend
def test_the_picture_has_a_point_for_each_group(images) -> None:
    probe = probe_depth(convolutional(), *images)
    ax = probe.plot()
    assert [label.get_text() for label in ax.get_xticklabels()] == list(probe.groups)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "options, complaint",
    [
        ({"y": np.linspace(0, 1, 48)}, "`y` must be classes"),
        ({"y": np.zeros(48, int)}, "at least two classes"),
        ({"num_folds": 1}, "`num_folds` must be an integer >= 2"),
        ({"y": None}, "`y` must be given"),
    ],
)
def test_bad_arguments_are_named(images, options, complaint) -> None:
    x, labels = images
    with pytest.raises(ValueError, match=f"probe_depth: .*{complaint}"):
        probe_depth(convolutional(), x, **{"y": labels, **options})


@pytest.mark.one_backend
def test_features_that_are_not_finite_are_named(images) -> None:
    x, labels = images
    x = x.copy()
    x[3, 0] = np.nan
    with pytest.raises(ValueError, match="features must be finite.* 1 of 48 rows"):
        probe_depth(convolutional(), x, labels)


@pytest.mark.one_backend
def test_a_model_of_one_group_is_refused() -> None:
    inputs = keras.Input((2,))
    model = keras.Model(inputs, keras.layers.Dense(1, name="only")(inputs))
    with pytest.raises(ValueError, match="two layer groups or more"):
        probe_depth(model, POINTS, SIDES, head=True)
