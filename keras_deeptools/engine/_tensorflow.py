"""Tensor operations on TensorFlow: graph ops that XLA compiles where it is on."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from keras_deeptools.engine._averages import move_averages as move_averages
from keras_deeptools.engine._limit_norms_tensorflow import limit_norms as limit_norms
from keras_deeptools.engine._several_replicas import SeveralReplicasError

TINY = 1e-36
"""Sums of squares under this are recomputed with scaling (norm below 1e-18)."""
TRACED = (
    "_function_cache",
    "_function_captures",
    "_created_variables",
    "_variable_creation_config",
    "_no_variable_creation_config",
)
"""What a `tf.function` knows of its traces."""
COMPILES = True
"""Whether functions of the user's may be traced once and kept."""
BUILDS_IN_STEP = True
"""Whether the first step of `fit` creates the variables that do not exist."""


def check_supported(optimizer: Any, model: Any, owner: str = "attach") -> None:
    """Raises under a strategy with several replicas, whose gradients are partial."""
    strategy = optimizer._distribution_strategy
    replicas = strategy.num_replicas_in_sync
    if replicas > 1 or "ParameterServer" in type(strategy).__name__:
        raise SeveralReplicasError(
            f"{owner}: the tf.distribute strategy must have one replica, because Keras "
            "reduces gradients only inside of the update, after the point where they "
            f"are seen and grouped. Received: strategy={type(strategy).__name__} with "
            f"num_replicas_in_sync={replicas}. Use the JAX backend with "
            "`keras.distribution.DataParallel`, whose gradients are global, or train "
            "on one replica."
        )


def after(gradients: list[Any]) -> Any:
    """A context whose writes wait for data.

    Where a generator has ended, the graph fails in reading it; writes that do not
    depend on the data could happen all the same.
    """
    last = gradients[-1]
    return tf.control_dependencies([last.values if is_sparse(last) else last])


def variable_scope(optimizer: Any) -> Any:
    """A context in which the optimizer's variables may be created."""
    return optimizer._distribution_strategy.scope()


@contextlib.contextmanager
def between_steps() -> Iterator[None]:
    """A context that runs on the host at once, also where a step is being traced.

    Variables may be created in it, too, which a traced function refuses.
    """
    graph = tf.compat.v1.get_default_graph()
    creators = graph._variable_creator_stack
    with tf.init_scope():
        graph._variable_creator_stack = []
        try:
            yield
        finally:
            graph._variable_creator_stack = creators


def tracing() -> bool:
    """Whether a step is being traced now."""
    return tf.inside_function()


def reason_to_trace_again() -> Any:
    """Makes `tf.function` trace what it is tracing a second time before it runs.

    It does so where a trace has created variables.

    Returns:
        What must be kept until then.
    """
    return tf.Variable(0, trainable=False)


def have_values(variables: list[Any]) -> bool:
    """Whether variables have values: those created in a trace get them after it."""
    with tf.init_scope():
        return all(
            v._value is not None and bool(v._value.is_initialized()) for v in variables
        )


def sum_squares(tensors: list[Any]) -> Any:
    """Sum of squares of each tensor, float32 vector."""
    return tf.stack([tf.reduce_sum(tf.square(_float(t))) for t in tensors])


def max_abs(tensors: list[Any]) -> Any:
    """Largest magnitude of each tensor, float32 vector."""
    return tf.stack([_largest(_float(t)) for t in tensors])


def zero_fraction(tensors: list[Any]) -> Any:
    """Fraction of elements that are exactly zero, float32 vector."""
    return tf.stack([_zero_fraction(t) for t in tensors])


def norms(tensors: list[Any]) -> tuple[Any, Any]:
    """L2 norm and number of non-finite elements of each tensor.

    One read of each tensor in the normal case; where a sum of squares overflows,
    underflows or is not a number, a second, scaled pass makes the norm exact and
    counts the elements to blame.
    """
    values = [_float(t) for t in tensors]
    squares = sum_squares(values)
    usual = tf.reduce_all((squares > TINY) & tf.math.is_finite(squares))
    return tf.cond(
        usual,
        lambda: (tf.sqrt(squares), tf.zeros_like(squares)),
        lambda: _careful_norms(values),
    )


def _careful_norms(values: list[Any]) -> tuple[Any, Any]:
    result, counts = [], []
    for value in values:
        largest = _largest(value)
        usable = (largest > 0) & tf.math.is_finite(largest)
        scale = tf.where(usable, largest, tf.ones_like(largest))
        result.append(scale * tf.sqrt(tf.reduce_sum(tf.square(value / scale))))
        bad = tf.logical_not(tf.math.is_finite(value))
        counts.append(tf.reduce_sum(tf.cast(bad, tf.float32)))
    return tf.stack(result), tf.stack(counts)


def snapshot(variables: list[Any], kept: list[Any] | None) -> list[Any]:
    """The variables' values, unaffected by later assignments."""
    return [tf.identity(variable.value) for variable in variables]


def update_norms(variables: list[Any], before: list[Any]) -> tuple[Any, Any]:
    """L2 norms of the change since the snapshot, and of the snapshot."""
    pairs = [
        (_float(current(v)), _float(b)) for v, b in zip(variables, before, strict=True)
    ]
    changes = sum_squares([value - old for value, old in pairs])
    return tf.sqrt(changes), tf.sqrt(sum_squares([old for _, old in pairs]))


def scaled(tensors: list[Any], factors: Any) -> list[Any]:
    """Each tensor times its own factor."""
    return [_map_rows(t, factors[i], tf.multiply) for i, t in enumerate(tensors)]


def clipped(tensors: list[Any], limit: Any) -> list[Any]:
    """Each tensor with its elements limited to [-limit, limit]."""
    return [
        _map_rows(_merged(t), limit, lambda a, b: tf.clip_by_value(a, -b, b))
        for t in tensors
    ]


def current(variable: Any) -> Any:
    """The variable's value now, as a tensor that later assignments leave alone."""
    return tf.convert_to_tensor(variable.value)


def scalar(variable: Any) -> Any:
    """The value of a scalar variable: a tensor, or a number where that is free."""
    return tf.convert_to_tensor(variable.value)


def set_scalar(variable: Any, value: Any) -> None:
    """Sets a scalar variable to a tensor or number."""
    variable.assign(tf.cast(value, variable.dtype))


def add(variable: Any, values: Any) -> None:
    """Adds to a variable in place."""
    variable.assign_add(values)


def write_row(buffer: Any, index: Any, numbers: list[Any], row: list[Any]) -> None:
    """Writes two numbers, then vectors, at `index` of a two-dimensional variable."""
    parts = [tf.cast(part, tf.float32) for part in (tf.stack(numbers), *row)]
    line = tf.concat(parts, axis=0)[None]
    index = tf.reshape(tf.cast(index, tf.int32), [1, 1])
    if isinstance(buffer.value, tf.distribute.DistributedValues):
        table = tf.convert_to_tensor(buffer.value)
        buffer.assign(tf.tensor_scatter_nd_update(table, index, line))
    else:
        buffer.value.scatter_nd_update(index, line)


def choose(due: Any, compute: Any, otherwise: Any) -> Any:
    """`compute()` where `due`, else `otherwise()`; both without side effects."""
    return tf.cond(due, compute, otherwise)


def possibly(due: Any) -> bool:
    """Whether `due` may be true in the step being run or traced."""
    return True


def is_sparse(tensor: Any) -> bool:
    """Whether the gradient is stored as rows of a larger array."""
    return isinstance(tensor, tf.IndexedSlices)


def fresh_step_function(model: Any) -> None:
    """Makes the model trace its train step again at the next call."""
    model.make_train_function(force=True)


def set_before(train_step: Any, model: Any, values: Callable) -> Any:
    """The train step, with variables of the model set first."""

    @functools.wraps(train_step)
    def set_and_train(*args: Any, **kwargs: Any) -> Any:
        for variable, value in values():
            variable.assign(tf.reshape(tf.cast(value, variable.dtype), variable.shape))
        return train_step(*args, **kwargs)

    return set_and_train


def eagerly() -> Any:
    """A context in which operations give numbers at once, also while tracing."""
    return tf.init_scope()


def trace(function: Callable) -> None:
    """Traces a function of an int32 scalar, as the compiled step would."""
    traced = tf.function(function, autograph=False)
    traced.get_concrete_function(tf.TensorSpec((), tf.int32))


def readable(variables: list[Any], optimizer: Any) -> bool:
    """Whether the optimizer's update can read what variables hold at the time."""
    return True


def host(optimizer: Any, model: Any, others: list[Any]) -> Any:
    """The optimizer that the state of features rides with, if it is another one."""
    return None


def is_compiled(function: Any) -> bool:
    """Whether a function is the user's `tf.function`."""
    return isinstance(function, tf.types.experimental.PolymorphicFunction)


def forget_function(function: Any) -> None:
    """Lets a `tf.function` trace anew at the next call, wherever it is held."""
    if hasattr(function, "_clone"):
        fresh = function._clone(None)
        for name in TRACED:
            if hasattr(function, name):
                setattr(function, name, getattr(fresh, name))


def track(optimizer: Any, variable: Any) -> None:
    """Nothing to do: the step reads and writes variables wherever they are."""


def untrack(optimizer: Any, variable: Any) -> None:
    """Nothing to undo."""


def synchronize(model: Any) -> None:
    """Nothing to do: variables are always up to date on this backend."""


def can_decay(optimizer: Any, variables: list[Any]) -> bool:
    """Whether weight decay accepts these variables."""
    return True


def count_skipped(optimizer: Any, counter: Any) -> dict[str, Any]:
    """Methods for a LossScaleOptimizer that count its skipped updates."""
    handle = optimizer._stateful_handle_non_finite_grads

    def handle_and_count() -> None:
        handle()
        counter.assign_add(1)

    return {"_stateful_handle_non_finite_grads": handle_and_count}


def _float(tensor: Any) -> Any:
    if is_sparse(tensor):
        tensor = _merged(tensor).values
    return tf.cast(tensor, tf.float32)


def _largest(value: Any) -> Any:
    return tf.reduce_max(tf.abs(value)) if value.shape.rank else tf.abs(value)


def _zero_fraction(tensor: Any) -> Any:
    zero = tf.reduce_sum(tf.cast(tf.equal(_float(tensor), 0.0), tf.float32))
    if not is_sparse(tensor):
        return zero / max(tensor.shape.num_elements(), 1)
    stored = tf.cast(tf.size(tensor.values), tf.float32)
    total = tf.reduce_prod(tf.cast(tensor.dense_shape, tf.float32))
    return 1.0 - (stored - zero) / total


def _merged(tensor: Any) -> Any:
    """Adds up rows that occur several times; freed rows become zeros.

    Shapes stay static (sorting instead of `tf.unique`), so XLA compiles it.
    """
    if not is_sparse(tensor):
        return tensor
    order = tf.argsort(tensor.indices)
    indices = tf.gather(tensor.indices, order)
    first = tf.concat([[True], tf.not_equal(indices[1:], indices[:-1])], axis=0)
    segments = tf.cumsum(tf.cast(first, tf.int32)) - 1
    count = tf.size(indices)
    rows = tf.gather(tensor.values, order)
    values = tf.math.unsorted_segment_sum(rows, segments, count)
    unique = tf.math.unsorted_segment_max(indices, segments, count)
    unique = tf.where(tf.range(count) <= segments[-1], unique, indices[0])
    return tf.IndexedSlices(values, unique, tensor.dense_shape)


def _map_rows(tensor: Any, operand: Any, function: Any) -> Any:
    if not is_sparse(tensor):
        return function(tensor, tf.cast(operand, tensor.dtype))
    values = function(tensor.values, tf.cast(operand, tensor.values.dtype))
    return tf.IndexedSlices(values, tensor.indices, tensor.dense_shape)
