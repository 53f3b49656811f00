"""What the reproductions of max-norm with dropout and of LSUV are made of."""

import argparse
import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import keras
import numpy as np
import pytest

from benchmark_modules import benchmark_modules

pytestmark = pytest.mark.one_backend

NAMES = ("compiled_training", "kept_runs", "lsuv_depth", "max_norm_dropout")


@pytest.fixture(scope="module")
def modules() -> Iterator[dict[str, ModuleType]]:
    with benchmark_modules(*NAMES) as found:
        yield dict(zip(NAMES, found, strict=True))


@pytest.fixture
def dropout(modules: dict[str, ModuleType]) -> ModuleType:
    return modules["max_norm_dropout"]


@pytest.fixture
def depth(modules: dict[str, ModuleType]) -> ModuleType:
    return modules["lsuv_depth"]


@pytest.fixture
def data() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (80, 4, 4), "uint8"), rng.integers(0, 10, 80)
    return {"x_train": x[:60], "y_train": y[:60], "x_test": x[60:], "y_test": y[60:]}


def options(**changed: Any) -> argparse.Namespace:
    return argparse.Namespace(**{"width": 8, "seeds": 2, "epochs": 1} | changed)


def untrained(*given: Any) -> dict[str, Any]:
    """In place of training, with the errors that are asked for."""
    _, rate, strength, *_, judges = given
    found = {"rate": rate, "strength": strength, "seconds": 0.0}
    return found | dict.fromkeys(judges, 1.0)


def arrays(model: keras.Model) -> list[np.ndarray]:
    return [np.asarray(each) for each in model.get_weights()]


def started(depth: ModuleType, activation: str, start: str) -> tuple:
    x = np.random.default_rng(0).normal(size=(64, 6)).astype("float32")
    return depth.started(activation, start, 0, x, 3, 6, 16), x


def test_a_run_is_made_once_and_read_afterwards(
    modules: dict[str, ModuleType], tmp_path: Path
) -> None:
    file = tmp_path / "runs.json"
    modules["kept_runs"].KeptRuns(file).get("a", lambda: {"value": 1})
    again = modules["kept_runs"].KeptRuns(file)
    assert again.get("a", lambda: {"value": 2}) == {"value": 1}


def test_an_only_read_file_of_runs_makes_none(
    modules: dict[str, ModuleType], tmp_path: Path
) -> None:
    runs = modules["kept_runs"].KeptRuns(tmp_path / "none.json", only_read=True)
    assert runs.get("a", dict) is None and not (tmp_path / "none.json").exists()


def test_files_of_runs_are_json_with_and_without_runs(
    modules: dict[str, ModuleType], tmp_path: Path
) -> None:
    for runs in ({}, {"a": {"b": [1, 2]}, "c": {}}):
        modules["kept_runs"].write_runs(tmp_path / "runs.json", runs)
        assert json.loads((tmp_path / "runs.json").read_text()) == runs
    assert [file.name for file in tmp_path.iterdir()] == ["runs.json"]


def test_all_methods_start_from_the_same_weights(dropout: ModuleType) -> None:
    first, *others = (
        arrays(dropout.net(method, 1.0, 3, 6, 8)) for method in dropout.METHODS
    )
    for each in others:
        kernels = [array for array in each if array.dtype == "float32"]
        for array, expected in zip(kernels, first, strict=True):
            np.testing.assert_array_equal(array, expected)


def test_validation_rows_are_never_trained_on(
    dropout: ModuleType, data: dict[str, np.ndarray]
) -> None:
    split = dropout.parts(data, 50, seed=1)
    both = np.concatenate([split["train"][0], split["validation"][0]])
    assert len(np.unique(both, axis=0)) == len(both) == 60


def test_outputs_that_are_no_numbers_are_wrong(dropout: ModuleType) -> None:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(10)])
    model.set_weights([np.full((2, 10), np.nan), np.zeros(10)])
    assert dropout.error(model, np.ones((5, 2)), np.zeros(5, "int64")) == 100


def test_max_norm_holds_in_hidden_layers_and_leaves_the_head(
    dropout: ModuleType, data: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = []

    def error(model: keras.Model, *_: np.ndarray) -> float:
        kept.append(model)
        return 0.0

    monkeypatch.setattr(dropout, "error", error)
    split = dropout.parts(data, 40, seed=1)
    dropout.trained("max-norm", 0.1, 0.5, split, 1, 1, 8, ("validation",))
    norms = {
        layer.name: np.linalg.norm(layer.get_weights()[0], axis=0).max()
        for layer in kept[0].layers
    }
    assert norms.pop("head") > 0.5 and max(norms.values()) <= 0.5


def test_the_search_takes_the_rate_first_then_the_strength(
    dropout: ModuleType, modules: dict[str, ModuleType], tmp_path: Path
) -> None:
    runs = modules["kept_runs"].KeptRuns(tmp_path / "runs.json", only_read=True)
    errors = {(0.1, 2.0): 3.0, (0.1, 1.0): 2.0, (0.1, 4.0): 5.0, (1.0, 2.0): 4.0}
    for (rate, strength), value in errors.items():
        run = {"rate": rate, "strength": strength, "validation": value}
        runs.all[f"7/max-norm/seed 0/{rate}/{strength}"] = run
    study = dropout.Study(None, 7, runs, options())
    assert len(study.search("max-norm")) == 4
    assert dropout.best(study.search("max-norm"))["strength"] == 1.0


def test_the_search_does_not_see_test_rows(
    dropout: ModuleType,
    modules: dict[str, ModuleType],
    data: dict[str, np.ndarray],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dropout, "RATES", (0.1,))
    monkeypatch.setattr(dropout, "trained", untrained)
    runs = modules["kept_runs"].KeptRuns(tmp_path / "runs.json")
    dropout.Study(data, 40, runs, options(seeds=1)).finals("none")
    search, final = runs.all.values()
    assert "test" not in search and {"train", "test"} <= set(final)


@pytest.mark.parametrize("activation", ["VLReLU", "maxout"])
def test_lsuv_brings_every_sum_to_unit_variance(
    depth: ModuleType, activation: str
) -> None:
    model, x = started(depth, activation, "LSUV")
    sums = [
        layer.output for layer in model.layers if isinstance(layer, keras.layers.Dense)
    ]
    outputs = keras.Model(model.inputs, sums[:-1]).predict(x, verbose=0)
    np.testing.assert_allclose([each.std() for each in outputs], 1, atol=0.05)


def test_only_the_net_with_batch_normalization_has_it(depth: ModuleType) -> None:
    for start in depth.STARTS:
        model, _ = started(depth, "maxout", start)
        kinds = [type(layer).__name__ for layer in model.layers]
        expected = 6 if start == "BatchNorm" else 0
        assert kinds.count("BatchNormalization") == expected


def test_parts_of_digits_have_their_sizes_and_training_rows_mean_0(
    depth: ModuleType,
) -> None:
    parts = depth.split("digits", seed=1)
    assert tuple(len(y) for _, y in parts) == depth.SIZES["digits"]
    assert abs(parts[0][0].mean()) < 1e-5


def test_the_rate_is_chosen_by_validation_and_by_loss_where_equal(
    depth: ModuleType,
) -> None:
    run = {"validation": [90.0, 95.0, 95.0], "loss": [0.1, 0.5, 0.4]}
    assert depth.chosen(run) == 2


def test_accuracies_of_a_cell_are_of_its_seeds_only(depth: ModuleType) -> None:
    run = {"validation": [1.0], "loss": [1.0], "test": [7.0]}
    runs = {
        depth.key("digits", "tanh", *cell): run
        for cell in ((1, "He", 0), (1, "He", 1), (10, "He", 0), (1, "LSUV", 0))
    }
    assert depth.accuracies(runs, "digits", "tanh", 1, "He") == [7.0, 7.0]


def test_training_in_one_loop_takes_the_steps_that_fit_takes_and_needs_jax(
    modules: dict[str, ModuleType],
) -> None:
    is_jax = keras.backend.backend() == "jax"
    refused = pytest.raises(RuntimeError, match="backend must be JAX")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(12, 3)).astype("float32"), rng.integers(0, 4, 12)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, "softmax")])
    loss = keras.losses.sparse_categorical_crossentropy
    with contextlib.nullcontext() if is_jax else refused:
        train = modules["compiled_training"].compiled(model, loss, 0.9)
        weights = [variable.value for variable in model.trainable_variables]
        batches = np.arange(12).reshape(3, 4)
        found = train(weights, [], 0.1, x, y, batches, x)
        model.compile(keras.optimizers.SGD(0.1, 0.9), "sparse_categorical_crossentropy")
        model.fit(x, y, 4, shuffle=False, verbose=0)
        expected = model.predict(x, verbose=0)
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_batches_go_through_all_rows_before_one_comes_again(
    modules: dict[str, ModuleType],
) -> None:
    batches = modules["compiled_training"].drawn_batches(0, 12, 5, 4)
    assert batches.shape == (5, 4)
    assert sorted(batches[:3].ravel()) == list(range(12))


def test_lsuv_depth_prints_its_tables_and_trains_nothing_twice(
    depth: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    # Training itself needs JAX; what is around it runs on every backend.
    monkeypatch.setattr(
        depth,
        "compiled",
        lambda *_: lambda *given: np.eye(10)[given[-1].argmax(1) % 10],
    )
    arguments = ["--runs", str(tmp_path / "runs.json"), "--depths", "2", "--seeds", "1"]
    arguments += ["--activations", "tanh", "--starts", "Glorot", "LSUV", "--width", "8"]
    arguments += ["--picture", str(tmp_path / "depth.png")]
    monkeypatch.setattr(sys, "argv", ["lsuv_depth.py", *arguments])
    depth.main()
    assert capsys.readouterr().out.count("digits/tanh/2/") == 2
    depth.main()
    again = capsys.readouterr().out
    assert "digits/tanh/2/" not in again and "| digits, tanh | 2 layers |" in again
    assert (tmp_path / "depth.png").stat().st_size > 1000


def test_max_norm_dropout_prints_its_tables_and_trains_nothing_twice(
    dropout: ModuleType,
    data: dict[str, np.ndarray],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.setattr(dropout, "trained", untrained)
    with open(tmp_path / "data.npz", "wb") as file:
        np.savez(file, allow_pickle=False, **data)
    arguments = ["--runs", str(tmp_path / "runs.json"), "--sizes", "40", "--seeds", "1"]
    arguments += ["--data", str(tmp_path / "data.npz"), "--width", "8", "--epochs", "1"]
    monkeypatch.setattr(sys, "argv", ["max_norm_dropout.py", *arguments])
    dropout.main()
    assert capsys.readouterr().out.count("40/dropout + max-norm/seed") == 7
    arguments += ["--tables", "--picture", str(tmp_path / "errors.png")]
    monkeypatch.setattr(sys, "argv", ["max_norm_dropout.py", *arguments])
    dropout.main()
    printed = capsys.readouterr().out
    assert "/seed" not in printed and printed.count("| dropout + max-norm |") == 2
    assert (tmp_path / "errors.png").stat().st_size > 1000
