"""Where gradients are not finite, the monitor looks at the data before it advises."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch

from keras_deeptools.callbacks import GradientMonitor, GradientWarning
from keras_deeptools.engine._data.fit_data import FitData

X = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
Y = X[:, :1] - 2 * X[:, 1:2]
BAD = X.copy()
BAD[20:23, 1] = np.nan
BAD[21, 0] = np.inf


def regression(**kwargs: Any) -> keras.Model:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", loss="mse", **kwargs)
    return model


class Pieces(keras.utils.PyDataset):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        rows = slice(8 * index, 8 * index + 8)
        return BAD[rows], Y[rows]


def loader() -> Any:
    data = torch.utils.data.TensorDataset(torch.tensor(BAD), torch.tensor(Y))
    return torch.utils.data.DataLoader(data, batch_size=8)


WHOLE = r"`x` holds 3 NaN and 1 infinite numbers, in 3 of the 32 samples of the data"
PIECE = r"`x` holds 3 NaN and 1 infinite numbers, in 3 of the 8 samples of batch number"
SOURCES: dict[str, tuple[Callable[[], tuple[Any, ...]], str]] = {
    "arrays": (lambda: (BAD, Y), WHOLE),
    "Dataset": (
        lambda: (tf.data.Dataset.from_tensor_slices((BAD, Y)).batch(8),),
        PIECE,
    ),
    "PyDataset": (lambda: (Pieces(),), PIECE),
    "DataLoader": (lambda: (loader(),), PIECE),
}


@pytest.mark.alternates("source")
@pytest.mark.parametrize("source", SOURCES)
def test_what_is_not_finite_in_the_inputs_is_named(source: str) -> None:
    make, message = SOURCES[source]
    monitor = GradientMonitor()
    with pytest.warns(GradientWarning, match=message):
        regression().fit(*make(), shuffle=False, verbose=0, callbacks=[monitor])
    (finding,) = monitor.findings
    assert finding.kind == "non-finite"
    assert "log(0)" not in finding.remedy


@pytest.mark.one_backend
def test_targets_and_weights_are_looked_at_too() -> None:
    targets, weights = Y.copy(), np.ones(32, "float32")
    targets[3], weights[5:7] = np.nan, np.nan
    for arguments, message in (
        ({"y": targets}, "`y` holds 1 NaN, in 1 of the 32"),
        ({"y": Y, "sample_weight": weights}, "`sample_weight` holds 2 NaN"),
    ):
        with pytest.warns(GradientWarning, match=message):
            regression().fit(X, **arguments, verbose=0, callbacks=[GradientMonitor()])


@pytest.mark.one_backend
def test_of_several_inputs_the_one_is_named() -> None:
    inputs = {"a": keras.Input((4,), name="a"), "b": keras.Input((4,), name="b")}
    joined = keras.layers.add(list(inputs.values()))
    model = keras.Model(inputs, keras.layers.Dense(1)(joined))
    model.compile("sgd", loss="mse")
    with pytest.warns(GradientWarning, match=r"`x\['b'\]` holds 3 NaN"):
        model.fit({"a": X, "b": BAD}, Y, verbose=0, callbacks=[GradientMonitor()])


class Logarithm(keras.layers.Layer):
    def call(self, x: Any) -> Any:
        return keras.ops.log(x * 0.0)


@pytest.mark.one_backend
def test_finite_data_leave_the_advice_as_it_was() -> None:
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(1), Logarithm(), keras.layers.Dense(1)]
    )
    model.compile("sgd", loss="mse")
    with pytest.warns(GradientWarning, match=r"Check inputs and targets for NaN, log"):
        model.fit(X, Y, verbose=0, callbacks=[GradientMonitor()])


@pytest.mark.one_backend
def test_data_that_can_be_read_once_are_left_alone() -> None:
    def generated() -> Iterator[Any]:
        for _ in range(3):
            yield BAD, Y

    with pytest.warns(GradientWarning, match="Check inputs and targets"):
        regression().fit(
            generated(),
            steps_per_epoch=3,
            shuffle=False,
            verbose=0,
            callbacks=[GradientMonitor()],
        )


class Look(keras.callbacks.Callback):
    def __init__(self) -> None:
        super().__init__()
        self.draws: list[Any] = []

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        state = np.random.get_state()[1].copy()
        FitData(self.model).fault()
        assert (np.random.get_state()[1] == state).all()


def test_looking_changes_neither_weights_nor_the_order_of_the_data() -> None:
    results = []
    for callbacks in ([], [Look()]):
        keras.utils.set_random_seed(3)
        torch.manual_seed(3)
        model = regression()
        history = model.fit(
            X, Y, batch_size=5, epochs=2, verbose=0, callbacks=callbacks
        )
        results.append((history.history["loss"], model.get_weights()))
    assert results[0][0] == results[1][0]
    np.testing.assert_array_equal(results[0][1][0], results[1][1][0])


def test_outside_of_fit_nothing_is_known_of_the_data() -> None:
    assert FitData(regression()).fault() == ""


@pytest.mark.one_backend
def test_the_monitor_keeps_no_data_after_training_and_can_be_copied_meanwhile() -> None:
    class Copying(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
            assert copy.deepcopy(monitor)._fit_data is None
            assert monitor._fit_data is not None

    monitor = GradientMonitor()
    regression().fit(X, Y, verbose=0, callbacks=[monitor, Copying()])
    assert monitor._fit_data is None
