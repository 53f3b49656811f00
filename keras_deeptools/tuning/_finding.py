"""What can be wrong with a trial."""

from dataclasses import dataclass

NON_FINITE = "non-finite"
NO_LEARNING = "no learning"
GRADIENTS = "gradients"
BELOW_MEDIAN = "below median"
ERROR = "error"


@dataclass(frozen=True)
class Finding:
    """What is wrong with a trial, and since when.

    Args:
        kind: Str, one of this file's names.
        message: Str, the same in words, with its numbers.
        epoch: Int >= 1 or None, the epoch of it, as Keras prints it.
    """

    kind: str
    message: str
    epoch: int | None = None
