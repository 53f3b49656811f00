"""Updates on several replicas of a `tf.distribute` strategy, one replica after another.

Keras reduces gradients inside of the update, where it is too late to see and change
them, and runs the replicas in threads that take turns. Here the gradients are reduced
before the update, and a whole update, features included, runs for one replica, then for
the next, in one thread: `tf.distribute` calls that an update context. In it a mirrored
variable is the replica's own copy, for reading and for writing. The gradients are the
same on all replicas by then, and so the copies stay equal.

What Keras does for `tf.distribute` in the steps of an update, merging the replicas in
each, is done already: these calls are given a strategy that has this replica alone.
"""

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_deeptools.engine._backends.several_replicas_error import SeveralReplicasError
from keras_deeptools.engine._keras_private import optimizers
from keras_deeptools.engine._patching import replaced

MIRRORED = (tf.distribute.MirroredStrategy, tf.distribute.MultiWorkerMirroredStrategy)
"""Strategies that keep a copy of each variable on each replica, all of them equal."""

REPLICA = "_keras_deeptools_replica"
"""Attribute of an optimizer with the replica whose update is under way."""

without_autograph = tf.autograph.experimental.do_not_convert


def has_several(strategy: Any) -> bool:
    """Whether a strategy trains on several replicas."""
    return strategy.num_replicas_in_sync > 1


def check_replicas(optimizer: Any, model: Any, owner: str) -> None:
    """Raises where updates cannot be run for each replica with the global gradient."""
    if REPLICA in vars(optimizer):
        return
    own = optimizers.strategy_of(optimizer)
    strategy = own
    if model is not None:
        strategy = model.distribute_strategy
    elif tf.distribute.has_strategy():
        strategy = tf.distribute.get_strategy()
    name, number = type(strategy).__name__, strategy.num_replicas_in_sync
    received = f"Received: strategy={name} with num_replicas_in_sync={number}"
    if "ParameterServer" in name or (
        has_several(strategy) and not isinstance(strategy, MIRRORED)
    ):
        raise SeveralReplicasError(
            f"{owner}: the tf.distribute strategy must be a MirroredStrategy or a "
            "MultiWorkerMirroredStrategy, where every replica has its own copy of the "
            f"variables and knows the global gradient. {received}. Use one of them, or "
            "train on one device."
        )
    if own is not strategy and (has_several(strategy) or has_several(own)):
        raise SeveralReplicasError(
            f"{owner}: the optimizer must be made, and the model compiled, under the "
            "strategy of the model, because Keras keeps one copy of its variables "
            f"otherwise and counts each update once per replica. {received} for the "
            f"model, and an optimizer {optimizer.name!r} made under "
            f"{type(own).__name__}. Call `model.compile(...)` inside of "
            "`with strategy.scope():`, with an optimizer that is made there."
        )
    if has_several(strategy) and getattr(model, "jit_compile", False) is True:
        raise SeveralReplicasError(
            f"{owner}: a model on several replicas must be compiled with "
            "`jit_compile=False`, which Keras chooses by itself there, because XLA "
            f"compiles a step for one device alone. {received} and jit_compile=True."
        )
    steps = getattr(model, "steps_per_execution", 1)
    if has_several(strategy) and steps > 1:
        raise SeveralReplicasError(
            f"{owner}: a model on several replicas must be compiled with "
            "`steps_per_execution=1`, because Keras itself cannot run several steps at "
            f"once there ('You must feed a value for placeholder'). {received} and "
            f"steps_per_execution={steps}."
        )


def check_deferred_build(optimizer: Any) -> None:
    """Raises where an optimizer that is not built would join in the first step."""
    strategy = optimizers.strategy_of(optimizer)
    if tf.distribute.has_strategy():
        strategy = tf.distribute.get_strategy()
    if has_several(strategy):
        raise SeveralReplicasError(
            "attach: an optimizer on several replicas must be built before something "
            "is attached to it, because nothing can join in the middle of a step that "
            f"the replicas trace in turn. Received: {optimizer.name!r}, not built, "
            f"under {type(strategy).__name__} with num_replicas_in_sync="
            f"{strategy.num_replicas_in_sync}. Inside of `with strategy.scope():`, "
            "build the model, then call `optimizer.build(variables)` with the "
            "variables that it trains."
        )


def finite_on_all_replicas(scaler: Any) -> dict[str, Callable]:
    """A method for a LossScaleOptimizer that looks at the gradients of every replica.

    Keras asks the first replica alone whether it may update, although each has only its
    own part of the gradient by then.
    """
    if not has_several(optimizers.strategy_of(scaler)):
        return {}
    check_finite = scaler.check_finite

    def check_finite_everywhere(grads: Any) -> Any:
        finite = check_finite(grads)
        context = tf.distribute.get_replica_context()
        if context is None:
            return finite
        bad = tf.cast(tf.logical_not(finite), tf.float32)
        return tf.equal(context.all_reduce(tf.distribute.ReduceOp.SUM, bad), 0.0)

    return {"check_finite": check_finite_everywhere}


def on_each_replica(optimizer: Any, update: Callable) -> Callable:
    """An update that is given the sum of the replicas' gradients, on each replica.

    Args:
        optimizer: Keras optimizer that updates variables itself.
        update: Function of gradients and variables.

    Returns:
        `update` itself where there is one replica.
    """
    if not has_several(optimizers.strategy_of(optimizer)):
        return update

    @functools.wraps(update)
    def update_each(grads: Any, trainable_variables: Any) -> None:
        context = tf.distribute.get_replica_context()
        if context is None or not has_several(context.strategy):
            # Within the update of one replica.
            update(grads, trainable_variables)
            return
        variables = list(trainable_variables)
        number = tf.get_static_value(context.replica_id_in_sync_group)
        reduced = context.all_reduce(tf.distribute.ReduceOp.SUM, list(grads))
        merged = functools.partial(_one_by_one, optimizer, update, variables)
        context.merge_call(without_autograph(merged), args=(reduced, int(number)))

    return update_each


def _one_by_one(
    optimizer: Any,
    update: Callable,
    variables: list[Any],
    strategy: Any,
    grads: Any,
    numbers: Any,
) -> None:
    """Runs an update for each replica of this process."""
    every = optimizers.counted_batches(optimizer).value
    copies = strategy.experimental_local_results(every)

    @without_autograph
    def update_one(copy: Any, own_grads: Any, number: int) -> None:
        place = next(i for i, each in enumerate(copies) if each is copy)
        replica = UpdatedReplica(strategy, number, place)
        with (
            replaced(optimizer, optimizers.STRATEGY, replica.local),
            replaced(optimizer, REPLICA, replica),
        ):
            update(list(own_grads), variables)

    strategy.extended.update(every, update_one, args=(grads, numbers), group=False)


def unmerged_methods(optimizer: Any) -> dict[str, Callable]:
    """Methods that leave the replicas of a step apart; none where there is one."""
    if not has_several(optimizers.strategy_of(optimizer)):
        return {}
    apply = getattr(optimizer, optimizers.APPLY_GRADIENTS)
    methods = {optimizers.APPLY_GRADIENTS: on_each_replica(optimizer, apply)}
    for name in optimizers.MERGING:
        methods[name] = _without_merging(optimizer, getattr(optimizer, name))
    return methods


def _without_merging(optimizer: Any, method: Callable) -> Callable:
    @functools.wraps(method)
    def run_unmerged(*args: Any, **kwargs: Any) -> Any:
        replica = vars(optimizer).get(REPLICA)
        if replica is None:
            return method(*args, **kwargs)
        with replica:
            return method(*args, **kwargs)

    return run_unmerged


class UpdatedReplica(tf.distribute.ReplicaContext):
    """A replica in whose update nothing is left to merge.

    Args:
        strategy: `tf.distribute.Strategy`.
        number: Int, of the replica among all.
        place: Int, of the replica among those of this process.
    """

    def __init__(self, strategy: Any, number: int, place: int) -> None:
        super().__init__(strategy, number)
        self.local = LocalStrategy(strategy, place)

    def merge_call(
        self, merge_fn: Callable, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Calls a function of all replicas for this one, in its update."""
        self.__exit__(None, None, None)
        try:
            return merge_fn(self.local, *args, **(kwargs or {}))
        finally:
            self.__enter__()

    def all_reduce(self, reduce_op: Any, value: Any, options: Any = None) -> Any:
        """What has been reduced."""
        return value


class LocalStrategy:
    """What Keras needs of a strategy in the update of one replica.

    Args:
        strategy: `tf.distribute.Strategy`.
        place: Int, of the replica among those of this process.
    """

    def __init__(self, strategy: Any, place: int) -> None:
        self.extended = self
        self._strategy = strategy
        self._place = place

    def update(
        self,
        variable: Any,
        function: Callable,
        args: Any = (),
        kwargs: dict[str, Any] | None = None,
        group: bool = True,
    ) -> Any:
        """Calls a function with the replica's own copy of a variable."""
        if isinstance(variable, tf.distribute.DistributedValues):
            copies = self._strategy.experimental_local_results(variable)
            variable = copies[self._place]
        return function(variable, *args, **(kwargs or {}))
