"""Charts: made in the page's style, small enough for a column."""

import inspect
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from keras_deeptools._axes import new_panels
from keras_deeptools.report._markup import Markup
from keras_deeptools.report._svg import SIZE, style, svg

MOST_INSIDE = 4
"""Entries of a legend from which on it stands below its chart."""

LONGEST_HALF = 24
"""Letters of an entry from which on two do not fit side by side."""

LINE = 0.19
"""Inches of a line of a legend."""


@contextmanager
def page_style(owner: str) -> Iterator[None]:
    """Draws in the style of the page, or says that matplotlib is missing.

    Args:
        owner: Str. Whom an error names.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise ImportError(
            f"{owner}: matplotlib is not installed. "
            'Install it with `pip install "keras-deeptools[plot]"`.'
        ) from error
    with matplotlib.rc_context(style()):
        yield


def new_chart(owner: str, height: float = SIZE[1]) -> Any:
    """The axes of a chart for a column of the page; to be called in `page_style`.

    Args:
        owner: Str. Whom an error names.
        height: Float, inches.
    """
    return new_panels(owner, 1, 1, (SIZE[0], height))[0, 0]


def drawn_by(owner: str, plot: Callable[..., Any]) -> Iterable[Any]:
    """The figures that a result's own `plot` makes.

    Args:
        owner: Str. Whom an error names.
        plot: Method `plot(ax)` or `plot()`; what draws several panels gives a figure
            for each of them.
    """
    if "ax" in inspect.signature(plot).parameters:
        ax = new_chart(owner)
        plot(ax=ax)
        legend_below(ax)
        return [ax.figure]
    found = plot()
    figure = getattr(found, "figure", found)
    return _panels(figure)


def legend_below(ax: Any) -> None:
    """Puts a legend that would cover the chart below it, and makes room."""
    handles, labels = ax.get_legend_handles_labels()
    if ax.get_legend() is None or len(labels) < MOST_INSIDE:
        return
    columns = 2 if max(map(len, labels)) < LONGEST_HALF else 1
    rows = -(-len(labels) // columns)
    ax.figure.legend(handles, labels, loc="outside lower center", ncols=columns)
    ax.get_legend().remove()
    width, height = ax.figure.get_size_inches()
    ax.figure.set_size_inches(width, height + LINE * rows)


def figure_elements(
    figures: Iterable[Any], key: str, title: str, description: str
) -> list[Markup]:
    """`<figure>` elements.

    Args:
        figures: Each a `matplotlib.figure.Figure`, drawn on until the next is taken.
        key: Str, another one for each call on a page.
        title: Str, what they are called where a chart has no heading.
        description: Str, what they show, for those who do not see them.
    """
    elements = []
    for index, figure in enumerate(figures):
        shown = [ax for ax in figure.axes if ax.get_visible()]
        headings = [ax.get_title() for ax in shown if ax.get_title()]
        name = f"{title}: {headings[0]}" if headings else title
        picture = svg(figure, f"{key}-{index}", name, description)
        wide = figure.get_size_inches()[0] > 1.5 * SIZE[0]
        attribute = ' class="wide" tabindex="0"' if wide else ""
        elements.append(Markup(f"<figure{attribute}>{picture}</figure>"))
    return elements


def _panels(figure: Any) -> Iterator[Any]:
    """The panels of a figure, one after another in a column's width.

    A figure whose panels belong together (twin axes, color bars) stays as it is.
    """
    places = [ax.get_subplotspec() for ax in figure.axes]
    corners = {(spec.rowspan.start, spec.colspan.start) for spec in places if spec}
    if None in places or len(corners) < len(places) or len(places) < 2:
        yield figure
        return
    for ax in list(figure.axes):
        yield _only(figure, ax)


def _only(figure: Any, shown: Any) -> Any:
    """The figure with one of its panels alone."""
    from matplotlib.gridspec import GridSpec

    for ax in figure.axes:
        ax.set_visible(ax is shown)
    shown.set_subplotspec(GridSpec(1, 1, figure=figure)[0])
    figure.set_size_inches(*SIZE)
    return figure
