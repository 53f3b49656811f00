"""Every `>>>` example in the package and every Python block in the guides runs."""

import doctest
import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import keras_deeptools

ROOT = Path(__file__).parents[1]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
PYTHON_BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def examples() -> Iterator[doctest.DocTest]:
    """The docstrings with examples, of every module that importing does not run."""
    found = pkgutil.walk_packages(keras_deeptools.__path__, "keras_deeptools.")
    names = [module.name for module in found if module.name.count("__") == 0]
    for name in ["keras_deeptools", *names]:
        module = importlib.import_module(name)
        for test in doctest.DocTestFinder(exclude_empty=True).find(module, name):
            if test.examples:
                yield test


def pages_with_python() -> list[Path]:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [page for page in pages if PYTHON_BLOCK.search(page.read_text("utf-8"))]


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.name)
def test_the_example_prints_what_it_shows(example: doctest.DocTest) -> None:
    lines: list[str] = []
    results = doctest.DocTestRunner(optionflags=FLAGS).run(example, out=lines.append)
    assert results.failed == 0, "".join(lines)


@pytest.mark.parametrize(
    "page", pages_with_python(), ids=lambda page: page.relative_to(ROOT).as_posix()
)
def test_the_python_blocks_of_the_page_run_in_order(page: Path) -> None:
    namespace: dict[str, object] = {"__name__": "__page__"}
    for block in PYTHON_BLOCK.findall(page.read_text("utf-8")):
        exec(compile(block, page.name, "exec"), namespace)
