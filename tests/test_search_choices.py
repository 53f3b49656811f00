"""How benchmarks/search_choices.py tries choices, and what it makes of the trials."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from benchmark_modules import FOLDER, benchmark_modules

pytestmark = pytest.mark.backend_free


@pytest.fixture(scope="module")
def choices() -> Iterator[ModuleType]:
    with benchmark_modules("search_choices") as [module]:
        yield module


@pytest.fixture(scope="module")
def trial(choices: ModuleType) -> dict[str, Any]:
    """The first of digits."""
    [one] = choices.trials("digits", None, 100, 1)["trials"]
    return one


def test_the_best_of_twenty_is_that_of_draws(choices: ModuleType) -> None:
    random = np.random.default_rng(0)
    scores = random.exponential(size=50)
    mean, _ = choices.best_of_twenty(scores)
    drawn = random.choice(scores, (100_000, 20)).min(axis=1)
    np.testing.assert_allclose(mean, drawn.mean(), atol=5 * drawn.std() / 100_000**0.5)


def test_its_error_is_that_of_other_trials(choices: ModuleType) -> None:
    random = np.random.default_rng(0)
    found = [choices.best_of_twenty(random.uniform(size=200)) for _ in range(60)]
    means, errors = np.transpose(found)
    np.testing.assert_allclose(errors.mean(), means.std(), rtol=0.3)


def test_a_trial_is_what_it_chose_and_a_loss_for_each_epoch(
    choices: ModuleType, trial: dict[str, Any]
) -> None:
    assert len(trial["curve"]) == 10 and np.isfinite(trial["curve"]).all()
    named = dict(choices.choices(trial))
    assert named["activation"] in ("relu", "elu", "silu")
    assert named["1cycle"] == ("on" if trial["values"]["one_cycle"] else "off")


def test_the_kept_trials_are_those_of_the_script(trial: dict[str, Any]) -> None:
    path = FOLDER / "results" / "search_choices.json"
    kept = json.loads(path.read_text("utf-8"))["digits/100"]["trials"][0]
    assert kept["values"].keys() == trial["values"].keys()
    for name, value in trial["values"].items():
        is_float = isinstance(value, float)
        expected = pytest.approx(value, abs=1e-6) if is_float else value
        assert kept["values"][name] == expected, name


def test_tables_are_printed_from_kept_runs(
    choices: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    path = FOLDER / "results" / "search_choices.json"
    before = Path(path).read_bytes()
    monkeypatch.setattr(sys, "argv", ["", "--runs", str(path), "--tables"])
    choices.main()
    printed = capsys.readouterr().out
    assert "| all | 90 | 1.00 |" in printed and "## fashion (3 splits)" in printed
    assert path.read_bytes() == before
