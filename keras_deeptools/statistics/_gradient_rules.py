"""The rules by which gradients are judged: pure functions of recorded updates."""

import numpy as np

from keras_deeptools._finding import Finding
from keras_deeptools.statistics._gradient_rows import GradientRows, median
from keras_deeptools.statistics._gradient_thresholds import GradientThresholds

LEAST_DEPTH = 3
"""Number of kernels that a comparison of first and last layers needs."""

LEAST_BEFORE = 5
"""Number of updates that a running median needs."""

USUAL_RATIO = 1e-3
"""Usual update-to-weight ratio."""

OF_DEPTH = "Glorot & Bengio, 2010, section 4"
OF_NORMS = "Pascanu et al., 2013, section 3.2"

CLIPPER = "keras_deeptools.callbacks.GradientClipper(global_norm=1.0)"

TOO_FAST = (
    "Lower the learning rate (`find_learning_rate`), warm it up "
    "(`OneCycleScheduler`) or clip with `GradientClipper`."
)


def non_finite(rows: GradientRows) -> list[Finding]:
    """Finds the first update with a gradient that is not finite, and where it began."""
    bad = rows.nonfinite > 0
    hit = np.flatnonzero(bad.any(axis=1))
    if not len(hit):
        return []
    first = hit[0]
    where = np.flatnonzero(bad[first])
    known = np.flatnonzero(~np.isnan(rows.nonfinite[first]))
    count = int(np.nansum(rows.nonfinite[first]))
    variable = rows.variables[where[-1]]
    message = f"{count} elements are NaN or infinite"
    if len(where) == len(known):
        message += (
            f", in all {len(where)} variables, so the loss or an activation before it "
            "is not finite."
        )
        remedy = "Check inputs and targets for NaN, log(0), sqrt(0) and divisions by 0"
    else:
        message += (
            f", in {len(where)} of {len(known)} variables; the layers after "
            f"{variable.layer} are finite."
        )
        remedy = f"Look for log(0), sqrt(0) or division by 0 at {variable.layer}"
    remedy += (
        "; a rate that is too large does it too: `find_learning_rate`, "
        "`GradientClipper`. In float16 use `keras.optimizers.LossScaleOptimizer`."
    )
    return [
        Finding(
            "non-finite",
            variable.path,
            message,
            remedy,
            evidence={
                "elements": count,
                "variables": len(where),
                "of_variables": len(known),
            },
            step=int(rows.steps[first]),
        )
    ]


def dead(window: GradientRows, loss_is_gone: bool = False) -> list[Finding]:
    """Finds layers all of whose gradients are exactly zero in every update.

    Args:
        window: `GradientRows`.
        loss_is_gone: Bool. Whether zeros everywhere are the end of training and not a
            fault.
    """
    zero = np.all(window.norms == 0, axis=0)
    if not zero.any():
        return []
    known = ~np.all(np.isnan(window.norms), axis=0)
    if zero[known].all() and loss_is_gone:
        return []
    layers: dict[str, list[bool]] = {}
    for position in np.flatnonzero(known):
        layer = window.variables[position].layer
        layers.setdefault(layer, []).append(bool(zero[position]))
    return [
        Finding(
            "dead",
            layer,
            f"All gradients of the layer were exactly 0 in {len(window)} recorded "
            "updates.",
            "No path from it to the loss is open: units that ReLU switches off for "
            "every input (a lower learning rate, HeNormal, `leaky_relu`), saturated "
            "activations, or an output without a loss.",
            evidence={"gradient": 0.0, "updates": len(window)},
            step=int(window.steps[0]),
        )
        for layer, zeros in layers.items()
        if all(zeros)
    ]


def _gradients_of_kernels(window: GradientRows) -> tuple[np.ndarray, np.ndarray]:
    """Returns positions and gradient sizes of the kernels that have gradients."""
    kernels = window.kernels
    sizes = window.root_mean_squares(kernels)
    return kernels[~np.isnan(sizes)], sizes[~np.isnan(sizes)]


def vanishing(window: GradientRows, least: float) -> list[Finding]:
    """Finds the first kernels whose gradients are each under `least` of one above."""
    kernels, sizes = _gradients_of_kernels(window)
    if len(kernels) < LEAST_DEPTH:
        return []
    above = np.maximum.accumulate(sizes[::-1])[::-1]
    largest = window.variables[kernels[np.argmax(sizes)]]
    found = []
    for position, size, most in zip(kernels, sizes, above, strict=True):
        if not size < least * most:
            break
        found.append(
            Finding(
                "vanishing",
                window.variables[position].path,
                f"RMS gradient {size:.1e}, {size / most:.1e} of the largest above it "
                f"({most:.1e}, at most in {largest.layer}), median of {len(window)} "
                "recorded updates.",
                "Use ReLU-like activations with HeNormal (SELU with LecunNormal), "
                "`keras.layers.BatchNormalization`, or skip connections; check the "
                "scale of the inputs and initial weights.",
                evidence={
                    "gradient": size,
                    "largest_above": most,
                    "ratio": size / most,
                    "least_ratio": least,
                    "updates": len(window),
                },
                reference=OF_DEPTH,
                step=int(window.steps[0]),
            )
        )
    return found


def exploding_layers(window: GradientRows, most: float) -> list[Finding]:
    """Finds kernels with a gradient over `most` times the median of the upper half."""
    kernels, sizes = _gradients_of_kernels(window)
    if len(kernels) < LEAST_DEPTH:
        return []
    half = len(kernels) // 2
    usual = float(np.median(sizes[half:]))
    return [
        Finding(
            "exploding",
            window.variables[position].path,
            f"RMS gradient {size:.1e}, {size / usual:.1e} times that of the upper half "
            f"of the layers ({usual:.1e}), median of {len(window)} recorded updates.",
            "Initialize with smaller weights (GlorotUniform, HeNormal, Orthogonal), "
            "add `keras.layers.BatchNormalization` or skip connections, clip with "
            "`GradientClipper`.",
            evidence={
                "gradient": size,
                "upper_half": usual,
                "ratio": size / usual,
                "most_ratio": most,
                "updates": len(window),
            },
            reference=OF_DEPTH,
            step=int(window.steps[0]),
        )
        for position, size in zip(kernels[:half], sizes[:half], strict=True)
        if size > most * usual
    ]


def exploding_run(
    rows: GradientRows,
    start: float,
    new: int,
    thresholds: GradientThresholds,
    largest: float = 0.0,
) -> list[Finding]:
    """Finds the first of the last `new` updates in which the global norm explodes.

    Args:
        rows: `GradientRows`; those before the new ones give the running median.
        start: Float. The median global norm of the run's first updates.
        new: Int. How many updates, at the end, have not been judged yet.
        thresholds: `GradientThresholds`.
        largest: Float. The largest global norm before these updates.
    """
    norms = rows.global_norms
    for position in range(len(rows) - new, len(rows)):
        before = norms[max(position - thresholds.patience, 0) : position]
        usual = float(median(before)) if len(before) >= LEAST_BEFORE else np.nan
        norm = norms[position]
        # If the loss is near zero, one odd sample is a jump from small gradients.
        most = max(norms[:position].max(initial=0.0), largest, start)
        jumps = norm > max(thresholds.exploding_jump * usual, 10 * most)
        jumps = jumps and not _is_passing(rows, position, most, thresholds)
        grows = usual > max(thresholds.exploding_growth * start, 100)
        if jumps or grows or norm > thresholds.exploding_norm:
            against = (usual, "running median") if jumps else (start, "at the start")
            largest = int(np.nanargmax(rows.norms[position]))
            return [
                Finding(
                    "exploding",
                    rows.variables[largest].path,
                    f"The global norm is {norm:.1e}, against {against[0]:.1e} "
                    f"({against[1]}); this variable's is the largest, "
                    f"{rows.norms[position, largest]:.1e}.",
                    TOO_FAST,
                    evidence={
                        "global_norm": norm,
                        "running_median": usual,
                        "start": start,
                        "variable_norm": rows.norms[position, largest],
                    },
                    code=CLIPPER,
                    reference=OF_NORMS,
                    step=int(rows.steps[position]),
                )
            ]
    return []


def _is_passing(
    rows: GradientRows, position: int, most: float, thresholds: GradientThresholds
) -> bool:
    """Returns whether a jump ends at once, and the optimizer has not followed it.

    The steps of Adam, and clipped ones, hardly depend on the size of a gradient.
    """
    ratios = rows.relative_updates
    if ratios is None:
        return False
    moved = np.nanmax(ratios[position, rows.kernels], initial=0.0)
    after = rows.global_norms[position + 1 : position + 1 + LEAST_BEFORE]
    is_over = not len(after) or float(np.median(after)) < 10 * most
    return bool(moved < thresholds.large_update and is_over)


def large_updates(window: GradientRows, most: float) -> list[Finding]:
    """Finds kernels that the optimizer often moves by a large part of their norm.

    This must be so in both halves of the window, because the first updates of Adam are
    large if gradients are small, as in the queries of attention, but not for long.
    """
    ratios = window.relative_updates
    if ratios is None:
        return []
    half = len(ratios) // 2
    usual = np.fmin(median(ratios[:half], axis=0), median(ratios[half:], axis=0))
    return [
        Finding(
            "large updates",
            window.variables[position].path,
            f"Update-to-weight ratio {usual[position]:.1e} (median of {len(window)} "
            "recorded updates); about 1e-3 is usual.",
            TOO_FAST,
            severity="warning",
            evidence={
                "ratio": usual[position],
                "usual_ratio": USUAL_RATIO,
                "most_ratio": most,
                "updates": len(window),
            },
            step=int(window.steps[0]),
        )
        for position in window.kernels
        if usual[position] > most
    ]


def huge_updates(rows: GradientRows, most: float) -> list[Finding]:
    """Finds kernels that a single step has changed by `most` times their norm.

    If a network dies in three updates, these show it, but no median does.
    """
    ratios = rows.relative_updates
    if ratios is None:
        return []
    found = []
    for position in rows.kernels:
        hit = np.flatnonzero(ratios[:, position] > most)
        if len(hit):
            ratio = ratios[hit[0], position]
            found.append(
                Finding(
                    "large updates",
                    rows.variables[position].path,
                    f"One update was {ratio:.1e} times the norm of the weights; about "
                    "1e-3 is usual.",
                    TOO_FAST,
                    severity="warning",
                    evidence={
                        "ratio": ratio,
                        "usual_ratio": USUAL_RATIO,
                        "most_ratio": most,
                    },
                    step=int(rows.steps[hit[0]]),
                )
            )
    return found


def small_updates(
    window: GradientRows, least: float, largest: np.ndarray, earlier: np.ndarray
) -> list[Finding]:
    """Finds kernels that the optimizer hardly moves, without a reason in the schedule.

    Args:
        window: `GradientRows`.
        least: Float. Median ratios under this are small.
        largest: Float array `(n,)`. The largest median ratio that each variable has
            had in a window so far, NaN if unknown.
        earlier: Float array `(n,)`. The median ratios of the previous window.
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
            Finding(
                "small updates",
                window.variables[position].path,
                f"Update-to-weight ratio {ratio:.1e} (median of {len(window)} recorded "
                "updates); about 1e-3 is usual.",
                "Raise the learning rate (`find_learning_rate`); if other layers move "
                "enough, this one's gradient vanishes: use an adaptive optimizer "
                "(Adam), normalization or another initialization.",
                severity="warning",
                evidence={
                    "ratio": ratio,
                    "usual_ratio": USUAL_RATIO,
                    "least_ratio": least,
                    "updates": len(window),
                },
                step=int(window.steps[0]),
            )
        )
    return found
