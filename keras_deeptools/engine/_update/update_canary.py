"""Small updates through every seam of an optimizer, compared with known numbers.

The existence of a private method says little: a future version of Keras may call it
elsewhere, or with other values. So two scalars are updated, once in a process, in the
same way as features update weights: gradients are changed where they are clipped, a
learning rate is replaced by another, and weights are corrected before their averages
are taken. All numbers are exact in float32.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_deeptools.engine._backends.active import programs, training
from keras_deeptools.engine._keras_private.optimizers import (
    APPLY_GRADIENTS,
    CLIP_GRADIENTS,
    RATE,
    UPDATE_STEP,
    counted_batches,
    weight_averages,
)
from keras_deeptools.engine._keras_private.registry import THEMES, looked_at
from keras_deeptools.engine._keras_private.seam import Seam, missing_seams
from keras_deeptools.engine._patching import Replacement

GRADIENTS = (4.0, 0.25)
Seen = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Fact:
    """What an update shows at a seam.

    Args:
        name: Str, under which the update notes it.
        expected: Tuple of floats.
        seam: Str, the private name.
        used_for: Str.
        breaks: Str, what stops working where it is not so.
    """

    name: str
    expected: tuple[float, ...]
    seam: str
    used_for: str
    breaks: str


PLAIN = (
    Fact(
        "entered with",
        GRADIENTS,
        "Optimizer._backend_apply_gradients",
        "entering an update with the gradients that it will apply",
        "no feature can be attached",
    ),
    Fact(
        "seen",
        GRADIENTS,
        "Optimizer._clip_gradients",
        "observing gradients before they are clipped",
        "gradients are not monitored",
    ),
    # Doubled, then clipped to 1 by Keras.
    Fact(
        "applied",
        (1.0, 0.5),
        "Optimizer._clip_gradients, Optimizer._backend_update_step",
        "changing gradients before the update",
        "gradients are not clipped",
    ),
    # The learning rate was 0.25 when the optimizer was made, then 0.5 was put there.
    Fact(
        "rate",
        (0.5,),
        "Optimizer._learning_rate",
        "writing the learning rate in the step",
        "learning rates are not scheduled",
    ),
    # 2 and -1, less half a quarter of them.
    Fact(
        "decayed",
        (1.75, -0.875),
        "Optimizer._apply_weight_decay",
        "decaying weights before they are updated",
        "weight decay is taken for a part of the update",
    ),
    Fact(
        "updated",
        (1.25, -1.125),
        "Optimizer._backend_update_step",
        "observing updates",
        "update-to-weight ratios are wrong",
    ),
    # The first is then corrected to 1.
    Fact(
        "weights",
        (1.0, -1.125),
        "Optimizer._backend_update_step, after which weights are corrected",
        "projecting weights",
        "max-norm has no effect",
    ),
    Fact(
        "averages",
        (1.0, -1.125),
        "Optimizer._model_variables_moving_average",
        "correcting weights before their averages are taken",
        "moving averages hold weights that max-norm forbids",
    ),
    Fact(
        "state",
        (4.25,),
        "Optimizer._track_variable",
        "letting state ride through the step with the optimizer's own",
        "features forget what they saw",
    ),
    Fact(
        "count",
        (1.0,),
        "Optimizer._iterations",
        "counting updates",
        "schedules stand still",
    ),
)
ACCUMULATED = (
    Fact(
        "mean",
        (3.0, 0.25),
        "Optimizer._accumulated_gradients",
        "observing the mean of the gradients that an optimizer accumulates",
        "gradients under `gradient_accumulation_steps` are taken for others",
    ),
)
SCALED = (
    Fact(
        "unscaled",
        GRADIENTS,
        "LossScaleOptimizer.inner_optimizer",
        "observing gradients without the loss scale of mixed precision",
        "gradients are monitored and clipped at another scale",
    ),
    Fact(
        "skipped",
        (1.0,),
        "LossScaleOptimizer._stateful_handle_non_finite_grads, "
        "LossScaleOptimizer._stateless_handle_non_finite_grads",
        "counting the updates that mixed precision skips",
        "skipped updates are taken for made ones",
    ),
)


def check_update(owner: str) -> None:
    """Raises on a Keras whose updates pass the seams in another way; looks once.

    Args:
        owner: Str. Name of the caller, for the error.

    Raises:
        KerasSeamError: It names the seam, what it gave, and the version of Keras.

    Example:

    >>> from keras_deeptools.engine._update.update_canary import check_update
    >>> check_update("attach")
    """
    changed = _changed()
    if changed:
        works = THEMES["optimizers"].works_without
        raise missing_seams(owner, changed, works)


@functools.cache
def _changed() -> tuple[Seam, ...]:
    count = sum(len(facts) for _, facts in UPDATES)
    return tuple(looked_at("update", count, _look))


def _look() -> list[Seam]:
    return [
        seam for update, facts in UPDATES for seam in _compared(_seen_in(update), facts)
    ]


def _seen_in(update: Callable[[Seen], None]) -> Seen:
    """What an update notes, and under `"error"` what ended it."""
    seen: Seen = {}
    try:
        update(seen)
    except Exception as error:  # Any failure means that Keras is not as it was.
        seen["error"] = f"{type(error).__name__}: {error}"
    return seen


def _compared(seen: Seen, facts: tuple[Fact, ...]) -> list[Seam]:
    """The facts that are otherwise, in the order in which an update meets them."""
    error = seen.get("error")
    changed = []
    for fact in facts:
        numbers = seen.get(fact.name)
        # What was noted before an error is not known in numbers: it was reached.
        if numbers is not None and (error or np.array_equal(numbers, fact.expected)):
            continue
        found = f"{fact.expected} expected, {numbers} found"
        if numbers is None:
            found = error or "it was not called"
        seam = Seam(fact.seam, fact.used_for, fact.breaks, bool, found=found)
        changed.append(seam)
        if error:
            break
    return changed


def _plain(seen: Seen) -> None:
    """An update with weight decay, clipping and averages, and all that we do in one."""
    weights = _weights()
    optimizer = keras.optimizers.SGD(
        0.25, weight_decay=0.25, clipvalue=1.0, use_ema=True, ema_momentum=0.5
    )
    optimizer.build(weights)
    rate, state = (keras.Variable(np.float32(v), trainable=False) for v in (0.5, 0.0))
    Replacement(optimizer, RATE, rate)
    training.track(optimizer, rate)
    training.track(optimizer, state)
    apply_gradients = getattr(optimizer, APPLY_GRADIENTS)
    update_step = getattr(optimizer, UPDATE_STEP)

    def apply(gradients: Any, variables: Any) -> None:
        seen["entered with"] = list(gradients)
        state.assign(gradients[0] + gradients[1])
        apply_gradients(gradients, variables)

    def update(gradients: Any, variables: Any, learning_rate: Any) -> None:
        seen["applied"], seen["rate"] = list(gradients), [_value(learning_rate)]
        seen["decayed"] = [_value(variable) for variable in variables]
        update_step(gradients, variables, learning_rate)
        seen["updated"] = [_value(variable) for variable in variables]
        variables[0].assign(np.float32(1.0))

    _watch_clipping(optimizer, seen, "seen", factor=2.0)
    Replacement(optimizer, APPLY_GRADIENTS, apply)
    Replacement(optimizer, UPDATE_STEP, update)
    programs.make_updates(optimizer, weights, [GRADIENTS], seen)
    seen["weights"] = _numbers(weights)
    seen["averages"] = _numbers(weight_averages(optimizer))
    seen["state"] = _numbers([state])
    seen["count"] = _numbers([counted_batches(optimizer)])


def _accumulated(seen: Seen) -> None:
    """Two batches that make one update."""
    weights = _weights()
    optimizer = keras.optimizers.SGD(0.5, gradient_accumulation_steps=2)
    optimizer.build(weights)
    _watch_clipping(optimizer, seen, "mean")
    programs.make_updates(optimizer, weights, [(2.0, 0.25), GRADIENTS], seen)


def _scaled(seen: Seen) -> None:
    """One update at a loss scale, and one that is skipped."""
    weights = _weights()
    inner = keras.optimizers.SGD(0.5)
    outer = keras.optimizers.LossScaleOptimizer(inner, initial_scale=4.0)
    Replacement(outer, "add_variable", _adding_plain_numbers(outer.add_variable))
    outer.build(weights)
    skipped = keras.Variable(np.int32(0), dtype="int32", trainable=False)
    noted = [keras.Variable(np.float32(0.0), trainable=False) for _ in GRADIENTS]
    for variable in (skipped, *noted):
        training.track(inner, variable)
    for name, method in training.count_skipped(outer, skipped).items():
        Replacement(outer, name, method)
    clip_gradients = getattr(inner, CLIP_GRADIENTS)

    # If an update is traced, this is traced in one of two branches, whose tensors
    # cannot be read from outside.
    def clip(gradients: Any) -> Any:
        gradients = list(gradients)
        for variable, gradient in zip(noted, gradients, strict=True):
            variable.assign(gradient)
        return clip_gradients(gradients)

    Replacement(inner, CLIP_GRADIENTS, clip)
    scaled = [tuple(f * g for g in GRADIENTS) for f in (4.0, float("inf"))]
    programs.make_updates(outer, weights, scaled, seen)
    seen["unscaled"] = _numbers(noted)
    seen["skipped"] = _numbers([skipped])


UPDATES = ((_plain, PLAIN), (_accumulated, ACCUMULATED), (_scaled, SCALED))


def _adding_plain_numbers(add_variable: Callable) -> Callable:
    """`add_variable` that takes constants as they are: JAX would compile for them."""

    def add(*args: Any, **options: Any) -> Any:
        constant = options.get("initializer")
        if isinstance(constant, keras.initializers.Constant):
            value = constant.get_config()["value"]
            options["initializer"] = lambda shape, dtype: np.full(shape, value, dtype)
        return add_variable(*args, **options)

    return add


def _weights() -> list[Any]:
    return [keras.Variable(np.float32(2.0)), keras.Variable(np.float32(-1.0))]


def _watch_clipping(optimizer: Any, seen: Seen, name: str, factor: float = 1.0) -> None:
    clip_gradients = getattr(optimizer, CLIP_GRADIENTS)

    def clip(gradients: Any) -> Any:
        gradients = list(gradients)
        seen[name] = gradients
        return clip_gradients([g * factor for g in gradients])

    Replacement(optimizer, CLIP_GRADIENTS, clip)


def _value(number: Any) -> Any:
    """The tensor that a variable holds now, in a trace and outside; tensors as is."""
    return keras.ops.copy(keras.ops.convert_to_tensor(number))


def _numbers(variables: list[Any]) -> list[float]:
    return [float(keras.ops.convert_to_numpy(variable)) for variable in variables]
