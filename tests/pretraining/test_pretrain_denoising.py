import random
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_deeptools.pretraining import Pretraining, pretrain_denoising
from pretraining.networks import copies, images, mlp, moved, residual, rows

layers = keras.layers
QUIET = {"verbose": 0, "seed": 3}


@pytest.mark.alternates("loss")
@pytest.mark.parametrize("loss", ["mean_squared_error", "binary_crossentropy"])
def test_a_step_is_the_gradient_step_of_an_autoencoder(loss: str) -> None:
    model, x = mlp(), rows(8).astype("float64")
    decoder = layers.Dense(6)
    decoder.build((None, 5))
    kernel, bias = (each.astype("float64") for each in model.layers[0].get_weights())
    back = decoder.get_weights()[0].astype("float64")
    codes = np.tanh(x @ kernel + bias)
    logits = codes @ back
    if loss == "mean_squared_error":
        value = ((logits - x) ** 2).mean()
        slope = 2 * (logits - x) / x.size
    else:
        value = (np.logaddexp(0, logits) - x * logits).mean()
        slope = (1 / (1 + np.exp(-logits)) - x) / x.size
    inner = slope @ back.T * (1 - codes**2)
    result = pretrain_denoising(
        model,
        x,
        until="first",
        decoder=decoder,
        noise="none",
        loss=loss,
        epochs=1,
        batch_size=8,
        optimizer=keras.optimizers.SGD(2.0),
        **QUIET,
    )
    new_kernel, new_bias = model.layers[0].get_weights()
    np.testing.assert_allclose(result.history["loss"], value, rtol=1e-5)
    np.testing.assert_allclose(new_kernel, kernel - 2 * x.T @ inner, atol=1e-6)
    np.testing.assert_allclose(new_bias, bias - 2 * inner.sum(axis=0), atol=1e-6)
    np.testing.assert_allclose(
        decoder.get_weights()[0], back - 2 * codes.T @ slope, atol=1e-6
    )


@pytest.fixture(scope="module")
def pretrained() -> tuple[keras.Model, list, Pretraining, list]:
    """A branched model that has been fitted before, with one frozen layer."""
    keras.utils.set_random_seed(0)
    model = residual()
    model.get_layer("branch").trainable = False
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(images(16), np.zeros(16), batch_size=16, verbose=0)
    before = copies(model.variables)
    kept = [model.train_function, model.history, copies(model.optimizer.variables)]
    optimizer = keras.optimizers.Adam(0.01)
    result = pretrain_denoising(model, images(), epochs=6, optimizer=optimizer, **QUIET)
    assert not optimizer.built
    return model, before, result, kept


def test_the_reconstruction_error_falls(pretrained: tuple) -> None:
    _, _, result, _ = pretrained
    losses = result.history["loss"]
    assert len(losses) == 6 and losses[-1] < 0.8 * losses[0]


def test_what_trains_and_moving_averages_land_and_nothing_else_moves(
    pretrained: tuple,
) -> None:
    model, before, _, _ = pretrained
    norm = {f"norm/{n}" for n in ("gamma", "beta", "moving_mean", "moving_variance")}
    assert moved(model, before) == {"stem/kernel", "stem/bias"} | norm
    assert not model.get_layer("branch").trainable


def test_optimizer_and_compiled_functions_of_the_model_stay(pretrained: tuple) -> None:
    model, _, _, (compiled, history, state) = pretrained
    assert model.train_function is compiled and model.history is history
    for old, new in zip(state, copies(model.optimizer.variables), strict=True):
        np.testing.assert_array_equal(old, new)
    assert not model.losses


def test_the_model_computes_with_what_has_landed_and_trains_on(
    pretrained: tuple,
) -> None:
    model, before, _, _ = pretrained
    outputs = model.predict(images(4), verbose=0)
    again = keras.ops.convert_to_numpy(model(images(4), training=False))
    np.testing.assert_allclose(outputs, again, atol=1e-5)
    model.fit(images(16), np.zeros(16), batch_size=16, verbose=0)
    assert "head/kernel" in moved(model, before)


def test_the_result_tells_what_was_done(pretrained: tuple) -> None:
    _, _, result, _ = pretrained
    assert result.layers == ("stem", "norm") and result.seed == 3
    assert result.left == {"branch": "frozen", "head": "not in the encoder"}
    lines = str(result).splitlines()
    assert lines[0] == "denoising autoencoder of stem, norm"
    assert lines[2].split()[:2] == ["loss", "6"]
    assert lines[3] == "Left as they were: branch (frozen), head (not in the encoder)."


def test_the_result_draws_its_history(pretrained: tuple) -> None:
    _, _, result, _ = pretrained
    ax = result.plot()
    np.testing.assert_allclose(ax.lines[0].get_ydata(), result.history["loss"])


def test_one_seed_gives_one_result_whatever_the_model_drew_before() -> None:
    found = []
    start = None
    for seed in (1, 1, 2):
        keras.utils.set_random_seed(len(found))
        model = mlp()
        model = keras.Model(model.inputs, layers.Dense(2)(dropped(model)))
        start = start or model.get_weights()
        model.set_weights(start)
        pretrain_denoising(model, rows(), epochs=1, seed=seed, verbose=0)
        found.append(model.get_weights()[0])
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])


def dropped(model: keras.Model) -> object:
    return layers.Dropout(0.5)(model.layers[1].output)


def test_no_random_state_moves_under_a_seed() -> None:
    def draws() -> list[float]:
        drawn = [random.random(), np.random.uniform()]
        return [*drawn, float(keras.ops.convert_to_numpy(keras.random.uniform(())))]

    model = mlp()
    found = []
    for pretrains in (False, True):
        keras.utils.set_random_seed(5)
        keras.random.uniform(())
        if pretrains:
            pretrain_denoising(model, rows(), epochs=1, **QUIET)
        found.append(draws())
    assert found[0] == found[1]


class Interrupt(keras.callbacks.Callback):
    """Presses Ctrl-C after the second batch."""

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        if batch == 1:
            raise KeyboardInterrupt


def test_ctrl_c_leaves_the_model_as_it_was() -> None:
    model = mlp()
    before = copies(model.variables)
    with pytest.raises(KeyboardInterrupt):
        pretrain_denoising(model, rows(), callbacks=[Interrupt()], **QUIET)
    assert moved(model, before) == set()
    assert np.isfinite(model.predict(rows(), verbose=0)).all()


def test_a_loss_that_is_not_finite_is_an_error_and_leaves_the_model() -> None:
    model = mlp("relu")
    before = copies(model.variables)
    wild = {"optimizer": keras.optimizers.SGD(1e30), "loss": "mean_squared_error"}
    with pytest.raises(ValueError, match="must be finite"):
        pretrain_denoising(model, rows(), epochs=3, **wild, **QUIET)
    assert moved(model, before) == set()


def test_callbacks_of_fit_see_validation_and_can_stop(tmp_path: Path) -> None:
    stop = keras.callbacks.EarlyStopping("val_loss", min_delta=10, patience=1)
    log = keras.callbacks.CSVLogger(tmp_path / "log.csv")
    result = pretrain_denoising(
        mlp(),
        rows(),
        validation_data=rows(16),
        callbacks=[stop, log],
        epochs=9,
        noise="gaussian",
        noise_level=0.1,
        **QUIET,
    )
    assert len(result.history["val_loss"]) == len(result.history["loss"]) == 2
    assert (tmp_path / "log.csv").read_text("utf-8").startswith("epoch,loss,val_loss")


def batches() -> object:
    while True:
        yield (rows(16), np.zeros(16))


class Sequence(keras.utils.PyDataset):
    """Two batches of inputs alone."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> tuple:
        return (rows(16),)


def test_generators_and_datasets_give_batches() -> None:
    model = mlp()
    start = model.get_weights()
    for x in (batches(), Sequence()):
        model.set_weights(start)
        result = pretrain_denoising(model, x, steps_per_epoch=2, epochs=2, **QUIET)
        assert len(result.history["loss"]) == 2
        assert not np.array_equal(model.get_weights()[0], start[0])


def test_constraints_and_regularizers_hold() -> None:
    model = mlp()
    model.layers[0].kernel.constraint = keras.constraints.NonNeg()
    model.layers[1].kernel.regularizer = keras.regularizers.L2(100.0)
    model.layers[1].activity_regularizer = keras.regularizers.L2(0.1)
    result = pretrain_denoising(model, rows(), epochs=2, **QUIET)
    assert model.layers[0].get_weights()[0].min() >= 0
    assert result.history["loss"][0] > 50


def test_half_precision_keeps_float32_weights() -> None:
    keras.config.set_dtype_policy("mixed_float16")
    model = mlp()
    before = model.get_weights()
    result = pretrain_denoising(model, rows(), epochs=4, **QUIET)
    assert result.history["loss"][-1] < result.history["loss"][0]
    assert model.layers[0].kernel.dtype == "float32"
    assert not np.array_equal(model.get_weights()[0], before[0])
