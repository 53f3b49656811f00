"""Charts of a search, each on axes that are given."""

from typing import Any

import numpy as np

from keras_deeptools._axes import new_panels
from keras_deeptools.tuning._search_report.hyperparameter_importance import is_numeric
from keras_deeptools.tuning._search_report.trials import shown

MOST_AXES = 10
TOP = 0.25
"""Share of the trials that stand out as the best."""

WORST = 0.25
"""Share of the trials whose scores the scale need not reach."""

NOT_USED = -0.12
"""Height at which a line passes a hyperparameter that was not active."""


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
