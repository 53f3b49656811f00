"""Whether a model learns in its trial: the question that all others hang on."""

import math

from keras_deeptools.diagnosis._diagnose.facts import Facts
from keras_deeptools.diagnosis._diagnose.trial import ShortRun

PLANNED = 1000
"""Updates that are taken to be planned where nobody says."""

LEAST_GAIN = 0.05
"""Part of the loss by which a model must beat the best constant prediction."""


def learning(facts: Facts) -> str:
    """How the training as the model is compiled goes.

    Returns:
        `"learns"`: better than the best constant prediction; `"falls"`: the loss falls,
        but is not there yet; `"stuck"`; `"diverges"`; `"unknown"` without a trial.
    """
    return "unknown" if facts.trial is None else progress_of(facts.trial.plain, facts)


def generalizes(facts: Facts) -> bool:
    """Whether the loss falls under that of a constant on batches not seen before."""
    if facts.trial is None:
        return False
    run = facts.trial.plain.on_fresh_batches
    return len(run.losses) >= 8 and progress_of(run, facts) == "learns"


def learns_from_labels(facts: Facts) -> bool:
    """Whether new batches are predicted better than with others' labels.

    Where labels mean nothing, batches that were not seen before have the same loss with
    them and with others' labels, but for chance.
    """
    trial = facts.trial
    if trial is None or not trial.plain.is_finite:
        return False
    if trial.shuffled is None:
        return generalizes(facts)
    plain, shuffled = trial.plain, trial.shuffled
    fresh = min(plain.num_fresh, len(shuffled.losses))
    gains = (shuffled.losses[:fresh] - plain.losses[:fresh])[fresh // 2 :]
    if len(gains) < 4:
        return False
    return bool(gains.mean() > 5 * gains.std(ddof=1) / math.sqrt(len(gains)))


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
    # The end is a median of a quarter of the batches, each of which scatters.
    scatter = 2 * run.noise / math.sqrt(max(len(run.losses) // 4, 1))
    if end < base - max(gain, scatter) and (falls or start < base):
        return "learns"
    return "falls" if falls else "stuck"


def planned_batches(facts: Facts, unknown: int = PLANNED) -> int:
    """How many batches `fit` is told to train on."""
    rows, epochs = facts.rows, facts.settings.epochs
    if epochs is None or rows is None or rows.num_samples is None:
        return unknown
    size = rows.batch_size or facts.settings.batch_size or 32
    return epochs * -(-rows.num_samples // size)


def accumulated_batches(facts: Facts) -> int:
    """Over how many batches gradients are accumulated for one update."""
    given = [
        getattr(optimizer, "gradient_accumulation_steps", None) or 1
        for _, optimizer in facts.subject.optimizers
    ]
    return max(given, default=1)
