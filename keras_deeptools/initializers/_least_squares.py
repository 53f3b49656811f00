"""Least squares by Levenberg and Marquardt, for residuals that are costly."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

STEP = 0.1
"""Width of the differences that the Jacobian is taken from.

Wide, because residuals of networks with kinked activations are rough on small scales.
"""

LARGEST_STEP = 1.0
LEAST_GAIN = 1e-2
FIRST_DAMPING = 0.05
MOST_DAMPING = 1e3


@dataclass
class Minimum:
    """Where the search ended.

    Attributes:
        point: Array `(n,)`.
        objective: Float, sum of squared residuals there.
        iterations: Int, steps taken.
    """

    point: np.ndarray
    objective: float
    iterations: int


def minimize(
    residuals: Callable[[np.ndarray], np.ndarray],
    point: np.ndarray,
    max_iterations: int,
    on_evaluation: Callable[[], None] = lambda: None,
) -> Minimum:
    """Minimizes a sum of squares.

    The Jacobian is taken by differences once, kept up to date by Broyden's rule, and
    taken anew when steps stop helping. The objective never grows.

    Args:
        residuals: Function of an array `(n,)` that returns an array `(m,)`.
        point: Array `(n,)`, where to start.
        max_iterations: Int >= 1, most steps.
        on_evaluation: Called after each evaluation.

    Returns:
        `Minimum`.

    Reference:
        Nocedal and Wright, 2006, Numerical Optimization, sections 10.3 and 11.1.
    """

    def evaluate(where: np.ndarray) -> np.ndarray:
        found = residuals(where)
        on_evaluation()
        return np.where(np.isfinite(found), found, 1e6)

    current = evaluate(point)
    jacobian, fresh = _differences(evaluate, point, current), True
    damping = FIRST_DAMPING
    iteration = 0
    while iteration < max_iterations and current @ current > 1e-12:
        step = _step(jacobian, current, damping)
        trial = evaluate(point + step)
        gain = 1 - (trial @ trial) / (current @ current)
        if gain > 0:
            iteration += 1
            surprise = trial - current - jacobian @ step
            jacobian = jacobian + np.outer(surprise, step) / (step @ step)
            point, current = point + step, trial
            damping = max(damping / 5, 1e-6)
        else:
            damping *= 5
        if gain > 0 and gain > LEAST_GAIN:
            fresh = False
        elif not fresh:
            jacobian, fresh = _differences(evaluate, point, current), True
            damping = FIRST_DAMPING
        elif gain > 0 or damping > MOST_DAMPING:
            break
    return Minimum(point, float(current @ current), iteration)


def _step(jacobian: np.ndarray, residual: np.ndarray, damping: float) -> np.ndarray:
    normal = jacobian.T @ jacobian
    damped = normal + damping * normal.trace() / len(normal) * np.eye(len(normal))
    step = -np.linalg.solve(damped + 1e-12 * np.eye(len(normal)), jacobian.T @ residual)
    return step * min(1.0, LARGEST_STEP / max(np.abs(step).max(), 1e-300))


def _differences(
    evaluate: Callable[[np.ndarray], np.ndarray], point: np.ndarray, here: np.ndarray
) -> np.ndarray:
    columns = [
        (evaluate(point + STEP * direction) - here) / STEP
        for direction in np.eye(len(point))
    ]
    return np.stack(columns, axis=1)
