"""Judges gradients piece by piece, as training records them, and a run as a whole."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from keras_deeptools._finding import Finding
from keras_deeptools.statistics import _gradient_rules as rules
from keras_deeptools.statistics._gradient_rows import GradientRows, median
from keras_deeptools.statistics._gradient_rules import CLIPPER, OF_NORMS, USUAL_RATIO
from keras_deeptools.statistics._gradient_thresholds import GradientThresholds

PLANNED = 1000
"""Number of updates that are planned if nobody says otherwise."""

WARMUP = 100.0
"""Factor by which updates that grow at the start may still grow."""

CLIPPED_AWAY = 0.01
"""Part of the gradient below which clipping explains small updates."""

FINDER = "keras_deeptools.callbacks.find_learning_rate(model, x, y)"

FIRST = 10
"""Updates that show how large gradients are at the start."""

NOWHERE = {"clipping stops learning", "learning rate too low"}
"""Kinds of findings that small updates follow from."""

OUT_OF_SCALE = {"dead", "exploding", "large updates", "non-finite"}
"""Kinds of findings that explain why updates have no effect."""


@dataclass(frozen=True)
class RunSettings:
    """What is known of a run besides its gradients.

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
    """Finds a learning rate too low for the planned updates to lower the loss.

    To first order, an update lowers the loss by at most the product of its norm and the
    gradient's; that bound times the planned updates is compared with the loss.

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
    """Returns the setting that leaves almost no gradients, or an empty string."""
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


class GradientDetector:
    """Finds what is wrong in recorded updates, and reports each finding once.

    The rules are functions of `_gradient_rules`; this class keeps what they need to
    know of the past: the last updates, the size of gradients at the start, and the
    update-to-weight ratios so far.

    Args:
        thresholds: `GradientThresholds`.
    """

    def __init__(self, thresholds: GradientThresholds) -> None:
        self.thresholds = thresholds
        self.findings: list[Finding] = []
        self._carried: GradientRows | None = None
        self._first = np.zeros(0)
        self._last_norm = 0.0
        self._largest = 0.0
        self._ratios: list[np.ndarray] = []
        self._is_broken = False
        # The first updates, kept until the loss is known that shows their effect.
        self._beginning: GradientRows | None = None
        self._has_begun = False

    def update(
        self,
        rows: GradientRows,
        loss: float | None = None,
        data_fault: Callable[[], str] | None = None,
        settings: RunSettings | None = None,
    ) -> list[Finding]:
        """Judges updates that follow those of the previous call.

        After a gradient that is not finite nothing more is judged, because the weights
        are lost and all that follows is a consequence.

        Args:
            rows: `GradientRows`.
            loss: Float or None. The mean loss of the epoch, if it is known.
            data_fault: Function or None. Called when gradients are not finite; returns
                what is wrong with the data and the remedy, or an empty str.
            settings: `RunSettings` or None.

        Returns:
            List of `Finding`, those that have not been found before.
        """
        if self._is_broken or not len(rows):
            return []
        found = rules.non_finite(rows)
        if found:
            self._is_broken = True
            fault = data_fault() if data_fault is not None else ""
            found = [replace(found[0], remedy=fault)] if fault else found
            rows = rows[: int(np.argmax(rows.steps == found[0].step))]
        if len(rows):
            found += self._judge(rows, loss)
        if self._beginning is not None and loss is not None:
            window, self._beginning = self._beginning, None
            if not OUT_OF_SCALE & {each.kind for each in (*found, *self.findings)}:
                found += self._slow_descent(window, loss, settings or RunSettings())
        if NOWHERE & {each.kind for each in (*found, *self.findings)}:
            found = [each for each in found if each.kind != "small updates"]
        known = {(finding.kind, finding.where) for finding in self.findings}
        new = []
        for finding in found:
            if (finding.kind, finding.where) not in known:
                known.add((finding.kind, finding.where))
                new.append(finding)
        self.findings += new
        return new

    def restarted(self) -> "GradientDetector":
        """Returns one that keeps the findings but judges other variables afresh."""
        new = GradientDetector(self.thresholds)
        new.findings = list(self.findings)
        new._is_broken = self._is_broken
        new._has_begun = self._has_begun
        return new

    def _judge(self, new: GradientRows, loss: float | None) -> list[Finding]:
        limits = self.thresholds
        norms = new.global_norms
        self._first = np.concatenate([self._first, norms])[:FIRST]
        self._last_norm = max(norms[norms > 0][-1:], default=self._last_norm)
        rows = new.after(self._carried)
        self._carried = rows[max(len(rows) - limits.patience + 1, 0) :]
        start = float(median(self._first))
        found = rules.exploding_run(rows, start, len(new), limits, self._largest)
        self._largest = max(self._largest, norms.max(initial=0.0))
        found += rules.huge_updates(new, 10 * limits.large_update)
        for window in rows.windows(limits.patience):
            if not self._has_begun:
                self._beginning, self._has_begun = window, True
            found += rules.exploding_layers(window, limits.exploding_ratio)
            found += rules.vanishing(window, limits.vanishing_ratio)
            found += rules.dead(window, self._loss_is_gone(loss))
            found += rules.large_updates(window, limits.large_update)
            found += self._small_updates(window)
        return found

    def _slow_descent(
        self, window: GradientRows, loss: float, settings: RunSettings
    ) -> list[Finding]:
        if not np.isfinite(loss):
            return []
        return slow_descent(window, loss, settings, self.thresholds)

    def _loss_is_gone(self, loss: float | None) -> bool:
        small = loss is not None and abs(loss) < 1e-3
        return small or 0 < self._last_norm < 1e-2 * float(median(self._first))

    def _small_updates(self, window: GradientRows) -> list[Finding]:
        if window.update_ratios is None:
            return []
        usual = median(window.update_ratios, axis=0)
        found: list[Finding] = []
        if self._ratios:
            largest, earlier = self._ratios
            found = rules.small_updates(
                window, self.thresholds.small_update, largest, earlier
            )
            largest = np.fmax(largest, usual)
        else:
            largest = usual
        self._ratios = [largest, usual]
        return found
