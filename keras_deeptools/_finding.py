"""What every diagnosis of the package finds, in one form."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SEVERITIES = ("problem", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """Something that is wrong or odd: what, where, how it shows, and what to do.

    Args:
        kind: Str. What it is called, such as `"vanishing gradient"`.
        where: Str. The layer, variable, argument, column or part of the model; may be
            empty.
        message: Str. What was seen and what follows from it, with its numbers.
        remedy: Str. What to change; may be empty.
        severity: `"problem"`, `"warning"` or `"note"`.
        evidence: Mapping from names to numbers or short lists: what was measured, and
            what would be normal.
        code: Str. The remedy as Python to paste; empty where there is none.
        reference: Str. What the finding rests on: a paper and its section, or
            `"measured"`, which means that the behaviour of Keras was run and observed.
        step: Int or None. The optimizer's count of updates where it was first seen.
        epoch: Int >= 1 or None. The epoch of it, as Keras prints it.

    Example:

    >>> from keras_deeptools.diagnosis import Finding
    >>> print(Finding("dead", "dense", "All units are zero.", "Use HeNormal.", step=4))
    dead at dense, step 4: All units are zero. Use HeNormal.
    """

    kind: str
    where: str
    message: str
    remedy: str = ""
    severity: str = "problem"
    evidence: Mapping[str, Any] = field(default_factory=dict)
    code: str = ""
    reference: str = ""
    step: int | None = None
    epoch: int | None = None

    def __post_init__(self) -> None:
        if self.severity not in SEVERITIES:
            raise ValueError(
                f"Finding: `severity` must be one of {SEVERITIES}. "
                f"Received: severity={self.severity!r}."
            )
        object.__setattr__(self, "evidence", dict(self.evidence))

    def __str__(self) -> str:
        """One line."""
        times = [f"step {self.step}"] if self.step is not None else []
        times += [f"epoch {self.epoch}"] if self.epoch is not None else []
        place = ", ".join([*filter(None, [self.where]), *times])
        head = (
            f"{self.kind} at {place}" if self.where else " ".join([self.kind, *times])
        )
        return " ".join(filter(None, [f"{head}:", self.message, self.remedy]))
