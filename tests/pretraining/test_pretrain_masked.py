import keras
import numpy as np
import pytest

from keras_deeptools.pretraining import pretrain_masked
from pretraining.networks import copies, images, moved, residual

layers = keras.layers
QUIET = {"verbose": 0, "seed": 3}


def identity(features: int, name: str) -> layers.Dense:
    return layers.Dense(features, kernel_initializer="identity", name=name)


def test_the_loss_is_over_what_is_hidden_only() -> None:
    x = np.random.default_rng(0).normal(1, 1, (1, 3)).repeat(40, axis=0)
    model = keras.Sequential([keras.Input((3,)), identity(3, "same"), layers.Dense(1)])
    decoder = identity(3, "back")
    losses = []
    for value in (0.0, 5.0):
        result = pretrain_masked(
            model,
            x,
            patch_size=1,
            mask_rate=0.67,
            mask_value=value,
            decoder=decoder,
            loss="mean_squared_error",
            epochs=1,
            batch_size=40,
            optimizer=keras.optimizers.SGD(1e-12),
            **QUIET,
        )
        losses.append(result.history["loss"][0])
    errors = (x[0] - 0) ** 2, (x[0] - 5) ** 2
    # Two of three features are hidden in each row: between the two extremes.
    for loss, error in zip(losses, errors, strict=True):
        best, worst = np.sort(error)[:2].mean(), np.sort(error)[1:].mean()
        assert best <= loss <= worst
    np.testing.assert_allclose(losses[0], errors[0].mean(), rtol=0.35)


def test_a_convolutional_network_learns_to_fill_in() -> None:
    model = residual()
    before = copies(model.variables)
    optimizer = keras.optimizers.Adam(0.01)
    result = pretrain_masked(
        model, images(), patch_size=2, epochs=8, optimizer=optimizer, **QUIET
    )
    losses = result.history["loss"]
    assert losses[-1] < 0.8 * losses[0]
    names = {path.split("/")[0] for path in moved(model, before)}
    assert names == {"stem", "norm", "branch"} == set(result.layers)


def test_steps_of_a_sequence_are_hidden_as_a_whole() -> None:
    """With two steps, one of them hidden, the error is that of a whole step."""
    inputs = keras.Input((2, 2))
    model = keras.Model(inputs, layers.Dense(1)(identity(2, "same")(inputs)))
    x = np.tile([[1.0, 2.0], [3.0, 4.0]], (1, 1, 1))
    result = pretrain_masked(
        model,
        x,
        patch_size=1,
        decoder=identity(2, "back"),
        loss="mean_squared_error",
        epochs=8,
        optimizer=keras.optimizers.SGD(1e-12),
        **QUIET,
    )
    assert {round(loss, 3) for loss in result.history["loss"]} == {2.5, 12.5}


def test_channels_first_hides_all_channels_of_a_place() -> None:
    first = {"data_format": "channels_first"}
    model = keras.Sequential(
        [
            keras.Input((2, 6, 6)),
            layers.Conv2D(3, 3, activation="relu", name="conv", **first),
            layers.Flatten(**first),
            layers.Dense(2),
        ]
    )
    x = np.random.default_rng(0).uniform(size=(8, 2, 6, 6))
    result = pretrain_masked(model, x, patch_size=3, epochs=2, **QUIET)
    assert result.layers == ("conv",)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"mask_rate": 1.0}, "`mask_rate` must be in"),
        ({"mask_rate": 0.0}, "`mask_rate` must be in"),
        ({"patch_size": 0}, "`patch_size` must be an integer >= 1"),
        ({"patch_size": (2, 2, 2)}, "one for each of the 2 axes"),
        ({"patch_size": 8}, "must leave more than one patch"),
        ({"mask_value": np.nan}, "`mask_value` must be a finite float"),
    ],
    ids=str,
)
def test_a_bad_value_is_named(arguments: dict, said: str) -> None:
    given = {"patch_size": 2, "epochs": 1, **QUIET} | arguments
    with pytest.raises(ValueError, match=said) as raised:
        pretrain_masked(residual(), images(4), **given)
    assert str(raised.value).startswith("pretrain_masked: ")
