"""Whether a model learns in its trial: the question that all others hang on."""

import math

from keras_deeptools.diagnosis._diagnose.facts import Facts
from keras_deeptools.diagnosis._diagnose.trial import ShortRun

LEAST_GAIN = 0.05
"""Part of the loss by which a model must beat the best constant prediction."""


def learning(facts: Facts) -> str:
    """How the training as the model is compiled goes.

    Returns:
        `"learns"`: better than the best constant prediction; `"falls"`: the loss falls,
        but is not there yet; `"stuck"`; `"diverges"`; `"unknown"` without a trial.
    """
    return "unknown" if facts.trial is None else progress_of(facts.trial.plain, facts)


def progress_of(run: ShortRun, facts: Facts) -> str:
    """The same for one short training."""
    if not run.is_finite:
        return "diverges"
    start, end, base = run.start, run.end, facts.baseline
    gain = LEAST_GAIN * abs(start if math.isnan(base) else base)
    falls = end < start - max(2 * run.noise / math.sqrt(2), 0.02 * abs(start))
    if end > start + max(3 * run.noise, 0.2 * abs(start)):
        if math.isnan(base) or end > base + gain:
            return "diverges"
    if math.isnan(base):
        return "learns" if falls and end < start - gain else "stuck"
    if end < base - gain and (falls or start < base):
        return "learns"
    return (
        "falls"
        if falls and not start > 3 * base > 2 * base > end
        else ("falls" if falls else "stuck")
    )
