"""Judging gradients piece by piece, as training delivers them."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from keras_deeptools._finding import Finding
from keras_deeptools.statistics import _gradient_rules as rules
from keras_deeptools.statistics._gradient_rows import GradientRows, median
from keras_deeptools.statistics._gradient_run import RunSettings, slow_descent
from keras_deeptools.statistics._gradient_thresholds import GradientThresholds

FIRST = 10
"""Updates that say how large gradients are at the start."""

NOWHERE = {"clipping stops learning", "learning rate too low"}
"""Kinds that small updates follow from."""

OUT_OF_SCALE = {"dead", "exploding", "large updates", "non-finite"}
"""Kinds that explain why updates come to nothing."""


class GradientDetector:
    """Finds what is wrong in recorded rows, each thing once.

    The rules are functions of `_gradient_rules`; this keeps what they need to know of
    the past: the last rows, the size of gradients at the start, the ratios so far.

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
        # The first updates, until the loss is known that tells what they can do.
        self._beginning: GradientRows | None = None
        self._has_begun = False

    def update(
        self,
        rows: GradientRows,
        loss: float | None = None,
        data_fault: Callable[[], str] | None = None,
        settings: RunSettings | None = None,
    ) -> list[Finding]:
        """Judges rows that follow those of the call before.

        After a gradient that is not finite nothing more is judged: the weights are
        lost, and what follows follows from that.

        Args:
            rows: `GradientRows`.
            loss: Float or None. The mean loss of the epoch, where it is known.
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
        """One that knows what was found, but judges rows of other variables anew."""
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
