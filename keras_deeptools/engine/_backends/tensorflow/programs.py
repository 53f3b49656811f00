"""Compiling and differentiating a whole pass, on TensorFlow."""

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_deeptools.engine._backends.common import make_updates as make_updates


def compiled(function: Callable) -> Callable:
    """The function as one graph."""
    # An object of its own: TensorFlow counts traces, and warns, by the code that runs.
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
