"""What `initialize` did to a model."""

from dataclasses import dataclass

from keras_deeptools._text_table import text_table


@dataclass(frozen=True)
class InitializedWeights:
    """Weights that were drawn anew; made by `initialize`.

    Attributes:
        path: Str. Path of the variable.
        fan_in: Float. Inputs that one output sums over.
        fan_out: Float. Outputs that one input is used by.
        gain: Float. By how much the variance was raised for what comes before.
        deviation: Float. Standard deviation of the distribution.

    Example:

    >>> from keras_deeptools.initializers import InitializedWeights
    >>> InitializedWeights("dense/kernel", 4.0, 8.0, 1.0, 0.5).deviation
    0.5
    """

    path: str
    fan_in: float
    fan_out: float
    gain: float
    deviation: float


@dataclass(frozen=True)
class Initialization:
    """What was drawn anew in a model, and what was left; made by `initialize`.

    Attributes:
        weights: Tuple of `InitializedWeights`.
        left: Tuple of str, a path and the reason for each kernel that was left alone.
        later: Tuple of str, names of layers that are not built: their kernels are drawn
            when they are.

    Example:

    >>> from keras_deeptools.initializers import Initialization, InitializedWeights
    >>> weights = InitializedWeights("dense/kernel", 4.0, 8.0, 1.0, 0.5)
    >>> print(Initialization((weights,), ("base/kernel: frozen",)))
    weights       fan-in  fan-out    gain  deviation
    dense/kernel     4.0      8.0  1.0000     0.5000
    left alone: base/kernel: frozen
    """

    weights: tuple[InitializedWeights, ...]
    left: tuple[str, ...] = ()
    later: tuple[str, ...] = ()

    def table(self) -> str:
        """One line for each kernel."""
        titles = ["weights", "fan-in", "fan-out", "gain", "deviation"]
        rows = [
            [
                row.path,
                f"{row.fan_in:.1f}",
                f"{row.fan_out:.1f}",
                f"{row.gain:.4f}",
                f"{row.deviation:.4f}",
            ]
            for row in self.weights
        ]
        return text_table(titles, rows)

    def __str__(self) -> str:
        """The table, what was left alone and what is drawn later."""
        lines = [self.table()] if self.weights or not self.later else []
        lines += [f"left alone: {it}" for it in self.left]
        if self.later:
            lines.append(f"drawn when the model is built: {', '.join(self.later)}")
        return "\n".join(lines)
