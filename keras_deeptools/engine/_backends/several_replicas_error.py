"""The error about training on several replicas that features cannot join."""


class SeveralReplicasError(ValueError):
    """Raised if features cannot take part in training on replicas of `tf.distribute`.

    Under `MirroredStrategy` and `MultiWorkerMirroredStrategy` gradients are reduced
    before features see them, and every feature acts as it does on one device. All other
    cases are refused: other strategies, an optimizer that was not made under the
    model's strategy or is built only in the first step, `jit_compile=True`, and
    `steps_per_execution` above 1, which Keras itself cannot run there.

    It is a `ValueError`, so that code that catches those of `attach` catches it too.

    Args:
        *args: Str. What was given, and the remedy.

    Example:

    >>> from keras_deeptools.engine import SeveralReplicasError
    >>> try:
    ...     raise SeveralReplicasError("attach: the optimizer is not built.")
    ... except ValueError as error:
    ...     print(error)
    attach: the optimizer is not built.
    """
