"""What `diagnose` says: findings as text, JSON, HTML and a table."""

import html
import json
from dataclasses import asdict, dataclass
from typing import Any

from keras_deeptools._files import write_text
from keras_deeptools._finding import Finding
from keras_deeptools.diagnosis._diagnose.ranking import lines_of

VERDICTS = {
    "learns": "In a short trial the model learns.",
    "falls": "In a short trial the loss falls.",
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
            those with a `caused_by` follow from another one.
        learning: `"learns"`, `"falls"`, `"stuck"`, `"diverges"` or `"unknown"`: how a
            short training as the model is compiled goes.
        not_seen: Tuple of str. What could not be looked at, and why.

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
        lines = [f"{self._headline()} {VERDICTS[self.learning]}"]
        lines += lines_of(self.findings)
        if self.not_seen:
            lines += ["Not looked at:", *(f"  {text}" for text in self.not_seen)]
        return "\n".join(lines)

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
        """All of it as plain values."""
        return {
            "model": self.model,
            "learning": self.learning,
            "findings": [asdict(each) for each in self.findings],
            "not_seen": list(self.not_seen),
        }

    def to_json(self, path: str | None = None) -> str:
        """The same as JSON, written to a file where a path is given.

        Args:
            path: Str or None. File to write.
        """
        text = json.dumps(self.to_dict(), indent=2)
        return _written(text, path)

    def to_dataframe(self) -> Any:
        """A row for each finding.

        Returns:
            `pandas.DataFrame`.

        Raises:
            ImportError: If pandas is not installed.
        """
        try:
            import pandas  # type: ignore[import-untyped]
        except ImportError as error:
            raise ImportError(
                "Diagnosis.to_dataframe needs pandas: `pip install pandas`."
            ) from error
        return pandas.DataFrame([asdict(each) for each in self.findings])

    def to_html(self, path: str | None = None) -> str:
        """A page that needs nothing else, written to a file where a path is given.

        Args:
            path: Str or None. File to write.
        """
        page = (
            "<!doctype html><html lang='en'><meta charset='utf-8'>"
            f"<title>Diagnosis of {html.escape(self.model)}</title>"
            f"<style>{STYLE}</style><body>{self._repr_html_()}</body></html>"
        )
        return _written(page, path)

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        head = f"{self._headline()} {VERDICTS[self.learning]}"
        parts = [f"<div class='diagnosis'><h2>{html.escape(head)}</h2><ol>"]
        for each in self.findings:
            if each.caused_by:
                continue
            parts.append(
                f"<li class='{each.severity}'><b>{html.escape(each.kind)}</b> "
                f"<em>{each.severity}</em> at <code>{html.escape(each.where)}</code>"
                f"<p>{html.escape(each.message)}</p>"
            )
            if each.remedy:
                parts.append(f"<p><b>Remedy:</b> {html.escape(each.remedy)}</p>")
            if each.code:
                parts.append(f"<pre>{html.escape(each.code)}</pre>")
            if each.causes:
                follow = html.escape(", ".join(each.causes))
                parts.append(f"<p>Follows from it: {follow}.</p>")
            parts.append("</li>")
        parts.append("</ol>")
        if self.not_seen:
            rest = "".join(f"<li>{html.escape(text)}</li>" for text in self.not_seen)
            parts.append(f"<p>Not looked at:</p><ul>{rest}</ul>")
        return "".join(parts) + "</div>"


STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:48rem;margin:2rem auto;"
    "padding:0 1rem}li{margin:1rem 0}.problem>em{color:#b00020}.warning>em{color:"
    "#a05a00}pre{background:#8881;padding:.5rem;overflow:auto}"
)


def _written(text: str, path: str | None) -> str:
    if path is not None:
        write_text(path, text)
    return text
