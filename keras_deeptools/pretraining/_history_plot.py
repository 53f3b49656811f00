"""Pictures of losses over epochs."""

from collections.abc import Mapping, Sequence
from typing import Any

from keras_deeptools._axes import new_axes


def plot_history(owner: str, history: Mapping[str, Sequence[float]], ax: Any) -> Any:
    """Draws one curve for each name; returns the axes."""
    ax = new_axes(owner) if ax is None else ax
    for name, values in history.items():
        ax.plot(range(1, len(values) + 1), values, "o-", markersize=3, label=name)
    ax.set_xlabel("epoch")
    ax.set_ylabel("loss, measures" if "accuracy" in history else "loss")
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend()
    return ax
