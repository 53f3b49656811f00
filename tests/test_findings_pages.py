"""Every kind of finding has a page whose example shows it, and whose repair works."""

import ast
import re
from collections.abc import Iterator

import pytest

import public_api
from findings_pages import FOLDER, run, sections_of
from keras_deeptools import _finding_pages as pages

OTHERS = {"finding"}
"""Kinds that are no kinds of ours: what a monitor of somebody else's found."""

NOT_ON_TORCH = {"embedding rows used several times"}
"""Kinds whose examples only another backend shows; their code is not run."""


def kinds_in_the_code() -> Iterator[str]:
    """Regular expressions of all kinds that the package can give a finding."""
    for path, tree in public_api.modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                given = {each.arg: each.value for each in node.keywords}
                if node.func.id == "Finding":
                    first = node.args[0] if node.args else given.get("kind")
                    if first is not None:
                        yield from patterns(first, path.name)
                elif node.func.id == "replace" and "kind" in given:
                    yield from patterns(given["kind"], path.name)
            elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
                if getattr(node.targets[0], "id", "") == "RENAMED":
                    for value in node.value.values:
                        yield from patterns(value, path.name)


def patterns(node: ast.expr, file: str) -> list[str]:
    """What an expression for a kind can be, as regular expressions."""
    if isinstance(node, ast.Constant):
        return [] if node.value in OTHERS else [re.escape(node.value)]
    if isinstance(node, ast.IfExp):
        return patterns(node.body, file) + patterns(node.orelse, file)
    if isinstance(node, ast.JoinedStr):
        parts = [
            re.escape(part.value) if isinstance(part, ast.Constant) else r"[\w{}]+"
            for part in node.values
        ]
        return ["".join(parts)]
    # Names are those of `RENAMED`, and what another finding had.
    assert isinstance(node, (ast.Name, ast.Attribute)), f"{file}: {ast.dump(node)}"
    return []


def shows(kind: str, text: str) -> bool:
    """Whether a finding of the kind begins a line of what was printed."""
    name = re.sub(r"\\\{\w+\\\}", r"\\w+", re.escape(kind))
    return bool(re.search(rf"^(\d+\. |- )?{name}( at |: | \()", text, re.MULTILINE))


HEADINGS = {heading: page for page, kinds in pages.PAGES.items() for heading in kinds}


@pytest.mark.backend_free
@pytest.mark.parametrize("kind", sorted(set(kinds_in_the_code())))
def test_the_kind_has_a_page(kind: str) -> None:
    assert any(re.fullmatch(kind, heading) for heading in HEADINGS)


@pytest.mark.backend_free
@pytest.mark.parametrize("page", pages.PAGES)
def test_the_page_has_the_headings_that_findings_link_to(page: str) -> None:
    found = [section.heading for section in sections_of(page)[1:]]
    known = [re.sub(r"[{}`]", "", heading) for heading in pages.PAGES[page]]
    assert [re.sub("[{}`]", "", heading) for heading in found] == known


@pytest.mark.backend_free
def test_no_kind_is_on_the_pages_that_no_rule_finds() -> None:
    known = list(kinds_in_the_code())
    gone = {
        heading
        for heading in HEADINGS
        if not any(re.fullmatch(kind, heading) for kind in known)
    }
    assert not gone


@pytest.mark.backend_free
def test_every_page_is_in_the_table_of_contents() -> None:
    text = (FOLDER / "index.md").read_text("utf-8")
    assert all(f"\n{page}\n" in text for page in pages.PAGES)


@pytest.mark.backend_free
def test_anchors_are_unique_on_their_page() -> None:
    for kinds in pages.PAGES.values():
        anchors = [pages.anchor_of(kind) for kind in kinds]
        assert len(set(anchors)) == len(anchors)


@pytest.mark.backend_free
def test_a_kind_of_somebody_elses_has_no_page() -> None:
    assert pages.page_of("a kind of my own") == ""


@pytest.mark.one_backend
@pytest.mark.parametrize("page", pages.PAGES)
def test_the_example_shows_the_finding_and_the_repair_removes_it(page: str) -> None:
    sections = sections_of(page)
    run(sections, page)
    wrong = []
    for kind, section in zip(pages.PAGES[page], sections[1:], strict=True):
        if kind in NOT_ON_TORCH:
            continue
        *before, after = section.printed
        if not shows(kind, "\n".join(before)):
            wrong.append(f"{kind}: not shown")
        if shows(kind, after):
            wrong.append(f"{kind}: not repaired")
    assert not wrong
