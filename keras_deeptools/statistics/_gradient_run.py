"""Rules about a run as a whole: whether its updates can lead anywhere."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from keras_deeptools._finding import Finding
from keras_deeptools.statistics._gradient_rows import GradientRows, median
from keras_deeptools.statistics._gradient_rules import CLIPPER, OF_NORMS, USUAL_RATIO
from keras_deeptools.statistics._gradient_thresholds import GradientThresholds

PLANNED = 1000
"""Updates that are taken to be planned where nobody says."""

WARMUP = 100.0
"""By what updates may still grow that grow at the start."""

CLIPPED_AWAY = 0.01
"""Part of the gradient under which clipping explains small updates."""

FINDER = "keras_deeptools.callbacks.find_learning_rate(model, x, y)"


@dataclass(frozen=True)
class RunSettings:
    """What is known of a run beside its gradients.

    Attributes:
        planned: Int > 0. Updates that are planned.
        clips: Dict from `"clipnorm"`, `"global_clipnorm"` or `"clipvalue"` to the limit
            that the optimizer has.
        where: Str. Name of the optimizer.
    """

    planned: int = PLANNED
    clips: Mapping[str, float] = field(default_factory=dict)
    where: str = "optimizer"


def slow_descent(
    window: GradientRows,
    loss: float,
    settings: RunSettings,
    thresholds: GradientThresholds,
) -> list[Finding]:
    """A learning rate with which the planned updates cannot lead anywhere.

    An update lowers the loss by the product of its norm and the gradient's at most, to
    first order; that bound times the planned updates is compared with the loss.

    Args:
        window: `GradientRows`, the first updates of a run.
        loss: Float. The mean loss of the first epoch.
        settings: `RunSettings`.
        thresholds: `GradientThresholds`.
    """
    ratios = window.relative_updates
    if ratios is None or window.changes is None or window.steps[0] > 0:
        return []
    by_kernel = median(ratios[:, window.kernels], axis=0)
    by_kernel = by_kernel[np.isfinite(by_kernel)]
    descent = np.nansum(window.norms * window.changes, axis=1)
    half = len(window) // 2
    rises = float(median(descent[half:])) > 2 * float(median(descent[:half]))
    most = float(median(descent[half:])) * settings.planned
    ratio = float(by_kernel.max(initial=0.0))
    moves = not len(by_kernel) or ratio > thresholds.slow_update
    had_none = not np.nanmax(window.norms, initial=0.0) > 0
    reach = most * (WARMUP if rises else 1.0)
    if moves or had_none or not reach < thresholds.slow_descent * abs(loss):
        return []
    evidence = {
        "ratio": ratio,
        "usual_ratio": USUAL_RATIO,
        "most_descent": most,
        "loss": loss,
        "planned_updates": settings.planned,
    }
    step = int(window.steps[0])
    seen = (
        f"The first {len(window)} updates change no kernel by more than {ratio:.1e} of "
        f"its norm (median), where about 1e-3 is usual: {settings.planned} of them can "
        f"lower the loss of {loss:.3g} by {most:.1e} at most."
    )
    clip = _clip(window, settings.clips)
    if clip:
        return [
            Finding(
                "clipping stops learning",
                settings.where,
                f"{clip} leaves little of the gradients. {seen}",
                "Clip at the size that gradients usually have, such as 1.",
                evidence=evidence,
                code=CLIPPER,
                reference=OF_NORMS,
                step=step,
            )
        ]
    return [
        Finding(
            "learning rate too low",
            settings.where,
            seen,
            "Raise the learning rate (`find_learning_rate`).",
            severity="warning",
            evidence=evidence,
            code=FINDER,
            reference="the first-order Taylor expansion of the loss",
            step=step,
        )
    ]


def _clip(window: GradientRows, clips: Mapping[str, float]) -> str:
    """The setting that leaves next to nothing of the gradients, or an empty str."""
    sizes = np.sqrt([max(variable.size, 1) for variable in window.variables])
    usual = {
        "clipnorm": window.norms,
        "global_clipnorm": window.global_norms[:, None],
        "clipvalue": window.norms / sizes,
    }
    for name, limit in clips.items():
        sized = float(np.nanmax(median(usual[name], axis=0), initial=0.0))
        if limit < CLIPPED_AWAY * sized:
            return f"{name}={limit:g}"
    return ""
