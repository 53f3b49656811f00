"""Figures as SVG that stands in the page itself."""

import io
import math
import re
import warnings
from typing import Any

from keras_deeptools.report._markup import Markup, allowed, escaped

INK, MUTED, GRID = "#010203", "#040506", "#070809"


"""Colors that stand for those of the page, which differ by day and by night."""


SERIES = ("#3b7fd0", "#d2691e", "#2f9259", "#c94f7c", "#8468d0", "#1b8f9f", "#9a7b1f")


"""Told apart by their lightness, too; contrast 3 to 1 or more on both papers."""


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


"""Inches of a chart in a column: text of 10 points is as large as the page's notes."""


def style() -> Any:
    """A dict of matplotlib's settings."""
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
    """The figure as an `<svg>` element with text as text.

    Args:
        figure: `matplotlib.figure.Figure`.
        key: Str, another one for each chart of a page: what identifiers begin with.
        title: Str, what the chart is called.
        description: Str, what it shows, for those who do not see it.
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
    """Escaped for HTML and as a replacement in a regular expression."""
    return escaped(text).replace("\\", r"\\")


def _prepare(figure: Any) -> None:
    """Meshes as pixels, few ticks, and powers of ten without a typesetter."""
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
