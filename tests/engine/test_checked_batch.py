"""Which batches a model can take, and building it from them."""

from collections.abc import Callable, Iterator

import keras
import numpy as np
import pytest
from keras import layers

from keras_deeptools.engine._data.checks import checked_batch

TOKENS = np.arange(12).reshape(3, 4)
FLOATS = np.ones((3, 4), "float32")


class Tokens(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.table = layers.Embedding(12, 2)

    def call(self, inputs: object) -> object:
        return self.table(inputs)


def test_token_ids_stay_integers_and_build_a_model_that_looks_them_up() -> None:
    model = Tokens()
    batch = checked_batch("owner", model, TOKENS)
    assert batch.x.dtype.kind == "i" and model.table.embeddings.shape == (12, 2)


def test_an_input_declared_as_integers_takes_them() -> None:
    inputs = keras.Input((4,), dtype="uint8")
    outputs = layers.Dense(2)(layers.Rescaling(1 / 255)(inputs))
    model = keras.Model(inputs, outputs)
    assert checked_batch("owner", model, TOKENS.astype("uint8")).rows == 3


def two_inputs() -> keras.Model:
    tokens, floats = keras.Input((4,), name="tokens"), keras.Input((4,), name="floats")
    embedded = layers.Flatten()(layers.Embedding(12, 2)(tokens))
    joined = layers.Concatenate()([embedded, floats])
    return keras.Model([tokens, floats], layers.Dense(1)(joined))


@pytest.mark.parametrize(
    "x", [[TOKENS, FLOATS], {"floats": FLOATS, "tokens": TOKENS}], ids=["list", "dict"]
)
def test_lists_and_dicts_by_name_are_taken(x: object) -> None:
    assert checked_batch("owner", two_inputs(), x).rows == 3


def test_an_input_of_the_wrong_shape_is_named_with_what_was_expected() -> None:
    wrong = {"floats": FLOATS[:, :2], "tokens": TOKENS}
    with pytest.raises(ValueError, match=r"'floats', \(None, 4\). Received: shape=\(3"):
        checked_batch("owner", two_inputs(), wrong)


def test_a_missing_trailing_axis_of_one_is_as_good_as_one_there() -> None:
    model = keras.Sequential([keras.Input((4, 1)), layers.Dense(2)])
    assert checked_batch("owner", model, FLOATS).rows == 3


def test_rows_of_inputs_and_targets_must_agree() -> None:
    with pytest.raises(ValueError, match="^owner: all of .* same number of samples"):
        checked_batch("owner", two_inputs(), [TOKENS, FLOATS], np.ones((2, 1)))


def test_a_model_that_is_not_built_refuses_a_wrong_rank_with_the_reason() -> None:
    model = keras.Sequential([layers.Conv2D(2, 3), layers.Dense(1)])
    with pytest.raises(ValueError, match=r"^owner: .*shape=\(3, 4\).*min_ndim=4"):
        checked_batch("owner", model, FLOATS)


def test_of_a_built_model_without_a_graph_the_error_says_what_it_was_built_for() -> (
    None
):
    inner = keras.Sequential([layers.Dense(2)])
    model = Wrapped(inner)
    model(FLOATS)
    with pytest.raises(ValueError, match=r"built for shape \(3, 4\)"):
        checked_batch("owner", model, FLOATS[:, :2])


class Wrapped(keras.Model):
    def __init__(self, inner: keras.Model) -> None:
        super().__init__()
        self.inner = inner

    def call(self, inputs: object) -> object:
        return self.inner(inputs)


class Dynamic(keras.Model):
    """Needs numbers: cannot be passed through by shapes alone."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = layers.Dense(2)
        self.noise = layers.GaussianNoise(1.0)

    def call(self, inputs: object) -> object:
        if float(np.asarray(keras.ops.convert_to_numpy(inputs)).max()) > 0:
            inputs = inputs + 0.0
        return self.noise(self.dense(inputs))


def test_a_model_whose_code_looks_at_numbers_is_built_by_a_call() -> None:
    model = Dynamic()
    checked_batch("owner", model, FLOATS)
    assert model.dense.kernel.shape == (4, 2)


def small() -> keras.Model:
    return keras.Sequential([layers.Dense(2)])


class Batches(keras.utils.PyDataset):
    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> tuple:
        return FLOATS, np.full((3, 1), index)


def test_a_dataset_gives_several_batches_with_their_targets() -> None:
    batch = checked_batch("owner", small(), Batches())
    assert batch.rows == 9 and batch.y[:, 0].tolist() == [0] * 3 + [1] * 3 + [2] * 3


def test_a_generator_loses_one_batch() -> None:
    def batches() -> Iterator[tuple]:
        for index in range(3):
            yield FLOATS, np.full((3, 1), index)

    source = batches()
    batch = checked_batch("owner", small(), source)
    assert batch.rows == 3 and len(list(source)) == 2


class Framed:
    """What a table of columns is to Keras: it converts itself to an array."""

    shape = (3, 4)
    dtype = np.dtype("float64")

    def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
        return FLOATS.astype("float64")


def test_what_converts_itself_to_an_array_is_taken() -> None:
    assert checked_batch("owner", small(), Framed()).x.dtype == "float32"


def test_object_columns_are_refused_with_the_reason_of_keras() -> None:
    columns = np.array([[1.0, "a"], [2.0, "b"]], object)
    with pytest.raises(TypeError, match="^owner: `x` must be an array of.* object"):
        checked_batch("owner", small(), columns)


def test_of_long_arrays_rows_at_even_distances_are_taken() -> None:
    x = np.arange(10000.0)[:, None]
    batch = checked_batch("owner", small(), x, x)
    assert batch.rows == 3334 and batch.x[1, 0] == batch.y[1, 0] == 3


@pytest.mark.parametrize("kind", [Dynamic, small])
def test_random_states_stay_as_they_are(kind: Callable[[], keras.Model]) -> None:
    model = kind()
    keras.utils.set_random_seed(1)
    expected = np.random.normal(), np.asarray(keras.random.normal((2,)))
    keras.utils.set_random_seed(1)
    checked_batch("owner", model, Batches())
    assert np.random.normal() == expected[0]
    np.testing.assert_array_equal(np.asarray(keras.random.normal((2,))), expected[1])


class Trainer(keras.Model):
    """Trains two networks in a step of its own, as a GAN or a VAE does."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = keras.Sequential(
            [keras.Input((4,)), layers.Dense(2)], name="encoder"
        )
        self.decoder = keras.Sequential(
            [keras.Input((2,)), layers.Dense(4)], name="decoder"
        )

    def train_step(self, *arguments: object) -> dict:
        raise NotImplementedError


def test_of_a_model_without_call_the_networks_that_take_the_inputs_are_found() -> None:
    model = Trainer()
    batch = checked_batch("owner", model, FLOATS)
    assert batch.networks == [model.encoder] and batch.others == ["decoder"]


def test_where_no_network_takes_the_inputs_all_are_named() -> None:
    with pytest.raises(ValueError, match="'encoder', 'decoder'; x: shape=.3, 3."):
        checked_batch("owner", Trainer(), np.ones((3, 3)))
