"""The law of total variance."""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class VarianceParts:
    """The variance of a prediction, and where it comes from.

    Made by `MCPrediction.variance`.

    Attributes:
        epistemic: Array, variance of the predicted means: of the model.
        aleatoric: Array, mean of the predicted variances: of the data.

    Example:

    >>> import numpy as np
    >>> from keras_deeptools.uncertainty import VarianceParts
    >>> VarianceParts(epistemic=np.array([1.0]), aleatoric=np.array([3.0])).total
    array([4.])
    """

    epistemic: np.ndarray
    aleatoric: np.ndarray

    @property
    def total(self) -> np.ndarray:
        """Sum of both."""
        return self.epistemic + self.aleatoric

    def __str__(self) -> str:
        share = np.mean(self.epistemic) / np.mean(self.total)
        return (
            f"variance {np.mean(self.total):.4g} on average: {share:.0%} of the model, "
            f"{1 - share:.0%} of the data"
        )


def variance_parts(means: Any, stds: Any, mean: Any, variance: Any) -> VarianceParts:
    """Parts of the variance, from the means and standard deviations of the outputs."""
    epistemic = np.square(_chosen(stds, mean, "mean"))
    if variance is None:
        return VarianceParts(epistemic, np.zeros_like(epistemic))
    aleatoric = _chosen(means, variance, "variance")
    if (aleatoric < 0).any():
        raise ValueError(
            "MCPrediction.variance: `variance` must name an output that is never "
            f"negative. Received: variance={variance!r}, as low as {aleatoric.min()}. "
            "Let the model predict the variance itself: end it with `keras.ops.exp` "
            "of the log-variance."
        )
    return VarianceParts(epistemic, aleatoric)


def _chosen(outputs: Any, which: Any, argument: str) -> np.ndarray:
    is_alone = isinstance(outputs, np.ndarray)
    if which is None and is_alone:
        return outputs
    try:
        if which is None:
            raise IndexError
        return outputs[..., which] if is_alone else outputs[which]
    except (IndexError, KeyError, TypeError) as error:
        choice = sorted(outputs) if isinstance(outputs, dict) else "an index"
        raise ValueError(
            f"MCPrediction.variance: `{argument}` must name one of the outputs "
            f"({choice}). Received: {argument}={which!r}."
        ) from error
