"""What is trained inside `preserved` has never been: bit for bit, on every backend."""

import random
import threading
from collections.abc import Iterator

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch

from keras_deeptools.engine._data.batch_loss import batch_loss
from keras_deeptools.engine._data.fit_batches import Batches
from keras_deeptools.engine._state.snapshot import Snapshot, preserved

BACKEND = keras.backend.backend()
X = np.random.default_rng(0).normal(size=(22, 4)).astype("float32")
Y = X[:, :1] * X[:, 1:2]


def random_model(optimizer: object = "adam", built: bool = True) -> keras.Model:
    """A model whose training depends on every random state there is."""
    layers = [
        keras.layers.Dense(6, "relu"),
        keras.layers.BatchNormalization(),
        keras.layers.Dropout(0.5),
        keras.layers.GaussianNoise(0.1),
        keras.layers.Dense(1),
    ]
    model = keras.Sequential([keras.Input((4,)), *layers] if built else layers)
    model.compile(optimizer, loss="mse", metrics=["mae"])
    return model


def start(seed: int = 1) -> None:
    keras.utils.set_random_seed(seed)
    torch.manual_seed(seed)  # for data; Keras does it on its own backend only


def state(model: keras.Model) -> list[np.ndarray]:
    variables = [*model.variables, *model.optimizer.variables]
    return [np.array(keras.ops.convert_to_numpy(v.value)) for v in variables]


def fit(model: keras.Model, x: object = X, y: object = Y, **kwargs: object) -> list:
    kwargs = {"batch_size": 4, "epochs": 2, "verbose": 0} | kwargs
    if y is None:
        del kwargs["batch_size"]
    history = model.fit(x, y, **kwargs)
    return [*history.history["loss"], *history.history["mae"]]


def search(model: keras.Model, batches: Batches, num_steps: int = 9) -> None:
    """Train on some batches and draw from every random state."""
    with batches.endless() as endless:
        for _ in range(num_steps):
            batch_loss(model, next(endless))
    random.random()
    np.random.random()
    keras.random.normal((2,))
    torch.rand(2)
    tf.random.uniform((2,))


def assert_same(these: list[np.ndarray], those: list[np.ndarray]) -> None:
    assert len(these) == len(those)
    for this, that in zip(these, those, strict=True):
        np.testing.assert_array_equal(this, that)


OPTIMIZERS = {
    "Adam": lambda: keras.optimizers.Adam(0.01),
    "SGD with momentum and a schedule": lambda: keras.optimizers.SGD(
        keras.optimizers.schedules.ExponentialDecay(0.01, 3, 0.5), momentum=0.9
    ),
    "AdamW with averaging and accumulation": lambda: keras.optimizers.AdamW(
        0.01, use_ema=True, gradient_accumulation_steps=2
    ),
    "loss scaling": lambda: keras.optimizers.LossScaleOptimizer(
        keras.optimizers.Adam(0.01)
    ),
}


# --- Search, then fit, is fit --------------------------------------------------------


@pytest.mark.alternates("make", but=("loss scaling",))
@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_fit_after_a_search_equals_fit(make: object) -> None:
    start()
    plain = random_model(make())
    expected = fit(plain)

    start()
    model = random_model(make())
    batches = Batches(model, X, Y, batch_size=4)
    with preserved(model, build=batches.build):
        search(model, batches)
    assert fit(model) == expected
    assert_same(state(model), state(plain))


def test_fit_after_a_search_equals_fit_for_a_model_that_was_not_built() -> None:
    start()
    plain = random_model(built=False)
    expected = fit(plain)

    start()
    model = random_model(built=False)
    batches = Batches(model, X, Y, batch_size=4)
    with preserved(model, build=batches.build):
        search(model, batches)
    assert fit(model) == expected
    assert_same(state(model), state(plain))


def test_fit_after_a_search_between_two_fits_equals_fit() -> None:
    start()
    plain = random_model()
    fit(plain)
    expected = fit(plain)

    start()
    model = random_model()
    fit(model)
    batches = Batches(model, X, Y, batch_size=4)
    with preserved(model, build=batches.build):
        search(model, batches)
    assert fit(model) == expected
    assert_same(state(model), state(plain))


def shuffled_loader() -> torch.utils.data.DataLoader:
    data = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y))
    generator = torch.Generator().manual_seed(7)
    return torch.utils.data.DataLoader(
        data, batch_size=4, shuffle=True, generator=generator
    )


def plain_loader() -> torch.utils.data.DataLoader:
    data = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y))
    return torch.utils.data.DataLoader(data, batch_size=4, shuffle=True)


class Shaken(keras.utils.PyDataset):
    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        rows = slice(4 * index, 4 * index + 4)
        return X[rows] + np.random.normal(size=(4, 4)).astype("float32"), Y[rows]


SOURCES = {
    "Dataset": lambda: tf.data.Dataset.from_tensor_slices((X, Y)).batch(4),
    "PyDataset": Shaken,
    "DataLoader": plain_loader,
    "DataLoader with its own generator": shuffled_loader,
}


@pytest.mark.alternates("make")
@pytest.mark.parametrize("make", SOURCES.values(), ids=SOURCES)
def test_fit_after_a_search_equals_fit_for_data_that_can_be_read_again(
    make: object,
) -> None:
    shuffle = make is Shaken
    start()
    plain = random_model()
    expected = fit(plain, make(), None, shuffle=shuffle)

    start()
    model = random_model()
    data = make()
    batches = Batches(model, data, shuffle=shuffle)
    with preserved(model, *batches.generators, build=batches.build):
        search(model, batches)
    if BACKEND == "tensorflow" and make is Shaken:
        return  # Keras draws from numpy in a thread there: no two fits are equal.
    assert fit(model, data, None, shuffle=shuffle) == expected
    assert_same(state(model), state(plain))


# --- Everything is put back, whatever happens ----------------------------------------


def test_attributes_of_the_optimizer_are_put_back() -> None:
    model = random_model()
    snapshot = Snapshot(model)
    model.optimizer.clipnorm = 0.5
    snapshot.restore()
    assert model.optimizer.clipnorm is None


class Interruption(BaseException):
    """Stands for Ctrl-C, which pytest would take for itself."""


@pytest.mark.alternates("error")
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, Interruption])
def test_everything_is_put_back_after_an_exception(error: type) -> None:
    start()
    model = random_model()
    fit(model)
    before = state(model)
    random_states = random.getstate(), np.random.get_state()[1].tolist()
    with pytest.raises(error):
        with preserved(model):
            search(model, Batches(model, X, Y, batch_size=4), num_steps=2)
            raise error
    assert_same(state(model), before)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == random_states


class Failing(keras.callbacks.Callback):
    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        if batch == 1:
            raise RuntimeError("stop")


def test_a_fit_that_breaks_off_inside_is_undone() -> None:
    start()
    model = random_model()
    fit(model)
    before = state(model)
    with pytest.raises(RuntimeError, match="stop"), preserved(model):
        fit(model, callbacks=[Failing()])
    assert_same(state(model), before)
    assert np.isfinite(fit(model)).all()


def test_metrics_keep_their_values() -> None:
    model = random_model()
    model.train_on_batch(X, Y)
    before = {name: float(value) for name, value in model.get_metrics_result().items()}
    with preserved(model):
        model.train_on_batch(X + 1, Y)
    after = {name: float(value) for name, value in model.get_metrics_result().items()}
    assert after == before


def test_an_optimizer_that_was_not_built_can_be_built_for_other_variables() -> None:
    for kind in ("Adam", "loss scaling"):
        model = random_model(OPTIMIZERS[kind]())
        batches = Batches(model, X, Y, batch_size=4)
        with preserved(model, build=batches.build):
            search(model, batches, num_steps=2)
        assert not model.optimizer.built
        model.layers[0].trainable = False
        kernel = model.layers[0].get_weights()[0]
        model.train_function = None
        assert np.isfinite(fit(model)).all()
        np.testing.assert_array_equal(model.layers[0].get_weights()[0], kernel)


def test_several_optimizers_in_one_are_put_back() -> None:
    inside = keras.optimizers.OptimizerMap(keras.optimizers.SGD(0.01))
    inside[".*kernel"] = keras.optimizers.Adam(0.01)
    model = random_model(keras.optimizers.MultiOptimizer(inside))
    batches = Batches(model, X, Y, batch_size=4)
    with preserved(model, build=batches.build):
        search(model, batches, num_steps=2)
    assert not any(each.built for each in model.optimizer.optimizers)
    assert np.isfinite(fit(model)).all()


def test_compiled_functions_and_attributes_are_the_ones_from_before() -> None:
    model = random_model()
    fit(model)
    before = model.train_function, model.test_function, model.history
    with preserved(model):
        model.steps_per_execution = 1
        model.train_function = None
        model.evaluate(X, Y, verbose=0)
        fit(model)
        model.stop_training = True
    assert (model.train_function, model.test_function, model.history) == before
    assert model.stop_training is False


def test_a_snapshot_can_be_restored_twice() -> None:
    model = random_model()
    snapshot = Snapshot(model)
    before = state(model)
    for _ in range(2):
        model.train_on_batch(X, Y)
        snapshot.restore()
        assert_same(state(model)[: len(before)], before)


def test_unseeded_operations_draw_the_same_numbers_again() -> None:
    model = random_model()
    for warm_up in (False, True):
        if warm_up:
            keras.random.normal((2,))
        snapshot = Snapshot(model)
        drawn = []
        for _ in range(2):
            drawn.append(keras.ops.convert_to_numpy(keras.random.normal((3,))))
            snapshot.restore()
        np.testing.assert_array_equal(*drawn)


# --- Batches -------------------------------------------------------------------------


def numbers(batches: Batches, count: int) -> list[float]:
    """The first number of the inputs of some batches."""
    with batches.endless() as endless:
        drawn = [next(endless)[0] for _ in range(count)]
    return [float(keras.ops.convert_to_numpy(x)[0, 0]) for x in drawn]


def count_to(end: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for number in range(end):
        yield np.full((2, 4), number, "float32"), np.zeros((2, 1), "float32")


def test_batches_start_again_where_the_data_end() -> None:
    x = np.arange(10, dtype="float32")[:, None] * np.ones((1, 4), "float32")
    batches = Batches(random_model(), x, x[:, :1], batch_size=4, shuffle=False)
    assert batches.num_batches == 3
    assert numbers(batches, 7) == [0, 4, 8, 0, 4, 8, 0]


def test_batches_of_data_of_unknown_length_start_again_where_they_end() -> None:
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(8).filter(lambda x, y: True)
    batches = Batches(random_model(), data)
    assert batches.num_batches is None
    first = numbers(batches, 3)
    assert numbers(batches, 6) == first * 2


def test_batches_of_a_generator_start_again_where_it_ends() -> None:
    batches = Batches(random_model(), count_to(3))
    assert batches.one_pass
    assert numbers(batches, 7) == [0, 1, 2, 0, 1, 2, 0]


def test_a_replay_gives_what_the_generator_would_have_given() -> None:
    batches = Batches(random_model(), count_to(6))
    numbers(batches, 4)
    replayed = [float(x[0, 0]) for x, _ in batches.replay()]
    assert replayed == [0, 1, 2, 3, 4, 5]


def test_fit_on_the_replay_after_a_search_equals_fit_on_the_generator() -> None:
    start()
    plain = random_model()
    options = {"epochs": 1, "shuffle": False, "steps_per_epoch": 8}
    expected = fit(plain, count_to(8), None, **options)

    start()
    model = random_model()
    batches = Batches(model, count_to(8))
    with preserved(model, build=batches.build):
        search(model, batches, num_steps=5)
    assert fit(model, batches.replay(), None, **options) == expected
    assert_same(state(model), state(plain))


def test_data_that_can_be_read_again_need_no_replay() -> None:
    assert Batches(random_model(), X, Y).replay() is None


class Threaded(Shaken):
    def __init__(self) -> None:
        super().__init__(workers=2)


def test_closing_ends_the_threads_that_load_data() -> None:
    before = threading.active_count()
    numbers(Batches(random_model(), Threaded()), 3)
    workers = [t for t in threading.enumerate() if t.name.startswith("Worker_")]
    assert not workers and threading.active_count() <= before + 1


@pytest.mark.parametrize(
    "make",
    [
        lambda: (X[:0], Y[:0]),
        lambda: (count_to(0),),
        lambda: (tf.data.Dataset.from_tensor_slices((X[:0], Y[:0])).batch(4),),
        lambda: (
            tf.data.Dataset.from_tensor_slices((X, Y))
            .batch(4)
            .filter(lambda x, y: False),
        ),
    ],
    ids=["arrays", "generator", "Dataset", "Dataset of unknown length"],
)
def test_empty_data_are_refused(make: object) -> None:
    with pytest.raises(ValueError, match="`x` must hold at least one batch"):
        Batches(random_model(), *make())


def test_loss_of_a_batch_is_its_own_with_its_weights() -> None:
    x, y = np.ones((2, 1)), np.array([[1.0], [3.0]])
    model = keras.Sequential(
        [keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="zeros")]
    )
    model.compile(keras.optimizers.SGD(0.0), loss="mse")
    losses = [
        batch_loss(model, batch)
        for batch in [(x, y), (x, y, np.array([1.0, 0.0])), (x, 2 * y)]
    ]
    np.testing.assert_allclose(losses, [5.0, 0.5, 20.0])


class Silent(keras.Model):
    def train_step(self, *args: object) -> object:
        result = super().train_step(*args)
        if BACKEND == "jax":
            return {"other": result[0]["loss"]}, result[1]
        return {"other": result["loss"]}


def test_a_train_step_without_a_loss_is_named() -> None:
    inputs = keras.Input((4,))
    model = Silent(inputs, keras.layers.Dense(1)(inputs))
    model.compile("sgd", loss="mse")
    with pytest.raises(ValueError, match="`train_step` must report the loss"):
        batch_loss(model, (X, Y))


class AroundTorch(keras.Model):
    """Holds a module of torch, whose running averages are no Keras variables."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = torch.nn.BatchNorm1d(4)
        self.out = keras.layers.Dense(1)

    def call(self, inputs: object) -> object:
        return self.out(self.norm(inputs))


@pytest.mark.one_backend
def test_torch_modules_that_a_model_holds_are_put_back() -> None:
    model = AroundTorch()
    model.compile("sgd", loss="mse")
    norm = model.norm.module
    with preserved(model):
        model.train_on_batch(X + 3, Y)
        assert norm.running_mean.abs().max() > 0.1
    assert norm.running_mean.abs().max() == 0 and norm.num_batches_tracked == 0


@pytest.mark.one_backend
def test_torch_modules_in_a_graph_are_put_back() -> None:
    norm = torch.nn.BatchNorm1d(4)
    wrapped = keras.layers.TorchModuleWrapper(norm)
    model = keras.Sequential([keras.Input((4,)), wrapped, keras.layers.Dense(1)])
    model.compile("sgd", loss="mse")
    before = norm.running_mean.clone(), norm.num_batches_tracked.clone()
    with preserved(model):
        model.train_on_batch(X + 3, Y)
        assert not norm.running_mean.equal(before[0])
    assert norm.running_mean.equal(before[0])
    assert norm.num_batches_tracked == before[1]
