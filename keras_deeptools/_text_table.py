"""Tables: as text in aligned columns, in notebooks, and for pandas."""

import html
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

GAP = "  "


def text_table(
    titles: Sequence[str],
    rows: Iterable[Sequence[str]],
    text: Collection[int] = (0,),
    rule: bool = False,
) -> str:
    """Formats a table as text, each column as wide as its widest cell.

    Columns of numbers are aligned on the right, so that digits stand below digits;
    columns of text are aligned on the left.

    Args:
        titles: One for each column; if it is empty, no line of titles is written.
        rows: The lines of cells, already formatted; each has as many cells as there
            are titles.
        text: The positions of columns of text; -1 is the last one.
        rule: Bool. Whether a line of dashes separates the titles from the cells.

    Returns:
        Str of one line for the titles and one for each line of cells, none of which
        ends with spaces.

    Example:

    >>> from keras_deeptools._text_table import text_table
    >>> print(text_table(["layer", "mean", "note"], [["a", "0.1", ""]], text=(0, -1)))
    layer  mean  note
    a       0.1
    """
    head = [list(titles)] if titles else []
    body = [list(row) for row in rows]
    lines = head + body
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    left = {position % len(widths) for position in text} if widths else set()
    if rule and head:
        lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        GAP.join(
            cell.ljust(width) if position in left else cell.rjust(width)
            for position, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


class NotebookText:
    """Makes a notebook show an object as its text, in columns as they are printed.

    The text is escaped, takes the colors of the page, light or dark, and scrolls if it
    is wider than the page.
    """

    __slots__ = ()

    def _repr_html_(self) -> str:
        return notebook_html(str(self))


def notebook_html(text: str) -> str:
    """Returns text as HTML that keeps its columns.

    Example:

    >>> from keras_deeptools._text_table import notebook_html
    >>> notebook_html("a < b")
    '<pre style="overflow-x: auto; white-space: pre">a &lt; b</pre>'
    """
    style = "overflow-x: auto; white-space: pre"
    return f'<pre style="{style}">{html.escape(text)}</pre>'


def data_frame(owner: str, columns: Mapping[str, Any]) -> Any:
    """Returns a `pandas.DataFrame` of columns of equal length.

    Args:
        owner: Str. Who is named in errors.
        columns: Dict from a name to a sequence of values.

    Raises:
        ImportError: If pandas is not installed.
    """
    try:
        import pandas  # type: ignore[import-untyped]
    except ImportError as error:
        raise ImportError(
            f"{owner}.to_dataframe needs pandas: `pip install pandas`."
        ) from error
    return pandas.DataFrame(dict(columns))
