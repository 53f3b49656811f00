"""Settings of optimizers that leave too little of the updates."""

from collections.abc import Iterator

from keras_deeptools._finding import Finding
from keras_deeptools.diagnosis._diagnose.facts import Facts
from keras_deeptools.diagnosis._diagnose.learning import planned_batches
from keras_deeptools.diagnosis._diagnose.trial import rate_set, schedule_set
from keras_deeptools.engine._backends.common import on_host

LARGE_EPSILON = 0.05
REFERENCE = "Smith, 2018, section 3. https://arxiv.org/abs/1803.09820"


def early_decay(facts: Facts) -> Iterator[Finding]:
    """A schedule whose learning rate is gone before the training has begun."""
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


RULES = (
    early_decay,
    strong_decay,
    large_epsilon,
)
"""The rules of this file."""
