"""What differs between versions of Keras, each behind one function."""

import inspect
from typing import Any

import keras


def multi_optimizers() -> tuple[Any, ...]:
    """`MultiOptimizer`, which Keras has from 3.15 on; for `isinstance`."""
    found = getattr(keras.optimizers, "MultiOptimizer", None)
    return () if found is None else (found,)


def layer_classes(*names: str) -> tuple[Any, ...]:
    """Those of Keras' layers that its version has.

    Args:
        *names: Str. Seen missing: `ReversibleEmbedding` up to 3.11.

    Example:

    >>> from keras_deeptools.engine._keras_private.versions import layer_classes
    >>> [each.__name__ for each in layer_classes("Dense", "DenserThanDense")]
    ['Dense']
    """
    found = (getattr(keras.layers, name, None) for name in names)
    return tuple(each for each in found if each is not None)


def loss_argument(loss: Any, name: str, default: Any = None) -> Any:
    """What a loss was made with, such as `from_logits` or `ignore_class`.

    From Keras 3.16 on, losses tell it in their configuration alone.

    Args:
        loss: `keras.losses.Loss`, or anything else that may have such an attribute.
        name: Str, of the argument.
        default: What to return where there is none.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._keras_private.versions import loss_argument
    >>> loss_argument(keras.losses.BinaryCrossentropy(from_logits=True), "from_logits")
    True
    """
    if hasattr(loss, name) or not isinstance(loss, keras.losses.Loss):
        return getattr(loss, name, default)
    return loss.get_config().get(name, default)


def forget_best(callbacks: list[Any]) -> None:
    """Lets each `EarlyStopping` begin a new `fit` without the best value of the last.

    Keras does so itself in 3.10 and from 3.15 on. In between, what an earlier `fit`
    reached would end the next one.

    Args:
        callbacks: List of `keras.callbacks.Callback`.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._keras_private.versions import forget_best
    >>> stop = keras.callbacks.EarlyStopping("loss")
    >>> stop.best = 0.5
    >>> forget_best([stop])
    >>> stop.best is None
    True
    """
    for callback in callbacks:
        if isinstance(callback, keras.callbacks.EarlyStopping):
            callback.best = None


def knows_kernel_axes() -> bool:
    """Whether `EinsumDense` tells an initializer its kernel's axes: from 3.15 on."""
    parameters = inspect.signature(keras.initializers.VarianceScaling).parameters
    return "input_axes" in parameters


def axes_of_kernel_being_built(
    initializer: Any, shape: tuple[int, ...]
) -> tuple[tuple[int, ...] | None, tuple[int, ...] | None]:
    """The axes of its kernel that an `EinsumDense` sums over, and those that it adds.

    It is for Keras up to 3.14, whose initializers get only the shape: a kernel
    `(256, 8, 64)` may be that of a convolution or of attention. The layer is the one
    that is building the kernel now, found among the callers.

    Args:
        initializer: The initializer that draws.
        shape: Tuple of ints, of what it draws.

    Returns:
        Two tuples of ints, or two None where no such layer asks.
    """
    frame = inspect.currentframe()
    while frame is not None:
        layer = frame.f_locals.get("self")
        if isinstance(layer, keras.Layer):
            break
        frame = frame.f_back
    else:
        return None, None
    if getattr(layer, "kernel_initializer", None) is not initializer:
        return None, None
    equation = getattr(layer, "equation", None)
    if equation is None:
        return None, None
    operands, output = equation.replace(".", "").split("->")
    inputs, kernel = operands.split(",")
    if len(kernel) != len(shape):
        return None, None
    letters = list(enumerate(kernel))
    return (
        tuple(i for i, letter in letters if letter not in output),
        tuple(i for i, letter in letters if letter not in inputs),
    )
