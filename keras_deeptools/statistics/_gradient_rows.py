"""Recorded statistics of the gradients of some updates."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

SCALES = ("bias", "beta", "gamma", "scale")
TABLES = ("embeddings", "position")


@dataclass(frozen=True)
class GradientVariable:
    """A trained variable, as the rules that judge its gradient see it.

    Args:
        path: Str. Its name, unique in the model.
        layer: Str. Name of its layer, unique in the model.
        role: Str. What it is in the layer: `"kernel"`, `"bias"`, ...
        shape: Tuple of ints.
    """

    path: str
    layer: str
    role: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype="int64"))

    @property
    def usual_norm(self) -> float:
        """L2 norm of a kernel of this shape with Glorot's variance."""
        window = float(np.prod(self.shape[:-2], dtype="float64"))
        fans = window * sum(self.shape[-2:])
        return float(np.sqrt(2 * self.size / max(fans, 1.0)))

    @property
    def mixes_inputs(self) -> bool:
        """Whether it is a kernel, whose gradient can be compared between layers.

        A bias can have no gradient for good reasons (before a normalization, in the
        keys of attention), and an embedding has one only for the tokens that were used.
        """
        named = self.role.lower()
        return len(self.shape) > 1 and not any(n in named for n in SCALES + TABLES)


@dataclass(frozen=True)
class GradientRows:
    """Statistics of `r` updates for `n` variables; NaN where there was no gradient.

    Args:
        variables: List of `n` `GradientVariable`, first layers first.
        steps: Int array `(r,)`. The optimizer's count of updates before each.
        norms: Float array `(r, n)`. L2 norms of the gradients.
        nonfinite: Float array `(r, n)`. Numbers of elements that are not finite.
        changes: Float array `(r, n)` or None. L2 norms of the updates.
        weights: Float array `(r, n)` or None. L2 norms of the weights before them.
    """

    variables: list[GradientVariable]
    steps: np.ndarray
    norms: np.ndarray
    nonfinite: np.ndarray
    changes: np.ndarray | None = None
    weights: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, rows: slice) -> "GradientRows":
        cut: dict[str, Any] = {
            name: None if getattr(self, name) is None else getattr(self, name)[rows]
            for name in ("steps", "norms", "nonfinite", "changes", "weights")
        }
        return replace(self, **cut)

    def among(self, positions: list[int]) -> "GradientRows":
        """Returns the statistics of some variables, without updates that have none.

        Args:
            positions: List of ints. Which variables.
        """
        known = ~np.isnan(self.nonfinite[:, positions]).all(axis=1)
        cut: dict[str, Any] = {
            name: None
            if getattr(self, name) is None
            else getattr(self, name)[known][:, positions]
            for name in ("norms", "nonfinite", "changes", "weights")
        }
        variables = [self.variables[i] for i in positions]
        return replace(self, variables=variables, steps=self.steps[known], **cut)

    def after(self, others: "GradientRows | None") -> "GradientRows":
        """Returns these updates, preceded by others of the same variables."""
        if others is None:
            return self
        joined: dict[str, Any] = {}
        for name in ("steps", "norms", "nonfinite", "changes", "weights"):
            own = getattr(self, name)
            if own is not None:
                joined[name] = np.concatenate([getattr(others, name), own])
        return replace(self, **joined)

    def windows(self, length: int) -> Iterator["GradientRows"]:
        """Yields overlapping stretches of `length` updates that cover all of them."""
        last = len(self) - length
        if last >= 0:
            for start in sorted({*range(0, last, max(length // 2, 1)), last}):
                yield self[start : start + length]

    @property
    def global_norms(self) -> np.ndarray:
        """Float64 array `(r,)`: L2 norm over all variables that have a gradient."""
        norms = np.where(np.isnan(self.nonfinite), 0, self.norms)
        return np.sqrt(np.square(norms, dtype="float64").sum(axis=1))

    @property
    def update_ratios(self) -> np.ndarray | None:
        """Float array `(r, n)`: update-to-weight ratios; NaN where a weight is 0."""
        if self.changes is None or self.weights is None:
            return None
        some = np.where(self.weights > 0, self.weights, np.nan)
        # After an explosion both may be infinite.
        with np.errstate(invalid="ignore"):
            return self.changes / some

    @property
    def relative_updates(self) -> np.ndarray | None:
        """Float array `(r, n)`: as `update_ratios`, but small weights count as usual.

        Weights that are smaller than usual, such as outputs that begin at zero, must
        grow by more than their norm.
        """
        if self.changes is None or self.weights is None:
            return None
        usual = np.array([variable.usual_norm for variable in self.variables])
        return self.changes / np.maximum(self.weights, np.maximum(usual, 1e-30))

    @property
    def kernels(self) -> np.ndarray:
        """Int array: positions of the variables that mix inputs."""
        return np.flatnonzero([v.mixes_inputs for v in self.variables])

    def root_mean_squares(self, positions: np.ndarray) -> np.ndarray:
        """Returns the median RMS gradient over updates, NaN if mostly 0 or none.

        Args:
            positions: Int array. Which variables.
        """
        sizes = np.array([self.variables[i].size for i in positions])
        values = self.norms[:, positions] / np.sqrt(np.maximum(sizes, 1))
        return median(np.where(values > 0, values, np.nan), axis=0)


def median(values: np.ndarray, axis: int | None = None) -> np.ndarray:
    """Returns the median over `axis`; NaN if at least half is not finite."""
    usable = np.isfinite(values)
    enough = 2 * usable.sum(axis=axis) > np.size(values, axis)
    filled = np.where(usable, values, np.inf)
    count = usable.sum(axis=axis)
    ordered = np.sort(filled, axis=axis)
    if axis is None:
        ordered, axis = ordered.ravel(), 0
    middle = np.expand_dims(np.maximum((count - 1) // 2, 0), axis)
    found = np.take_along_axis(ordered, middle, axis=axis).squeeze(axis)
    return np.where(enough, found, np.nan)
