"""What `repair` brought: the model, what differs, and how both trained."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import keras

from keras_deeptools._axes import describes_figure, new_panels
from keras_deeptools._finding import Finding
from keras_deeptools._text_table import NotebookText, text_table


@dataclass(frozen=True, eq=False)
class RepairStep:
    """One remedy that was tried.

    Args:
        finding: `Finding` that it is for.
        differences: Tuple of str, what it changes: `- before` and `+ after`.
        score: Float, of held-out samples after a short training with it.
        kept: Bool, whether it helped.
        failure: Str, why the copy could not be made or trained; empty if it could.

    Example:

    >>> from keras_deeptools.diagnosis import Finding, RepairStep
    >>> finding = Finding("dead units", "dense", "All are zero.")
    >>> step = RepairStep(finding, ("+ kernel_initializer='he_normal'",), 0.9)
    >>> step.kept
    False
    """

    finding: Finding
    differences: tuple[str, ...]
    score: float
    kept: bool = False
    failure: str = ""


@dataclass(frozen=True, eq=False)
class Repair(NotebookText):
    """What was tried on a copy of a model, and what helped; made by `repair`.

    Attributes:
        model: `keras.Model`, the trained copy with the best score; None if nothing
            helped.
        differences: Tuple of str, what differs from the original: `- before` and
            `+ after`.
        steps: Tuple of `RepairStep`, in the order in which they were tried.
        score_before: Float, of held-out samples, of the original after training.
        score_after: Float, of the copy; the score of the original if nothing helped.
        history_before: List of floats, the training loss of each pass over the data.
        history_after: The same of the copy; empty if nothing helped.
        fit_arguments: Dict of arguments of `fit` that the copy needs.
        updates_before: Int, number of updates for which the original was trained:
            fewer, if it had learned nothing or was far behind in them.
        updates_after: The same of the copy; 0 if nothing helped.
        advice: Tuple of str: what is wrong with the data, which no change of the model
            can fix, and, if the model cannot be trained, why.
        preprocessing: `keras.Model` that inputs have to pass before they reach
            `model`, if that has its own `train_step`; otherwise None.

    Example:

    >>> from keras_deeptools.diagnosis import Repair
    >>> print(Repair(None, (), (), 0.5, 0.5))
    Nothing helped: 0.5 on held-out samples.
    """

    model: keras.Model | None
    differences: tuple[str, ...]
    steps: tuple[RepairStep, ...]
    score_before: float
    score_after: float
    history_before: Sequence[float] = ()
    history_after: Sequence[float] = ()
    fit_arguments: dict[str, Any] = field(default_factory=dict)
    updates_before: int = 0
    updates_after: int = 0
    advice: tuple[str, ...] = ()
    preprocessing: keras.Model | None = None

    @property
    def helped(self) -> bool:
        """Whether a change made the model better."""
        return self.model is not None

    def table(self) -> str:
        """A line for each remedy that was tried, with the score it began with."""
        rows = [
            [
                step.finding.kind,
                f"{step.score:.3g}" if not step.failure else "failed",
                "yes" if step.kept else "no",
            ]
            for step in self.steps
        ]
        return text_table(["remedy for", "score", "kept"], rows, text=(0, 2))

    @describes_figure
    def plot(self, path: str | None = None) -> Any:
        """Draws both learning curves.

        {{path_to_import_error}}
        """
        ax = new_panels("Repair.plot", 1, 1, (6, 4))[0, 0]
        ax.set_title("Training before and after the repair")
        ax.plot(self.history_before, label="before")
        ax.plot(self.history_after, label="after")
        ax.set_xlabel("epoch")
        ax.set_ylabel("training loss, each with its own")
        ax.legend()
        if path is not None:
            ax.figure.savefig(path)
        return ax.figure

    def __str__(self) -> str:
        before = _with_updates(self.score_before, self.updates_before)
        if not self.helped:
            lines = [f"Nothing helped: {before} on held-out samples."]
        else:
            after = _with_updates(self.score_after, self.updates_after)
            lines = [f"From {before} to {after} on held-out samples."]
        return "\n".join([*lines, *_by_change(self.differences), *self.advice])


def _by_change(differences: Sequence[str]) -> list[str]:
    r"""Lines of a diff, one for all layers that change in the same way.

    Example:

    >>> from keras_deeptools.diagnosis._repair.result import _by_change
    >>> lines = [f"+ dense_{i}: activation='relu'" for i in range(9)]
    >>> print(*_by_change([*lines, "+ learning_rate=0.1"]), sep="\n")
    + dense_0 to dense_8 (9 layers): activation='relu'
    + learning_rate=0.1
    """
    layers: dict[tuple[str, str], list[str]] = {}
    for line in differences:
        place, colon, change = line.partition(": ")
        sign, _, layer = place.partition(" ")
        is_of_layer = bool(colon) and sign in ("-", "+") and " " not in layer
        key = (sign, change) if is_of_layer else (line, "")
        layers.setdefault(key, []).append(layer if is_of_layer else "")
    lines = []
    for (sign, change), names in layers.items():
        if names[0] == "":
            lines += [sign] * len(names)
            continue
        named = ", ".join(names)
        if len(names) > 3:
            named = f"{names[0]} to {names[-1]} ({len(names)} layers)"
        lines.append(f"{sign} {named}: {change}")
    return lines


def _with_updates(score: float, updates: int) -> str:
    text = f"{score:.3g}" if math.isfinite(score) else "no score"
    return f"{text} after {updates} updates" if updates else text
