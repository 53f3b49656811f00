"""What `diagnose` says: findings as text, JSON, HTML and a table."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from os import PathLike
from pathlib import Path
from typing import Any

from keras_deeptools._axes import describes_figure
from keras_deeptools._files import write_text
from keras_deeptools._finding import Finding
from keras_deeptools._text_table import data_frame
from keras_deeptools.diagnosis._diagnose.page import notebook_element, page_of
from keras_deeptools.diagnosis._diagnose.plots import Measurements, plot_diagnosis
from keras_deeptools.diagnosis._diagnose.ranking import lines_of

VERDICTS = {
    "learns": "In a short trial the model learns.",
    "falls": "In a short trial the loss falls, but not yet below that of a constant "
    "prediction.",
    "stuck": "In a short trial the model does not learn.",
    "diverges": "In a short trial the loss rises or is not finite.",
    "unknown": "No trial was made.",
}


@dataclass(frozen=True)
class Diagnosis:
    """The findings about a model and its data; made by `diagnose`.

    Attributes:
        model: Str. Name of the model.
        findings: Tuple of `Finding`, causes first, the most certain at the front;
            findings with a `caused_by` follow from another one.
        learning: `"learns"`, `"falls"`, `"stuck"`, `"diverges"` or `"unknown"`: the
            course of a short training with the model as it is compiled.
        not_seen: Tuple of str. What could not be checked, and why.
        measured: What `plot` draws: losses of the short trainings, counts of targets,
            scales of inputs, and numbers about each layer, as dicts of lists.

    Example:

    >>> from keras_deeptools.diagnosis import Diagnosis, Finding
    >>> cause = Finding("unscaled inputs", "dense", "Up to 255.", "Divide by 255.")
    >>> print(Diagnosis("classifier", (cause,), "stuck"))
    Diagnosis of classifier: 1 problem. In a short trial the model does not learn.
    1. unscaled inputs (problem): dense
        seen    Up to 255.
        remedy  Divide by 255.
    """

    model: str
    findings: tuple[Finding, ...]
    learning: str = "unknown"
    not_seen: tuple[str, ...] = ()
    measured: Measurements = field(default_factory=Measurements, hash=False, repr=False)

    @property
    def problems(self) -> tuple[Finding, ...]:
        """The findings of severity `"problem"` that follow from no other."""
        return tuple(
            each
            for each in self.findings
            if each.severity == "problem" and not each.caused_by
        )

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of findings, causes first, each once."""
        return tuple(dict.fromkeys(finding.kind for finding in self.findings))

    def __str__(self) -> str:
        """A report of several lines."""
        lines = [self._lead()]
        lines += lines_of(self.findings)
        if self.not_seen:
            lines += ["Not looked at:", *(f"  {text}" for text in self.not_seen)]
        return "\n".join(lines)

    def _lead(self) -> str:
        return f"{self._headline()} {VERDICTS[self.learning]}"

    def _headline(self) -> str:
        counts = {
            severity: sum(
                each.severity == severity and not each.caused_by
                for each in self.findings
            )
            for severity in ("problem", "warning", "note")
        }
        listed = [
            f"{count} {name}{'s' * (count != 1)}"
            for name, count in counts.items()
            if count
        ]
        return f"Diagnosis of {self.model}: {', '.join(listed) or 'nothing found'}."

    def to_dict(self) -> dict[str, Any]:
        """The diagnosis as plain values, with the docs page of each finding."""
        return {
            "model": self.model,
            "learning": self.learning,
            "findings": [asdict(each) | {"page": each.page} for each in self.findings],
            "not_seen": list(self.not_seen),
            "measured": asdict(self.measured),
        }

    def to_json(self, path: str | PathLike[str] | None = None) -> str:
        """The diagnosis as JSON, also written to a file if a path is given.

        Numbers that are not finite become the texts `"NaN"`, `"Infinity"` and
        `"-Infinity"`, because JSON has no such numbers.

        Args:
            path: Path of the file to write, or None.

        Returns:
            Str.
        """
        text = json.dumps(_as_json(self.to_dict()), indent=2, allow_nan=False)
        return _written(text, path)

    @classmethod
    def from_json(cls, text: str) -> "Diagnosis":
        """Makes a diagnosis from what `to_json` returned.

        Args:
            text: Str, what `to_json` returned or wrote.

        Returns:
            `Diagnosis`, equal to the one that was written.

        Raises:
            ValueError: If the text is not the JSON of a diagnosis.

        Example:

        >>> from keras_deeptools.diagnosis import Diagnosis
        >>> diagnosis = Diagnosis("classifier", (), "learns")
        >>> Diagnosis.from_json(diagnosis.to_json()) == diagnosis
        True
        """
        try:
            known = json.loads(text)
            findings = tuple(map(_finding, known["findings"]))
            return cls(
                known["model"],
                findings,
                known["learning"],
                tuple(known["not_seen"]),
                Measurements(**_from_json(known["measured"])),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                "Diagnosis.from_json: `text` must be what `to_json` wrote. "
                f"Received: {text[:60]!r}... ({error})."
            ) from error

    def to_dataframe(self) -> Any:
        """One line for each finding.

        Returns:
            `pandas.DataFrame`.

        Raises:
            ImportError: If pandas is not installed.
        """
        found = self.to_dict()["findings"]
        names = [*(field.name for field in fields(Finding)), "page"]
        columns = {name: [each.get(name) for each in found] for name in names}
        return data_frame("Diagnosis", columns)

    def to_html(self, path: str | PathLike[str] | None = None) -> str:
        """An HTML page with charts, also written to a file if a path is given.

        It has no scripts, loads nothing and follows the reader's choice of light or
        dark. Without matplotlib there are no charts on it.

        Args:
            path: Path of the file to write, or None.

        Returns:
            Str.
        """
        title = f"Diagnosis of {self.model}"
        page = page_of(title, self._lead(), self.findings, self.not_seen, self.measured)
        return _written(page.html(), path)

    @describes_figure
    def plot(self, path: str | None = None) -> Any:
        """Draws what was measured: losses, targets, inputs and layers.

        {{path_to_import_error}}
            ValueError: If nothing was measured that could be drawn.
        """
        return plot_diagnosis(self.measured, path)

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return notebook_element(self._lead(), self.findings, self.not_seen)


NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
"""How JSON holds numbers that it has no way to write."""


def _as_json(value: Any) -> Any:
    """The value with texts for numbers that are not finite."""
    if isinstance(value, Mapping):
        return {str(name): _as_json(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_json(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _from_json(value: Any) -> Any:
    """The value with the numbers that texts stand for."""
    if isinstance(value, dict):
        return {name: _from_json(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_from_json(each) for each in value]
    return NOT_FINITE.get(value, value) if isinstance(value, str) else value


def _finding(known: dict[str, Any]) -> Finding:
    names = {field.name for field in fields(Finding)}
    given = {name: value for name, value in known.items() if name in names}
    tuples = {name: tuple(given[name]) for name in ("samples", "causes")}
    return Finding(**{**given, **tuples, "evidence": _from_json(given["evidence"])})


def _written(text: str, path: str | PathLike[str] | None) -> str:
    if path is not None:
        write_text(Path(path), text)
    return text
