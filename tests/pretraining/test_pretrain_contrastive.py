import keras
import numpy as np
import pytest

from keras_deeptools.pretraining import Pretraining, pretrain_contrastive
from pretraining.networks import copies, images, mlp, moved, residual, rows

layers = keras.layers
QUIET = {"verbose": 0, "seed": 3}


def noise() -> keras.Sequential:
    return keras.Sequential([layers.GaussianNoise(0.01, seed=5)])


@pytest.fixture(scope="module")
def pretrained() -> tuple[keras.Model, list, Pretraining, keras.Sequential, list]:
    keras.utils.set_random_seed(0)
    model = residual()
    before = copies(model.variables)
    views = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.RandomTranslation(0, 0.1, fill_mode="nearest"),
            layers.RandomContrast(0.2, value_range=(0, 1)),
        ]
    )
    seeds = copies(views.variables)
    result = pretrain_contrastive(
        model,
        images(60),
        augmentation=views,
        batch_size=32,
        epochs=6,
        optimizer=keras.optimizers.Adam(0.01),
        **QUIET,
    )
    return model, before, result, views, seeds


def test_partners_come_nearer_than_others(pretrained: tuple) -> None:
    history = pretrained[2].history
    assert history["loss"][-1] < history["loss"][0]
    assert history["accuracy"][-1] > 3 / 63
    assert set(history) == {"loss", "accuracy", "alignment", "uniformity"}
    assert all(len(values) == 6 for values in history.values())


def test_the_backbone_lands_and_nothing_else_moves(pretrained: tuple) -> None:
    model, before, result, _, _ = pretrained
    names = {path.split("/")[0] for path in moved(model, before)}
    assert names == {"stem", "norm", "branch"} == set(result.layers)


def test_the_augmentation_is_only_read(pretrained: tuple) -> None:
    _, _, _, views, seeds = pretrained
    for old, new in zip(seeds, copies(views.variables), strict=True):
        np.testing.assert_array_equal(old, new)


def test_views_that_agree_and_nothing_else_give_the_loss_of_chance() -> None:
    """A dead network maps all views to one point, where every other is as near."""
    model = mlp("relu")
    model.layers[1].set_weights([np.zeros((5, 4)), np.full(4, 1.0)])
    model.layers[1].trainable = False
    result = pretrain_contrastive(
        model,
        rows(32),
        augmentation=noise(),
        batch_size=32,
        epochs=1,
        optimizer=keras.optimizers.SGD(1e-12),
        **QUIET,
    )
    np.testing.assert_allclose(result.history["loss"], np.log(63), rtol=1e-4)
    np.testing.assert_allclose(result.history["alignment"], 0, atol=1e-4)


def test_one_seed_gives_one_result() -> None:
    found = []
    start = mlp().get_weights()
    for seed in (1, 1, 2):
        model = mlp()
        model.set_weights(start)
        pretrain_contrastive(
            model, rows(32), augmentation=noise(), epochs=1, seed=seed, verbose=0
        )
        found.append(model.get_weights()[0])
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])


def test_half_precision_gives_finite_losses_and_moves_the_weights() -> None:
    keras.config.set_dtype_policy("mixed_float16")
    model = mlp()
    before = copies(model.variables)
    result = pretrain_contrastive(
        model, rows(32), augmentation=noise(), epochs=3, batch_size=16, **QUIET
    )
    assert np.isfinite(result.history["loss"]).all()
    assert "first/kernel" in moved(model, before)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"augmentation": keras.Sequential([layers.ReLU()])}, "must be random"),
        (
            {"augmentation": keras.Sequential([layers.Dense(2), layers.Dropout(0.1)])},
            "must keep the shape of inputs",
        ),
        ({"temperature": 0}, "`temperature` must be a finite float > 0"),
        ({"projection_units": 0}, "`projection_units` must be an integer >= 1"),
        ({"batch_size": 1}, "`batch_size` must be an integer >= 2"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_bad_value_is_named(arguments: dict, said: str) -> None:
    given = {"augmentation": noise(), "epochs": 1, **QUIET} | arguments
    with pytest.raises(ValueError, match=said) as raised:
        pretrain_contrastive(mlp(), rows(8), **given)
    assert str(raised.value).startswith("pretrain_contrastive: ")


@pytest.mark.one_backend
def test_an_augmentation_that_is_no_layer_is_refused() -> None:
    with pytest.raises(TypeError, match="`augmentation` must be a Keras layer"):
        pretrain_contrastive(mlp(), rows(8), augmentation=np.flip)
