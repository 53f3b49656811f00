"""Searches of transfer learning: four tuners, whole models, features once."""

import copy
import pickle
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import pytest

from keras_deeptools.tuning import FloatRange, TransferHyperModel
from keras_deeptools.tuning._transfer import pooled_features

pytestmark = pytest.mark.one_backend

RANDOM = np.random.default_rng(0)
X = RANDOM.integers(0, 256, (48, 8, 8, 3)).astype("float32")
Y = (X[..., 0].mean(axis=(1, 2)) > X[..., 1].mean(axis=(1, 2))).astype("int64")
DATA = {"x": X, "y": Y, "validation_data": (X[:16], Y[:16]), "batch_size": 16}


def body(drops: float = 0.0) -> keras.Model:
    """Two groups of layers on pixels, the same weights every time."""

    def conv(name: str, seed: int) -> keras.Layer:
        start = keras.initializers.HeNormal(seed)
        return keras.layers.Conv2D(
            6, 3, 2, "same", activation="relu", kernel_initializer=start, name=name
        )

    layers = [
        keras.layers.Rescaling(1 / 255),
        conv("block1_conv", 1),
        keras.layers.BatchNormalization(name="block1_norm"),
        keras.layers.Dropout(drops, seed=3),
        conv("block2_conv", 2),
    ]
    return keras.Sequential([keras.Input((8, 8, 3)), *layers], name="body")


def hypermodel(**arguments: Any) -> TransferHyperModel:
    defaults = {"max_epochs": 3, "backbones": body(), "depths": (0,)}
    return TransferHyperModel(2, **{**defaults, **arguments})


def values(hp: keras_tuner.HyperParameters, **chosen: Any) -> Any:
    hp.values |= {name.replace("__", "/"): value for name, value in chosen.items()}
    return hp


def weights(model: keras.Model) -> list[np.ndarray]:
    return [np.array(each) for each in model.get_weights()]


def assert_same(these: list[np.ndarray], those: list[np.ndarray], atol=0.0) -> None:
    assert len(these) == len(those)
    for this, that in zip(these, those, strict=True):
        np.testing.assert_allclose(this, that, rtol=0, atol=atol)


TUNERS = {
    "random": lambda model, path: keras_tuner.RandomSearch(
        model, "val_loss", max_trials=2, seed=0, directory=path
    ),
    "bayesian": lambda model, path: keras_tuner.BayesianOptimization(
        model, "val_loss", max_trials=2, seed=0, directory=path
    ),
    "grid": lambda model, path: keras_tuner.GridSearch(
        model, "val_loss", max_trials=2, seed=0, directory=path
    ),
    "hyperband": lambda model, path: keras_tuner.Hyperband(
        model, "val_loss", max_epochs=3, factor=3, seed=0, directory=path
    ),
}


def searched(kind: str, path: Path, **arguments: Any) -> keras_tuner.Tuner:
    tuner = TUNERS[kind](hypermodel(**arguments), path)
    tuner.search(**DATA, epochs=3, verbose=0)
    return tuner


FAST = [("random", (0,)), ("hyperband", (0,)), ("random", (1, 2))]
SLOW = [
    pytest.param(kind, depths, marks=pytest.mark.slow)
    for kind in TUNERS
    for depths in ((0,), (1, 2))
    if (kind, depths) not in FAST
]


@pytest.mark.parametrize(("kind", "depths"), [*FAST, *SLOW])
def test_every_tuner_ends_with_all_trials_completed(kind, depths, tmp_path) -> None:
    tuner = searched(kind, tmp_path, depths=depths)
    trials = tuner.oracle.trials.values()
    assert len(trials) >= 2
    assert {trial.status for trial in trials} == {"COMPLETED"}
    best = tuner.get_best_models()[0]
    held = best.evaluate(*DATA["validation_data"], verbose=0)
    assert held[0] == pytest.approx(tuner.oracle.get_best_trials()[0].score, rel=1e-3)


def test_depth_head_rates_and_frozen_epochs_are_searched() -> None:
    hp = keras_tuner.HyperParameters()
    backbones = {"one": body(), "two": body()}
    hypermodel(backbones=backbones, depths=(0, 1)).build(hp)
    names = {one.name for one in hp.space}
    assert names == {
        "backbone",
        "depth",
        "frozen_epochs",
        "head",
        "head/dropout_rate",
        "head/hidden_units",
        "optimizer/adamw/learning_rate",
        "optimizer/adamw/weight_decay",
        "rate_ratio",
    }


def test_what_is_given_as_a_number_is_not_searched() -> None:
    hp = keras_tuner.HyperParameters()
    hypermodel(heads="average", dropout_rate=0.1, learning_rate=1e-3).build(hp)
    assert [one.name for one in hp.space] == ["optimizer/adamw/weight_decay"]


@pytest.fixture
def passes(monkeypatch) -> list[Any]:
    """What was computed, in which folder."""
    seen: list[Any] = []
    real = pooled_features.cache_features

    def counted(model: keras.Model, *args: Any, **kwargs: Any) -> Any:
        seen.append(kwargs["directory"])
        return real(model, *args, **kwargs)

    monkeypatch.setattr(pooled_features, "cache_features", counted)
    return seen


def test_a_search_over_both_heads_and_all_depths_makes_one_pass(
    passes, tmp_path
) -> None:
    tuner = searched("grid", tmp_path, depths=(0, 1))
    assert len(tuner.oracle.trials) == 2
    assert passes == [Path(tuner.project_dir) / "features"]


def test_another_process_finds_the_features(monkeypatch, tmp_path) -> None:
    searched("random", tmp_path / "one", features=tmp_path / "features")
    found = []
    real = pooled_features.cache_features

    def watched(*args: Any, **kwargs: Any) -> Any:
        before = sorted(p.name for p in (tmp_path / "features").iterdir())
        cached = real(*args, **kwargs)
        found.append(cached.path.name in before)
        return cached

    monkeypatch.setattr(pooled_features, "cache_features", watched)
    searched("random", tmp_path / "two", features=tmp_path / "features")
    assert found == [True]


def trained(model: TransferHyperModel, **chosen: Any) -> keras.Model:
    hp = values(keras_tuner.HyperParameters(), **chosen)
    keras.utils.set_random_seed(1)
    made = model.build(hp)
    model.fit(hp, made, **DATA, epochs=3, verbose=0)
    return made


def test_a_head_learns_from_features_what_it_learns_from_images() -> None:
    search = hypermodel(heads="average", dropout_rate=0.0, learning_rate=1e-2)
    ours = trained(search)
    hp = keras_tuner.HyperParameters()
    keras.utils.set_random_seed(1)
    twin = search.build(hp)
    data = {**DATA, "epochs": 3, "verbose": 0}
    from keras_deeptools.callbacks import OneCycleScheduler

    twin.fit(**data, callbacks=[OneCycleScheduler(1e-2)])
    assert_same(weights(ours), weights(twin), atol=1e-5)


def test_the_backbone_of_a_head_search_stays_as_it_was() -> None:
    search = hypermodel()
    start = weights(body())
    model = trained(search, head="concat")
    assert_same(weights(model)[: len(start)], start)


def test_the_given_model_is_copied() -> None:
    given = body()
    start = weights(given)
    trained(hypermodel(backbones=given, depths=(2,)))
    assert_same(weights(given), start)
    assert all(layer.trainable for layer in given.layers)


@pytest.mark.parametrize(
    ("depth", "trains"),
    [(0, set()), (1, {"block2_conv"}), (9, {"block1_conv", "block2_conv"})],
)
def test_as_many_groups_train_as_the_depth_says(depth: int, trains: set[str]) -> None:
    model = hypermodel(depths=(0, depth or 1)).build(
        values(keras_tuner.HyperParameters(), depth=depth)
    )
    found = {layer.name for layer in model.layers if layer.trainable_variables}
    assert {name for name in found if name.startswith("block")} == trains


def test_rates_grow_geometrically_from_the_first_group_to_the_head() -> None:
    model = hypermodel(depths=(2,), rate_ratio=100.0).build(
        keras_tuner.HyperParameters()
    )
    factor = {
        layer.name: model.optimizer.multiplier(layer.trainable_variables[0])
        for layer in model.layers
        if layer.trainable_variables
    }
    assert factor["block1_conv"] == pytest.approx(0.01)
    assert factor["block2_conv"] == pytest.approx(0.1)
    assert factor["head_outputs"] == 1.0


def test_a_promoted_model_goes_on_with_the_optimizers_state(tmp_path) -> None:
    for depth in (0, 1):
        hp = values(keras_tuner.HyperParameters(), depth=depth, head="average")
        search = hypermodel(depths=(0, 1), frozen_epochs=1)
        file = tmp_path / f"{depth}.weights.h5"
        keep = keras.callbacks.ModelCheckpoint(file, save_weights_only=True)
        first = search.build(hp)
        data = {**DATA, "verbose": 0}
        search.fit(hp, first, **data, epochs=2, callbacks=[keep])
        second = search.build(hp)
        second.load_weights(file)
        assert int(second.optimizer.iterations) == 2 * 3
        assert_same(weights(second), weights(first))
        search.fit(hp, second, **data, initial_epoch=2, epochs=3)
        assert int(second.optimizer.iterations) == 3 * 3


def test_a_file_saved_in_mid_training_has_the_weights_of_that_epoch(tmp_path) -> None:
    search = hypermodel(heads="average", dropout_rate=0.0)
    hp = keras_tuner.HyperParameters()
    model = search.build(hp)
    keep = keras.callbacks.ModelCheckpoint(
        tmp_path / "{epoch}.weights.h5", save_weights_only=True
    )
    seen = []

    class Watch(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            seen.append(weights(self.model))

    data = {**DATA, "epochs": 3, "verbose": 0}
    search.fit(hp, model, **data, callbacks=[Watch(), keep])
    last = weights(model)
    for epoch, expected in enumerate(seen, start=1):
        model.load_weights(tmp_path / f"{epoch}.weights.h5")
        assert_same(weights(model)[-2:], expected[-2:])
    assert_same(weights(model), last)


def test_a_backbone_that_drops_gives_features_as_at_inference() -> None:
    search = hypermodel(backbones=body(drops=0.5), heads="average", dropout_rate=0.0)
    twin = hypermodel(backbones=body(drops=0.0), heads="average", dropout_rate=0.0)
    assert_same(weights(trained(search))[-2:], weights(trained(twin))[-2:])


def test_data_in_batches_and_validation_split_serve_as_well() -> None:
    class Batches(keras.utils.PyDataset):
        def __len__(self) -> int:
            return 3

        def __getitem__(self, index: int) -> Any:
            return X[index * 16 :][:16], Y[index * 16 :][:16]

    hp = keras_tuner.HyperParameters()
    for depth in (0, 1):
        search = hypermodel(depths=(depth,), frozen_epochs=1)
        batches = Batches()
        data = {"validation_data": batches, "epochs": 1, "verbose": 0}
        history = search.fit(hp, search.build(hp), batches, **data)
        assert "val_loss" in history.history
        history = search.fit(
            hp, search.build(hp), X, Y, validation_split=0.25, epochs=1, verbose=0
        )
        assert "val_accuracy" in history.history


def test_a_backbone_that_gives_vectors_takes_the_average_head() -> None:
    trunk = keras.Sequential([body(), keras.layers.GlobalAveragePooling2D()])
    model = trained(hypermodel(backbones=trunk, heads="average", dropout_rate=0.2))
    assert model.output_shape == (None, 2)


def test_an_application_by_name_has_the_same_fresh_weights_in_every_process() -> None:
    arguments = {"input_shape": (32, 32, 3), "weights": None, "heads": "average"}
    first, second = (
        hypermodel(backbones="MobileNet", **arguments, seed=seed).build(
            keras_tuner.HyperParameters()
        )
        for seed in (3, 3)
    )
    assert_same(weights(first)[:-2], weights(second)[:-2])


def test_a_trial_whose_loss_is_not_finite_fails() -> None:
    search = hypermodel(loss=lambda y, p: keras.ops.sum(p, axis=-1) * float("nan"))
    hp = keras_tuner.HyperParameters()
    with pytest.raises(keras_tuner.errors.FailedTrialError):
        search.fit(hp, search.build(hp), **DATA, epochs=1, verbose=0)


def test_a_hypermodel_can_be_copied_and_pickled_after_a_trial() -> None:
    search = hypermodel(dropout_rate=FloatRange(0.1, 0.2))
    trained(search)
    for again in (copy.deepcopy(search), pickle.loads(pickle.dumps(search))):
        assert_same(
            weights(again.build(keras_tuner.HyperParameters()))[:-2],
            weights(search.build(keras_tuner.HyperParameters()))[:-2],
        )


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"backbones": "MobileNet"}, "`input_shape` must be given"),
        ({"backbones": ()}, "`backbones` must be"),
        ({"backbones": [body(), body()]}, "`backbones` must be.*dict"),
        ({"heads": "mean"}, "`heads` must be one of"),
        ({"heads": ()}, "`heads` must be"),
        ({"depths": (-1,)}, "`depths` must be"),
        ({"depths": ()}, "`depths` must be"),
        ({"dropout_rate": 1.0}, r"`dropout_rate` must be in \[0, 1\)"),
        ({"rate_ratio": FloatRange(0.5, 2.0)}, "`rate_ratio` must be"),
        ({"batch_norm": "on"}, "`batch_norm` must be one of"),
        ({"max_epochs": 0}, "`max_epochs` must be"),
    ],
)
def test_a_wrong_argument_is_named(arguments: dict, text: str) -> None:
    with pytest.raises(ValueError, match=f"TransferHyperModel: {text}"):
        hypermodel(**arguments)


def test_a_backbone_of_another_kind_is_named() -> None:
    with pytest.raises(TypeError, match="TransferHyperModel: `backbones` must be"):
        hypermodel(backbones={"one": 1})
