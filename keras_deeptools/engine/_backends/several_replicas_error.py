"""The error of what cannot take part in training on several replicas."""


class SeveralReplicasError(ValueError):
    """Raised where several replicas of `tf.distribute` cannot be joined.

    Under `MirroredStrategy` and `MultiWorkerMirroredStrategy` gradients are reduced
    before features see them, and every feature acts as it does on one device. What
    remains is refused: other strategies, an optimizer that was not made under the
    model's strategy or is built only in the first step, `jit_compile=True`, and
    `steps_per_execution` above 1, which Keras itself cannot run there.

    A `ValueError`, so that what catches those of `attach` catches it too.

    Args:
        *args: Str. What was given, and the way out.

    Example:

    >>> from keras_deeptools.engine import SeveralReplicasError
    >>> try:
    ...     raise SeveralReplicasError("attach: the optimizer is not built.")
    ... except ValueError as error:
    ...     print(error)
    attach: the optimizer is not built.
    """
