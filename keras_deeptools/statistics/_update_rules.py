"""The rules by which updates are judged: pure functions of recorded rows."""

import numpy as np

from keras_deeptools.statistics._gradient_problems import GradientProblem
from keras_deeptools.statistics._gradient_rows import GradientRows, median
from keras_deeptools.statistics._gradient_rules import TOO_FAST


def large_updates(window: GradientRows, most: float) -> list[GradientProblem]:
    """Kernels that the optimizer moves time and again by a large part of their norm."""
    if window.update_ratios is None:
        return []
    usual = median(window.update_ratios, axis=0)
    return [
        GradientProblem(
            "large updates",
            window.variables[position].path,
            int(window.steps[0]),
            f"Update-to-weight ratio {usual[position]:.1e} (median of {len(window)} "
            "recorded updates); about 1e-3 is usual.",
            TOO_FAST,
        )
        for position in window.kernels
        if usual[position] > most
    ]


def huge_updates(rows: GradientRows, most: float) -> list[GradientProblem]:
    """Kernels that a single step has changed by `most` times their norm."""
    if rows.update_ratios is None or rows.weights is None:
        return []
    found = []
    for position in rows.kernels:
        variable = rows.variables[position]
        # A kernel that starts at zero must grow by more than its norm.
        set_up = rows.weights[:, position] > 1e-3 * np.sqrt(variable.size)
        hit = np.flatnonzero(set_up & (rows.update_ratios[:, position] > most))
        if len(hit):
            ratio = rows.update_ratios[hit[0], position]
            found.append(
                GradientProblem(
                    "large updates",
                    variable.path,
                    int(rows.steps[hit[0]]),
                    f"One update was {ratio:.1e} times the norm of the weights; about "
                    "1e-3 is usual.",
                    TOO_FAST,
                )
            )
    return found


def small_updates(
    window: GradientRows, least: float, largest: np.ndarray, earlier: np.ndarray
) -> list[GradientProblem]:
    """Kernels that the optimizer hardly moves, without a reason in the schedule.

    Args:
        window: `GradientRows`.
        least: Float. Median ratios under this are small.
        largest: Float array `(n,)`. The largest median ratio that each variable has
            had in a window so far, NaN if unknown.
        earlier: Float array `(n,)`. The median ratios of the window before.
    """
    ratios = window.update_ratios
    if ratios is None:
        return []
    usual = median(ratios, axis=0)
    found = []
    for position in window.kernels:
        ratio = usual[position]
        had_none = window.norms[:, position].max(initial=0.0) == 0
        rises = ratio > 1.02 * earlier[position]
        fell = largest[position] >= least
        if not ratio < least or had_none or rises or fell:
            continue
        found.append(
            GradientProblem(
                "small updates",
                window.variables[position].path,
                int(window.steps[0]),
                f"Update-to-weight ratio {ratio:.1e} (median of {len(window)} recorded "
                "updates); about 1e-3 is usual.",
                "Raise the learning rate (`find_learning_rate`); if other layers move "
                "enough, this one's gradient vanishes: use an adaptive optimizer "
                "(Adam), normalization or another initialization.",
            )
        )
    return found
