"""Words of the documentation: the field's own terms, and plain sentences."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.backend_free

ROOT = Path(__file__).parents[1]
# Written by scripts, which print the words of their own tables.
WRITTEN = ("keras_exam.md", "measurements.md", "strangers.md", "versions.md")
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *(
        page
        for page in sorted((ROOT / "docs").rglob("*.md"))
        if page.name not in WRITTEN and not {"_generated", "_build"} & set(page.parts)
    ),
]
# Folders whose docstrings and comments are read.
CODE = [ROOT / "examples", ROOT / "keras_deeptools"]


@dataclass
class Word:
    """A word that these pages do not use.

    Attributes:
        pattern: Str, a regular expression.
        instead: Str, what to write.
        but: Str, a regular expression of phrases in which it is right; empty for none.
    """

    pattern: str
    instead: str
    but: str = ""


WORDS = [
    Word(r"mend(s|ed|ing)?", "fix"),
    Word(r"rooms?", "module"),
    Word(r"arms?", "variant", r"(?-i:ARM)"),
    Word(r"anew", "again"),
    Word(r"(broke|broken|breaks?|breaking)\s+off", "interrupt"),
    Word(r"in\s+earnest", "in practice"),
    Word(r"for\s+ever", "forever"),
    Word(r"loops?\s+of\s+(your|one's)\s+own", "your own loop"),
    Word(
        r"rows?",
        "samples",
        r"in\s+a\s+row|one-hot\s+rows|embedding\s+rows|rows?\s+of\s+(a|an|the|embeddings|[`\[])|row\s+for\s+each",
    ),
    Word(
        r"rates?",
        "learning rate",
        r"(learning|dropout|Poisson)\s+rates?|rates?\s+of\s+dropout"
        r"|negative\s+rates|raise\s+the\s+rate|that\s+of\s+its\s+rate|penalties\s+and\s+rates"
        r"|\"rate\"\s+is\s+the|column\s+\"rate\"",
    ),
    Word(r"\d[\d,]*\s+(thousand\s+|million\s+)?weights", "parameters"),
    Word(r"(is|are)\s+said", "say who or what says it"),
    Word(r"(is|are)\s+told", "is reported"),
    Word(r"(its|and)\s+kin", "and related ones"),
    # Sentences that have to be decoded.
    Word(r"what\s+cannot\s+be\s+learned\s+can\s+be\s+known", "say what is measured"),
    Word(r"shows?\s+itself", "is found"),
    Word(r"as\s+large\s+as\s+that\s+needs", "say what is computed"),
    Word(r"looks\s+even\s+where", "say what is the same"),
]
DECIMAL = re.compile(r"(?<![\w.\])/])\.(\d+)")
FENCE = re.compile(r"^(```|~~~).*?^\1[ ]*$", re.MULTILINE | re.DOTALL)
# Code, addresses, and tables that scripts print, in which words are column names.
SPANS = re.compile(r"`[^`\n]*`|\]\([^)]*\)|https?://\S+|<[^>\n]*>")
TABLE = re.compile(r"^\|.*$", re.MULTILINE)


def blank(found: re.Match[str]) -> str:
    """As many lines without text."""
    return "\n" * found[0].count("\n")


def prose_of_page(path: Path) -> str:
    """Its sentences on the lines where they are."""
    text = FENCE.sub(blank, path.read_text("utf-8"))
    if {"reproductions", "results", "benchmarks.md", "peers.md"} & set(path.parts):
        text = TABLE.sub("", text)
    return SPANS.sub("` `", text)


ENTRY = re.compile(r"^\s+\*{0,2}\w+:")
"""The name of an argument or attribute before what is said of it."""


def prose_of_code(path: Path) -> str:
    """Docstrings and comments on the lines where they are.

    Examples with what they print are left out, and names of arguments.
    """
    text = path.read_text("utf-8")
    lines = text.splitlines()
    kept = [""] * len(lines)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            kept[token.start[0] - 1] = token.string
    for node in ast.walk(ast.parse(text)):
        said = node.value if isinstance(node, ast.Expr) else None
        if not isinstance(said, ast.Constant) or not isinstance(said.value, str):
            continue
        is_example = False
        for number in range(said.lineno, (said.end_lineno or said.lineno) + 1):
            line = lines[number - 1]
            is_example = bool(line.strip(' "')) and (
                is_example or line.lstrip().startswith((">>>", "python "))
            )
            kept[number - 1] = "" if is_example else ENTRY.sub("", line)
    return "\n".join(SPANS.sub("` `", line) for line in kept)


def hits(text: str) -> Iterator[tuple[int, str, str]]:
    """Line, what is there and what to write instead, for each word of the list."""
    for word in WORDS:
        right = [found.span() for found in re.finditer(word.but, text, re.I)]
        if not word.but:
            right = []
        pattern = re.compile(rf"(?<![\w-]){word.pattern}(?![\w-])", re.IGNORECASE)
        for found in pattern.finditer(text):
            start, end = found.span()
            if not any(first <= start and end <= last for first, last in right):
                yield text.count("\n", 0, start) + 1, found[0], word.instead
    for found in DECIMAL.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        yield line, found[0], f"0.{found[1]}"


def complaints(path: Path, text: str) -> list[str]:
    name = path.relative_to(ROOT).as_posix()
    found = sorted(hits(text))
    return [f"{name}:{line}: `{is_there}`: {use}" for line, is_there, use in found]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_page_is_written_in_the_terms_of_the_field(page: Path) -> None:
    found = complaints(page, prose_of_page(page))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("folder", CODE, ids=lambda folder: folder.name)
def test_docstrings_are_written_in_the_terms_of_the_field(folder: Path) -> None:
    paths = sorted(folder.rglob("*.py"))
    found = [line for path in paths for line in complaints(path, prose_of_code(path))]
    assert not found, "\n".join(found)


def test_word_is_found_with_its_line_and_what_to_write() -> None:
    assert list(hits("First.\nMended at .5.")) == [
        (2, "Mended", "fix"),
        (2, ".5", "0.5"),
    ]


def test_word_in_another_sense_is_left_alone() -> None:
    assert list(hits("Three in a row, a dropout rate, a learning\nrate of 0.5.")) == []


def test_code_is_not_prose(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("The `rate`.\n```python\nrate = .5\n```\n", "utf-8")
    assert list(hits(prose_of_page(page))) == []
