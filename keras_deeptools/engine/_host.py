"""Values on the host."""

from typing import Any

import keras
import numpy as np


def on_host(tensor: Any) -> np.ndarray:
    """A numpy array with a tensor's values, its own copy.

    `keras.ops.convert_to_numpy` fails on TensorFlow for a bfloat16 scalar, such as the
    learning rate where bfloat16 is the global type.

    Args:
        tensor: Tensor or variable with a value.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._host import on_host
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
