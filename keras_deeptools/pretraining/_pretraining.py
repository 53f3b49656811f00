"""What pretraining a whole network has done."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from keras_deeptools._axes import new_axes
from keras_deeptools._text_table import text_table


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


@dataclass(frozen=True)
class Pretraining:
    """What `pretrain_denoising` and its kin have done to a model.

    Args:
        method: Str, such as `"denoising autoencoder"`.
        layers: Tuple of str, names of the layers that were pretrained.
        left: Dict from the name of a layer with weights that was left as it was to the
            reason.
        history: Dict from the name of a loss or measure to a tuple of floats, one for
            each epoch.
        seed: Int, what all random numbers came from.

    Example:

    >>> from keras_deeptools.pretraining import Pretraining
    >>> history = {"loss": (0.5, 0.3, 0.25)}
    >>> left = {"head": "not in the encoder"}
    >>> print(Pretraining("masked autoencoder", ("a", "b"), left, history, seed=0))
    masked autoencoder of a, b
          epochs  first  last
    loss       3    0.5  0.25
    Left as they were: head (not in the encoder).
    """

    method: str
    layers: tuple[str, ...]
    left: dict[str, str]
    history: dict[str, tuple[float, ...]]
    seed: int

    def table(self) -> str:
        """Losses and measures as lines of text: first and last epoch."""
        rows = []
        for name, values in self.history.items():
            ends = [f"{value:.4g}" for value in (values[0], values[-1])]
            rows.append([name, str(len(values)), *ends])
        return text_table(["", "epochs", "first", "last"], rows)

    def __str__(self) -> str:
        names = list(self.layers)
        if len(names) > MOST_NAMES:
            names = [names[0], "...", names[-1], f"({len(self.layers)} layers)"]
        lines = [f"{self.method} of {', '.join(names)}", self.table()]
        if self.left:
            left = [f"{name} ({why})" for name, why in self.left.items()]
            if len(left) > MOST_NAMES:
                left = [*left[:MOST_NAMES], f"and {len(left) - MOST_NAMES} more"]
            lines.append(f"Left as they were: {', '.join(left)}.")
        return "\n".join(lines)

    def plot(self, ax: Any = None) -> Any:
        """Draws losses and measures over the epochs.

        On the matplotlib axes `ax`, or on those of a new figure; returns the axes.
        """
        return plot_history("Pretraining.plot", self.history, ax)


MOST_NAMES = 8
