"""Faults of the optimizer and what short trainings show."""

import math
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_deeptools._finding import Finding
from keras_deeptools.diagnosis._audit.subject import listing
from keras_deeptools.diagnosis._diagnose.facts import (
    Facts,
    accumulated_batches,
    learning,
    planned_batches,
    progress_of,
)
from keras_deeptools.diagnosis._diagnose.trial import (
    ShortRun,
    Trial,
    rate_set,
    schedule_set,
)
from keras_deeptools.engine._backends.common import on_host

LARGE_EPSILON = 0.05
REFERENCE = "Smith, 2018, section 3. https://arxiv.org/abs/1803.09820"

RATES = {
    "SGD": (1e-4, 1.0),
    "Adadelta": (1e-2, 10.0),
    "Adagrad": (1e-4, 1.0),
    "Ftrl": (1e-4, 1.0),
    "Lion": (1e-6, 3e-3),
    "Muon": (1e-4, 0.3),
}
ADAPTIVE = (1e-5, 3e-2)
"""Learning rates with which optimizers of this kind usually work."""

SMALL_CHANGE = 1e-4
"""Part of the weights that an update changes; 1e-3 is usual."""

FINDER = "keras_deeptools.callbacks.find_learning_rate(model, x, y)"

ENOUGH_STEPS = 20
"""Updates in which a model that learns shows it; a slow machine makes fewer."""


def early_decay(facts: Facts) -> Iterator[Finding]:
    """A schedule whose learning rate is nearly 0 after a quarter of the training."""
    planned = planned_batches(facts)
    for where, optimizer in facts.subject.optimizers:
        schedule = schedule_set(optimizer)
        if schedule is None:
            continue
        steps = [0, planned // 20, planned // 4]
        rates = [float(on_host(schedule(step))) for step in steps]
        most = max(rates[:2])
        if most > 0 and rates[2] < 1e-3 * most:
            yield Finding(
                "learning rate decays too soon",
                where,
                f"The learning rate is {most:.2g} at first and {rates[2]:.2g} after a "
                f"quarter of {planned} updates.",
                "Stretch the schedule: it counts updates, not epochs.",
                evidence={"first": most, "after_a_quarter": rates[2]},
                code="keras_deeptools.callbacks.OneCycleScheduler(0.01)",
                confidence=0.8,
                reference=REFERENCE,
            )


def strong_decay(facts: Facts) -> Iterator[Finding]:
    """Decoupled weight decay that takes more than gradients can give."""
    for where, optimizer in facts.subject.optimizers:
        decay, rate = getattr(optimizer, "weight_decay", None), rate_set(optimizer)
        if not isinstance(decay, float) or rate is None or rate * decay < 5e-3:
            continue
        yield Finding(
            "weight decay too strong",
            where,
            f"Each update takes {rate * decay:.2%} of the weights away.",
            "Use a factor such as 0.004 to 0.1, which is multiplied by the learning "
            "rate.",
            evidence={"decay": decay, "per_update": rate * decay},
            code="keras.optimizers.AdamW(weight_decay=0.01)",
            confidence=0.8,
            reference="Loshchilov & Hutter, 2019. https://arxiv.org/abs/1711.05101",
        )


def large_epsilon(facts: Facts) -> Iterator[Finding]:
    """An `epsilon` that outweighs the gradients it is added to."""
    for where, optimizer in facts.subject.optimizers:
        epsilon = getattr(optimizer, "epsilon", None)
        if not isinstance(epsilon, float) or epsilon <= LARGE_EPSILON:
            continue
        yield Finding(
            "epsilon too large",
            where,
            f"Updates are divided by the size of the gradients plus epsilon="
            f"{epsilon:g}: {type(optimizer).__name__} works as SGD with a learning "
            f"rate {epsilon:g} times smaller.",
            "Leave it at its default.",
            severity="warning",
            evidence={"epsilon": epsilon, "usual": 1e-7},
            code=f"keras.optimizers.{type(optimizer).__name__}(epsilon=1e-7)",
            confidence=0.75,
            reference="Kingma & Ba, 2015, algorithm 1",
        )


def rate_out_of_range(facts: Facts) -> Iterator[Finding]:
    """Learning rates that no one uses with such an optimizer."""
    for where, optimizer in facts.subject.optimizers:
        rate, what = rate_set(optimizer), "learning rate"
        if rate is None:
            rate, what = _largest_scheduled(facts, optimizer), "largest learning rate"
        if rate is None:
            continue
        low, high = RATES.get(type(optimizer).__name__, ADAPTIVE)
        if rate <= 0:
            yield Finding(
                "learning rate not positive",
                where,
                f"The {what} is {rate:g}: "
                + ("nothing changes." if rate == 0 else "each update climbs the loss."),
                "Use a positive learning rate.",
                evidence={"learning_rate": rate},
                code=FINDER,
                confidence=0.98,
                reference=REFERENCE,
            )
        elif not low <= rate <= high:
            kind = "low" if rate < low else "high"
            apart = low / rate if rate < low else rate / high
            yield Finding(
                f"learning rate too {kind}",
                where,
                f"The {what} of {type(optimizer).__name__} is {rate:g}; from "
                f"{low:g} to {high:g} is usual.",
                "Find one that the loss falls with.",
                severity="problem" if apart > 10 else "warning",
                evidence={"learning_rate": rate, "usual": [low, high]},
                code=FINDER,
                confidence=min(0.85, 0.4 + 0.2 * math.log10(apart)),
                reference=REFERENCE,
            )


def _largest_scheduled(facts: Facts, optimizer: Any) -> float | None:
    """The largest learning rate of a schedule in the planned updates; or None."""
    schedule = schedule_set(optimizer)
    if schedule is None:
        return None
    steps = {round(step) for step in np.linspace(0, planned_batches(facts), 20)}
    return max(float(on_host(schedule(step))) for step in steps)


def rate_by_trial(facts: Facts) -> Iterator[Finding]:
    """Learning rates that short trainings show to be too high or too low."""
    trial = facts.trial
    if trial is None or not trial.by_factor:
        return
    how, plain = learning(facts), trial.plain
    lower = {f: run for f, run in trial.by_factor.items() if f < 1}
    higher = {f: run for f, run in trial.by_factor.items() if f > 1}
    where = facts.subject.optimizers[0][0] if facts.subject.optimizers else "optimizer"
    if how in ("diverges", "stuck"):
        good = [f for f, run in lower.items() if _is_better(run, plain, facts)]
        if good and (how == "diverges" or plain.end > plain.start):
            factor = max(good)
            yield Finding(
                "learning rate too high",
                where,
                f"In {len(plain.losses)} updates the loss goes from {plain.start:.3g} "
                f"to {plain.end:.3g}; with {factor:g} times the learning rate it goes "
                f"to {lower[factor].end:.3g}.",
                f"Multiply the learning rate by {factor:g} or less.",
                evidence=_ends(trial),
                code=FINDER,
                confidence=0.85,
                reference=REFERENCE,
            )
            return
    if not higher or how == "diverges":
        return
    best = min(higher, key=lambda f: higher[f].end)
    gain, most = plain.start - plain.end, plain.start - higher[best].end
    planned = planned_batches(facts)
    reached = max(gain, 0.0) / len(plain.losses) * planned
    significant = most > max(0.05 * abs(plain.start), 4 * plain.noise)
    change = _change_per_update(trial)
    if significant and reached < most and best >= 10:
        tiny = change < SMALL_CHANGE
        yield Finding(
            "learning rate too low",
            where,
            f"In {len(plain.losses)} updates the loss falls by {max(gain, 0.0):.2g}, "
            f"with {best:g} times the learning rate by {most:.2g}: the {planned} "
            "updates that are planned do not get as far.",
            f"Multiply the learning rate by {best:g}.",
            severity="problem" if tiny else "warning",
            evidence={**_ends(trial), "change_per_update": change},
            code=FINDER,
            confidence=0.85 if tiny else 0.4,
            reference=REFERENCE,
        )


def clipping(facts: Facts) -> Iterator[Finding]:
    """Clipping that leaves nothing of the updates."""
    trial = facts.trial
    for where, optimizer in facts.subject.optimizers:
        names = ("clipnorm", "global_clipnorm", "clipvalue")
        given = {name: getattr(optimizer, name, None) for name in names}
        limits = {name: float(value) for name, value in given.items() if value}
        follows = isinstance(optimizer, keras.optimizers.SGD)
        if not limits or not follows or trial is None:
            continue
        name, value = next(iter(limits.items()))
        change = _change_per_update(trial)
        if change < 1e-5 or (value < 1e-2 and learning(facts) != "learns"):
            yield Finding(
                "clipping stops learning",
                where,
                f"{name}={value:g} leaves so little of the gradients that an update "
                f"changes the weights by {change:.1e} of their norm; about 1e-3 is "
                "usual.",
                "Clip at the size that gradients usually have, such as 1.",
                evidence={name: value, "change": change, "usual_change": 1e-3},
                code="keras_deeptools.callbacks.GradientClipper(global_norm=1.0)",
                confidence=0.9,
                reference="Pascanu et al., 2013, section 3.2",
            )


def untouched(facts: Facts) -> Iterator[Finding]:
    """Kernels that the short training leaves exactly as they are."""
    trial = facts.trial
    if trial is None or not trial.plain.is_finite:
        return
    kernels = {
        path: change
        for path, change in trial.plain.changes.items()
        if path.rpartition("/")[2].startswith(("kernel", "embeddings"))
    }
    still = [path for path, change in kernels.items() if change == 0]
    idle = len(still) == len(kernels) and _has_no_reason_to_rest(facts)
    if still and (idle or len(still) < len(kernels)):
        yield Finding(
            "no gradient reaches",
            listing(path.rpartition("/")[0] for path in still),
            f"In {len(trial.plain.losses)} updates {len(still)} of {len(kernels)} "
            "trainable kernels did not change at all: no path leads from them to the "
            "loss, or none with a slope.",
            "Look for stop_gradient, argmax, rounding and comparisons behind it, for "
            "units that are off for all samples, and for outputs without a loss.",
            evidence={"kernels": len(still), "of_kernels": len(kernels)},
            # Where nothing changes at all, much else may be the reason.
            confidence=0.5 if idle else 0.8,
            reference="measured",
        )


def does_not_learn(facts: Facts) -> Iterator[Finding]:
    """Training that changes nothing for the better: what other findings explain."""
    trial, how = facts.trial, learning(facts)
    if trial is None or how not in ("stuck", "diverges"):
        return
    plain = trial.plain
    if not plain.is_finite:
        yield Finding(
            "non-finite loss",
            "loss",
            f"The loss is not finite after {len(plain.losses) - 1} updates.",
            "Look at the other findings.",
            evidence={"updates": len(plain.losses) - 1},
            confidence=0.5,
        )
        return
    if len(plain.losses) < accumulated_batches(facts):
        # No update was made.
        return
    others = [progress_of(run, facts) for run in trial.by_factor.values()]
    # Then the learning rate alone explains it, if anything is wrong at all.
    slow = how == "stuck" and bool({"learns", "falls"} & set(others))
    base = facts.baseline
    evidence = {"start": plain.start, "end": plain.end}
    against = ""
    if math.isfinite(base):
        evidence["constant"] = base
        against = f" The best constant prediction has {base:.3g}."
    text = "rises" if how == "diverges" else "does not fall"
    one = trial.one_batch
    if one is not None:
        evidence["one_batch"] = one.end
        can = progress_of(one, facts) == "learns" or one.end < 0.7 * one.start
        against += (
            " A few samples alone can be learned."
            if can
            else " Not even a few samples alone can be learned."
        )
    is_sure = how == "diverges" or not slow and len(plain.losses) >= ENOUGH_STEPS
    yield Finding(
        "does not learn",
        "loss",
        f"In {len(plain.losses)} updates the loss {text}: from {plain.start:.3g} to "
        f"{plain.end:.3g}.{against}",
        "Look at the other findings.",
        severity="problem" if how == "diverges" else "warning" if is_sure else "note",
        evidence=evidence,
        confidence=0.3,
        reference="measured",
    )


def _is_better(run: ShortRun, plain: ShortRun, facts: Facts) -> bool:
    if progress_of(run, facts) not in ("learns", "falls"):
        return False
    if not plain.is_finite:
        return True
    return run.end < plain.end - max(0.05 * abs(plain.end), 2 * run.noise)


def _change_per_update(trial: Trial) -> float:
    """The median over kernels of the change of an update over the weights."""
    plain = trial.plain
    changes = [
        change
        for path, change in plain.changes.items()
        if "bias" not in path and math.isfinite(change)
    ]
    if not changes:
        return math.inf
    return sorted(changes)[len(changes) // 2] / max(len(plain.losses), 1)


def _ends(trial: Trial) -> dict[str, Any]:
    ends = {f"end_at_{factor:g}": run.end for factor, run in trial.by_factor.items()}
    return {"start": trial.plain.start, "end": trial.plain.end, **ends}


def _has_no_reason_to_rest(facts: Facts) -> bool:
    """Whether updates are made, with a learning rate."""
    rates = [rate_set(optimizer) for _, optimizer in facts.subject.optimizers]
    made = facts.trial is not None and len(facts.trial.plain.losses)
    return 0.0 not in rates and bool(made) and made >= accumulated_batches(facts)


RULES = (
    early_decay,
    strong_decay,
    large_epsilon,
    rate_out_of_range,
    rate_by_trial,
    clipping,
    untouched,
    does_not_learn,
)
"""The rules of this file."""
