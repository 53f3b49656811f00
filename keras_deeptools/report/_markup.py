"""Pieces of HTML; all text from outside is escaped."""

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# Nothing that HTML or XML forbids gets into a page, whatever the name of a layer is.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff\ud800-\udfff]")

MOST_WRAPPED = 6
"""Columns of a table up to which its cells wrap instead of widening it."""


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def escaped(text: Any) -> Markup:
    """Returns text as HTML, for elements and attributes; markup stays as it is."""
    if isinstance(text, Markup):
        return text
    return Markup(html.escape(allowed(str(text))))


def allowed(text: str) -> str:
    """Replaces characters that a page cannot hold with a sign."""
    return _FORBIDDEN.sub("\ufffd", text)


def joined(pieces: Iterable[Markup]) -> Markup:
    """Joins the pieces, one after another."""
    return Markup("\n".join(piece for piece in pieces if piece))


def paragraph(text: str, kind: str = "") -> Markup:
    """Returns a paragraph, in the style of the class `kind`."""
    attribute = f' class="{escaped(kind)}"' if kind else ""
    return Markup(f"<p{attribute}>{escaped(text)}</p>")


def facts(pairs: Mapping[str, str]) -> Markup:
    """Returns a few numbers to show first."""
    items = [
        f"<div><dt>{escaped(name)}</dt><dd>{escaped(value)}</dd></div>"
        for name, value in pairs.items()
    ]
    return Markup(f'<dl class="facts">{"".join(items)}</dl>') if items else Markup("")


def grid(caption: str, titles: Sequence[str], rows: Iterable[Sequence[str]]) -> Markup:
    """Returns a table below its titles; columns of numbers are aligned on the right.

    Args:
        caption: Str, what it shows, for readers who cannot see where it is.
        titles: One for each column.
        rows: Sequences of cells, as long as `titles`.
    """
    rows = [list(row) for row in rows]
    kinds = [
        ' class="number"' if _numeric([row[i] for row in rows]) else ""
        for i in range(len(titles))
    ]
    head = [
        f'<th scope="col"{kind}>{escaped(title)}</th>'
        for kind, title in zip(kinds, titles, strict=True)
    ]
    lines = [
        [
            f"<td{kind}>{escaped(cell)}</td>"
            for kind, cell in zip(kinds, row, strict=True)
        ]
        for row in rows
    ]
    body = "\n".join(f"<tr>{''.join(line)}</tr>" for line in lines)
    kind = "scroll wide" if len(titles) > MOST_WRAPPED else "scroll"
    return Markup(
        f'<div class="{kind}" role="region" tabindex="0" aria-label="{escaped(caption)}'
        f'"><table><thead><tr>{"".join(head)}</tr></thead>\n<tbody>{body}</tbody>'
        "</table></div>"
    )


def listing(text: str, label: str, wraps: bool = False) -> Markup:
    """Returns text with its lines and columns, such as a program or a table of text.

    Args:
        text: Str.
        label: Str, what it is, for readers who cannot see where it is.
        wraps: Bool, whether long lines are broken.
    """
    kind = ' class="wraps"' if wraps else ""
    return Markup(
        f'<pre{kind} role="region" tabindex="0" aria-label="{escaped(label)}">'
        f"{escaped(text)}</pre>"
    )


def folded(summary: str, content: Markup) -> Markup:
    """Returns content that opens when its summary is clicked."""
    return Markup(f"<details><summary>{escaped(summary)}</summary>{content}</details>")


def charts(figures: Iterable[Markup]) -> Markup:
    """Returns charts side by side if there is enough space, else below one another."""
    content = joined(figures)
    return Markup(f'<div class="charts">{content}</div>') if content else Markup("")


def _numeric(cells: list[str]) -> bool:
    shown = [cell for cell in cells if cell not in ("", "-")]
    return bool(shown) and all(re.fullmatch(r"[-+\d.,e%]+", cell) for cell in shown)
