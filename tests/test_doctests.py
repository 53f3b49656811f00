"""Every `>>>` example in the package and every Python block in the guides runs.

The tutorials run when the documentation is built, on torch. Here they run on TensorFlow
and JAX, in turn.
"""

import doctest
import importlib
import re
from pathlib import Path

import pytest

import public_api

ROOT = Path(__file__).parents[1]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
PYTHON_BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def examples() -> list[doctest.DocTest]:
    """The docstrings with examples; files without any are not even imported."""
    finder = doctest.DocTestFinder()
    names = [
        ".".join(path.relative_to(public_api.PACKAGE.parent).with_suffix("").parts)
        for path, _ in public_api.modules()
        if ">>> " in path.read_text("utf-8")
    ]
    tests = [
        test
        for name in names
        for test in finder.find(importlib.import_module(name.removesuffix(".__init__")))
    ]
    return [test for test in tests if test.examples]


FINDINGS = ROOT / "docs" / "findings"
"""The pages whose examples `test_findings_pages.py` runs."""

PAGES = [
    ROOT / "README.md",
    *(
        page
        for page in sorted((ROOT / "docs").rglob("*.md"))
        if page.parent != FINDINGS
    ),
    FINDINGS / "index.md",
]


@pytest.mark.alternates("example")
@pytest.mark.parametrize("example", examples(), ids=lambda example: example.name)
def test_the_example_prints_what_it_shows(example: doctest.DocTest) -> None:
    lines: list[str] = []
    results = doctest.DocTestRunner(optionflags=FLAGS).run(example, out=lines.append)
    assert results.failed == 0, "".join(lines)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix()
)
def test_the_python_blocks_of_the_page_run_in_order(page: Path) -> None:
    namespace: dict[str, object] = {"__name__": "__page__"}
    for block in PYTHON_BLOCK.findall(page.read_text("utf-8")):
        exec(compile(block, page.name, "exec"), namespace)
