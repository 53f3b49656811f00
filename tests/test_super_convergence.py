"""How benchmarks/super_convergence.py chooses, trains and counts."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import keras
import numpy as np
import pytest

from benchmark_modules import benchmark_modules
from keras_deeptools.callbacks import OneCycleScheduler

pytestmark = pytest.mark.one_backend

PARTS = ("", "_nets", "_schedules", "_tables")
STEPS = np.arange(40)


@pytest.fixture(scope="module")
def modules() -> Iterator[list[ModuleType]]:
    names = [f"super_convergence{part}" for part in PARTS]
    with benchmark_modules(*names) as found:
        yield found


def part(place: int) -> object:
    """A fixture that is one of the modules."""

    @pytest.fixture
    def module(modules: list[ModuleType]) -> ModuleType:
        return modules[place]

    return module


script, nets, schedules, tables = map(part, range(4))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Every image is filled with its place, and each part has a class of its own."""
    places = np.arange(60, dtype="uint8")[:, None, None]
    x = np.broadcast_to(places, (60, 28, 28))
    y = np.zeros(60, "uint8")
    path = tmp_path / "images.npz"
    np.savez(path, x_train=x, y_train=y, x_test=x[:20], y_test=y[:20] + 9)
    return path


@pytest.fixture
def trainer(
    script: ModuleType, nets: ModuleType, file: Path, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """Trains one layer in batches of ten."""

    def one_layer(widths: tuple[int, ...]) -> keras.Model:
        layers = [keras.layers.Flatten(), keras.layers.Dense(10)]
        return keras.Sequential([keras.Input((28, 28, 1)), *layers])

    monkeypatch.setattr(script, "resnet", one_layer)
    return script.Trainer(nets.images(file), batch=10)


class FakeTrainer:
    """Reaches 80% after a round, a percent more each round, less at other rates."""

    def __init__(self, best: float = 0.3) -> None:
        self.best, self.calls = best, 0

    def train(
        self, size: int, name: str, rate: float, seed: int, epochs: int, at: list[int]
    ) -> dict[str, Any]:
        self.calls += 1
        lost = abs(np.log(rate / self.best)) + (name == "constant")
        return {"accuracy": [79 + n - lost for n in at]}

    def range_test(self, size: int, seed: int) -> dict[str, Any]:
        self.calls += 1
        return {"rate": self.best, "steps": 100}


def test_held_out_images_are_the_last_of_the_training_set(
    nets: ModuleType, file: Path
) -> None:
    data = nets.images(file)
    expected = nets.standardized(np.arange(30, 60)[:, None, None])
    np.testing.assert_array_equal(data.validation.x[:, :1, :1], expected)
    assert data.train.x.max() == 29


def test_images_of_a_small_size_are_among_those_of_a_large_one(
    nets: ModuleType, file: Path
) -> None:
    train = nets.images(file).train
    small, large = (nets.drawn(train, size, seed=1).x for size in (10, 20))
    np.testing.assert_array_equal(small, large[:10])


def test_order_of_batches_depends_on_seed_and_epoch_alone(
    nets: ModuleType, file: Path
) -> None:
    part = nets.images(file).validation
    one, other = (nets.Batches(part, 8, seed=3) for _ in range(2))
    np.random.default_rng().normal(size=5)
    first = one.order
    for batches in (one, other):
        batches.on_epoch_end()
    np.testing.assert_array_equal(one.order, other.order)
    assert not np.array_equal(first, one.order)


def test_batches_are_full_and_have_no_image_twice(nets: ModuleType, file: Path) -> None:
    batches = nets.Batches(nets.images(file).validation, 8, seed=3)
    x = np.concatenate([batches[i][0] for i in range(len(batches))])
    assert x.shape == (24, 28, 28, 1) and len(np.unique(x[:, 0, 0, 0])) == 24


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("constant", np.full(40, 0.2)),
        ("power", 0.2 / (1 + STEPS / 5)),
        ("exponential", 0.2 * 10 ** (-2 * STEPS / 40)),
        ("piecewise constant", np.repeat([0.2, 0.02, 0.002], [20, 10, 10])),
        ("cosine", 0.1 * (1 + np.cos(np.pi * STEPS / 40))),
    ],
)
def test_schedules_are_their_closed_forms(
    schedules: ModuleType, name: str, expected: np.ndarray
) -> None:
    rates = schedules.schedule(name, 0.2, updates=40, in_round=5).values(STEPS)
    np.testing.assert_allclose(rates, expected, rtol=1e-12)


def test_one_cycle_has_its_peak_rate_where_its_momentum_is_least(
    script: ModuleType, trainer: Any
) -> None:
    model, batches = trainer.start(30, seed=0, rate=0.1)
    follow = script.callback("1cycle", 0.3, updates=9, in_round=3)
    model.fit(batches, epochs=3, shuffle=False, callbacks=[follow], verbose=0)
    assert isinstance(follow, OneCycleScheduler)
    rates, momenta = (follow.history[name] for name in ("learning_rate", "momentum"))
    assert len(rates) == 9 and rates.argmax() == momenta.argmin()
    assert momenta[[0, -1]] == pytest.approx([0.95, 0.95])


@pytest.mark.parametrize(("is_search", "expected"), [(True, 100), (False, 0)])
def test_only_seeds_that_choose_nothing_see_test_images(
    script: ModuleType, trainer: Any, is_search: bool, expected: float
) -> None:
    seed = script.SEARCH_SEED if is_search else 0
    found = trainer.train(30, "constant", 0.1, seed, epochs=4, at=[4])
    assert found["accuracy"] == [expected]


def test_performance_scheduling_is_tested_as_often_as_asked(
    trainer: Any,
) -> None:
    found = trainer.train(30, "performance", 0.1, 0, epochs=4, at=[2, 4])
    assert len(found["accuracy"]) == 2


def test_search_goes_on_until_both_neighbours_are_worse(script: ModuleType) -> None:
    tried: list[float] = []

    def score(rate: float) -> float:
        tried.append(rate)
        return -abs(np.log(rate / 0.01))

    assert script.tuned(score) == 0.01
    assert sorted(tried) == [0.003, 0.01, 0.03, 0.1, 0.3]


def test_search_ends_at_the_end_of_the_grid(script: ModuleType) -> None:
    assert script.tuned(lambda rate: rate) == script.RATES[-1]


def test_a_quarter_of_the_images_take_twice_the_epochs(script: ModuleType) -> None:
    large, small = script.SIZES
    assert (script.rounds_of(large), script.rounds_of(small)) == (1, 2)


def test_epochs_to_target_are_the_fewest_that_reach_it(tables: ModuleType) -> None:
    assert tables.epochs_to_target({8: 86, 1: 80, 2: 85, 4: 84}, 85) == 2


def test_a_target_that_is_not_reached_has_no_epochs(tables: ModuleType) -> None:
    assert tables.epochs_to_target({1: 80, 2: 85}, 85.1) is None


def test_target_is_the_last_third_down_to_half_a_percent(tables: ModuleType) -> None:
    assert tables.target_of([70, 99, 75, 80, 84.4, 85.4]) == 84.5


def test_seeds_that_fail_make_the_mean_a_lower_bound(tables: ModuleType) -> None:
    assert tables.with_failures([2, 4, None], longest=12) == "> 6.0 (2 of 3)"
    assert tables.with_failures([None, None], longest=12) == "> 12"


def test_runs_that_the_file_holds_are_not_made_again(
    script: ModuleType, tmp_path: Path
) -> None:
    path, trainer = tmp_path / "runs.json", FakeTrainer()
    names = ("constant", "1cycle", script.FOUND)
    for seeds in ([0], [0, 1]):
        script.Study(trainer, path).run([6000], names, seeds)
    made = json.loads(path.read_text())
    assert trainer.calls == len(made)
    keys = [(r["schedule"], r["rate"], r["seed"], str(r.get("at"))) for r in made]
    assert len(set(keys)) == len(keys)


def test_schedules_with_an_end_are_trained_for_every_length(
    script: ModuleType,
) -> None:
    study = script.Study(FakeTrainer(), None)
    study.run([1500], ("constant", "cosine"), [0])
    lengths = [(r["schedule"], r["epochs"]) for r in study.runs if r["seed"] == 0]
    expected = [("cosine", 2 * rounds) for rounds in script.ROUNDS]
    assert lengths == [("constant", 24), *expected]


def test_tables_count_the_epochs_and_the_picture_is_drawn(
    script: ModuleType,
    tables: ModuleType,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    study = script.Study(FakeTrainer(), None)
    study.run([6000], ("constant", "1cycle"), [0, 1])
    capsys.readouterr()
    tables.print_tables(study.runs, [6000])
    printed = capsys.readouterr().out
    assert "images | 87.5% | 88.5% | 89.5% | 88.5%, any round |" in printed
    twelve = "| 12.0 ± 0.0 "
    assert f"| constant {3 * twelve}| 11.0 ± 0.0 |" in printed
    assert f"| 1cycle {4 * twelve}|" in printed
    assert "| constant | +1.0 ± 0.0 |" in printed
    tables.draw(study.runs, [6000], tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 10_000
