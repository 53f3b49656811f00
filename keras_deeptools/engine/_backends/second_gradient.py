"""A train step whose update uses gradients at other weights than those it starts from.

The model's own train step is run twice with the same data, random numbers and state:
once for its metrics, its statistics and its gradients, and once at the other weights,
of which the gradients alone are kept. It may be a step of the user's own, as long as it
makes one update with the one optimizer.
"""

import functools
from collections.abc import Callable
from typing import Any

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
        every: Int > 0. Every how many updates, the first among them.
    """
    make = _pure if keras.backend.backend() == "jax" else _stateful
    return functools.wraps(train_step)(make(train_step, model, leaf, elsewhere, every))


def check_one_replica(owner: str, optimizer: Any) -> None:
    """Raises on several replicas, each of which would go up a gradient of its own.

    Args:
        owner: Str. Who is named in the error.
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
            "SharpnessAwareMinimization: the train step must make one update, with "
            f"the optimizer of `compile`. Received: {len(captured)} updates. In such a "
            "step, take the two gradients yourself."
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


def perturbed(gradients: list[Any], weights: list[Any], radius: Any) -> list[Any]:
    """The weights a distance away, up their gradient; as they are where it is unknown.

    Args:
        gradients: List of tensors or None, at any scale.
        weights: List of tensors.
        radius: Scalar > 0, the L2 norm of all that is added.
    """
    there = [gradient for gradient in gradients if gradient is not None]
    norms, _ = tensors.norms(there)
    largest = ops.max(norms)
    known = ops.logical_and(ops.isfinite(largest), largest > 0)
    largest = ops.where(known, largest, ops.ones_like(largest))
    total = largest * ops.sqrt(ops.sum(ops.square(norms / largest)))
    scale = ops.where(known, radius / total, ops.zeros_like(total))
    return [
        weight
        if gradient is None
        else weight + ops.cast(_dense(gradient) * scale, weight.dtype)
        for gradient, weight in zip(gradients, weights, strict=True)
    ]


def _dense(gradient: Any) -> Any:
    return ops.cast(tensors.dense(gradient), "float32")
