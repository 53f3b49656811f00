"""Tensor operations on TensorFlow: graph ops that XLA compiles where it is on."""

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_deeptools.engine._backends.common import (
    TAKES_LISTS as TAKES_LISTS,
    is_mutable as is_mutable,
    is_traced as is_traced,
    modules_in as modules_in,
    move_averages as move_averages,
    number as number,
    tensor_list as tensor_list,
)
from keras_deeptools.engine._backends.sampled_norms import sample, scaled_up


def limit_norms(
    variables: list[Any], axes: list[tuple[int, ...]], limit: Any, shrink: list[float]
) -> Any:
    """Scales down what is over `limit`; for arguments and result see JAX's."""
    values = [_wide(tf.convert_to_tensor(v.value)) for v in variables]
    norms = slice_norms(values, axes)
    fractions = []
    for variable, value, norm, hair in zip(
        variables, values, norms, shrink, strict=True
    ):
        bound = tf.cast(limit, norm.dtype)
        over = (norm > bound) & tf.math.is_finite(norm)
        factor = tf.where(over, bound * hair / norm, tf.ones_like(norm))
        variable.assign(tf.cast(value * factor, variable.dtype))
        share = tf.reduce_sum(tf.cast(over, tf.float32)) / max(
            over.shape.num_elements(), 1
        )
        fractions.append(share)
    return tf.stack(fractions)


def slice_norms(tensors: list[Any], axes: list[tuple[int, ...]]) -> list[Any]:
    """L2 norms over `axes` of each tensor, which stay as axes of length 1."""
    pairs = list(zip(map(_wide, tensors), axes, strict=True))
    squares = [tf.reduce_sum(tf.square(v), axis=a, keepdims=True) for v, a in pairs]
    usual = tf.reduce_all(
        [tf.reduce_all(tf.math.is_finite(square)) for square in squares]
    )
    return tf.cond(
        usual,
        lambda: [tf.sqrt(square) for square in squares],
        lambda: [_careful_slice_norms(v, a) for v, a in pairs],
    )


def _careful_slice_norms(value: Any, axes: tuple[int, ...]) -> Any:
    largest = tf.reduce_max(tf.abs(value), axis=axes, keepdims=True)
    usable = (largest > 0) & tf.math.is_finite(largest)
    scale = tf.where(usable, largest, tf.ones_like(largest))
    shrunk = tf.square(value / scale)
    return scale * tf.sqrt(tf.reduce_sum(shrunk, axis=axes, keepdims=True))


def _wide(value: Any) -> Any:
    return value if value.dtype == tf.float64 else tf.cast(value, tf.float32)


TINY = 1e-36
"""Sums of squares under this are recomputed with scaling (norm below 1e-18)."""

_TRACED = (
    "_function_cache",
    "_function_captures",
    "_created_variables",
    "_variable_creation_config",
    "_no_variable_creation_config",
)
"""What a `tf.function` knows of its traces."""

COMPILES = True
"""Whether functions of the user's may be traced once and kept."""


def sum_squares(tensors: list[Any]) -> Any:
    """Sum of squares of each tensor, float32 vector."""
    return tf.stack([tf.reduce_sum(tf.square(_float(t))) for t in tensors])


def max_abs(tensors: list[Any]) -> Any:
    """Largest magnitude of each tensor, float32 vector."""
    return tf.stack([_largest(_float(t)) for t in tensors])


def zero_fraction(tensors: list[Any], sizes: list[int]) -> Any:
    """Fraction of elements that are exactly zero, float32 vector.

    `sizes` are the numbers of elements, which a traced gradient may not know itself.
    """
    pairs = zip(tensors, sizes, strict=True)
    return tf.stack([_zero_fraction(t, size) for t, size in pairs])


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


def snapshot(
    variables: list[Any], kept: list[Any] | None, limit: int | None = None
) -> list[Any]:
    """The variables' values, or samples of `limit`; later assignments leave them."""
    return [tf.identity(sample(variable.value, limit)) for variable in variables]


def update_norms(
    variables: list[Any], before: list[Any], limit: int | None = None
) -> tuple[Any, Any]:
    """L2 norms of the change since a snapshot with this `limit`, and of itself."""
    pairs = [
        (_float(sample(current(v), limit)), _float(b))
        for v, b in zip(variables, before, strict=True)
    ]
    changes = tf.sqrt(sum_squares([value - old for value, old in pairs]))
    weights = tf.sqrt(sum_squares([old for _, old in pairs]))
    return (
        scaled_up(changes, variables, limit),
        scaled_up(weights, variables, limit),
    )


def scaled(tensors: list[Any], factors: Any) -> list[Any]:
    """Each tensor times its own factor; where that is 1, as it was, to the bit."""
    return [_scaled(t, factors[i]) for i, t in enumerate(tensors)]


def _scaled(tensor: Any, factor: Any) -> Any:
    if not is_sparse(tensor):
        return tensor * tf.cast(factor, tensor.dtype)
    number = tf.cast(factor, tensor.values.dtype)
    return _changed_rows(tensor, tf.not_equal(factor, 1.0), lambda rows: rows * number)


def clipped(tensors: list[Any], limit: Any) -> list[Any]:
    """Each tensor with its elements limited to [-limit, limit].

    One that is within the limit already stays as it was, to the bit.
    """
    return [_clipped(t, limit) for t in tensors]


def _clipped(tensor: Any, limit: Any) -> Any:
    if not is_sparse(tensor):
        limit = tf.cast(limit, tensor.dtype)
        return tf.clip_by_value(tensor, -limit, limit)
    limit = tf.cast(limit, tensor.values.dtype)
    over = tf.reduce_any(tf.abs(_merged(tensor).values) > limit)
    return _changed_rows(
        tensor, over, lambda rows: tf.clip_by_value(rows, -limit, limit)
    )


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
    if not isinstance(buffer.value, tf.distribute.DistributedValues):
        buffer.value.scatter_nd_update(index, line)
    elif tf.distribute.in_cross_replica_context():
        # In the update of one of several replicas, whose own copy this is.
        buffer.value.scatter_update(tf.IndexedSlices(line, index[:, 0]))
    else:
        table = tf.convert_to_tensor(buffer.value)
        buffer.assign(tf.tensor_scatter_nd_update(table, index, line))


def choose(due: Any, compute: Any, otherwise: Any) -> Any:
    """`compute()` where `due`, else `otherwise()`; both without side effects."""
    return tf.cond(due, compute, otherwise)


def possibly(due: Any) -> bool:
    """Whether `due` may be true in the step being run or traced."""
    return True


def is_sparse(tensor: Any) -> bool:
    """Whether the gradient is stored in sparse form."""
    return isinstance(tensor, tf.IndexedSlices)


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
    """Lets a `tf.function` be traced again at the next call, wherever it is held."""
    if hasattr(function, "_clone"):
        fresh = function._clone(None)
        for name in _TRACED:
            if hasattr(function, name):
                setattr(function, name, getattr(fresh, name))


def dense(gradient: Any) -> Any:
    """A gradient as a dense tensor; sparse gradients are added up."""
    return tf.convert_to_tensor(gradient)


def _float(tensor: Any) -> Any:
    if is_sparse(tensor):
        tensor = _merged(tensor).values
    return tf.cast(tensor, tf.float32)


def _largest(value: Any) -> Any:
    largest = tf.reduce_max(tf.abs(value))
    if value.shape.num_elements():
        return largest
    # The largest of no elements, known as none or not, is minus infinity.
    return tf.where(tf.size(value) > 0, largest, tf.zeros_like(largest))


def _zero_fraction(tensor: Any, size: int) -> Any:
    zero = tf.reduce_sum(tf.cast(tf.equal(_float(tensor), 0.0), tf.float32))
    if not is_sparse(tensor):
        return zero / max(size, 1)
    stored = tf.cast(tf.size(tensor.values), tf.float32)
    return 1.0 - (stored - zero) / max(size, 1)


def _merged(tensor: Any) -> Any:
    """Adds up the entries of a sparse gradient with equal indices; spare ones get 0.

    Shapes stay static (sorting instead of `tf.unique`), so XLA compiles it.
    """
    if not is_sparse(tensor):
        return tensor
    order = tf.argsort(tensor.indices)
    indices = tf.gather(tensor.indices, order)
    count = tf.size(indices)
    first = tf.concat([[True], tf.not_equal(indices[1:], indices[:-1])], axis=0)
    segments = tf.cumsum(tf.cast(first[:count], tf.int32)) - 1
    rows = tf.gather(tensor.values, order)
    values = tf.math.unsorted_segment_sum(rows, segments, count)
    unique = tf.math.unsorted_segment_max(indices, segments, count)
    used = tf.range(count) <= tf.reduce_max(segments)
    unique = tf.where(used, unique, tf.reduce_min(indices))
    return tf.IndexedSlices(values, unique, tensor.dense_shape)


def _changed_rows(tensor: Any, acts: Any, change: Any) -> Any:
    """A sparse gradient whose merged entries are changed where `acts`, else as it was.

    Optimizers of Keras that square gradients treat several entries with one index as
    separate entries, so that merging them alone would change the training.
    """
    merged = _merged(tensor)
    values, indices = tf.cond(
        acts,
        lambda: (change(merged.values), merged.indices),
        lambda: (tensor.values, tensor.indices),
    )
    return tf.IndexedSlices(values, indices, tensor.dense_shape)


def keeps_contents_apart(container: Any) -> bool:
    """Whether a list holds its items a second time, in the attributes of a wrapper."""
    return isinstance(container, list) and hasattr(container, "_storage")


LISTS_ROWS = True
"""Whether gradients of embeddings are sparse, with an entry for each use of a token."""
