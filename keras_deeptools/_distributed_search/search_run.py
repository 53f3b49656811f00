"""How a search over several processes went."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class SearchRun:
    """How a search over several processes went; made by `launch_search`.

    Attributes:
        error: Str, why the search did not come to its end, or None.
        trials: Id of each trial -> `"COMPLETED"` or `"FAILED"`; `"RUNNING"` and
            `"INVALID"` wait to be run again.
        objective: Str, name of what was searched for, or None.
        best: Float, the best score, or None.
        lost: Workers that ended before the search did, and how, in their order.
        seconds: Float, how long it took.
        logs: Str, folder of what each process printed.

    Example:

    >>> from keras_deeptools.tuning import SearchRun
    >>> run = SearchRun(
    ...     trials={"0": "COMPLETED", "1": "FAILED"},
    ...     objective="val_loss",
    ...     best=0.25,
    ...     lost=("tuner0 (killed by SIGKILL)",),
    ...     seconds=12.0,
    ... )
    >>> print(run)
    The search ended after 12 s: 1 completed, 1 failed; best val_loss 0.25.
    Lost on the way: tuner0 (killed by SIGKILL).
    >>> run.ok
    True
    """

    error: str | None = None
    trials: Mapping[str, str] = field(default_factory=dict)
    objective: str | None = None
    best: float | None = None
    lost: tuple[str, ...] = ()
    seconds: float = 0.0
    logs: str = "."

    @property
    def ok(self) -> bool:
        """True where the search came to its end."""
        return self.error is None

    def __str__(self) -> str:
        how = "ended" if self.ok else "did not end"
        lines = [f"The search {how} after {self.seconds:.0f} s: {self.counts()}."]
        if self.lost:
            lines.append(f"Lost on the way: {', '.join(self.lost)}.")
        if self.error is not None:
            lines.append(self.error)
        return "\n".join(lines)

    def counts(self) -> str:
        """The trials by how they stand, and the best score."""
        numbers = Counter(status.lower() for status in self.trials.values())
        parts = [f"{number} {status}" for status, number in sorted(numbers.items())]
        text = ", ".join(parts) or "none yet"
        if self.best is None:
            return text
        return f"{text}; best {self.objective} {self.best:.6g}"
