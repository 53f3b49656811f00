"""What benchmarks reproduce papers with."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from benchmark_modules import FOLDER, benchmark_modules


@pytest.fixture(scope="module")
def shapeset() -> Iterator[ModuleType]:
    with benchmark_modules("glorot_shapeset") as [module]:
        yield module


def test_a_seed_gives_the_same_images(shapeset: ModuleType) -> None:
    (x, y), (again, labels) = (
        shapeset.draw(np.random.default_rng(1), 600) for _ in range(2)
    )
    np.testing.assert_array_equal(x, again)
    np.testing.assert_array_equal(y, labels)


def test_the_stream_goes_on_with_other_images(shapeset: ModuleType) -> None:
    rng = np.random.default_rng(1)
    assert not np.array_equal(shapeset.draw(rng, 5)[0], shapeset.draw(rng, 5)[0])


def test_images_go_from_black_to_white(shapeset: ModuleType) -> None:
    x, _ = shapeset.draw(np.random.default_rng(0), 500)
    assert x.shape == (500, 32, 32) and x.dtype == np.uint8
    assert x.min() == 0 and x.max() > 250


def test_classes_are_as_frequent_as_independent_kinds_make_them(
    shapeset: ModuleType,
) -> None:
    _, y = shapeset.draw(np.random.default_rng(0), 9000)
    like, unlike = 1 / 18, 1 / 9
    expected = [*[1 / 6] * 3, like, unlike, unlike, like, unlike, like]
    np.testing.assert_allclose(np.bincount(y) / len(y), expected, atol=0.015)


@pytest.mark.parametrize("kind", range(3))
def test_objects_have_the_area_that_was_drawn_and_lie_inside(
    shapeset: ModuleType, kind: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shapeset, "ROOT_AREA", (10.0, 10.0))
    covered = shapeset.coverage(np.random.default_rng(0), np.full(300, kind))
    np.testing.assert_allclose(covered.sum((1, 2)), 100, rtol=0.06)


def test_ellipses_fill_more_of_their_box_than_triangles(shapeset: ModuleType) -> None:
    def filled(kind: int) -> float:
        covered = shapeset.coverage(np.random.default_rng(0), np.full(300, kind))
        width, height = ((covered.max(axis) > 0.5).sum(1) for axis in (1, 2))
        return float(np.mean(covered.sum((1, 2)) / (width * height)))

    assert filled(shapeset.TRIANGLE) < 0.55 < 0.65 < filled(shapeset.ELLIPSE)


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


def test_an_object_covers_all_of_itself(shapeset: ModuleType) -> None:
    disc = np.zeros((1, 32, 32), "float32")
    disc[0, 4:9, 4:9] = 1
    half = np.roll(disc, 2, axis=2)
    assert shapeset.hidden(disc, disc) == 1
    assert shapeset.hidden(disc, half) == pytest.approx(0.6)


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
