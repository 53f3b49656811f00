"""Callbacks work in a list that the user makes, in `fit` and by hand."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_deeptools.callbacks import (
    GradientClipper,
    GradientMonitor,
    LearningRateFinder,
    MaxNormEnforcer,
    WeightAveraging,
)
from keras_deeptools.transfer import GradualUnfreezing

X = np.random.default_rng(0).normal(size=(24, 5)).astype("float32")
Y = 9.0 * X[:, :2]


def build() -> keras.Model:
    model = keras.Sequential(
        [keras.Input((5,)), layers.Dense(4, "tanh"), layers.Dense(2, name="head")]
    )
    for k, variable in enumerate(model.trainable_variables):
        variable.assign(np.random.default_rng(k).normal(size=variable.shape))
    model.compile(keras.optimizers.SGD(0.05), "mse")
    return model


def listed(
    callbacks: list, model: keras.Model, **params: object
) -> keras.callbacks.CallbackList:
    """As users make one; Keras' `fit` returns the history, which it needs."""
    return keras.callbacks.CallbackList(
        callbacks, add_history=True, model=model, **params
    )


def made() -> list[keras.callbacks.Callback]:
    return [
        GradientMonitor(on_problem="ignore"),
        GradientClipper(value=0.5, global_norm=1.0),
        MaxNormEnforcer(1.5),
        WeightAveraging(0.9, start=1),
    ]


def by_hand(
    model: keras.Model, callbacks: keras.callbacks.CallbackList, epochs: int = 2
) -> None:
    callbacks.on_train_begin()
    for epoch in range(epochs):
        callbacks.on_epoch_begin(epoch)
        for batch in range(3):
            rows = slice(8 * batch, 8 * batch + 8)
            callbacks.on_train_batch_begin(batch)
            logs = model.train_on_batch(X[rows], Y[rows], return_dict=True)
            callbacks.on_train_batch_end(batch, logs)
        callbacks.on_epoch_end(epoch, logs)
    callbacks.on_train_end()


def trained(model: keras.Model) -> list[np.ndarray]:
    return [np.array(value) for value in model.get_weights()]


def test_a_list_given_to_fit_trains_as_its_callbacks_do() -> None:
    plain, twin = build(), build()
    plain.fit(X, Y, 8, 2, 0, callbacks=made(), shuffle=False)
    callbacks = made()
    own = listed(callbacks, twin)
    twin.fit(X, Y, 8, 2, 0, callbacks=own, shuffle=False)
    for one, other in zip(trained(plain), trained(twin), strict=True):
        np.testing.assert_array_equal(one, other)
    assert callbacks[3].num_averaged == 3
    # The same list again.
    twin.fit(X, Y, 8, 2, 0, callbacks=own, shuffle=False)
    assert callbacks[1].num_updates == 6


def test_a_list_driven_by_hand_trains_as_fit_does() -> None:
    plain, twin = build(), build()
    plain.fit(X, Y, 8, 2, 0, callbacks=made(), shuffle=False)
    callbacks = made()
    by_hand(twin, listed(callbacks, twin))
    for one, other in zip(trained(plain), trained(twin), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    assert len(callbacks[0].steps) == callbacks[1].num_updates == 6


def test_callbacks_called_one_by_one_need_no_list() -> None:
    model, averaging = build(), WeightAveraging(0.9, start=0.0)
    averaging.set_model(model)
    averaging.on_train_begin()
    averaging.on_epoch_begin(0)
    model.train_on_batch(X, Y)
    averaging.on_epoch_end(0)
    averaging.on_train_end()
    assert averaging.num_averaged == 1


@pytest.mark.one_backend
@pytest.mark.parametrize("driven", ["fit", "by hand"])
def test_a_part_of_an_unknown_number_of_epochs_is_refused_first(driven: str) -> None:
    model, averaging = build(), WeightAveraging(start=0.5)
    own, before = listed([averaging], model), trained(model)
    with pytest.raises(ValueError, match=r"`start` must be an epoch.*start=0.5.*Give"):
        if driven == "fit":
            model.fit(X, Y, verbose=0, callbacks=own)
        else:
            by_hand(model, own)
    for one, other in zip(before, trained(model), strict=True):
        np.testing.assert_array_equal(one, other)
    told = listed([averaging], model, epochs=4)
    model.fit(X, Y, 8, 4, 0, callbacks=told)
    assert averaging.num_averaged == 6


def test_the_range_test_runs_in_a_list() -> None:
    model = build()
    finder = LearningRateFinder(X, Y, num_steps=20, apply=False)
    model.fit(X, Y, verbose=0, callbacks=listed([finder], model))
    assert len(finder.result.learning_rates) > 5


def test_layers_are_unfrozen_by_hand_as_in_fit() -> None:
    plain, twin = build(), build()
    plain.fit(X, Y, 8, 2, 0, callbacks=[GradualUnfreezing(2)], shuffle=False)
    unfreezing = GradualUnfreezing(2)
    by_hand(twin, listed([unfreezing], twin))
    flags = [[layer.trainable for layer in m.layers] for m in (plain, twin)]
    assert flags[0] == flags[1] == [False, True]


@pytest.mark.one_backend
@pytest.mark.parametrize("callback", made(), ids=lambda c: type(c).__name__)
def test_a_list_without_a_model_or_a_beginning_is_told_so(callback: object) -> None:
    model = build()
    with pytest.raises(ValueError, match=r"model must be known.*CallbackList\("):
        keras.callbacks.CallbackList([callback]).on_train_begin()
    own = listed([callback], model)
    with pytest.raises(ValueError, match="`on_train_begin` must be called before"):
        own.on_epoch_end(0, {"loss": 1.0})
    by_hand(model, own)
