"""Text in aligned columns, for all that prints as a table."""

from collections.abc import Collection, Iterable, Sequence

GAP = "  "


def text_table(
    titles: Sequence[str],
    rows: Iterable[Sequence[str]],
    text: Collection[int] = (0,),
    rule: bool = False,
) -> str:
    """Rows below their titles, each column as wide as its widest cell.

    Columns of numbers stand on the right, so that digits stand below digits; columns of
    text stand on the left.

    Args:
        titles: One for each column; without any, no line of titles is written.
        rows: Cells, already formatted; as many in each row as there are titles.
        text: The positions of columns of text; -1 is the last one.
        rule: Bool. Whether a line of dashes separates the titles from the rows.

    Returns:
        Str of one line for the titles and one for each row, none of which ends with
        spaces.

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
