"""Train steps whose update differs from that of the model's own step.

The model's own train step is run, and the gradients that it passes to the optimizer are
captured instead of applied. It may be a custom step, as long as it makes one update
with one optimizer. Then the update is made with gradients at other weights, for which
the step is run a second time with the same data, random numbers and state; or the
update is judged first, and a bad one leaves everything as it was.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_deeptools.engine._backends.active import tensors, training
from keras_deeptools.engine._backends.several_replicas_error import SeveralReplicasError
from keras_deeptools.engine._keras_private.optimizers import counted_batches
from keras_deeptools.engine._patching import replaced

Weights = Callable[[list[Any], list[Any]], list[Any]]


def with_second_gradient(
    train_step: Callable, model: Any, leaf: Any, elsewhere: Weights, every: int
) -> Callable:
    """The train step, with the gradients at other weights in some of the updates.

    Args:
        train_step: The model's own.
        model: `keras.Model`, whose optimizer makes the update.
        leaf: `Leaf` whose updates are counted.
        elsewhere: Function of the gradients and the weights, two lists of tensors, that
            returns the other weights.
        every: Int > 0. Number of updates from one such update to the next; the first
            update is one.
    """
    make = _pure if keras.backend.backend() == "jax" else _stateful
    return functools.wraps(train_step)(make(train_step, model, leaf, elsewhere, every))


def check_one_replica(owner: str, optimizer: Any) -> None:
    """Raises on several replicas, each of which would follow its own gradient.

    Args:
        owner: Str. Name of the caller, for the error.
        optimizer: Keras optimizer.
    """
    if training.unmerged_methods(optimizer):
        raise SeveralReplicasError(
            f"{owner}: a model must train on one replica, since each replica has a "
            "gradient of its own before the optimizer reduces them. Received: an "
            "optimizer made under a `tf.distribute` strategy with several. Train on "
            "one device, or with `keras.distribution` on JAX."
        )


def _is_due(batches: Any, leaf: Any, every: int) -> Any:
    return (batches // leaf.accumulation_steps) % every == 0


def _only(captured: list[Any]) -> Any:
    if len(captured) != 1:
        raise ValueError(
            "SharpnessAwareMinimization and SpikeGuard: the train step must make one "
            f"update, with the optimizer of `compile`. Received: {len(captured)} "
            "updates. In such a step, change the gradients yourself."
        )
    return captured[0]


def _stateful(
    train_step: Callable, model: Any, leaf: Any, elsewhere: Weights, every: int
) -> Callable:
    def step(*args: Any, **kwargs: Any) -> Any:
        optimizer = model.optimizer

        def gradients() -> tuple[Any, list[Any], list[Any]]:
            captured: list[Any] = []

            def apply(grads: Any, trainable_variables: Any = None) -> None:
                captured.append((list(grads), list(trainable_variables)))

            with replaced(optimizer, "apply", apply):
                logs = train_step(*args, **kwargs)
            return logs, *_only(captured)

        state = [*model.non_trainable_variables, *model.metrics_variables]
        before = list(map(tensors.current, state))
        logs, first, variables = gradients()

        def second() -> list[Any]:
            after = list(map(tensors.current, state))
            weights = list(map(tensors.current, variables))
            others = elsewhere(first, weights)
            _assign([*state, *variables], [*before, *others])
            _, found, _ = gradients()
            _assign([*state, *variables], [*after, *weights])
            return [gradient for gradient in found if gradient is not None]

        there = [gradient for gradient in first if gradient is not None]
        due = _is_due(tensors.scalar(counted_batches(leaf.optimizer)), leaf, every)
        if every == 1:
            chosen = iter(second())
        else:
            chosen = iter(tensors.choose(due, second, lambda: there))
        grads = [None if gradient is None else next(chosen) for gradient in first]
        optimizer.apply(grads, variables)
        return logs

    return step


def _assign(variables: list[Any], values: list[Any]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _pure(
    train_step: Callable, model: Any, leaf: Any, elsewhere: Weights, every: int
) -> Callable:
    def step(state: Any, *args: Any, **kwargs: Any) -> Any:
        optimizer = model.optimizer
        weights, others, optimizer_state, metrics = state

        def gradients(weights: Any) -> tuple[Any, Any]:
            captured: list[Any] = []

            def stateless_apply(own: Any, grads: Any, trained: Any) -> Any:
                captured.append(grads)
                return trained, own

            # Copies, as Keras up to 3.11 writes into the lists that it is given.
            lists = (weights, others, optimizer_state, metrics)
            with replaced(optimizer, "stateless_apply", stateless_apply):
                result = train_step(tuple(map(list, lists)), *args, **kwargs)
            return result, _only(captured)

        (logs, (_, others_after, _, metrics_after)), first = gradients(weights)

        def second() -> list[Any]:
            return list(gradients(elsewhere(list(first), list(weights)))[1])

        mine = [id(variable) for variable in optimizer.variables]
        batches = optimizer_state[mine.index(id(counted_batches(leaf.optimizer)))]
        due = _is_due(batches, leaf, every)
        if every == 1:
            chosen = second()
        else:
            chosen = tensors.choose(due, second, lambda: list(first))
        weights, optimizer_state = optimizer.stateless_apply(
            optimizer_state, chosen, weights
        )
        return logs, (weights, others_after, optimizer_state, metrics_after)

    return step


class Verdict(NamedTuple):
    """The decision about an update.

    Attributes:
        applied: Bool tensor. Whether the optimizer makes it.
        good: Bool tensor. Whether metrics and statistics (for example those of
            BatchNormalization) keep their changes by the batch.
        factor: Scalar tensor. Factor of the gradients, or None.
    """

    applied: Any
    good: Any
    factor: Any


Judge = Callable[[list[Any], list[Any], Any, Any, Any], tuple[list[Any], Verdict]]


class Judging(NamedTuple):
    """How a step is judged; the arguments of `with_judged_update`."""

    model: Any
    memory: list[Any]
    judge: Judge
    statistics: Callable[[], list[Any]]


def with_judged_update(
    train_step: Callable,
    model: Any,
    memory: list[Any],
    judge: Judge,
    statistics: Callable[[], list[Any]],
) -> Callable:
    """The train step, whose update is judged before it is made.

    Args:
        train_step: The model's own.
        model: `keras.Model`, whose optimizer makes the update.
        memory: List of state variables of a leaf of the optimizer.
        judge: Pure function of the values of `memory`, the gradients that there are,
            the loss of the batch (None where it is not known), the L2 norm of the
            change of `statistics` (None without any), and what the gradients are
            scaled by. Returns new values of `memory` and a `Verdict`.
        statistics: Function that returns the variables of the model, beside metrics,
            that a batch changes without the optimizer.
    """
    make = _pure_judged if keras.backend.backend() == "jax" else _stateful_judged
    judging = Judging(model, memory, judge, statistics)
    return functools.wraps(train_step)(make(train_step, judging))


def _loss_sums(model: Any) -> tuple[Any, ...]:
    """The two variables whose quotient is the mean of the losses so far, or none."""
    for metric in model.metrics:
        if metric.name == "loss" and isinstance(metric, keras.metrics.Mean):
            return metric.total, metric.count
    return ()


def _loss_of_batch(before: list[Any], after: list[Any]) -> Any:
    if not before:
        return None
    total, count = (b - a for a, b in zip(before, after, strict=True))
    return total / ops.where(count > 0, count, ops.ones_like(count))


def _change(before: list[Any], after: list[Any]) -> Any:
    """How far statistics have moved, all together; None where there are none."""
    moved = [
        ops.cast(new, "float32") - ops.cast(old, "float32")
        for old, new in zip(before, after, strict=True)
        if new is not old and "float" in keras.backend.standardize_dtype(new.dtype)
    ]
    return ops.sqrt(ops.sum(tensors.sum_squares(moved))) if moved else None


def _loss_scale(optimizer: Any, current: Callable[[Any], Any]) -> Any:
    """What the gradients are multiplied by; 1.0 where they are not."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return current(optimizer.dynamic_scale)
    return optimizer.loss_scale_factor or 1.0


def _scaled(gradients: list[Any], factor: Any) -> list[Any]:
    """All the gradients times a factor; None stays."""
    there = [gradient for gradient in gradients if gradient is not None]
    if factor is None or not there:
        return list(gradients)
    factors = ops.broadcast_to(ops.reshape(factor, (1,)), (len(there),))
    scaled = iter(tensors.scaled(there, factors))
    return [None if gradient is None else next(scaled) for gradient in gradients]


def _clean(logs: Any, results: Mapping) -> Any:
    """The logs with the results of metrics in their places."""
    if not isinstance(logs, Mapping):
        return logs
    return {
        name: ops.cast(results[name], value.dtype)
        if name in results and ops.is_tensor(value) and not value.shape
        else value
        for name, value in logs.items()
    }


def _stateful_judged(train_step: Callable, judging: Judging) -> Callable:
    model, memory, judge, statistics = judging

    def step(*args: Any, **kwargs: Any) -> Any:
        optimizer = model.optimizer
        tracked = statistics()
        kept = [*tracked, *model.metrics_variables]
        before = list(map(tensors.current, kept))
        sums = _loss_sums(model)
        earlier = list(map(tensors.current, sums))
        captured: list[Any] = []

        def apply(grads: Any, trainable_variables: Any = None) -> None:
            captured.append((list(grads), list(trainable_variables)))

        with replaced(optimizer, "apply", apply):
            logs = train_step(*args, **kwargs)
        grads, variables = _only(captured)
        values, verdict = judge(
            list(map(tensors.current, memory)),
            [gradient for gradient in grads if gradient is not None],
            _loss_of_batch(earlier, list(map(tensors.current, sums))),
            _change(before[: len(tracked)], list(map(tensors.current, tracked))),
            _loss_scale(optimizer, tensors.current),
        )
        grads = _scaled(grads, verdict.factor)

        def update() -> None:
            optimizer.apply(grads, variables)

        ops.cond(verdict.applied, update, lambda: None)
        ops.cond(verdict.good, lambda: None, lambda: _assign(kept, before))
        _assign(memory, values)
        return tensors.choose(
            verdict.good,
            lambda: logs,
            lambda: _clean(logs, model.get_metrics_result()),
        )

    return step


def _pure_judged(train_step: Callable, judging: Judging) -> Callable:
    model, memory, judge, statistics = judging

    def step(state: Any, *args: Any, **kwargs: Any) -> Any:
        optimizer = model.optimizer
        weights, others, own, metrics = state
        captured: list[Any] = []

        def stateless_apply(values: Any, grads: Any, trained: Any) -> Any:
            captured.append(list(grads))
            return trained, values

        with replaced(optimizer, "stateless_apply", stateless_apply):
            logs, (_, others_after, _, metrics_after) = train_step(
                tuple(map(list, state)), *args, **kwargs
            )
        grads = _only(captured)
        mine = [id(variable) for variable in optimizer.variables]
        places = [mine.index(id(variable)) for variable in memory]
        of_metrics = [id(variable) for variable in model.metrics_variables]
        sums = [of_metrics.index(id(variable)) for variable in _loss_sums(model)]
        known = {id(variable) for variable in statistics()}
        fixed = enumerate(model.non_trainable_variables)
        tracked = [place for place, variable in fixed if id(variable) in known]
        values, verdict = judge(
            [own[place] for place in places],
            [gradient for gradient in grads if gradient is not None],
            _loss_of_batch(
                [metrics[i] for i in sums], [metrics_after[i] for i in sums]
            ),
            _change([others[i] for i in tracked], [others_after[i] for i in tracked]),
            _loss_scale(optimizer, lambda variable: own[mine.index(id(variable))]),
        )
        grads = _scaled(grads, verdict.factor)

        def update() -> Any:
            made = optimizer.stateless_apply(list(own), grads, list(weights))
            return [list(part) for part in made]

        weights, own = tensors.choose(
            verdict.applied, update, lambda: [list(weights), list(own)]
        )
        for place, value in zip(places, values, strict=True):
            own[place] = value
        others_after = list(others_after)
        for place in tracked:
            others_after[place] = _chosen(
                verdict.good, others_after[place], others[place]
            )
        metrics_after = [
            _chosen(verdict.good, after, before)
            for after, before in zip(metrics_after, metrics, strict=True)
        ]
        pairs = list(zip(model.metrics_variables, metrics_after, strict=True))
        with keras.StatelessScope(state_mapping=pairs):
            results = model.get_metrics_result()
        clean = _clean(logs, results)
        logs = tensors.choose(verdict.good, lambda: logs, lambda: clean)
        return logs, (weights, others_after, own, metrics_after)

    return step


def _chosen(good: Any, after: Any, before: Any) -> Any:
    return after if after is before else ops.where(good, after, before)
