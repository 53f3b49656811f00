"""Axes to draw on, where matplotlib is installed."""

import functools
import io
from typing import Any

from keras_deeptools._shared_docs import shared_docs

_MISSING = (
    "{}: matplotlib is not installed. "
    'Install it with `pip install "keras-deeptools[plot]"`.'
)

describes_figure = shared_docs(
    path_to_import_error="""\
Args:
    path: Str or None, file to save the figure to.

Returns:
    `matplotlib.figure.Figure`.

Raises:
    ImportError: If matplotlib is not installed.
"""
)
"""Fills in the docstring of a method that draws a figure and saves it if asked to."""


def new_axes(owner: str) -> Any:
    """Returns the axes of a new figure; the error names the extra to install."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(_MISSING.format(owner)) from error
    return plt.subplots(layout="constrained")[1]


def new_panels(owner: str, rows: int, columns: int, size: tuple[float, float]) -> Any:
    """Returns an array `(rows, columns)` of axes of a figure that no window shows.

    A notebook shows the figure if it is the last value of a cell, as it does for
    figures of `matplotlib.pyplot`.

    Args:
        owner: Str. Who is named in errors.
        rows: Int >= 1.
        columns: Int >= 1.
        size: Width and height in inches.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(_MISSING.format(owner)) from error
    figure = Figure(size, layout="constrained")
    # IPython knows no picture of a figure until `pyplot` has drawn one.
    figure._repr_png_ = functools.partial(png_of, figure)  # type: ignore[attr-defined]
    return figure.subplots(rows, columns, squeeze=False)


def png_of(figure: Any) -> bytes:
    """The picture of a matplotlib figure, as the bytes of a file."""
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()
