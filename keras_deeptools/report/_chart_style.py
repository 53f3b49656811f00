"""How charts look, in colors that the page decides about."""

from typing import Any

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
