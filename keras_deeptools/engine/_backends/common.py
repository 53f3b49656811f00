"""What the backends share."""

import contextlib
from typing import Any

import keras
import numpy as np
from keras import ops


def move_averages(averages: list[Any], values: list[Any], rate: Any) -> None:
    """Moves each average towards a value by the fraction `rate` of the way.

    Args:
        averages: Float32 `keras.Variable`s.
        values: Tensors of their shapes, of any floating type.
        rate: Scalar in [0, 1].
    """
    for average, value in zip(averages, values, strict=True):
        now = ops.convert_to_tensor(average)
        average.assign(now + rate * (ops.cast(value, "float32") - now))


class SeveralReplicasError(ValueError):
    """Raised where a feature meets a `tf.distribute` strategy of several replicas.

    Keras reduces gradients only inside of the update there, after the point where
    features see them. `keras.distribution` on JAX has no such limit.

    Example:

    >>> from keras_deeptools.engine import SeveralReplicasError
    >>> issubclass(SeveralReplicasError, ValueError)
    True
    """


def on_host(tensor: Any) -> np.ndarray:
    """A numpy array with a tensor's values, its own copy.

    `keras.ops.convert_to_numpy` fails on TensorFlow for a bfloat16 scalar, such as the
    learning rate where bfloat16 is the global type.

    Args:
        tensor: Tensor or variable with a value.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._backends.common import on_host
    >>> float(on_host(keras.ops.convert_to_tensor(1.5, "bfloat16")))
    1.5
    """
    if isinstance(tensor, keras.Variable):
        tensor = tensor.value
    if hasattr(tensor, "shape") and tuple(tensor.shape) == ():
        if keras.backend.standardize_dtype(tensor.dtype) == "bfloat16":
            single = keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32"))
            return np.array(single)
    return np.array(keras.ops.convert_to_numpy(tensor))


# Where `fit` creates all variables before it traces or takes a step: JAX and torch.
BUILDS_IN_STEP = False


"""Whether the first step of `fit` creates the variables that do not exist."""


def between_steps() -> Any:
    """A context that runs on the host at once."""
    return contextlib.nullcontext()


def tracing() -> bool:
    """Whether a step is being traced now: none is before the optimizer is built."""
    return False


def reason_to_trace_again() -> Any:
    """Nothing: no step is traced before the optimizer is built."""


def have_values(variables: list[Any]) -> bool:
    """Whether variables have values."""
    return all(variable._value is not None for variable in variables)
