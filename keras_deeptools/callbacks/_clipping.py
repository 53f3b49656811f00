"""How the gradients of one optimizer are brought within their limits."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from keras import ops

from keras_deeptools._arguments import checked_float
from keras_deeptools.callbacks._layer_selection import LayerSelection
from keras_deeptools.engine import Leaf, tensors
from keras_deeptools.engine._update.leaf import optimized_variables


def joint_norms(norms: Any, groups: list[int], num_groups: int) -> Any:
    """L2 norms of groups of tensors, from the norms of the tensors.

    The norms are scaled by the largest of their group, so that squares neither overflow
    nor underflow.

    Args:
        norms: Float tensor `(n,)`.
        groups: List of `n` ints in [0, num_groups), the group of each tensor.
        num_groups: Int > 0.

    Returns:
        Float tensor `(num_groups,)`; 0 for a group without tensors.
    """
    if groups == list(range(num_groups)):
        return norms
    ids = ops.convert_to_tensor(groups, dtype="int32")
    largest = ops.segment_max(norms, ids, num_segments=num_groups)
    usable = ops.logical_and(largest > 0, ops.isfinite(largest))
    scale = ops.where(usable, largest, ops.ones_like(largest))
    parts = ops.square(norms / ops.take(scale, ids))
    return scale * ops.sqrt(ops.segment_sum(parts, ids, num_segments=num_groups))


def factors_within(norms: Any, limit: Any) -> tuple[Any, Any]:
    """Factors that bring norms down to `limit` at most.

    Args:
        norms: Float tensor `(n,)`.
        limit: Scalar tensor > 0; infinity for no limit.

    Returns:
        Tuple of factors, float tensor `(n,)`, exactly 1 where a norm is within the
        limit or not finite, and of a bool tensor `(n,)`, true elsewhere.
    """
    over = ops.logical_and(norms > limit, ops.isfinite(norms))
    safe = ops.where(over, norms, ops.ones_like(norms))
    return ops.where(over, limit / safe, ops.ones_like(norms)), over


@dataclass
class Clipping:
    """The limits and counters of one optimizer, as variables of the step.

    Attributes:
        leaf: `Leaf`.
        groups: Dict from the position of each chosen variable to its group.
        names: List of the groups' names.
        limits: Dict from `"value"`, `"norm"`, `"global_norm"` to scalar variables.
        counters: Dict of int variables; `"layers"` counts for each group.
        since: Dict from each group that was added during training to the number of
            updates before that.
    """

    leaf: Leaf
    groups: dict[int, int]
    names: list[str]
    limits: dict[str, Any]
    counters: dict[str, Any]
    since: dict[str, int] = field(default_factory=dict)

    @classmethod
    def begin(
        cls, leaf: Leaf, groups: dict[int, int], names: list[str], on: dict[str, float]
    ) -> "Clipping":
        """Creates the variables for the limits that are on."""
        shapes: dict[str, tuple[int, ...]] = dict.fromkeys([*on, "updates"], ())
        if "norm" in on:
            shapes["layers"] = (len(names),)
        if set(on) != {"value"}:
            shapes["non_finite"] = ()
        limits = {k: leaf.add_state(f"clip_{k}", initial=x) for k, x in on.items()}
        counters = {
            name: leaf.add_state(f"clipped_{name}", shape, "int32")
            for name, shape in shapes.items()
        }
        return cls(leaf, groups, names, limits, counters)

    def regrouped(self, groups: dict[int, int], names: list[str]) -> "Clipping":
        """The same limits and counts for other groups, of which some may be new.

        Args:
            groups: As in `Clipping`.
            names: As in `Clipping`.
        """
        counters, since = dict(self.counters), self.since
        if "layers" in counters:
            known = dict(
                zip(self.names, self.leaf.read(counters["layers"]), strict=True)
            )
            updates = int(self.leaf.read(counters["updates"]))
            since = {n: since.get(n, 0) if n in known else updates for n in names}
            self.leaf.drop_state([counters["layers"]])
            layers = self.leaf.add_state("clipped_layers", (len(names),), "int32")
            layers.assign([known.get(name, 0) for name in names])
            counters["layers"] = layers
        return Clipping(self.leaf, groups, names, self.limits, counters, since)

    def read(self) -> tuple[dict[str, int], dict[str, float]]:
        """The counts so far, and the fraction of updates for each group."""
        found = {name: self.leaf.read(v) for name, v in self.counters.items()}
        layers = found.pop("layers", None)
        counts = {name: int(count) for name, count in found.items()}
        if layers is None:
            return counts, {}
        updates = [counts["updates"] - self.since.get(name, 0) for name in self.names]
        fractions = (layers / np.maximum(updates, 1)).tolist()
        return counts, dict(zip(self.names, fractions, strict=True))

    def clipped(self, gradients: list) -> list:
        """The gradients of `leaf.active`, the chosen ones within their limits."""
        where = enumerate(self.leaf.positions)
        chosen = [(i, self.groups[p]) for i, p in where if p in self.groups]
        if not chosen:
            return gradients
        picked = [gradients[i] for i, _ in chosen]
        if "value" in self.limits:
            limit = ops.convert_to_tensor(self.limits["value"])
            self._count("value", ops.any(tensors.max_abs(picked) > limit))
            picked = tensors.clipped(picked, limit)
        if "non_finite" in self.counters:
            factors = self._factors(picked, [group for _, group in chosen])
            picked = tensors.scaled(picked, factors)
        self._count("updates", True)
        result = list(gradients)
        for (i, _), gradient in zip(chosen, picked, strict=True):
            result[i] = gradient
        return result

    def _factors(self, gradients: list, groups: list[int]) -> Any:
        norms, _ = tensors.norms(gradients)
        factors = ops.ones_like(norms)
        self._count("non_finite", ops.logical_not(ops.all(ops.isfinite(norms))))
        if "norm" in self.limits:
            limit = ops.convert_to_tensor(self.limits["norm"])
            joint = joint_norms(norms, groups, len(self.names))
            by_group, over = factors_within(joint, limit)
            self._count("layers", over)
            self._count("norm", ops.any(over))
            factors = ops.take(by_group, ops.convert_to_tensor(groups, dtype="int32"))
            norms = norms * factors
        if "global_norm" in self.limits:
            limit = ops.convert_to_tensor(self.limits["global_norm"])
            joint = joint_norms(norms, [0] * len(groups), 1)
            overall, over = factors_within(joint, limit)
            self._count("global_norm", ops.any(over))
            factors = factors * overall
        return factors

    def _count(self, name: str, acted: Any) -> None:
        counter = self.counters[name]
        counter.assign(ops.convert_to_tensor(counter) + ops.cast(acted, "int32"))


OWNER = "GradientClipper"


def checked_limit(kind: str, limit: float | None) -> float | None:
    """The limit as a float > 0, or None."""
    return (
        limit
        if limit is None
        else checked_float(
            OWNER,
            kind,
            limit,
            above=0,
            is_finite=False,
            rule="a number > 0 or None",
            remedy='float("inf") keeps it off but ready to be set.',
        )
    )


def require_one(limits: dict[str, float | None]) -> None:
    """Raises if no limit is on."""
    if all(limit is None for limit in limits.values()):
        raise ValueError(
            f"{OWNER}: `norm`, `global_norm` or `value` must be a number. "
            "Received: None for all three. A common choice is global_norm=1.0."
        )


def clipping_groups(
    selection: LayerSelection, leaf: Leaf, per: str, joint: bool
) -> tuple[dict[int, int], list[str]]:
    """The group of each chosen variable, and the groups' names.

    Args:
        selection: `LayerSelection`.
        leaf: `Leaf`.
        per: `"layer"` or `"variable"`.
        joint: Bool, whether a norm over all chosen variables is limited.

    Returns:
        Dict from the position of a variable to its group, and a list of names.

    Raises:
        ValueError: If `joint`, and several optimizers train the chosen variables.
    """
    held = selection.of(leaf)
    own = {id(variable) for variable in optimized_variables(leaf.root)}
    everywhere = [h for h in selection.everywhere(leaf) if id(h.variable) in own]
    if joint and 0 < len(held) < len(everywhere):
        what = "`global_norm`" if selection.owner == OWNER else "the norm of gradients"
        raise ValueError(
            f"{selection.owner}: {what} must span variables of one optimizer, since "
            "each sees its own gradients only. Received: a MultiOptimizer that "
            f"trains {len(held)} of {len(everywhere)} chosen variables with "
            f"{leaf.optimizer.name!r}. Choose `layers` of one optimizer, or use "
            "`GradientClipper(norm=...)`, which limits each layer."
        )
    names = [h.group if per == "layer" else h.variable.path for h in held]
    number = {name: i for i, name in enumerate(dict.fromkeys(names))}
    groups = {h.position: number[name] for h, name in zip(held, names, strict=True)}
    return groups, list(number)
