"""Moving averages of variables, in steps that are traced."""

from typing import Any

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
