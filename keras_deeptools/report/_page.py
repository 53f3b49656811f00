"""A page of charts, tables and text in one file."""

from importlib.resources import files
from os import PathLike
from pathlib import Path
from typing import Any

from keras_deeptools._arguments import message
from keras_deeptools._files import checked_path, write_text
from keras_deeptools.report._markup import allowed, escaped, joined, paragraph
from keras_deeptools.report._rendering import rendered

# Not even a browser that is asked to may load anything.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


class Page:
    """One HTML file of charts, tables and text, for a browser without a network.

    Whatever this package returns can be put on it: monitors, range tests, diagnoses,
    predictions, calibrations. Charts are SVG within the page; it has no scripts, loads
    nothing, and follows the reader's choice of light or dark.

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
        """Puts a section at the end.

        Args:
            heading: Str.
            *parts: What is in it, one below another: text; a matplotlib figure; a
                `keras.Model`, whose layers are listed; or any object with `plot()`,
                `table()`, `findings` or a text of its own,
                read now.

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
        """The page as text."""
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
        """Writes the page, whole or not at all.

        Args:
            path: Str or path of a file that ends in .html. Folders that are missing
                are made; a file that exists is replaced.

        Returns:
            The `pathlib.Path` of the file.

        Raises:
            ValueError: If `path` is a folder, or does not end in .html.
        """
        file = checked_path("Page.save", path)
        write_text(file, self.html())
        return file
