"""Files and folders that the pages for contributors name are there."""

import re
from pathlib import Path

import pytest

import public_api

pytestmark = pytest.mark.backend_free

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
NAMED = re.compile(
    r"(?<![\w./-])(?:keras_deeptools|tests|docs|examples|benchmarks)/[\w./]+"
)


def paths(text: str) -> set[str]:
    """Paths from the root of the repository, without the full stop of a sentence."""
    return {found.rstrip("./") for found in NAMED.findall(text)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_paths_named_on_the_page_exist(page: Path) -> None:
    written = ("docs/_build", "docs/_generated")
    named = paths(page.read_text("utf-8"))
    missing = {each for each in named if not (ROOT / each).exists()}
    assert not {each for each in missing if not each.startswith(written)}


def test_the_pages_name_every_folder_of_the_package_and_of_the_engine() -> None:
    text = "".join(page.read_text("utf-8") for page in PAGES)
    folders = {
        path.relative_to(ROOT).as_posix()
        for top in (public_api.PACKAGE, public_api.PACKAGE / "engine")
        for path in top.iterdir()
        if (path / "__init__.py").exists()
    }
    assert folders <= paths(text)


def test_a_path_that_is_not_there_is_noticed() -> None:
    assert paths("See `tests/no/such.py`.") == {"tests/no/such.py"}
    assert not (ROOT / "tests/no/such.py").exists()
