"""Anything that can show itself, as a part of a page."""

from collections.abc import Iterable
from typing import Any

import keras

from keras_deeptools._arguments import message
from keras_deeptools._finding import Finding
from keras_deeptools.report._charts import drawn_by, figure_elements, page_style
from keras_deeptools.report._gradient_charts import gradient_charts, is_gradient_monitor
from keras_deeptools.report._markup import (
    Markup,
    charts,
    escaped,
    folded,
    grid,
    joined,
    listing,
    paragraph,
)
from keras_deeptools.report._run_setup import model_table


def looks_for_findings(thing: Any) -> bool:
    """Whether it can have findings, also where it has none."""
    return isinstance(getattr(thing, "findings", None), (list, tuple))


def findings_of(thing: Any) -> list[Finding]:
    """What a monitor or a diagnosis has found; what is none of ours as its text."""
    found = thing.findings if looks_for_findings(thing) else ()
    return [
        one if isinstance(one, Finding) else Finding("finding", "", str(one))
        for one in found
    ]


def findings_element(findings: Iterable[Finding]) -> Markup:
    """All of them, one below another."""
    return joined(map(_element, findings))


def _element(finding: Finding) -> Markup:
    place = f": {finding.place}" if finding.place else ""
    severity = f'<span class="severity">{escaped(finding.severity)}</span>'
    pieces = [
        f"<h3>{escaped(finding.kind + place)} {severity}</h3>",
        f"<p>{escaped(finding.message)}</p>",
    ]
    if finding.remedy:
        pieces.append(f"<p><strong>Remedy:</strong> {escaped(finding.remedy)}</p>")
    if finding.code:
        pieces.append(listing(finding.code, f"Remedy for {finding.kind} as code"))
    if finding.reference:
        pieces.append(f'<p class="muted">{escaped(finding.reference)}</p>')
    return Markup(f'<div class="finding {finding.severity}">{"".join(pieces)}</div>')


RULE = (
    "text, a figure, a model, or an object with `plot()`, `table()`, `findings` or a "
    "text of its own"
)


def rendered(
    owner: str, key: str, title: str, part: Any, with_findings: bool = True
) -> Markup:
    """One part of a page.

    Args:
        owner: Str. Whom an error names.
        key: Str, another one for each part of a page.
        title: Str, what charts are called.
        part: What to show, see `RULE`.
        with_findings: Bool, whether findings are shown here.
    """
    if isinstance(part, Markup):
        return part
    if isinstance(part, str):
        return paragraph(part)
    if isinstance(part, keras.Model):
        return model_table(part)
    if hasattr(part, "savefig"):
        description = f"Chart: {title}."
        with page_style(owner):
            return charts(figure_elements([part], key, title, description))
    if not shows_itself(part):
        raise TypeError(message(owner, "parts", RULE, part))
    text = _text_of(part)
    pieces = [_pictures(owner, key, title, part)]
    if not text:
        pieces.append(_activity(part))
    if with_findings:
        pieces.append(findings_element(findings_of(part)))
    pieces += [paragraph(note) for note in getattr(part, "notes", ())]
    if text:
        columns = callable(getattr(part, "table", None))
        shown = listing(text, f"{title} as text", wraps=not columns)
        pieces.append(folded("The numbers", shown) if any(pieces) else shown)
    return joined(pieces)


def shows_itself(part: Any) -> bool:
    """Whether there is anything to show of it."""
    if isinstance(part, type) or type(part).__module__ == "builtins":
        return False
    plots = callable(getattr(part, "plot", None))
    acts = bool(getattr(part, "activity", None))
    return plots or acts or looks_for_findings(part) or _speaks(part)


def _pictures(owner: str, key: str, title: str, part: Any) -> Markup:
    """Its charts; a sentence where it has nothing to draw."""
    plot = getattr(part, "plot", None)
    if not callable(plot):
        return Markup("")
    description = f"Chart: {title}. Its numbers stand below it."
    with page_style(owner):
        try:
            if is_gradient_monitor(part):
                figures = gradient_charts(owner, part)
            else:
                figures = iter(drawn_by(owner, plot))
            return charts(figure_elements(figures, key, title, description))
        except ValueError as error:
            return paragraph(f"No chart: {error}", "muted")


def _speaks(part: Any) -> bool:
    """Whether it has a table or a text of its own, other than a dataclass's fields."""
    is_data = hasattr(part, "__dataclass_fields__")
    own = type(part).__repr__ is not object.__repr__ and not is_data
    written = type(part).__str__ is not object.__str__
    return callable(getattr(part, "table", None)) or written or own


def _text_of(part: Any) -> str:
    if callable(getattr(part, "table", None)):
        return str(part.table())
    return str(part) if _speaks(part) else ""


def _activity(part: Any) -> Markup:
    """How often a callback that clips or limits did so, where it tells."""
    found = getattr(part, "activity", None)
    if not isinstance(found, dict) or not found:
        return Markup("")
    rows = [[name, f"{float(share):.2%}"] for name, share in found.items()]
    return grid("How often it acted", ["where", "acted"], rows)
