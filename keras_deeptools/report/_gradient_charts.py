"""Charts of what a gradient monitor has recorded."""

import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from keras_deeptools.report._charts import SIZE, new_chart

MOST_NAMES = 40
LONGEST_NAME = 20
USUAL_RATIO = (1e-4, 1e-2)
"""About a thousandth is what is aimed at; an order of magnitude to either side."""


def is_gradient_monitor(thing: Any) -> bool:
    """Whether it has a history of gradients by variable, as `GradientMonitor`."""
    names = ("variables", "steps", "history", "findings", "plot")
    return not isinstance(thing, type) and all(hasattr(thing, name) for name in names)


def gradient_charts(owner: str, monitor: Any) -> Iterator[Any]:
    """Figures: norms over layers and steps, the gradient flow, update ratios.

    Args:
        owner: Str. Whom an error names.
        monitor: `GradientMonitor`.
    """
    count = min(len(monitor.variables), MOST_NAMES)
    height = max(SIZE[1], 1.2 + 0.17 * count)
    history = monitor.history
    if "norm" in history:
        heat, flow = new_chart(owner, height), new_chart(owner, height)
        monitor.plot(ax=(heat, flow))
        heat.set_title("Gradient norms over the updates")
        heat.set_xlabel("optimizer update (gray: zero or not finite)")
        heat.grid(False)
        flow.set_title("Gradient flow")
        flow.set_xlabel("L2 norm of the gradient")
        flow.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)
        for ax in (heat, flow):
            _shorten(ax)
            yield ax.figure
    if "update_ratio" in history:
        ax = new_chart(owner, height)
        _ratios(ax, history["update_ratio"], monitor.variables)
        _shorten(ax)
        yield ax.figure


def _ratios(ax: Any, ratios: np.ndarray, names: list[str]) -> None:
    """Median and middle 80% of each variable's ratios over the updates."""
    usable = np.ma.masked_invalid(np.where(ratios > 0, ratios, np.nan))
    known = [usable[:, i].compressed() for i in range(len(names))]
    empty = (np.nan,) * 3
    low, middle, high = np.array(
        [np.percentile(v, (10, 50, 90)) if v.size else empty for v in known]
    ).T
    rows = np.arange(len(names))
    ax.axvspan(*USUAL_RATIO, color="C2", alpha=0.12, label="usual")
    ax.hlines(rows, low, high, color="C0", alpha=0.5, linewidth=4)
    ax.plot(middle, rows, "o", color="C0", markersize=4, label="median, middle 80%")
    ax.set_xscale("log")
    thin = -(-len(names) // MOST_NAMES)
    ax.set_yticks(rows[::thin], names[::thin])
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_title("Update-to-weight ratios")
    ax.set_xlabel("norm of the update over that of the weights")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)


def _shorten(ax: Any) -> None:
    """Names that leave room for the chart: without what they begin with in common."""
    labels = [label.get_text() for label in ax.get_yticklabels()]
    shared = os.path.commonprefix(labels)
    begin = shared.rfind("/") + 1
    short = [
        text[begin:]
        if len(text) - begin <= LONGEST_NAME
        else f"…{text[-LONGEST_NAME:]}"
        for text in labels
    ]
    ax.set_yticks(ax.get_yticks(), short, fontsize=8)
