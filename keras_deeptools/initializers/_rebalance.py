"""Scales that balance forward signals and backward gradients together."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import is_number
from keras_deeptools.engine._data.checks import checked_batch
from keras_deeptools.engine._passes.compiled_with import computes_loss
from keras_deeptools.initializers._lsuv import apply_scales, restored_on_error
from keras_deeptools.initializers._scale_walk import (
    ScaleWalk,
    WalkRow,
    check_kernels,
    check_scaling,
    scaled_layer,
)
from keras_deeptools.initializers._scaling_report import ScalingReport
from keras_deeptools.statistics._input_findings import findings_of_arrays


@dataclass(frozen=True)
class Objective:
    """The objective that `rebalance` minimizes.

    Args:
        forward_weight: Float in [0, 1], weight of the variance over layers of the
            logarithm of signals; the variance for gradients has one minus this weight.
        level_weight: Float >= 0, weight of the distance of signals from the target.
        target: Float > 0, standard deviation of signals.

    Raises:
        ValueError: If a weight is out of range.
    """

    forward_weight: float
    level_weight: float
    target: float

    def __post_init__(self) -> None:
        if not is_number(self.forward_weight) or not 0 <= self.forward_weight <= 1:
            raise ValueError(
                "rebalance: `forward_weight` must be in [0, 1]. Received: "
                f"forward_weight={self.forward_weight!r}. Give 0.5 for both alike."
            )
        if not is_number(self.level_weight) or not 0 <= self.level_weight < math.inf:
            raise ValueError(
                "rebalance: `level_weight` must be a number >= 0. Received: "
                f"level_weight={self.level_weight!r}. Give 0 to leave the level free."
            )

    def __call__(self, rows: list[WalkRow]) -> float:
        """Returns the objective, which is infinite if nothing has a gradient."""
        residuals = self.residuals(rows)
        total = float(residuals @ residuals)
        return total if math.isfinite(total) else math.inf

    def residuals(self, rows: list[WalkRow]) -> np.ndarray:
        """The residuals, whose sum of squares is the objective.

        Args:
            rows: List of `WalkRow` with gradients. Calls whose output is the same
                everywhere or that have no gradient are left out.

        Returns:
            Float64 array; two numbers for each `WalkRow`, and one more.
        """
        used = np.array([row.varies and row.gradient > 0 for row in rows])
        with np.errstate(divide="ignore"):
            signals = np.log([row.std / self.target for row in rows])
            gradients = np.log([row.gradient for row in rows])
        if not used.any():
            return np.full(2 * len(rows) + 1, np.inf)
        count = used.sum()
        level = signals[used].mean()
        even = np.where(used, signals - level, 0.0)
        back = np.where(used, gradients - gradients[used].mean(), 0.0)
        return np.concatenate(
            [
                math.sqrt(self.forward_weight / count) * even,
                math.sqrt((1 - self.forward_weight) / count) * back,
                [math.sqrt(self.level_weight) * level],
            ]
        )


STEP = 0.1
"""Width of the finite differences for the Jacobian.

It is large, because the residuals of networks with kinked activations are rough on
small scales.
"""

LARGEST_STEP = 1.0
LEAST_GAIN = 1e-2
FIRST_DAMPING = 0.05
MOST_DAMPING = 1e3


@dataclass
class Minimum:
    """The point at which the search ended.

    Attributes:
        point: Array `(n,)`.
        objective: Float, sum of squared residuals there.
        iterations: Int, number of steps.
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

    The Jacobian is computed by finite differences once, updated by Broyden's rule, and
    computed again when steps no longer reduce the objective. The objective never grows.

    Args:
        residuals: Function of an array `(n,)` that returns an array `(m,)`.
        point: Array `(n,)`, where to start.
        max_iterations: Int >= 1, largest number of steps.
        on_evaluation: Function that is called after each evaluation.

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


def rebalance(
    model: keras.Model,
    x: Any,
    y: Any = None,
    *,
    loss: Any = None,
    forward_weight: float = 0.5,
    level_weight: float = 0.005,
    target: float = 1.0,
    tolerance: float = 0.05,
    max_iterations: int = 20,
    verbose: str | int = "auto",
) -> ScalingReport:
    """Scales weights for even signals forward and even gradients backward.

    If signals neither grow nor shrink on the way forward, gradients may still do so on
    the way back: through 50 SELU layers with standard deviation 1 the gradient grows
    5.7 times, and in networks whose layers get narrower, both cannot be even at the
    same time. This function chooses one scale for each kernel so as to minimize

        w var(log s) + (1 - w) var(log g) + v mean(log(s / target)) ** 2

    where s are the standard deviations of the pre-activations and g the root mean
    squares of the gradients of the loss with respect to them, both over the layers; w
    is `forward_weight` and v `level_weight`. Even signals and gradients have the
    largest weight, and signals near the target a smaller one. The size of the gradients
    has no weight, because the optimizer takes care of it.

    Layers are scaled, or left alone, as by `lsuv`, also the kernel of a layer that is
    used several times. The minimum is found by the Levenberg-Marquardt method, which
    starts at the given weights, or at those that `lsuv` would give if they are better.
    Each of the few Jacobians takes one forward and backward pass for each kernel.

    Args:
        model: `keras.Model`. A model that is not built is built from `x`.
        x: Inputs, as for `lsuv`; a dataset must contain the targets.
        y: Targets, if `x` is arrays; otherwise None, as for a model whose own
            `compute_loss` needs no targets.
        loss: Loss as in `compile`; None takes the one that the model was compiled with.
        forward_weight: Float in [0, 1], the w above: 1 evens out signals only, 0
            gradients only.
        level_weight: Float >= 0, the v above. If no scales give even gradients with
            signals near the target, as with SELU, a smaller weight gives more even
            gradients and signals further from the target.
        target: Float > 0, the standard deviation to reach.
        tolerance: Float in (0, 1), relative deviation from the target that the report
            counts as reached.
        max_iterations: Int >= 1, largest number of steps of the method.
        verbose: `"auto"`, 0 (silent) or 1 (progress bar over passes).

    Returns:
        `ScalingReport`, with the objective and the gradients before and after.

    Raises:
        TypeError: If `model` is not a Keras model, or Keras does not take the data.
        ValueError: If the model has no loss or nothing to scale, the data do not fit,
            or outputs are not finite. The weights are then unchanged, as after any
            error or Ctrl-C.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.initializers import rebalance
    >>> make = keras.initializers.RandomNormal
    >>> hidden = [
    ...     keras.layers.Dense(16, "tanh", kernel_initializer=make(stddev=0.4, seed=i))
    ...     for i in range(4)
    ... ]
    >>> model = keras.Sequential([keras.Input((8,)), *hidden, keras.layers.Dense(1)])
    >>> x = np.random.default_rng(0).normal(size=(64, 8))
    >>> report = rebalance(model, x, x[:, :1], loss="mse", verbose=0)
    >>> report.objective_after < report.objective_before
    True

    Reference:
        Glorot and Bengio, 2010, section 4.2.1, whose equation 12 gives both the same
        weight in closed form. https://proceedings.mlr.press/v9/glorot10a.html
    """
    check_scaling("rebalance", target, tolerance, max_iterations, verbose)
    objective = Objective(forward_weight, level_weight, target)
    batch = checked_batch("rebalance", model, x, y)
    x, y = batch.x, batch.y
    needs_targets = loss is not None or not computes_loss(batch.networks[0])
    if y is None and needs_targets:
        raise ValueError(
            "rebalance: `y` must be the targets of `x`. Received: y=None. Gradients "
            "are those of the loss; for signals alone use `lsuv`."
        )
    if len(batch.networks) > 1:
        names = ", ".join(repr(network.name) for network in batch.networks)
        raise ValueError(
            "rebalance: `model` must have a `call`, or one network that takes `x`. "
            f"Received: {model.name!r} with {names}. Pass one of them."
        )
    walk = ScaleWalk(batch.networks[0], target, loss, backward=True)
    check_kernels("rebalance", model, [walk])
    if not walk.kernels:
        return ScalingReport((), target, tolerance, 0, dict(walk.exempt))
    bar = keras.utils.Progbar(None, verbose=0 if verbose == 0 else 1, unit_name="pass")
    with restored_on_error(walk):
        before = walk(x, y)
        _check_signals(before)
        found = minimize(
            lambda point: objective.residuals(walk(x, y, scales=np.exp(point))),
            _start(walk, x, y, before, objective),
            max_iterations,
            lambda: bar.add(1),
        )
        if found.objective >= objective(before):
            found = Minimum(np.zeros(len(walk.kernels)), objective(before), 0)
        scales = np.exp(found.point)
        apply_scales(walk, scales)
        after = walk(x, y)
        if objective(after) > objective(before):
            # Layers that normalize their kernels do not follow the prediction.
            apply_scales(walk, 1 / scales)
            scales, after = np.ones(len(scales)), before
    return ScalingReport(
        tuple(
            scaled_layer(
                old,
                new,
                scales,
                gradient_before=old.gradient,
                gradient_after=new.gradient,
            )
            for old, new in zip(before, after, strict=True)
        ),
        target,
        tolerance,
        found.iterations,
        {
            **walk.exempt,
            **walk.not_reached(before),
            **dict.fromkeys(batch.others, "takes other inputs"),
        },
        objective(before),
        objective(after),
        (*findings_of_arrays(x), *walk.findings),
    )


def _start(
    walk: ScaleWalk, x: Any, y: Any, before: list[WalkRow], objective: Objective
) -> np.ndarray:
    """Logarithms of the first scales: zeros, or those of `lsuv` if they are better."""
    start = np.zeros(len(walk.kernels))
    uses = np.bincount([row.kernel for row in before], minlength=len(start))
    rows = walk(x, y, exact=uses == 1)
    if objective(rows) < objective(before):
        for row in rows:
            if row.bias_scale == 1:
                start[row.kernel] = math.log(row.scale)
    return start


def _check_signals(rows: list[WalkRow]) -> None:
    for row in rows:
        if not (math.isfinite(row.std) and math.isfinite(row.gradient)):
            raise ValueError(
                "rebalance: outputs and gradients of all layers must be finite. "
                f"Received: {row.call.name!r} is not, with standard deviation "
                f"{row.std} and gradient {row.gradient}. Call `lsuv` first."
            )
    if not any(row.varies and row.gradient > 0 for row in rows):
        raise ValueError(
            "rebalance: some layer must have a gradient. Received: none has. Look for "
            "dead layers, or a loss that does not depend on the model."
        )
