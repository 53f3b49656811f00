"""Features on disk: whole or not there, checked, and computed anew where in doubt."""

import json
import os
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_deeptools.transfer import CachedFeatures, cache_features, freeze
from keras_deeptools.transfer._features.compute_features import RowDigest
from keras_deeptools.transfer._features.store import LIST, FeatureFiles, MemoryStore

pytestmark = pytest.mark.one_backend

SPECS = {"one": ((2,), "float32"), "two": ((), "bool")}
ROWS = {"one": np.ones((3, 2), "float32"), "two": np.array([True, False, True])}
X = np.random.default_rng(0).normal(size=(12, 4)).astype("float32")
Y = np.arange(12) % 2


def written(files: FeatureFiles, key: str = "key", times: int = 2) -> dict:
    with files.writing(SPECS) as writer:
        for _ in range(times):
            writer.append(ROWS)
        return writer.finish(key)


def test_an_entry_is_found_memory_mapped_and_read_only(tmp_path: Path) -> None:
    written(FeatureFiles(tmp_path))
    found = FeatureFiles(tmp_path).find("key")
    np.testing.assert_array_equal(found["one"], np.ones((6, 2)))
    np.testing.assert_array_equal(found["two"], [True, False, True] * 2)
    for array in found.values():
        assert isinstance(array, np.memmap) and not array.flags.writeable


def test_files_are_plain_numpy_files(tmp_path: Path) -> None:
    written(FeatureFiles(tmp_path), times=1)
    array = np.load(tmp_path / "key" / "one.npy", allow_pickle=False)
    np.testing.assert_array_equal(array, ROWS["one"])


def test_what_is_written_is_nowhere_to_be_found_before_its_end(tmp_path: Path) -> None:
    files = FeatureFiles(tmp_path)
    with pytest.raises(KeyboardInterrupt), files.writing(SPECS) as writer:
        writer.append(ROWS)
        assert files.find("key") is None
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("hours", [1, 25])
def test_what_was_left_behind_is_removed_a_day_later(
    hours: int, tmp_path: Path
) -> None:
    left = tmp_path / ".writing-1-0123456789abcdef"
    left.mkdir()
    (left / "one.npy").write_bytes(b"half")
    then = time.time() - 3600 * hours
    for path in (left / "one.npy", left):
        os.utime(path, (then, then))
    FeatureFiles(tmp_path)
    assert left.exists() == (hours < 24)


@pytest.mark.slow
def test_what_a_killed_process_leaves_is_not_taken_for_an_entry(tmp_path: Path) -> None:
    package = Path(__file__).parents[2]
    code = (
        "import os, sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "import numpy as np\n"
        "from keras_deeptools.transfer._features.store import FeatureFiles\n"
        "with FeatureFiles(Path(sys.argv[2])).writing({'a': ((2,), 'float32')}) as w:\n"
        "    w.append({'a': np.ones((3, 2), 'float32')})\n"
        "    os._exit(9)\n"
    )
    command = [sys.executable, "-c", code, str(package), str(tmp_path)]
    done = subprocess.run(command, timeout=300, check=False)
    files = FeatureFiles(tmp_path)
    assert done.returncode == 9 and len(list(tmp_path.iterdir())) == 1
    assert files.find("key") is None
    written(files)
    assert files.find("key") is not None


def test_of_two_that_write_at_once_the_first_wins_and_both_get_all_rows(
    tmp_path: Path,
) -> None:
    files = [FeatureFiles(tmp_path), FeatureFiles(tmp_path)]
    with files[0].writing(SPECS) as first, files[1].writing(SPECS) as second:
        second.append(ROWS)
        first.append(ROWS)
        found = [first.finish("key"), second.finish("key")]
    for arrays in found:
        np.testing.assert_array_equal(arrays["one"], ROWS["one"])
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def flip_a_byte(folder: Path) -> None:
    file = folder / "one.npy"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def cut_short(folder: Path) -> None:
    file = folder / "one.npy"
    file.write_bytes(file.read_bytes()[:-4])


def pickle_instead(folder: Path) -> None:
    np.save(folder / "one.npy", np.array([{}], object), allow_pickle=True)


def claim_another_key(folder: Path) -> None:
    facts = json.loads((folder / LIST).read_text())
    (folder / LIST).write_text(json.dumps({**facts, "key": "other"}))


def list_nonsense(folder: Path) -> None:
    (folder / LIST).write_text("[1, 2]")


def lose_a_file(folder: Path) -> None:
    (folder / "two.npy").unlink()


def lose_the_list(folder: Path) -> None:
    (folder / LIST).unlink()


@pytest.mark.parametrize(
    "damage",
    [
        flip_a_byte,
        cut_short,
        pickle_instead,
        claim_another_key,
        list_nonsense,
        lose_a_file,
        lose_the_list,
    ],
)
def test_what_is_damaged_is_not_found_and_replaced_when_written(
    tmp_path: Path, damage
) -> None:
    files = FeatureFiles(tmp_path)
    written(files)
    damage(files.path("key"))
    assert files.find("key") is None
    np.testing.assert_array_equal(written(files)["one"], np.ones((6, 2)))
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_what_is_damaged_and_cannot_be_removed_is_an_error_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = FeatureFiles(tmp_path)
    written(files)

    def refuse(source: Path, target: Path) -> None:
        raise PermissionError(13, "in use", str(source))

    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(OSError, match=r"cache_features: .*key is damaged or out of"):
        files.remove("key")
    assert files.find("key") is not None


def test_what_another_process_has_removed_is_removed(tmp_path: Path) -> None:
    FeatureFiles(tmp_path).remove("key")
    assert list(tmp_path.iterdir()) == []


def test_the_digest_of_rows_does_not_depend_on_how_they_are_cut() -> None:
    whole, cut, other = RowDigest(), RowDigest(), RowDigest()
    whole.update({"a": X, "b": Y})
    for rows in (slice(0, 5), slice(5, 12)):
        cut.update({"a": X[rows], "b": Y[rows]})
    other.update({"a": X[::-1], "b": Y})
    assert whole.hexdigest() == cut.hexdigest() != other.hexdigest()


# --- With a model --------------------------------------------------------------------


def frozen_model(scale: float = 1.0, head: int = 2) -> keras.Model:
    keras.utils.set_random_seed(0)
    start = keras.initializers.Constant(0.1 * scale)
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(3, "tanh", kernel_initializer=start, name="body"),
            keras.layers.Dense(head, "softmax"),
        ]
    )
    freeze(model, "body")
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


def cached(directory: Path, model: keras.Model, x: object = X) -> CachedFeatures:
    return cache_features(model, x, Y, batch_size=5, directory=directory, verbose=0)


def entries(directory: Path) -> int:
    return len(list(directory.iterdir()))


def test_training_on_files_is_training_on_memory(tmp_path: Path) -> None:
    twins = frozen_model(), frozen_model()
    options = {"epochs": 2, "batch_size": 5, "verbose": 0, "shuffle": False}
    options["validation_data"] = (X[:6], Y[:6])
    expected = cache_features(twins[0], X, Y, batch_size=5, verbose=0).fit(**options)
    history = cached(tmp_path, twins[1]).fit(**options)
    for name, series in expected.history.items():
        np.testing.assert_allclose(history.history[name], series, atol=1e-6)
    for one, two in zip(*(twin.get_weights() for twin in twins), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6)


def test_what_numpy_does_not_know_is_kept_as_float32(tmp_path: Path) -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = frozen_model()
    cache = cached(tmp_path, model)
    assert cache.features[0].dtype == "float32"
    with cache.feeding():
        outputs = model.predict(cache.rows()[0], verbose=0)
    expected = model.predict(X, verbose=0)
    np.testing.assert_allclose(outputs, expected, atol=1e-6)


def test_every_row_of_files_is_trained_on_in_shuffled_order(tmp_path: Path) -> None:
    model = frozen_model()
    model.optimizer.learning_rate = 0.0
    keras.utils.set_random_seed(1)
    loss = cached(tmp_path, model).fit(batch_size=4, verbose=0).history["loss"][0]
    assert loss == pytest.approx(model.evaluate(X, Y, verbose=0), rel=1e-5)


@pytest.mark.parametrize("seed", [None, 3])
def test_views_are_found_by_what_they_were_drawn_from(tmp_path: Path, seed) -> None:
    def noisy() -> keras.Model:
        noise = keras.layers.GaussianNoise(1.0, seed=5)
        model = keras.Sequential([keras.Input((4,)), noise, *frozen_model().layers])
        freeze(model, "body")
        return model

    options = {"directory": tmp_path, "views": 2, "batch_size": 5, "verbose": 0}
    one = cache_features(noisy(), X, Y, seed=seed, **options)
    written_at = (one.path / LIST).stat().st_mtime_ns
    two = cache_features(noisy(), X, Y, seed=seed, **options)
    assert one.path == two.path and entries(tmp_path) == 1
    assert (two.path / LIST).stat().st_mtime_ns == written_at
    np.testing.assert_array_equal(one.features[0], two.features[0])
    cache_features(noisy(), X, Y, seed=4, **options)
    assert entries(tmp_path) == 2


def test_files_are_found_by_another_model_with_the_same_body(tmp_path: Path) -> None:
    one = cached(tmp_path, frozen_model())
    two = cached(tmp_path, frozen_model(head=5))
    assert one.path == two.path and entries(tmp_path) == 1
    assert isinstance(two.features[0], np.memmap)


def test_other_weights_layers_or_data_have_files_of_their_own(tmp_path: Path) -> None:
    cached(tmp_path, frozen_model())
    cached(tmp_path, frozen_model(scale=2.0))
    cached(tmp_path, frozen_model(), X + 1)
    relu = frozen_model()
    relu.layers[0].activation = keras.activations.relu
    cached(tmp_path, relu)
    assert entries(tmp_path) == 4


def test_damaged_features_are_computed_again(tmp_path: Path) -> None:
    cache = cached(tmp_path, frozen_model())
    expected = np.array(cache.features[0])
    file = next(cache.path.glob("*.npy"))
    file.write_bytes(file.read_bytes()[:-8])
    again = cached(tmp_path, frozen_model())
    np.testing.assert_array_equal(again.features[0], expected)


class Scaled(keras.layers.Layer):
    """Multiplies with what no configuration tells."""

    factor = 1.0

    def call(self, inputs: object) -> object:
        return inputs * self.factor


def test_features_that_the_code_of_a_layer_makes_otherwise_now_are_computed_again(
    tmp_path: Path, monkeypatch
) -> None:
    def make() -> keras.Model:
        body = keras.layers.Dense(3, kernel_initializer="ones", name="body")
        layers = [keras.Input((4,)), body, Scaled(), keras.layers.Dense(2)]
        model = keras.Sequential(layers)
        freeze(model, "body")
        return model

    before = np.array(cached(tmp_path, make()).features[0])
    monkeypatch.setattr(Scaled, "factor", 2.0)
    remove = FeatureFiles.remove

    def remove_unmapped(self: FeatureFiles, key: str) -> None:
        # Windows does not move files that are mapped.
        assert str(self.path(key)) not in Path("/proc/self/maps").read_text()
        remove(self, key)

    monkeypatch.setattr(FeatureFiles, "remove", remove_unmapped)
    after = cached(tmp_path, make()).features[0]
    np.testing.assert_allclose(after, 2 * before, rtol=1e-5)
    assert entries(tmp_path) == 1


class Reshuffled(keras.utils.PyDataset):
    """Gives its batches in another order each time it is read."""

    reads = 0

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> tuple:
        if index == 0:
            self.reads += 1
        rows = np.roll(np.arange(12).reshape(3, 4), self.reads, axis=0)[index]
        return X[rows], Y[rows]


def test_targets_fit_their_features_where_data_shuffle_themselves(
    tmp_path: Path,
) -> None:
    model = frozen_model()
    data = Reshuffled()
    for _ in range(3):
        cache = cache_features(model, data, batch_size=4, directory=tmp_path, verbose=0)
        inputs, y, _ = cache.rows()
        body = keras.Sequential([keras.Input((4,)), model.layers[0]])
        expected = body.predict(X, verbose=0)
        for row, label in zip(next(iter(inputs.values())), y, strict=True):
            place = int(np.abs(expected - row).sum(axis=1).argmin())
            assert Y[place] == label


# --- Memory --------------------------------------------------------------------------


def peak_of(function) -> int:
    tracemalloc.start()
    function()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_features_on_disk_are_never_in_memory_as_a_whole(tmp_path: Path) -> None:
    batch = {"one": np.ones((1000, 100), "float32")}

    def write() -> None:
        with FeatureFiles(tmp_path).writing({"one": ((100,), "float32")}) as writer:
            for _ in range(50):
                writer.append(batch)
            writer.finish("key")

    assert peak_of(write) < 50 * batch["one"].nbytes / 10


@pytest.mark.parametrize("num_rows, most", [(20_000, 1.1), (None, 2.1)])
def test_features_in_memory_take_what_is_said(num_rows, most) -> None:
    total = 20_000 * 100 * 4

    def store() -> None:
        specs = {"one": ((100,), "float32")}
        memory = MemoryStore(specs, num_rows, total, "owner")
        for _ in range(20):
            memory.append({"one": np.ones((1000, 100), "float32")})
        assert memory.finish()["one"].nbytes == total

    assert peak_of(store) < most * total


def test_more_rows_than_fit_are_refused_when_they_come() -> None:
    memory = MemoryStore({"one": ((), "float32")}, None, 11, "owner")
    memory.append({"one": np.ones(2, "float32")})
    with pytest.raises(ValueError, match=r"owner: .*12 bytes or more"):
        memory.append({"one": np.ones(1, "float32")})
