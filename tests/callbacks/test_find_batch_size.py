"""The search for a batch size: what it suggests, and that it leaves nothing behind."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_deeptools.callbacks import find_batch_size
from keras_deeptools.callbacks._find_batch_size.find_batch_size import BatchSizeSearch

RNG = np.random.default_rng(0)
X = RNG.normal(size=(96, 4)).astype("float32")
Y = X[:, :1] * X[:, 1:2]


class FullFrom64(layers.Layer):
    """Asks for four tebibytes where there are 64 samples or more."""

    def call(self, x: Any) -> Any:
        width = ops.shape(x)[0] // 64 * 2**20 + 1
        table = x[0, 0] * ops.cumsum(ops.ones((width, width)), axis=0)
        return x + 0 * ops.max(ops.sort(table))

    def compute_output_spec(self, x: Any) -> Any:
        return keras.KerasTensor(x.shape, x.dtype)


def network(*parts: Any, **options: Any) -> keras.Model:
    keras.utils.set_random_seed(3)
    hidden = [layers.Dense(8, "relu"), layers.BatchNormalization(), layers.Dropout(0.5)]
    model = keras.Sequential([keras.Input((4,)), *parts, *hidden, layers.Dense(1)])
    model.compile("adam", "mse", metrics=["mae"], **options)
    return model


def weights(model: keras.Model) -> list[np.ndarray]:
    return [np.array(ops.convert_to_numpy(v)) for v in model.variables]


def search(model: keras.Model, *data: Any, **options: Any) -> BatchSizeSearch:
    return find_batch_size(model, *data, seconds=0.004, min_steps=1, **options)


def test_search_then_fit_is_fit() -> None:
    def trained(is_searched: bool) -> list[np.ndarray]:
        model = network()
        model.fit(X, Y, 16, verbose=0)
        if is_searched:
            assert int(search(model, X, Y, max_batch_size=8)) == 8
        model.fit(X, Y, 16, verbose=0)
        return weights(model)

    for this, that in zip(trained(True), trained(False), strict=True):
        np.testing.assert_array_equal(this, that)


def test_a_size_that_does_not_fit_ends_the_search() -> None:
    found = search(network(FullFrom64()), X, Y, min_batch_size=32)
    assert found.batch_sizes.tolist() == [32, 64]
    assert (int(found), found.failed) == (32, 64)


@pytest.mark.one_backend
def test_a_search_for_memory_ends_just_below_what_does_not_fit() -> None:
    found = search(network(FullFrom64()), X, Y, goal="memory", min_batch_size=32)
    assert found.batch_sizes.tolist() == [32, 48, 56, 60, 64]
    assert (int(found), found.largest, found.failed) == (60, 60, 64)
    assert "out of memory" in str(found)
    assert found.to_dataframe().samples_per_second.isna().tolist()[-1]


@pytest.mark.one_backend
def test_a_first_size_that_does_not_fit_is_an_error_that_leaves_the_model() -> None:
    model = network(FullFrom64())
    before = weights(model)
    with pytest.raises(MemoryError, match="`min_batch_size` must fit .*=64"):
        search(model, X, Y, min_batch_size=64)
    for this, that in zip(weights(model), before, strict=True):
        np.testing.assert_array_equal(this, that)


class Pairs(keras.utils.PyDataset):
    """Twelve batches of 8 samples."""

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> Any:
        return X[8 * index : 8 * index + 8], Y[8 * index : 8 * index + 8]


@pytest.mark.one_backend
def test_batches_of_a_dataset_are_cut_anew() -> None:
    found = search(network(), Pairs(), min_batch_size=12, max_batch_size=24)
    assert found.batch_sizes.tolist() == [12, 24]


@pytest.mark.one_backend
def test_the_batches_of_a_generator_can_be_read_again() -> None:
    def pairs() -> Iterator[Any]:
        for index in range(12):
            yield Pairs()[index]

    found = search(network(), pairs(), max_batch_size=16)
    assert len(list(found.data)) == 12


@pytest.mark.one_backend
def test_samples_of_several_lengths_are_refused() -> None:
    class Ragged(Pairs):
        def __getitem__(self, index: int) -> Any:
            return np.ones((4, 3 + index, 2)), np.ones((4, 1))

    pooled = [keras.Input((None, 2)), layers.GlobalAveragePooling1D(), layers.Dense(1)]
    model = keras.Sequential(pooled)
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="find_batch_size: `x` must have samples of"):
        search(model, Ragged())


@pytest.mark.backend_free
def test_the_smallest_size_that_is_nearly_as_fast_as_the_fastest_is_suggested() -> None:
    speeds = {8: 100.0, 16: 180.0, 32: 195.0, 64: 200.0, 128: float("nan")}
    found = BatchSizeSearch(speeds, "speed", 0.1)
    assert (int(found), found.largest, found.failed) == (16, 64, 128)
    assert int(BatchSizeSearch(speeds, "memory", 0.1)) == 64


@pytest.mark.one_backend
def test_what_is_out_of_range_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="`max_batch_size` must be .*max_batch_size=4"):
        search(network(), X, Y, max_batch_size=4)
    with pytest.raises(ValueError, match="`min_batch_size` must be at most the number"):
        search(network(), X, Y, min_batch_size=128)
