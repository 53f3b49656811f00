"""A page of charts, tables and text in one file."""

from collections.abc import Iterable
from importlib.resources import files
from os import PathLike
from pathlib import Path
from typing import Any

import keras

from keras_deeptools._arguments import message
from keras_deeptools._files import checked_path, write_text
from keras_deeptools._finding import Finding
from keras_deeptools._finding_pages import documentation
from keras_deeptools.report._charts import drawn_by, figure_elements, page_style
from keras_deeptools.report._markup import (
    Markup,
    allowed,
    charts,
    escaped,
    folded,
    grid,
    joined,
    listing,
    paragraph,
)
from keras_deeptools.report._run_setup import model_table
from keras_deeptools.report._training_charts import gradient_charts, is_gradient_monitor

# Even if a browser is asked to load something, it must not.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


class Page:
    """One HTML file of charts, tables and text, for a browser without a network.

    It takes any result of this package: monitors, range tests, diagnoses, predictions,
    calibrations. Charts are SVG within the page; the page has no scripts, loads
    nothing, and follows the reader's choice of light or dark mode.

    Args:
        title: Str, not empty.
        lead: Str, a sentence below the title.

    Raises:
        ValueError: If `title` is not a text.

    Example:

    >>> from keras_deeptools.report import Page
    >>> from keras_deeptools.uncertainty import reliability_diagram
    >>> page = Page("Is my model sure?")
    >>> diagram = reliability_diagram([0.2, 0.2, 0.9, 0.9], [0, 1, 1, 1], num_bins=5)
    >>> _ = page.add("Calibration", "Above the diagonal: too timid.", diagram)
    >>> page.html().count("<svg")
    1
    """

    def __init__(self, title: str, lead: str = "") -> None:
        for name, value in {"title": title, "lead": lead}.items():
            if not isinstance(value, str) or not (value.strip() or name == "lead"):
                raise ValueError(message("Page", name, "a text", value))
        self.title = title
        self.lead = lead
        self._sections: list[tuple[str, str]] = []

    def add(self, heading: str, *parts: Any) -> "Page":
        """Adds a section at the end.

        Args:
            heading: Str.
            *parts: The content of the section, from top to bottom: text; a matplotlib
                figure; a `keras.Model`, whose layers are listed; or any object with
                `plot()`, `table()`, `findings` or its own text. Objects are read at
                once.

        Returns:
            The page itself.

        Raises:
            TypeError: If a part cannot be shown.
            ImportError: If there is something to draw and matplotlib is not installed.
        """
        number = len(self._sections)
        pieces = [
            rendered("Page.add", f"c{number}-{index}", heading, part)
            for index, part in enumerate(parts)
        ]
        self._sections.append((str(heading), str(joined(pieces))))
        return self

    def html(self) -> str:
        """Returns the page as text."""
        css = files("keras_deeptools.report").joinpath("page.css").read_text("utf-8")
        links, sections = [], []
        for number, (heading, content) in enumerate(self._sections):
            name = escaped(heading)
            links.append(f'<li><a href="#s{number}">{name}</a></li>')
            sections.append(
                f'<section aria-labelledby="s{number}"><h2 id="s{number}">{name}</h2>\n'
                f"{content}\n</section>"
            )
        nav = f'<nav aria-label="Sections"><ul>{"".join(links)}</ul></nav>'
        lead = paragraph(self.lead, "muted") if self.lead else ""
        body = "\n".join(sections)
        return allowed(
            f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="keras-deeptools">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{escaped(self.title)}</title>
<style>
{css}</style>
</head>
<body>
<header><h1>{escaped(self.title)}</h1>
{lead}{nav if len(links) > 1 else ""}</header>
<main>
{body}
</main>
</body>
</html>
"""
        )

    def save(self, path: str | PathLike[str]) -> Path:
        """Writes the page, completely or not at all.

        Args:
            path: Str or path of a file that ends in .html. Missing folders are created;
                an existing file is replaced.

        Returns:
            The `pathlib.Path` of the file.

        Raises:
            ValueError: If `path` is a folder, or does not end in .html.
        """
        file = checked_path("Page.save", path)
        write_text(file, self.html())
        return file


def looks_for_findings(thing: Any) -> bool:
    """Returns whether it can have findings, even if it has none."""
    return isinstance(getattr(thing, "findings", None), (list, tuple))


def findings_of(thing: Any) -> list[Finding]:
    """Returns what a monitor or a diagnosis found; other objects as their text."""
    found = thing.findings if looks_for_findings(thing) else ()
    return [
        one if isinstance(one, Finding) else Finding("finding", "", str(one))
        for one in found
    ]


def findings_element(findings: Iterable[Finding]) -> Markup:
    """Returns all findings, one below another."""
    return joined(map(finding_element, findings))


def finding_element(finding: Finding, *more: Markup) -> Markup:
    """Returns the element of one finding.

    Args:
        finding: `Finding`.
        *more: Elements that follow it in its box.
    """
    place = f": {finding.place}" if finding.place else ""
    severity = f'<span class="severity">{escaped(finding.severity)}</span>'
    pieces = [
        f"<h3>{escaped(finding.kind + place)} {severity}</h3>",
        f"<p>{escaped(finding.message)}</p>",
    ]
    if finding.remedy:
        pieces.append(f"<p><strong>Remedy:</strong> {escaped(finding.remedy)}</p>")
    if finding.code:
        pieces.append(listing(finding.code, f"Remedy for {finding.kind} as code"))
    if finding.reference:
        pieces.append(f'<p class="muted">{escaped(finding.reference)}</p>')
    pieces += [explanation(finding), *more]
    return Markup(f'<div class="finding {finding.severity}">{"".join(pieces)}</div>')


def explanation(finding: Finding) -> Markup:
    """Returns where the documentation explains it; a link if the address is known."""
    if not finding.page:
        return Markup("")
    start = documentation()
    page, anchor = finding.page.split("#")
    text = f"{page.removesuffix('.html')}: {finding.kind}"
    if start:
        href = escaped(f"{start}{page}#{anchor}")
        text = Markup(f'<a href="{href}">{escaped(text)}</a>')
    return Markup(f'<p class="muted">Documentation: {escaped(text)}</p>')


RULE = (
    "text, a figure, a model, or an object with `plot()`, `table()`, `findings` or a "
    "text of its own"
)


def rendered(
    owner: str, key: str, title: str, part: Any, with_findings: bool = True
) -> Markup:
    """Returns one part of a page.

    Args:
        owner: Str. Who is named in errors.
        key: Str, a different one for each part of a page.
        title: Str, the title of charts.
        part: The part to show, see `RULE`.
        with_findings: Bool, whether findings are shown here.
    """
    if isinstance(part, Markup):
        return part
    if isinstance(part, str):
        return paragraph(part)
    if isinstance(part, keras.Model):
        return model_table(part)
    if hasattr(part, "savefig"):
        description = f"Chart: {title}."
        with page_style(owner):
            return charts(figure_elements([part], key, title, description))
    if not shows_itself(part):
        raise TypeError(message(owner, "parts", RULE, part))
    text = _text_of(part)
    pieces = [_pictures(owner, key, title, part)]
    if not text:
        pieces.append(_activity(part))
    if with_findings:
        pieces.append(findings_element(findings_of(part)))
    pieces += [paragraph(note) for note in getattr(part, "notes", ())]
    if text:
        columns = callable(getattr(part, "table", None))
        shown = listing(text, f"{title} as text", wraps=not columns)
        pieces.append(folded("The numbers", shown) if any(pieces) else shown)
    return joined(pieces)


def shows_itself(part: Any) -> bool:
    """Returns whether there is anything to show of it."""
    if isinstance(part, type) or type(part).__module__ == "builtins":
        return False
    plots = callable(getattr(part, "plot", None))
    acts = bool(getattr(part, "activity", None))
    return plots or acts or looks_for_findings(part) or _speaks(part)


def _pictures(owner: str, key: str, title: str, part: Any) -> Markup:
    """Returns its charts; a sentence if it has nothing to draw."""
    plot = getattr(part, "plot", None)
    if not callable(plot):
        return Markup("")
    description = f"Chart: {title}. Its numbers stand below it."
    with page_style(owner):
        try:
            if is_gradient_monitor(part):
                figures = gradient_charts(owner, part)
            else:
                figures = iter(drawn_by(owner, plot))
            return charts(figure_elements(figures, key, title, description))
        except ValueError as error:
            return paragraph(f"No chart: {error}", "muted")


def _speaks(part: Any) -> bool:
    """Returns whether it has a table or its own text, not only a dataclass's fields."""
    is_data = hasattr(part, "__dataclass_fields__")
    own = type(part).__repr__ is not object.__repr__ and not is_data
    written = type(part).__str__ is not object.__str__
    return callable(getattr(part, "table", None)) or written or own


def _text_of(part: Any) -> str:
    if callable(getattr(part, "table", None)):
        return str(part.table())
    return str(part) if _speaks(part) else ""


def _activity(part: Any) -> Markup:
    """Returns how often a callback that clips or limits did so, if it counts that."""
    found = getattr(part, "activity", None)
    if not isinstance(found, dict) or not found:
        return Markup("")
    rows = [[name, f"{float(share):.2%}"] for name, share in found.items()]
    return grid("How often it acted", ["where", "acted"], rows)
