"""Variables that are trained with the same multiple of the optimizer's rate."""

import functools
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any


@dataclass(frozen=True)
class RateGroup:
    """Variables of one group, by path.

    Attributes:
        name: Str.
        multiplier: Float > 0, of the optimizer's own rate.
        layers: Tuple of str, names of the layers.
        num_parameters: Int.
        paths: Tuple of str, paths of the variables that can be trained.
    """

    name: str
    multiplier: float
    layers: tuple[str, ...]
    num_parameters: int
    paths: tuple[str, ...]


@dataclass(frozen=True)
class RateGroups:
    """The groups of a model; all that a file needs to hold of them.

    Attributes:
        groups: Tuple of `RateGroup`.
    """

    groups: tuple[RateGroup, ...]

    @functools.cached_property
    def multipliers(self) -> dict[str, float]:
        """Dict from the path of a variable to its multiplier."""
        return {path: group.multiplier for group in self.groups for path in group.paths}

    def renamed(self, paths: Iterable[str]) -> "RateGroups":
        """The groups of the same model after loading.

        Keras numbers the layers of subclassed models anew in every session, so
        `dense_3/kernel` may be the `dense_1/kernel` that was saved: variables whose
        paths differ in such numbers only are matched in their order.

        Args:
            paths: Paths of the variables to be trained, in order.
        """
        known = self.multipliers
        if all(path in known for path in paths):
            return self
        old, new = _by_stem(known), _by_stem(paths)
        names: dict[str, str] = {}
        for stem, found in new.items():
            if len(old[stem]) == len(found):
                names |= zip(old[stem], found, strict=True)
        renamed = []
        for group in self.groups:
            now = tuple(names.get(path, path) for path in group.paths)
            renamed.append(replace(group, paths=now))
        return RateGroups(tuple(renamed))

    def table(self, learning_rate: float | None) -> str:
        """Lines of text, columns aligned: each group with its rate now."""
        rows = [["group", "layers", "parameters", "multiplier", "rate now"]]
        digits = len(str(len(self.groups) - 1))
        for number, group in enumerate(self.groups):
            rate = learning_rate and f"{learning_rate * group.multiplier:.3g}"
            rows.append(
                [
                    f"{number:>{digits}}  {group.name}",
                    f"{len(group.layers):,}",
                    f"{group.num_parameters:,}",
                    f"{group.multiplier:.4g}",
                    "-" if rate is None else str(rate),
                ]
            )
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(
            "  ".join(
                [row[0].ljust(widths[0])]
                + [c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)]
            )
            for row in rows
        )

    def get_config(self) -> list[dict[str, Any]]:
        """The groups as lists and dicts."""
        return [
            {**asdict(g), "layers": list(g.layers), "paths": list(g.paths)}
            for g in self.groups
        ]

    @classmethod
    def from_config(cls, config: Iterable[dict[str, Any]]) -> "RateGroups":
        """The reverse of `get_config`."""
        return cls(
            tuple(
                RateGroup(
                    **{**g, "layers": tuple(g["layers"]), "paths": tuple(g["paths"])}
                )
                for g in config
            )
        )


def _by_stem(paths: Iterable[str]) -> dict[str, list[str]]:
    """Paths that differ only in the numbers that Keras gives, together."""
    stems: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        stems[re.sub(r"_\d+(?=/)", "", path)].append(path)
    return stems
