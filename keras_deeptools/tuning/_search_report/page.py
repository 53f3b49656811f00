"""A search as a page."""

from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any

from keras_deeptools._axes import new_panels
from keras_deeptools._files import checked_path
from keras_deeptools.report import Page, _markup as markup
from keras_deeptools.report._charts import figure_elements, new_chart, page_style
from keras_deeptools.report._run_setup import duration, environment
from keras_deeptools.tuning._search_report.charts import (
    importance_bars,
    parallel_coordinates,
    progress_by_time,
    progress_by_trial,
)
from keras_deeptools.tuning._search_report.trials import rows_of, shown

OWNER = "SearchReport.save"
WIDE = (10.5, 4.2)
METHOD = (
    "Each bar is the share of the variance of the trials' ranks that a hyperparameter "
    "explains by itself, beyond what shuffled results give; chance alone stays under "
    "the mark nineteen times in twenty. Not shown: hyperparameters that matter only "
    "together, and which of two that were moved together is the cause."
)


def search_page(report: Any, path: str | PathLike[str], title: str | None) -> Path:
    """Writes the page.

    Args:
        report: `SearchReport`.
        path: File that ends in .html.
        title: Str or None.
    """
    file = checked_path(OWNER, path)
    page = Page(title or f"Search for {report.objective}", _lead(report))
    page.add("At a glance", markup.facts(_facts(report)), *report.notes)
    if report.ranked[0].has_score:
        page.add("Hyperparameters and scores", _parallel(report))
        if report.importance:
            page.add("What mattered", METHOD, _importance(report))
        draws: list[Callable[[Any, Any], None]] = [progress_by_trial]
        if len(report.ends) > 1:
            draws.append(progress_by_time)
        page.add("Progress", _drawn(report, "p", "Progress of the search", draws))
    titles, rows = rows_of(report.ranked, report.objective, report.varied)
    pieces = [markup.grid("All trials, the best first", titles, rows)]
    if report.constant:
        same = [[name, shown(value)] for name, value in report.constant.items()]
        table = markup.grid("The same in all trials", ["hyperparameter", "value"], same)
        pieces.append(markup.folded("The same in all trials", table))
    page.add("All trials", *pieces)
    if report.ranked[0].has_score:
        page.add(
            "The best as code", markup.listing(report.best_recipe(), "Python code")
        )
    versions = markup.grid("Versions", ["what", "value"], environment().items())
    page.add("Setup", versions)
    return page.save(file)


def _lead(report: Any) -> str:
    kind = f"{report.tuner}, " if report.tuner else ""
    direction = "largest" if report.maximize else "smallest"
    goal = f"looking for the {direction} {report.objective}"
    return f"{kind}{len(report.trials)} trials, {goal}."


def _facts(report: Any) -> dict[str, str]:
    states = [trial.status for trial in report.trials]
    found = {"trials": str(len(states))}
    found |= {state: str(states.count(state)) for state in dict.fromkeys(states)}
    best = report.ranked[0]
    if best.has_score:
        found[f"best {report.objective}"] = f"{best.score:.5g}"
        found["best trial"] = best.trial_id
    seconds = [one.seconds for one in report.trials if one.seconds is not None]
    if seconds:
        found["training time"] = duration(sum(seconds))
    memory = [one.peak_memory for one in report.trials if one.peak_memory]
    if memory:
        found["most memory"] = f"{max(memory) / 2**20:.0f} MiB"
    return found


def _parallel(report: Any) -> markup.Markup:
    about = "Lines of trials through their hyperparameters; the table has the numbers."
    with page_style(OWNER):
        ax = new_panels(OWNER, 1, 1, WIDE)[0, 0]
        parallel_coordinates(ax, report)
        figures = figure_elements([ax.figure], "x", "Hyperparameters and scores", about)
    return markup.charts(figures)


def _importance(report: Any) -> markup.Markup:
    picture = _drawn(report, "i", "Importance of hyperparameters", [importance_bars])
    rows = [
        [
            one.name,
            f"{one.share:.1%}",
            f"{one.chance:.1%}",
            f"{one.p_value:.4f}",
            "yes" if one.is_clear else "no",
            str(one.num_trials),
        ]
        for one in report.importance
    ]
    titles = ["hyperparameter", "share", "by chance", "p", "clear", "configurations"]
    return markup.joined(
        [picture, markup.folded("The numbers", markup.grid("Importance", titles, rows))]
    )


def _drawn(
    report: Any, key: str, title: str, draws: list[Callable[[Any, Any], None]]
) -> markup.Markup:
    about = "The numbers stand in the tables of this page."
    with page_style(OWNER):
        figures = []
        for draw in draws:
            ax = new_chart(OWNER)
            draw(ax, report)
            figures.append(ax.figure)
        return markup.charts(figure_elements(figures, key, title, about))
