"""The optimizer and the compiled steps follow what is frozen and unfrozen."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_deeptools.transfer import freeze, frozen, unfreeze
from transfer.two_branches import (
    INPUTS,
    TARGETS,
    optimizers,
    step,
    train,
    two_branches,
    values,
)

MAKERS = optimizers()
SPECIAL = ("Muon", "Adafactor", "Free", "Scale", "Multi", "accumulation", "averages")
each_optimizer = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())


def assert_same(these: dict[str, np.ndarray], those: dict[str, np.ndarray]) -> None:
    assert these.keys() == those.keys() and these
    for path, value in these.items():
        np.testing.assert_array_equal(value, those[path], err_msg=path)


def moved(model: keras.Model, layer: str, epochs: int = 1) -> bool:
    before = values(model, layer)["kernel"]
    train(model, epochs)
    return bool((values(model, layer)["kernel"] != before).any())


@pytest.mark.alternates("make", but=SPECIAL)
@each_optimizer
def test_a_branch_is_trained_as_if_the_other_had_not_been_frozen_and_unfrozen(
    make: Callable,
) -> None:
    model, plain = two_branches(make()), two_branches(make())
    step(model)
    step(plain)
    before = values(model, "right")
    freeze(model, "left")
    assert_same(values(model, "right"), before)
    still = model.get_layer("left").get_weights()
    step(model)
    step(plain)
    for now, then in zip(model.get_layer("left").get_weights(), still, strict=True):
        np.testing.assert_array_equal(now, then)
    before = values(model, "right")
    unfreeze(model, "left")
    assert_same(values(model, "right"), before)
    step(model)
    step(plain)
    assert (model.get_layer("left").get_weights()[0] != still[0]).all()
    assert_same(values(model, "right"), values(plain, "right"))
    shapes = [variable.shape for variable in model.optimizer.variables]
    assert shapes == [variable.shape for variable in plain.optimizer.variables]


def test_moving_averages_of_newly_trained_weights_start_at_the_weights() -> None:
    model = two_branches(keras.optimizers.SGD(0.1, use_ema=True))
    freeze(model, "left")
    train(model)
    unfreeze(model, "left")
    averages = [v for v in model.optimizer.variables if "average" in v.path]
    assert len(averages) == 4
    for variable, average in zip(model.trainable_variables, averages, strict=True):
        if "left" in variable.path:
            np.testing.assert_array_equal(variable.numpy(), average.numpy())


def test_a_block_with_frozen_layers_leaves_the_optimizer_as_before_it() -> None:
    model = two_branches("adam")
    train(model)
    before = values(model, "left")
    with frozen(model, "left"):
        assert not moved(model, "left")
        assert len(values(model, "left")) == 2
    assert_same(values(model, "left"), before)
    assert moved(model, "left")


def test_a_block_with_frozen_layers_ends_with_them_as_before_also_after_an_error() -> (
    None
):
    model = two_branches("adam")
    freeze(model, "right")
    with pytest.raises(RuntimeError, match="broken"), frozen(model):
        raise RuntimeError("broken on purpose")
    assert [v.path for v in model.trainable_variables] == ["left/kernel", "left/bias"]


class Toggle(keras.callbacks.Callback):
    """Freezes a layer after the first epoch and unfreezes it after the second."""

    def __init__(self, hook: str) -> None:
        super().__init__()
        setattr(self, hook, self.toggle)
        self.count = 0
        self.kernels: list[np.ndarray] = []

    def toggle(self, *args: object, **kwargs: object) -> None:
        self.count += 1
        action = {1: freeze, 2: unfreeze}.get(self.count)
        if action is not None:
            action(self.model, "left")
        kernel = self.model.get_layer("left").kernel
        self.kernels.append(np.array(keras.ops.convert_to_numpy(kernel)))


@pytest.mark.parametrize("hook", ["on_epoch_end", "on_epoch_begin"])
def test_a_callback_can_freeze_and_unfreeze_between_epochs_of_one_fit(
    hook: str,
) -> None:
    model, plain = two_branches("adam"), two_branches("adam")
    callback = Toggle(hook)
    data = (INPUTS, TARGETS)
    train(model, 3, callbacks=[callback], validation_data=data)
    train(plain, 3)
    first, second, third = callback.kernels
    np.testing.assert_array_equal(first, second)
    assert_same(values(model, "right"), values(plain, "right"))
    assert (model.get_layer("left").get_weights()[0] != second).any()


def test_a_callback_can_freeze_after_a_batch() -> None:
    model, plain = two_branches("adam"), two_branches("adam")
    train(model, 3, callbacks=[Toggle("on_train_batch_end")])
    train(plain, 3)
    assert_same(values(model, "right"), values(plain, "right"))
    assert moved(model, "left")


def test_layers_of_equal_shape_can_change_places() -> None:
    model = two_branches(keras.optimizers.SGD(0.1))
    freeze(model, "left")
    train(model)
    expected = [np.asarray(each) for each in model.predict(INPUTS, verbose=0)]
    loss = model.evaluate(INPUTS, TARGETS, verbose=0)[0]
    freeze(model, "right")
    unfreeze(model, "left")
    for now, then in zip(model.predict(INPUTS, verbose=0), expected, strict=True):
        np.testing.assert_allclose(now, then, rtol=1e-6)
    assert model.evaluate(INPUTS, TARGETS, verbose=0)[0] == pytest.approx(loss)
    right = model.get_layer("right").get_weights()
    assert moved(model, "left")
    np.testing.assert_array_equal(model.get_layer("right").get_weights()[0], right[0])


def test_layers_of_equal_shape_can_change_places_before_compiling_again() -> None:
    model = two_branches(keras.optimizers.SGD(0.1))
    freeze(model, "left")
    train(model)
    model.compile(keras.optimizers.SGD(0.1), loss=["mse", "mse"])
    freeze(model, "right")
    unfreeze(model, "left")
    right = model.get_layer("right").get_weights()
    assert moved(model, "left")
    np.testing.assert_array_equal(model.get_layer("right").get_weights()[0], right[0])


def test_a_compiled_model_follows_when_a_part_of_it_is_unfrozen() -> None:
    backbone = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(3, name="body")], name="backbone"
    )
    freeze(backbone)
    model = keras.Sequential([keras.Input((3,)), backbone, keras.layers.Dense(2)])
    model.compile("adam", loss="mse")
    body = backbone.get_weights()[0]
    model.fit(INPUTS, TARGETS[0], verbose=0)
    np.testing.assert_array_equal(backbone.get_weights()[0], body)
    unfreeze(backbone)
    model.fit(INPUTS, TARGETS[0], verbose=0)
    assert (backbone.get_weights()[0] != body).all()


def test_a_loaded_model_goes_on_with_its_moments(tmp_path: Path) -> None:
    model = two_branches("adam")
    freeze(model, "left")
    train(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert_same(values(loaded, "right"), values(model, "right"))
    unfreeze(loaded, "left")
    unfreeze(model, "left")
    train(loaded)
    train(model)
    for now, then in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(now, then)


def test_a_model_trains_on_after_everything_was_frozen_and_unfrozen() -> None:
    model = two_branches("adam")
    train(model)
    freeze(model)
    outputs = model.predict(INPUTS, verbose=0)
    assert len(outputs) == 2
    unfreeze(model)
    assert moved(model, "left")
    assert int(model.optimizer.iterations) == 4


def test_flags_set_by_hand_after_a_fit_are_followed_at_the_next_call() -> None:
    model = two_branches("adam")
    train(model)
    model.get_layer("left").trainable = False
    freeze(model, "left")
    assert not moved(model, "left")


def test_a_map_that_makes_a_new_optimizer_each_time_is_refused() -> None:
    model = two_branches(
        keras.optimizers.MultiOptimizer(lambda variable: keras.optimizers.SGD())
    )
    train(model)
    with pytest.raises(ValueError, match="must give a variable the same optimizer"):
        freeze(model, "left")
    assert moved(model, "left")


@keras.saving.register_keras_serializable("tests")
class Counting(keras.optimizers.SGD):
    """Creates a variable in its constructor."""

    def __init__(self, learning_rate: float = 0.1, **kwargs: object) -> None:
        super().__init__(learning_rate, **kwargs)
        self.extra = self.add_variable((), name="extra")


def test_an_optimizer_that_cannot_be_built_again_is_left_as_it_is() -> None:
    model = two_branches(Counting(momentum=0.9))
    train(model)
    before = values(model, "left")
    count = len(model.optimizer.variables)
    with pytest.raises(ValueError, match="must create its variables in `build`"):
        freeze(model, "left")
    assert_same(values(model, "left"), before)
    assert len(model.optimizer.variables) == count
    assert moved(model, "left")
