"""A diagnosis as a separate HTML page, and as a part of a notebook."""

from collections.abc import Iterator, Sequence
from typing import Any

from keras_deeptools._finding import Finding
from keras_deeptools.diagnosis._diagnose.plots import Measurements, Panel, panels_of
from keras_deeptools.report import Page, _markup
from keras_deeptools.report._charts import (
    figure_elements,
    legend_below,
    new_chart,
    page_style,
)
from keras_deeptools.report._page import explanation, finding_element

OWNER = "Diagnosis.to_html"

NOTEBOOK_STYLE = """
.kdt-diagnosis h3 { margin: 0.75rem 0 0.25rem; font-size: 1rem; }
.kdt-diagnosis div { margin: 0.5rem 0; padding: 0.1rem 0.75rem;
  border-left: 0.25rem solid #88888888; }
.kdt-diagnosis div.problem { border-left-color: #c8511b; }
.kdt-diagnosis div.warning { border-left-color: #3b7fd0; }
.kdt-diagnosis p { margin: 0.25rem 0; }
.kdt-diagnosis pre { margin: 0.25rem 0; padding: 0.4rem 0.6rem; overflow-x: auto;
  background: #8888881f; color: inherit; }
.kdt-diagnosis .muted { opacity: 0.75; font-size: 0.875em; }
"""
"""For both light and dark notebooks: the text keeps the notebook's own color."""


def page_of(
    title: str,
    lead: str,
    findings: Sequence[Finding],
    not_seen: Sequence[str],
    measured: Measurements,
) -> Page:
    """The page: findings, causes first, and charts of what was measured.

    Args:
        title: Str.
        lead: Str.
        findings: Sequence of `Finding`, ranked.
        not_seen: Sequence of str.
        measured: `Measurements`.
    """
    page = Page(title, lead)
    page.add("Findings", findings_with_consequences(findings))
    topics: dict[str, list[tuple[str, Panel]]] = {}
    for topic, description, draw in panels_of(measured):
        topics.setdefault(topic, []).append((description, draw))
    for index, (topic, panels) in enumerate(topics.items()):
        page.add(topic, _charts(f"d{index}", topic, panels))
    if not_seen:
        items = "".join(f"<li>{_markup.escaped(text)}</li>" for text in not_seen)
        page.add("Not looked at", _markup.Markup(f"<ul>{items}</ul>"))
    return page


def findings_with_consequences(findings: Sequence[Finding]) -> _markup.Markup:
    """Causes, each with its numbers and what follows from it folded under it.

    Args:
        findings: Sequence of `Finding`, ranked.
    """
    causes = [each for each in findings if not each.caused_by]
    if not causes:
        return _markup.paragraph("Nothing was found.")
    elements = []
    for cause in causes:
        follow = [each for each in findings if each.caused_by == cause.kind]
        more = [_numbers(cause)]
        if follow:
            kinds = ", ".join(dict.fromkeys(each.kind for each in follow))
            inner = _markup.joined(
                finding_element(each, _numbers(each)) for each in follow
            )
            more.append(_markup.folded(f"Follows from it: {kinds}", inner))
        elements.append(finding_element(cause, *more))
    return _markup.joined(elements)


def notebook_element(
    headline: str, findings: Sequence[Finding], not_seen: Sequence[str]
) -> str:
    """What a notebook shows.

    Args:
        headline: Str.
        findings: Sequence of `Finding`, ranked.
        not_seen: Sequence of str.
    """
    pieces = [_markup.paragraph(headline), *map(_in_notebook, findings)]
    if not_seen:
        items = "".join(f"<li>{_markup.escaped(text)}</li>" for text in not_seen)
        pieces.append(
            _markup.folded("Not looked at", _markup.Markup(f"<ul>{items}</ul>"))
        )
    style = f"<style>{NOTEBOOK_STYLE}</style>"
    return f'<section class="kdt-diagnosis">{style}{_markup.joined(pieces)}</section>'


def _in_notebook(finding: Finding) -> _markup.Markup:
    if finding.caused_by:
        return _markup.Markup("")
    place = f" at {finding.place}" if finding.place else ""
    kind, place = _markup.escaped(finding.kind), _markup.escaped(place)
    pieces = [
        f"<h3>{kind} ({finding.severity}){place}</h3>",
        _markup.paragraph(finding.message),
    ]
    if finding.remedy:
        pieces.append(
            f"<p><strong>Remedy:</strong> {_markup.escaped(finding.remedy)}</p>"
        )
    if finding.code:
        pieces.append(
            _markup.listing(finding.code, f"Remedy for {finding.kind} as code")
        )
    if finding.causes:
        pieces.append(
            _markup.paragraph(f"Follows from it: {', '.join(finding.causes)}.")
        )
    pieces.append(explanation(finding))
    return _markup.Markup(f'<div class="{finding.severity}">{"".join(pieces)}</div>')


def _numbers(finding: Finding) -> _markup.Markup:
    """The evidence as a table."""
    if not finding.evidence:
        return _markup.Markup("")
    rows = [
        [name.replace("_", " "), _shown(value)]
        for name, value in finding.evidence.items()
    ]
    table = _markup.grid(f"Numbers of {finding.kind}", ["measured", "value"], rows)
    return _markup.folded("The numbers", table)


def _shown(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_shown, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _charts(
    key: str, title: str, panels: Sequence[tuple[str, Panel]]
) -> _markup.Markup:
    """Charts in the style of the page; a sentence where they cannot be drawn."""
    try:
        with page_style(OWNER):
            elements = [
                element
                for index, (description, draw) in enumerate(panels)
                for element in figure_elements(
                    _drawn(draw), f"{key}-{index}", title, f"Chart: {description}"
                )
            ]
    except ImportError as error:
        return _markup.paragraph(f"No charts: {error}", "muted")
    return _markup.charts(elements)


def _drawn(draw: Panel) -> Iterator[Any]:
    ax = new_chart(OWNER)
    draw(ax)
    legend_below(ax, least=2)
    yield ax.figure
