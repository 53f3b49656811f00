"""Traps in the settings of the optimizer."""

from collections.abc import Iterator

import keras

from keras_deeptools._finding import Finding
from keras_deeptools.diagnosis._audit_subject import MEASURED, Subject, listing
from keras_deeptools.engine._update.leaf import optimized_variables
from keras_deeptools.engine._update.step_reads import has_own_train_step

CLIPS = ("clipnorm", "global_clipnorm", "clipvalue")


def several_clips(subject: Subject) -> Iterator[Finding]:
    """More than one kind of clipping, of which Keras takes the first."""
    for where, optimizer in subject.optimizers:
        chosen = [name for name in CLIPS if getattr(optimizer, name, None) is not None]
        if len(chosen) > 1:
            yield Finding(
                "several kinds of clipping",
                where,
                f"{' and '.join(chosen)} are set; only {chosen[0]} is applied.",
                "Set one, or use `GradientClipper`, which applies several.",
                severity="warning",
                evidence={name: float(getattr(optimizer, name)) for name in chosen},
                reference=MEASURED,
            )


def scheduled_weight_decay(subject: Subject) -> Iterator[Finding]:
    """A weight decay that is no number."""
    for where, optimizer in subject.optimizers:
        decay = getattr(optimizer, "weight_decay", None)
        number = isinstance(decay, bool | int | float)
        if decay is not None and decay is not False and not number:
            yield Finding(
                "weight decay that is no number",
                where,
                f"weight_decay is a {type(decay).__name__}; Keras has schedules for "
                "the learning rate only. A step that was compiled with None ignores "
                "it, any other fails.",
                "Make the optimizer with a number, and vary it by "
                "`HyperparameterScheduler`.",
                reference=MEASURED,
            )


def momentum_without_slots(subject: Subject) -> Iterator[Finding]:
    """A momentum that was set after the optimizer had made its variables."""
    for where, optimizer in subject.optimizers:
        momentum = getattr(optimizer, "momentum", None)
        slots = getattr(optimizer, "momentums", None)
        sgd = isinstance(optimizer, keras.optimizers.SGD)
        if sgd and optimizer.built and momentum and not slots:
            yield Finding(
                "momentum without velocities",
                where,
                f"momentum is {momentum:g}, but the optimizer was built with 0 and has "
                "no velocities: a step that was compiled before ignores it, any other "
                "fails.",
                "Make the optimizer with a momentum, and vary it by "
                "`HyperparameterScheduler`.",
                evidence={"momentum": float(momentum)},
                reference=MEASURED,
            )


def schedule_and_accumulation(subject: Subject) -> Iterator[Finding]:
    """A learning-rate schedule that is fed batches where updates are meant."""
    for where, optimizer in subject.optimizers:
        steps = getattr(optimizer, "gradient_accumulation_steps", None) or 1
        config = optimizer.get_config() if steps > 1 else {}
        if isinstance(config.get("learning_rate"), dict):
            yield Finding(
                "schedule that runs ahead",
                where,
                f"With gradient_accumulation_steps={steps} the learning-rate schedule "
                f"counts batches, {steps} for each update.",
                "Stretch the schedule by that factor, or use "
                "`HyperparameterScheduler`, which counts updates.",
                severity="warning",
                evidence={"gradient_accumulation_steps": steps},
                reference=MEASURED,
            )


def averages_outside_constraints(subject: Subject) -> Iterator[Finding]:
    """Weight averaging in a model with constraints."""
    if not any(getattr(it, "use_ema", False) for _, it in subject.optimizers):
        return
    names = [v.path for v in subject.model.variables if v.constraint is not None]
    if names:
        yield Finding(
            "averages outside their constraint",
            listing(names),
            "use_ema averages weights before constraints apply: averages of weights "
            "with a max-norm of 0.5 had norms up to 2.",
            "Use `MaxNormEnforcer`, which projects before the average.",
            severity="warning",
            reference=MEASURED,
        )


def stale_trainables(subject: Subject) -> Iterator[Finding]:
    """Weights that were frozen or unfrozen since the optimizer was built."""
    if len(subject.optimizers) != 1:
        # Several of them share the weights, as the model's own step says.
        return
    updated = optimized_variables(subject.optimizers[0][1])
    known = {id(variable) for variable in updated}
    trainable = {id(variable) for variable in subject.model.trainable_variables}
    changed = [v for v in subject.model.variables if id(v) in known ^ trainable]
    if has_own_train_step(subject.model):
        # It may train some of the weights alone, such as those of a student.
        changed = [v for v in changed if id(v) in known]
    if updated and changed:
        yield Finding(
            "trainable changed without compiling",
            listing(variable.path for variable in changed),
            "The optimizer was built for other weights than are trainable now, as when "
            "layers are frozen or unfrozen after compile. A fit then ignores it or "
            "fails, depending on the backend.",
            "Compile again after changing `trainable`.",
            evidence={"changed_variables": len(changed)},
            reference=MEASURED,
        )


RULES = (
    several_clips,
    scheduled_weight_decay,
    momentum_without_slots,
    schedule_and_accumulation,
    averages_outside_constraints,
    stale_trainables,
)
"""The rules of this file."""
