"""The badges of the README say what pyproject.toml says."""

import runpy
from pathlib import Path

import pytest

pytestmark = pytest.mark.backend_free

ROOT = Path(__file__).parents[1]
BADGES = runpy.run_path(str(ROOT / "docs" / "badges.py"))
FACTS = BADGES["facts"]()


@pytest.mark.parametrize("name", FACTS)
def test_badge_is_what_the_script_draws(name: str) -> None:
    drawn = (ROOT / "docs" / "images" / f"badge-{name}.svg").read_text("utf-8")
    assert drawn == BADGES["badge"](name, FACTS[name])


@pytest.mark.parametrize("name", FACTS)
def test_readme_shows_the_badge_and_says_it(name: str) -> None:
    shown = f"![{name}: {FACTS[name]}](docs/images/badge-{name}.svg)"
    assert shown in (ROOT / "README.md").read_text("utf-8")
