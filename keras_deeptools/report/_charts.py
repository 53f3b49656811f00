"""Charts in the style of the page, small enough for a column."""

import inspect
import io
import math
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from keras_deeptools._axes import new_panels
from keras_deeptools.report._markup import Markup, allowed, escaped

MOST_INSIDE = 4
"""Entries of a legend from which on it is placed below its chart."""

LONGEST_HALF = 24
"""Letters of an entry from which on two do not fit side by side."""

LINE = 0.19
"""Height of a line of a legend, in inches."""

INK, MUTED, GRID = "#010203", "#040506", "#070809"
"""Colors that stand for those of the page, which differ in light and dark mode."""

SERIES = ("#3b7fd0", "#d2691e", "#2f9259", "#c94f7c", "#8468d0", "#1b8f9f", "#9a7b1f")
"""Colors that differ in lightness, too; contrast 3 to 1 or more in both modes."""

PAGE_COLORS = {
    INK: "currentColor",
    MUTED: "var(--muted)",
    GRID: "var(--grid)",
    "#000000": "currentColor",
    "#ffffff": "var(--paper)",
    "#d9d9d9": "var(--soft)",
    "#d3d3d3": "var(--soft)",
    "#b3b3b3": "var(--muted)",
    "#808080": "var(--muted)",
}
"""Colors of a chart to the page's own; black, white and grays stand for these too."""

SIZE = (4.6, 3.2)
"""Size of a chart in a column, in inches: text of 10 points is as large as notes."""


@contextmanager
def page_style(owner: str) -> Iterator[None]:
    """Draws in the style of the page, or raises an error if matplotlib is missing.

    Args:
        owner: Str. Who is named in errors.
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
    """Returns the axes of a chart for a column of the page; call it in `page_style`.

    Args:
        owner: Str. Who is named in errors.
        height: Float, inches.
    """
    return new_panels(owner, 1, 1, (SIZE[0], height))[0, 0]


def drawn_by(owner: str, plot: Callable[..., Any]) -> Iterable[Any]:
    """Yields the figures that a result's own `plot` draws.

    Args:
        owner: Str. Who is named in errors.
        plot: Method `plot(ax)` or `plot()`; if it draws several panels, each gives a
            figure.
    """
    if "ax" in inspect.signature(plot).parameters:
        ax = new_chart(owner)
        plot(ax=ax)
        legend_below(ax)
        return [ax.figure]
    found = plot()
    figure = getattr(found, "figure", found)
    return _panels(figure)


def legend_below(ax: Any, least: int = MOST_INSIDE) -> None:
    """Puts a legend that would cover the chart below it, and makes space.

    Args:
        ax: Axes.
        least: Int. Entries from which on it is placed below.
    """
    handles, labels = ax.get_legend_handles_labels()
    if ax.get_legend() is None or len(labels) < least:
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
    """Returns `<figure>` elements.

    Args:
        figures: Each a `matplotlib.figure.Figure`, drawn on until the next is taken.
        key: Str, a different one for each call on a page.
        title: Str, the title if a chart has no heading.
        description: Str, what they show, for readers who cannot see them.
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
    """Yields the panels of a figure, one after another in a column's width.

    A figure whose panels belong together (twin axes, color bars) is not split.
    """
    places = [ax.get_subplotspec() for ax in figure.axes]
    corners = {(spec.rowspan.start, spec.colspan.start) for spec in places if spec}
    if None in places or len(corners) < len(places) or len(places) < 2:
        yield figure
        return
    for ax in list(figure.axes):
        yield _only(figure, ax)


def _only(figure: Any, shown: Any) -> Any:
    """Returns the figure with only one of its panels."""
    from matplotlib.gridspec import GridSpec

    for ax in figure.axes:
        ax.set_visible(ax is shown)
    shown.set_subplotspec(GridSpec(1, 1, figure=figure)[0])
    figure.set_size_inches(*SIZE)
    return figure


def style() -> Any:
    """Returns a dict of matplotlib's settings."""
    from cycler import cycler

    inks = ("text.color", "axes.labelcolor", "axes.titlecolor")
    muted = ("xtick.color", "ytick.color", "axes.edgecolor")
    nones = ("figure.facecolor", "axes.facecolor", "savefig.facecolor")
    return {
        **dict.fromkeys(inks, INK),
        **dict.fromkeys(muted, MUTED),
        **dict.fromkeys(nones, "none"),
        "savefig.edgecolor": "none",
        "axes.formatter.limits": (-3, 5),
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.prop_cycle": cycler(color=SERIES),
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlesize": 10,
        "axes.labelsize": 10,
        "xtick.labelsize": 9,
        "ytick.labelsize": 9,
        "font.size": 10,
        "grid.color": GRID,
        "legend.fontsize": 9,
        "legend.frameon": False,
        "lines.linewidth": 1.6,
        "svg.fonttype": "none",
        # Names of layers and metrics may have dollar signs.
        "text.parse_math": False,
    }


_METADATA = re.compile(r"\s*<metadata>.*?</metadata>", re.DOTALL)

_COMMENTS = re.compile(r"\s*<!--.*?-->", re.DOTALL)

_OPENING = re.compile(r"<svg [^>]*?viewBox=\"([^\"]*)\"[^>]*>")

_ID = re.compile(r' id="([^"]*)"')

_REFERENCE = re.compile(r"#([\w.-]+)")

_COLOR = re.compile(r"#[0-9a-f]{6}\b")

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def svg(figure: Any, key: str, title: str, description: str) -> Markup:
    """Returns the figure as an `<svg>` element with text as text.

    Args:
        figure: `matplotlib.figure.Figure`.
        key: Str, a different one for each chart of a page: identifiers begin with it.
        title: Str, the title of the chart.
        description: Str, what it shows, for readers who cannot see it.
    """
    import matplotlib

    _prepare(figure)
    file = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with matplotlib.rc_context({"svg.hashsalt": key}), warnings.catch_warnings():
        # The browser has its own fonts.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(file, format="svg", dpi=150, metadata=nothing)
    text = allowed(file.getvalue())
    text = _COMMENTS.sub("", _METADATA.sub("", text[text.index("<svg") :]))
    used = set(_REFERENCE.findall(text))
    text = _ID.sub(lambda found: found[0] if found[1] in used else "", text)
    text = _COLOR.sub(lambda found: PAGE_COLORS.get(found[0], found[0]), text)
    opening = (
        rf'<svg viewBox="\1" role="img" aria-labelledby="{key}-t {key}-d">'
        f'<title id="{key}-t">{_literal(title)}</title>'
        f'<desc id="{key}-d">{_literal(description)}</desc>'
    )
    return Markup(_OPENING.sub(opening, text, count=1).strip())


def _literal(text: str) -> str:
    """Escapes text for HTML and for a replacement in a regular expression."""
    return escaped(text).replace("\\", r"\\")


def _prepare(figure: Any) -> None:
    """Draws meshes as pixels, few ticks, and powers of ten without mathtext."""
    from matplotlib.collections import QuadMesh
    from matplotlib.ticker import AutoLocator, FuncFormatter, NullFormatter

    for mesh in figure.findobj(QuadMesh):
        mesh.set_rasterized(True)
    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            if axis.get_scale() == "log":
                low, high = sorted(axis.get_view_interval())
                narrow = low > 0 and math.log10(high / low) < 1.5
                axis.set_major_formatter(FuncFormatter(_power))
                minor = FuncFormatter(_between) if narrow else NullFormatter()
                axis.set_minor_formatter(minor)
            elif type(axis.get_major_locator()) is AutoLocator:
                axis.get_major_locator().set_params(nbins=7)


def _power(value: float, position: int | None = None) -> str:
    if 0.01 <= value <= 100:
        return f"{value:g}"
    exponent = round(math.log10(value)) if value > 0 else 0
    return f"10{str(exponent).translate(_SUPERSCRIPTS)}"


def _between(value: float, position: int | None = None) -> str:
    leading = f"{value:e}"[0]
    return f"{value:g}" if leading in "25" else ""
