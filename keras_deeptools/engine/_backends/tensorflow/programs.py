"""Whole passes, compiled, differentiated or stochastic, on TensorFlow."""

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_deeptools.engine._backends.common import (
    NORMAL_BY_PREFIX as NORMAL_BY_PREFIX,
    PADS_ROWS as PADS_ROWS,
    is_exporting as is_exporting,
    make_updates as make_updates,
    unseeded as unseeded,
)


def compiled(function: Callable, once: bool = False) -> Callable:
    """The function as one graph, also for one call; for the arguments see JAX's."""
    # A separate object, because TensorFlow counts traces, and warns, by function.
    return tf.function(functools.partial(function), autograph=False)


def trace_state() -> Any:
    """What differs between the body of a loop or a map and the code around it."""
    return tf.compat.v1.get_default_graph()


def differentiate(run: Callable, values: list[Any]) -> tuple[Any, list[Any], list[Any]]:
    """Gradients of a loss; for arguments and result see JAX's."""
    probed: list[Any] = []
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        values = [tf.identity(value) for value in values]
        tape.watch(values)

        def probe(tensor: Any) -> Any:
            probed.append(tf.identity(tensor))
            tape.watch(probed[-1])
            return probed[-1]

        loss, other = run(values, probe)
    of_values, of_probed = tape.gradient(
        loss, [values, probed], unconnected_gradients=tf.UnconnectedGradients.ZERO
    )
    return (
        other,
        [tf.convert_to_tensor(each) for each in of_values],
        [tf.convert_to_tensor(each) for each in of_probed],
    )


def seed_tensor(words: np.ndarray) -> Any:
    """Seeds, uint32 `(num_draws, 2)`, as int32, of which `bits` takes one entry."""
    return tf.constant(words.view(np.int32))


def bits(seed: Any, rows: int, columns: int) -> Any:
    """Random int16 `(rows, columns)`; smaller arrays are the start of larger ones."""
    words = tf.random.stateless_uniform(
        (rows, -(-columns // 2)), seed, None, None, tf.int32, alg="philox"
    )
    pairs = tf.reshape(tf.bitcast(words, tf.int16), (rows, -1))
    return pairs[:, :columns] if columns % 2 else pairs


def uniform(seed: Any, rows: int, columns: int) -> Any:
    """Random float32 in [0, 1) of shape `(rows, columns)`."""
    return tf.random.stateless_uniform((rows, columns), seed, alg="philox")


def normal(seed: Any, rows: int, columns: int) -> Any:
    """Random float32 from N(0, 1) of shape `(rows, columns)`."""
    return tf.random.stateless_normal((rows, columns), seed, alg="philox")


def masked(x: Any, keep: Any, scale: float) -> Any:
    """`x * scale` where `keep`, else zero; `keep` broadcasts to `x`."""
    return tf.where(keep, x * tf.cast(scale, x.dtype), tf.zeros((), x.dtype))


def rows_from(x: Any, start: Any, rows: int) -> Any:
    """The `rows` entries of `x` along its first axis, from index `start` on."""
    if x.shape[0] == rows:
        return x
    return tf.ensure_shape(x[start : start + rows], (rows, *x.shape[1:]))


def compiled_reading(
    function: Callable[..., Any], variables: list[Any], static: tuple[str, ...] = ()
) -> Callable[..., Any]:
    """`function` compiled for each form of its arguments, which are those of JAX's."""
    graphs: dict[Any, Callable[..., Any]] = {}

    def call(*args: Any, **options: Any) -> Any:
        tensors = keras.tree.map_structure(_tensor, args)
        key = (
            *sorted(options.items()),
            *(None if t is None else t.shape for t in keras.tree.flatten(tensors)),
        )
        if key not in graphs:
            # Concrete, because TensorFlow warns of functions that it traces often.
            run = _stateless(functools.partial(function, **options))
            graph = tf.function(run, autograph=False)
            graphs[key] = graph.get_concrete_function(*tensors)
        return graphs[key](*tensors)

    return call


def traced(function: Callable[..., Any], *args: Any) -> None:
    """Runs the Python code of `function` once, without computing anything."""
    graph = tf.function(_stateless(function), autograph=False)
    graph.get_concrete_function(*keras.tree.map_structure(_tensor, args))


def _stateless(function: Callable[..., Any]) -> Callable[..., Any]:
    def stateless(*args: Any) -> Any:
        with keras.StatelessScope():
            return function(*args)

    return stateless


def _tensor(x: Any) -> Any:
    return None if x is None else tf.convert_to_tensor(x)
