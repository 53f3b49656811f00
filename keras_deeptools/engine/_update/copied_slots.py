"""Variables of an optimizer that begin as copies of what it trains."""

from typing import Any

from keras import ops


def copied_slots(optimizer: Any, variables: list[Any], name: str) -> list[Any]:
    """A variable of the optimizer for each one, with the value that it has now.

    They are created by an initializer, which TensorFlow runs where it creates variables
    also when that is in the middle of a step that is being traced.

    Args:
        optimizer: Keras optimizer.
        variables: List of `keras.Variable`.
        name: Str.

    Returns:
        List of `keras.Variable`; None for a variable that is no weight.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._update.copied_slots import copied_slots
    >>> weight, optimizer = keras.Variable(3.0), keras.optimizers.SGD()
    >>> [slot] = copied_slots(optimizer, [weight], "start")
    >>> _ = weight.assign(4.0)
    >>> float(slot.numpy())
    3.0
    """

    def copy_of(variable: Any) -> Any:
        return lambda shape, dtype=None: ops.copy(ops.convert_to_tensor(variable))

    return [
        slot
        for variable in variables
        for slot in optimizer.add_optimizer_variables(
            [variable], name, copy_of(variable)
        )
    ]
