"""Axes to draw on, where matplotlib is installed."""

from typing import Any


def new_axes(owner: str) -> Any:
    """The axes of a new figure, or an error that names the extra to install."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            f"{owner}: matplotlib is not installed. "
            'Install it with `pip install "keras-deeptools[plot]"`.'
        ) from error
    return plt.subplots()[1]
