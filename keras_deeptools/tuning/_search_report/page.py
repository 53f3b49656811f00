"""Charts of a search, and the page that has all of them."""

from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from keras_deeptools._axes import new_panels
from keras_deeptools._files import checked_path
from keras_deeptools.report import Page, _markup as markup
from keras_deeptools.report._charts import figure_elements, new_chart, page_style
from keras_deeptools.report._run_setup import duration, environment
from keras_deeptools.tuning._search_report.hyperparameter_importance import is_numeric
from keras_deeptools.tuning._search_report.trials import rows_of, shown

MOST_AXES = 10
TOP = 0.25
"""Share of the trials that stand out as the best."""

WORST = 0.25
"""Share of the trials whose scores the scale need not reach."""

NOT_USED = -0.12
"""Height at which a line passes a hyperparameter that was not active."""

OWNER = "SearchReport.save"
WIDE = (10.5, 4.2)
METHOD = (
    "Each bar is the share of the variance of the trials' ranks that a hyperparameter "
    "explains by itself, beyond what shuffled results give; chance alone stays under "
    "the mark nineteen times in twenty. Not shown: hyperparameters that matter only "
    "together, and which of two that were moved together is the cause."
)


def plot_search(report: Any, path: Any) -> Any:
    """All of them in one figure, saved where asked.

    Args:
        report: `SearchReport`.
        path: File or None.
    """
    charts = [progress_by_trial]
    if report.best and report.importance:
        charts.insert(0, importance_bars)
    if len(report.ends) > 1:
        charts.append(progress_by_time)
    axes = new_panels("SearchReport.plot", 2, len(charts), (13, 8))
    spec, figure = axes[0, 0].get_gridspec(), axes[0, 0].figure
    for ax in axes[0]:
        ax.remove()
    parallel_coordinates(figure.add_subplot(spec[0, :]), report)
    for draw, ax in zip(charts, axes[1], strict=True):
        draw(ax, report)
    if path is not None:
        figure.savefig(path)
    return figure


def parallel_coordinates(ax: Any, report: Any) -> None:
    """One line for each configuration, through its hyperparameters to its score.

    Args:
        ax: Matplotlib axes.
        report: `SearchReport`.
    """
    names = report.varied[:MOST_AXES]
    configurations = report.configurations
    count = max(1, round(TOP * sum(trial.has_score for trial in configurations)))
    best = [trial for trial in report.ranked if trial in configurations][:count]
    heights = {}
    for place, name in enumerate(names):
        column = [trial.values.get(name) for trial in configurations]
        heights[name], ticks = _scale(column, name in report.logarithmic)
        _label(ax, place, ticks)
    scores, ticks = _score_heights(report, configurations)
    _label(ax, len(names), ticks)
    places = np.arange(len(names) + 1)
    for index in sorted(
        range(len(configurations)), key=lambda i: configurations[i] in best
    ):
        trial = configurations[index]
        line = [*(heights[name][index] for name in names), scores[index]]
        look = {"color": "0.5", "alpha": 0.55, "linewidth": 1.0}
        if not trial.has_score:
            look |= {"linestyle": ":", "color": "C3"}
        elif trial in best:
            look = {"color": "C1", "linewidth": 2.0}
        ax.plot(places, line, **look)
    for axis in places:
        ax.axvline(axis, color="0.5", linewidth=0.8)
    ax.set_xticks(
        places, [_broken(name) for name in [*names, report.objective]], fontsize=8
    )
    unused = any(NOT_USED in column for column in heights.values())
    ax.set_yticks(*([NOT_USED], ["not used"]) if unused else [[]])
    ax.set_ylim(2 * NOT_USED, 1.08)
    ax.set_xlim(-0.1, len(names) + 0.35)
    ax.grid(False)
    ax.spines[:].set_visible(False)
    _legend(ax, report, len(best))


def importance_bars(ax: Any, report: Any) -> None:
    """Share explained by each hyperparameter, and what chance alone would give.

    Args:
        ax: Matplotlib axes.
        report: `SearchReport`.
    """
    found = report.importance[:MOST_AXES]
    rows = np.arange(len(found))
    colors = ["C0" if one.is_clear else "0.7" for one in found]
    ax.barh(rows, [one.share for one in found], color=colors)
    ax.plot(
        [one.chance for one in found],
        rows,
        "|",
        color="C1",
        markersize=12,
        label="chance, 19 in 20",
    )
    ax.set_yticks(rows, [one.name for one in found], fontsize=8)
    ax.set_ylim(len(found) - 0.5, -0.5)
    ax.set_xlim(0, 1)
    ax.set_title("Share explained (gray: could be chance)")
    ax.legend(loc="lower right")


def progress_by_trial(ax: Any, report: Any) -> None:
    """Scores in the order in which trials began, and the best so far.

    Args:
        ax: Matplotlib axes.
        report: `SearchReport`.
    """
    scored = [trial for trial in report.trials if trial.has_score]
    _progress(ax, report, [(trial.number, trial.score) for trial in scored])
    ax.set_xlabel("trial")
    ax.set_title("Best so far, by trial")


def progress_by_time(ax: Any, report: Any) -> None:
    """Scores at the time at which trials ended, and the best so far.

    Args:
        ax: Matplotlib axes.
        report: `SearchReport`.
    """
    _progress(ax, report, report.ends)
    ax.set_xlabel("seconds since the first trial began")
    ax.set_title("Best so far, by time")


def _progress(ax: Any, report: Any, points: list[tuple[float, float]]) -> None:
    places, scores = np.array(points, float).reshape(-1, 2).T
    best = (
        np.maximum.accumulate(scores)
        if report.maximize
        else np.minimum.accumulate(scores)
    )
    ax.plot(places, scores, "o", color="0.5", alpha=0.7, markersize=4, label="trial")
    ax.step(places, best, where="post", color="C1", label="best so far")
    low, high = _limits(scores, report.maximize)
    margin = 0.05 * (high - low) or 0.5
    ax.set_ylim(low - margin, high + margin)
    ax.set_ylabel(report.objective)
    ax.legend()


def _scale(column: list[Any], logarithmic: bool) -> tuple[np.ndarray, dict[float, str]]:
    """Heights of the values, and texts by height."""
    active = [value for value in column if value is not None]
    if is_numeric(active) and len(set(active)) > 1:
        numbers = np.array([np.nan if v is None else v for v in column], float)
        ends = {0.0: shown(min(active)), 1.0: shown(max(active))}
        if logarithmic and np.nanmin(numbers) > 0:
            numbers = np.log(numbers)
        low, high = np.nanmin(numbers), np.nanmax(numbers)
        heights = (numbers - low) / (high - low)
        return np.where(np.isnan(heights), NOT_USED, heights), ends
    distinct = sorted(dict.fromkeys(active), key=str)
    step = 1 / max(len(distinct) - 1, 1)
    known = {value: index * step for index, value in enumerate(distinct)}
    heights = [NOT_USED if value is None else known[value] for value in column]
    return np.array(heights), {height: shown(value) for value, height in known.items()}


def _score_heights(
    report: Any, configurations: list[Any]
) -> tuple[np.ndarray, dict[float, str]]:
    """The best at the top; what failed, and what is beyond the scale, at the bottom."""
    scores = [trial.score if trial.has_score else np.nan for trial in configurations]
    column = np.array(scores)
    low, high = _limits(column[np.isfinite(column)], report.maximize)
    span = (high - low) or 1.0
    heights = (column - low) / span if report.maximize else (high - column) / span
    ends = (low, high) if report.maximize else (high, low)
    ticks = {0.0: shown(float(ends[0])), 1.0: shown(float(ends[1]))}
    return np.clip(np.where(np.isnan(heights), 0, heights), 0, 1), ticks


def _label(ax: Any, place: int, ticks: dict[float, str]) -> None:
    """Values beside an axis, readable on the lines."""
    paper = {"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.8}
    for height, text in ticks.items():
        ax.annotate(
            text,
            (place, height),
            (4, 0),
            textcoords="offset points",
            fontsize=8,
            va="center",
            bbox=paper,
            zorder=4,
        )


def _limits(scores: np.ndarray, maximize: bool) -> tuple[float, float]:
    """From the best to the worst; the last quarter only where it is near the others."""
    inner = np.quantile(scores, WORST if maximize else 1 - WORST)
    best = scores.max() if maximize else scores.min()
    worst = scores.min() if maximize else scores.max()
    if abs(worst - best) > 3 * abs(inner - best) > 0:
        worst = inner
    return min(best, worst), max(best, worst)


def _broken(name: str) -> str:
    return name.replace("/", "/\n").replace(" ", "\n")


def _legend(ax: Any, report: Any, count: int) -> None:
    ax.plot([], [], color="C1", linewidth=2, label=f"best {count}")
    ax.plot([], [], color="0.5", label="others")
    if any(trial.status == "failed" for trial in report.trials):
        ax.plot([], [], ":", color="C3", label="failed")
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)


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
