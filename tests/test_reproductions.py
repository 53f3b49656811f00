"""What benchmarks reproduce papers with."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import keras
import numpy as np
import pytest

from benchmark_modules import FOLDER, benchmark_modules


@pytest.fixture(scope="module")
def shapeset() -> Iterator[ModuleType]:
    with benchmark_modules("glorot_shapeset") as [module]:
        yield module


@pytest.mark.backend_free
def test_a_seed_gives_the_same_images(shapeset: ModuleType) -> None:
    (x, y), (again, labels) = (
        shapeset.draw(np.random.default_rng(1), 600) for _ in range(2)
    )
    np.testing.assert_array_equal(x, again)
    np.testing.assert_array_equal(y, labels)


@pytest.mark.backend_free
def test_the_stream_goes_on_with_other_images(shapeset: ModuleType) -> None:
    rng = np.random.default_rng(1)
    assert not np.array_equal(shapeset.draw(rng, 5)[0], shapeset.draw(rng, 5)[0])


@pytest.mark.backend_free
def test_images_go_from_black_to_white(shapeset: ModuleType) -> None:
    x, _ = shapeset.draw(np.random.default_rng(0), 500)
    assert x.shape == (500, 32, 32) and x.dtype == np.uint8
    assert x.min() == 0 and x.max() > 250


@pytest.mark.backend_free
def test_classes_are_as_frequent_as_independent_kinds_make_them(
    shapeset: ModuleType,
) -> None:
    _, y = shapeset.draw(np.random.default_rng(0), 9000)
    like, unlike = 1 / 18, 1 / 9
    expected = [*[1 / 6] * 3, like, unlike, unlike, like, unlike, like]
    np.testing.assert_allclose(np.bincount(y) / len(y), expected, atol=0.015)


@pytest.mark.backend_free
@pytest.mark.parametrize("kind", range(3))
def test_objects_have_the_area_that_was_drawn_and_lie_inside(
    shapeset: ModuleType, kind: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shapeset, "ROOT_AREA", (10.0, 10.0))
    covered = shapeset.coverage(np.random.default_rng(0), np.full(300, kind))
    np.testing.assert_allclose(covered.sum((1, 2)), 100, rtol=0.06)


@pytest.mark.backend_free
def test_ellipses_fill_more_of_their_box_than_triangles(shapeset: ModuleType) -> None:
    def filled(kind: int) -> float:
        covered = shapeset.coverage(np.random.default_rng(0), np.full(300, kind))
        width, height = ((covered.max(axis) > 0.5).sum(1) for axis in (1, 2))
        return float(np.mean(covered.sum((1, 2)) / (width * height)))

    assert filled(shapeset.TRIANGLE) < 0.55 < 0.65 < filled(shapeset.ELLIPSE)


@pytest.mark.backend_free
def test_neither_object_hides_more_than_half_of_the_other(
    shapeset: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = []

    def remembered(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        fractions = overlap(first, second)
        kept.extend(fractions)
        return fractions

    overlap = shapeset.hidden
    monkeypatch.setattr(shapeset, "hidden", remembered)
    _, classes = shapeset.draw(np.random.default_rng(0), 500)
    fractions = np.array(kept)
    assert (fractions > 0.5).any() and (fractions <= 0.5).sum() == (classes > 2).sum()


@pytest.mark.backend_free
def test_an_object_covers_all_of_itself(shapeset: ModuleType) -> None:
    disc = np.zeros((1, 32, 32), "float32")
    disc[0, 4:9, 4:9] = 1
    half = np.roll(disc, 2, axis=2)
    assert shapeset.hidden(disc, disc) == 1
    assert shapeset.hidden(disc, half) == pytest.approx(0.6)


@pytest.mark.one_backend
def test_glorot_2010_writes_a_table_and_what_its_pictures_need(tmp_path: Path) -> None:
    results = tmp_path / "runs.json"
    command = [sys.executable, str(FOLDER / "glorot_2010.py")]
    command += ["--methods", "Tanh N", "--rates", ".1", "--seeds", "0", "--width", "8"]
    command += ["--updates", "20", "--search", "10", "--per-epoch", "10"]
    command += ["--results", str(results)]
    path = os.pathsep.join([str(FOLDER.parent), os.environ.get("PYTHONPATH", "")])
    printed = subprocess.run(
        command,
        env=os.environ | {"PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "2"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    assert "| shapeset | Tanh N | 0.1 |" in printed
    _, run = json.loads(results.read_text())
    assert np.shape(run["layers"]) == (3, 5, 5)
    assert np.shape(run["weight_gradients"]) == (2, 5)


@pytest.fixture
def glorot_long() -> Iterator[ModuleType]:
    with benchmark_modules("glorot_long") as [module]:
        yield module


def test_glorot_long_takes_the_steps_of_fit_and_needs_jax(
    glorot_long: ModuleType,
) -> None:
    is_jax = keras.backend.backend() == "jax"
    refused = pytest.raises(RuntimeError, match="must be JAX")
    rng = np.random.default_rng(0)
    images, classes = rng.integers(0, 9, (40, 4), "uint8"), rng.integers(0, 3, 40)
    data = SimpleNamespace(
        test=(np.zeros((1, 4)), [0]), num_classes=3, mean=3.0, deviation=2.0
    )
    with contextlib.nullcontext() if is_jax else refused:
        loop = glorot_long.Loop(data, "Tanh N", 8)
        start = [np.array(weight) for weight in loop.new_weights(0)]
        found = loop.train(loop.new_weights(0), images, classes.astype("int32"), 0.1)
        model = glorot_long.METHODS["Tanh N"].network(4, 3, 8)
        model.set_weights(start)
        model.compile(keras.optimizers.SGD(0.1), glorot_long.LOSS)
        x = (images.astype("float32") - 3) / 2
        model.fit(x, classes, 10, shuffle=False, verbose=0)
        for ours, theirs in zip(found, model.get_weights(), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-6)


class FakeLoop:
    """Its errors are 50, then 60; a lower rate is worse by 5."""

    def __init__(self, *given: object) -> None:
        pass

    def new_weights(self, seed: int) -> list[np.ndarray]:
        return [np.zeros(1)]

    def train(
        self, weights: list[np.ndarray], images: object, classes: object, rate: float
    ) -> list[np.ndarray]:
        return [weights[0] + 1 if weights[0] else weights[0] + 1 + 5 * (rate < 0.1)]

    def error(self, weights: list[np.ndarray], x: np.ndarray, y: np.ndarray) -> float:
        [[state]] = weights
        return 40.0 + 10 * state + (len(x) == 20_000)


@pytest.mark.one_backend
def test_glorot_long_tests_the_best_weights_and_trains_nothing_twice(
    glorot_long: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.setattr(glorot_long, "Loop", FakeLoop)
    monkeypatch.setattr(glorot_long, "PER_BLOCK", 10)
    monkeypatch.setattr(glorot_long, "PER_VALIDATION", 1)
    results = tmp_path / "runs.json"
    arguments = ["--methods", "Tanh", "--rates", ".1", "--seeds", "0", "--search", "20"]
    arguments += ["--updates", "20", "--results", str(results)]
    monkeypatch.setattr(sys, "argv", ["glorot_long.py", *arguments])
    glorot_long.main()
    search, run, lower = json.loads(results.read_text())
    assert search["validation"] == run["validation"] == [50.0, 60.0]
    assert run["test"] == 51.0 and run["updates"] == 20 and "test" not in search
    assert lower["rate"] == 0.03 and lower["validation"] == [100.0, 110.0]
    assert "| shapeset | Tanh | 0.1 | 51.00 |" in capsys.readouterr().out
    glorot_long.main()
    assert "seed 0" not in capsys.readouterr().out
